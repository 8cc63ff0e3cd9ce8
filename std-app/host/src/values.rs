//! The values of options, as they are typed.

use core::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use greet_core::Framing;

/// A span of time that may be without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

/// Where a name ends.
///
/// # Errors
/// What there is to choose from.
pub fn framing(text: &str) -> Result<Framing, String> {
    match text {
        "auto" => Ok(Framing::Auto),
        "chunk" => Ok(Framing::Chunk),
        "line" => Ok(Framing::Line),
        _ => Err("it is chunk, line or auto".to_owned()),
    }
}

/// How a client sends names.
///
/// # Errors
/// What there is to choose from.
pub fn client_framing(text: &str) -> Result<Framing, String> {
    match framing(text) {
        Ok(Framing::Auto) | Err(_) => Err("a client's framing is chunk or line".to_owned()),
        framing => framing,
    }
}

/// A number of seconds, or a number with its unit.
///
/// # Errors
/// How a time is written.
pub fn duration(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| ()),
        Err(_) => humantime::parse_duration(text).map_err(|_| ()),
    }
    .map_err(|()| "a time is a number of seconds from 0 on, or has a unit: 1.5, 250ms, 5m".to_owned())
}

/// A time that is longer than nothing, or `none`.
///
/// # Errors
/// How a limit is written.
pub fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        _ => match duration(text)? {
            limit if limit < Duration::from_micros(1) => {
                Err("it has to be at least a microsecond; `none` is for no limit".to_owned())
            }
            limit => Ok(Limit(Some(limit))),
        },
    }
}

/// A time that is longer than nothing, and not without end.
///
/// # Errors
/// How such a time is written.
pub fn span(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        span if span < Duration::from_millis(1) => Err("it has to be at least a millisecond".to_owned()),
        span => Ok(span),
    }
}

/// How often a second something is to happen.
///
/// # Errors
/// That it is no such number.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("give how many a second, from 0.001 to 1000000000".to_owned()),
    }
}

/// An address and a port to listen on.
///
/// # Errors
/// How both are written.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "give an IP address and a port from 0 to 65535, like 127.0.0.1:9999, 0.0.0.0:9999 or [::]:9999".to_owned()
    })
}

/// A number from 1 on.
///
/// # Errors
/// That it is none.
pub fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "give a whole number from 1 on".to_owned())
}
