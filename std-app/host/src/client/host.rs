//! Parses `HOST[:PORT]`, the address of a server on a command line.

use core::{fmt, net::Ipv6Addr, str::FromStr};

use thiserror::Error;

/// The protocol's port over TCP.
const DEFAULT_PORT: u16 = 9999;

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address. An IPv6 address has no brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// What is wrong with a `HOST[:PORT]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostPortError {
    /// The host is missing.
    #[error("the host is missing: give a name or an address, like localhost or 127.0.0.1:9999")]
    NoHost,
    /// The port is not a number from 1 to 65535.
    #[error("the port is a number from 1 to 65535, like localhost:9999")]
    Port,
    /// Brackets are unbalanced, or enclose something other than an IPv6 address.
    #[error("brackets enclose an IPv6 address, and only a port may follow, like [::1]:9999")]
    Brackets,
    /// Too many colons.
    #[error("a host has at most one colon, before its port; an IPv6 address with a port is [ADDRESS]:PORT")]
    Colons,
    /// A character that is allowed neither in a name nor in an address.
    #[error("a host has no spaces, slashes or control characters: give only its name or address")]
    Characters,
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        if text.chars().any(|character| character.is_whitespace() || character.is_control() || character == '/') {
            return Err(HostPortError::Characters);
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(HostPortError::Brackets)?;
            if !is_ipv6(address) {
                return Err(HostPortError::Brackets);
            }
            match rest.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None if rest.is_empty() => (address, None),
                None => return Err(HostPortError::Brackets),
            }
        } else if is_ipv6(text) {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(HostPortError::Colons),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return Err(HostPortError::NoHost);
        }
        Ok(Self { host: host.to_owned(), port: port.map_or(Ok(DEFAULT_PORT), port_number)? })
    }
}

/// Whether the text is an IPv6 address, with or without a zone, like `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

fn port_number(text: &str) -> Result<u16, HostPortError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(HostPortError::Port),
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(formatter, "[{host}]:{port}") } else { write!(formatter, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::{HostPort, HostPortError};

    #[test]
    fn names_and_addresses_parse_with_and_without_a_port() {
        for (text, host, port) in [
            ("host", "host", 9999),
            ("host:9998", "host", 9998),
            ("board.local:1", "board.local", 1),
            ("1.2.3.4", "1.2.3.4", 9999),
            ("1.2.3.4:65535", "1.2.3.4", 65535),
            ("::1", "::1", 9999),
            ("[::1]", "::1", 9999),
            ("[::1]:9998", "::1", 9998),
            ("fe80::1%eth0", "fe80::1%eth0", 9999),
            ("[fe80::1%eth0]:9998", "fe80::1%eth0", 9998),
        ] {
            let parsed: HostPort = text.parse().unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{text}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{text}");
        }
    }

    #[test]
    fn an_invalid_host_has_a_specific_error() {
        for (text, error) in [
            ("", HostPortError::NoHost),
            (":9999", HostPortError::NoHost),
            ("host:", HostPortError::Port),
            ("host:0", HostPortError::Port),
            ("host:+9", HostPortError::Port),
            ("host:65536", HostPortError::Port),
            ("host:http", HostPortError::Port),
            ("[::1]:", HostPortError::Port),
            ("[::1", HostPortError::Brackets),
            ("[::1]9999", HostPortError::Brackets),
            ("[host]:9999", HostPortError::Brackets),
            ("[]", HostPortError::Brackets),
            ("host:1:2", HostPortError::Colons),
            ("http://host", HostPortError::Characters),
            ("a host", HostPortError::Characters),
            ("host\u{1b}[2J", HostPortError::Characters),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(error), "{text}");
        }
    }
}
