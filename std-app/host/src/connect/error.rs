//! Why there is no connection to a server: one type, and one advice for each cause, for every program.

use core::{fmt, net::SocketAddr, time::Duration};
use std::io;

use thiserror::Error;

use crate::{args::IpVersion, client::HostPort, exit};

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("`{host}` is not found ({error}): check the name, or give an address")]
    NotFound {
        /// The name as it was typed.
        host: String,
        /// The resolver's error.
        error: io::Error,
    },
    /// No name server answered the system's resolver.
    #[error(
        "no name server answered the lookup of `{host}`: check the network of this computer and /etc/resolv.conf, or give \
         an address"
    )]
    NoNameServer {
        /// The name as it was typed.
        host: String,
    },
    /// The name lookup took longer than the limit.
    #[error(
        "the lookup of `{host}` took longer than {}: raise --timeout, or give an address",
        humantime::format_duration(*.limit)
    )]
    LookupTimedOut {
        /// The name as it was typed.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// The name has no address of the IP version that -4 or -6 asks for.
    #[error("`{host}` has no {} address: leave out {}", .version.only().0, .version.only().1)]
    NoAddress {
        /// The name as it was typed.
        host: String,
        /// The version that is allowed.
        version: IpVersion,
    },
    /// No address accepted a connection.
    #[error("cannot connect to {host}: {}", Attempts(.failures))]
    Failed {
        /// The server as it was typed.
        host: HostPort,
        /// The error of each address, in the order of the attempts.
        failures: Vec<(SocketAddr, io::Error)>,
    },
}

impl ConnectError {
    /// The exit status: the name has no address, or no address accepts a connection.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Failed { .. } => exit::CONNECT,
            Self::NotFound { .. }
            | Self::NoNameServer { .. }
            | Self::LookupTimedOut { .. }
            | Self::NoAddress { .. } => exit::RESOLVE,
        }
    }

    /// Whether another attempt may succeed without any change of the command line.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::NoNameServer { .. } | Self::LookupTimedOut { .. } | Self::Failed { .. })
    }
}

fn is_link_local(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().is_unicast_link_local() && address.scope_id() == 0)
}

/// The result of each attempt, and advice for the last one.
struct Attempts<'a>(&'a [(SocketAddr, io::Error)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (address, error)) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(formatter, "{separator}{address} ")?;
            match error.kind() {
                io::ErrorKind::ConnectionRefused => formatter.write_str("refused the connection")?,
                io::ErrorKind::TimedOut => formatter.write_str("did not answer in time")?,
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                    formatter.write_str("is unreachable")?;
                }
                io::ErrorKind::InvalidInput if is_link_local(address) => {
                    formatter.write_str("is an address of one link: name its interface, like fe80::1%eth0")?;
                }
                _ => write!(formatter, "failed ({error})")?,
            }
        }
        formatter.write_str(match self.0.last().map(|(_, error)| error.kind()) {
            Some(io::ErrorKind::ConnectionRefused) => "; is the server running, and is this its port?",
            Some(io::ErrorKind::TimedOut) => "; check the address and any firewall in between, or raise --timeout",
            _ => "; check the address, and the network of this computer",
        })
    }
}
