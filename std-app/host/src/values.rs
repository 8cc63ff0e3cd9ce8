//! How the values of options are written.

use core::{
    net::{Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};
use std::net::ToSocketAddrs as _;

use greet_core::{Framing, Service};

use crate::log::LogFormat;

/// A time limit, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

/// `chunk`, `line` or `auto`.
///
/// # Errors
/// The text is another one.
pub fn framing(text: &str) -> Result<Framing, String> {
    match text {
        "auto" => Ok(Framing::Auto),
        "chunk" => Ok(Framing::Chunk),
        "line" => Ok(Framing::Line),
        _ => Err("give chunk, line or auto".to_owned()),
    }
}

/// `greet` or `echo`.
///
/// # Errors
/// The text is another one.
pub fn service(text: &str) -> Result<Service, String> {
    match text {
        "greet" => Ok(Service::Greet),
        "echo" => Ok(Service::Echo),
        _ => Err("give greet or echo".to_owned()),
    }
}

/// `chunk` or `line`.
///
/// # Errors
/// The text is another one.
pub fn client_framing(text: &str) -> Result<Framing, String> {
    match framing(text) {
        Ok(Framing::Auto) | Err(_) => Err("give chunk or line".to_owned()),
        framing => framing,
    }
}

/// `text` or `json`.
///
/// # Errors
/// The text is another one.
pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("give text or json".to_owned()),
    }
}

/// An address with a port.
///
/// # Errors
/// The text is no such address.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an address and a port, like 127.0.0.1:9100 or [::1]:9100".to_owned())
}

/// A number of seconds, or numbers with units.
///
/// # Errors
/// The text is no time.
pub fn duration(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| ()),
        Err(_) => humantime::parse_duration(text).map_err(|_| ()),
    }
    .map_err(|()| "give a number of seconds, or a number with a unit: 1.5, 250ms, 5m".to_owned())
}

/// A time of at least a microsecond, or `none`.
///
/// # Errors
/// The text is neither.
pub fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        _ => match duration(text)? {
            limit if limit < Duration::from_micros(1) => {
                Err("give at least a microsecond; `none` means no limit".to_owned())
            }
            limit => Ok(Limit(Some(limit))),
        },
    }
}

/// A time of at least a millisecond.
///
/// # Errors
/// The text is no such time.
pub fn span(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        span if span < Duration::from_millis(1) => Err("give at least a millisecond".to_owned()),
        span => Ok(span),
    }
}

/// A rate per second, from 0.001 to 1e9.
///
/// # Errors
/// The text is no such number.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("give a rate per second, from 0.001 to 1000000000".to_owned()),
    }
}

/// The addresses that one `--listen` means: a name may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddresses(pub Vec<SocketAddr>);

/// Where to listen: `ADDRESS:PORT`, `NAME:PORT`, `PORT` on 127.0.0.1, or `:PORT` on all addresses.
///
/// # Errors
/// The text is none of these, or the name has no address.
pub fn listen_address(text: &str) -> Result<ListenAddresses, String> {
    let one = |address: SocketAddr| Ok(ListenAddresses(vec![address]));
    if let Ok(address) = text.parse() {
        return one(address);
    }
    let wrong = || {
        "give an address and a port from 0 to 65535, like 127.0.0.1:9999, localhost:9999, [::]:9999, or 9999 for this \
         computer alone"
            .to_owned()
    };
    let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    if host.is_empty() {
        return one(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').ok_or_else(wrong)?,
        None if host.contains(':') => return Err(wrong()), // an IPv6 address without brackets
        None => host,
    };
    let found = (host, port).to_socket_addrs().map_err(|error| format!("`{host}` is not found ({error})"))?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.dedup();
    Ok(ListenAddresses(addresses))
}

/// A whole number of at least 1.
///
/// # Errors
/// The text is no such number.
pub fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "give a whole number of at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listen_option_accepts_an_address_a_host_name_or_a_port() {
        let listed = |text: &str| listen_address(text).map(|ListenAddresses(all)| all);
        for (text, address) in [
            ("127.0.0.1:9999", "127.0.0.1:9999"),
            ("[::1]:0", "[::1]:0"),
            ("9998", "127.0.0.1:9998"),
            (":9998", "[::]:9998"),
        ] {
            assert_eq!(listed(text), Ok(vec![address.parse().unwrap()]), "{text}");
        }
        assert!(listed("localhost:9999").unwrap().iter().all(|address| address.ip().is_loopback()));
        for text in ["", "localhost", "127.0.0.1", "127.0.0.1:", "1:65536", "::1:9999", "[::1:9999", "1:+9", "a b:9"] {
            assert!(listed(text).is_err(), "{text}");
        }
    }
}
