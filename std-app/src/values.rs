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
