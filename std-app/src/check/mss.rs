//! The maximum segment size (MSS) that the server announced, as far as the kernel tells it.

use core::fmt;
use std::{io, net::TcpStream};

use super::evidence::{self, Info};
use crate::export::number::Count;

/// The MSS in the server's SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// This many bytes.
    Exactly(u32),
    /// This many or more: no larger segment is sent, for that reason.
    AtLeast(u32, Limit),
}

/// Why the kernel sends no larger segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Linux sends segments of at most half of the largest window that the server has announced; here it is this many bytes.
    HalfWindow(u32),
    /// The MTU of the route, in bytes.
    Mtu(u32),
    /// The MSS, or another limit of this host.
    Unknown,
}

impl Announced {
    /// Of a new connection.
    pub(crate) fn of(stream: &TcpStream) -> Option<Self> {
        match exactly(stream) {
            Ok(size) => Some(Self::Exactly(size)),
            Err(_) => {
                let info = evidence::info(stream).ok()?;
                let options = options(&info);
                Some(Self::AtLeast(info.segment + options, limit(info.segment, info.window, info.path_mtu, options)))
            }
        }
    }
}

impl fmt::Display for Announced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RIGHTS: &str = "the exact value needs CAP_NET_ADMIN";
        match self {
            Self::Exactly(size) => write!(formatter, "the server announced an MSS of {}", Count((*size).into())),
            Self::AtLeast(size, limit) => {
                let size = Count((*size).into());
                match limit {
                    Limit::HalfWindow(window) => write!(
                        formatter,
                        "the server announced an MSS of at least {size}; this host sends no larger segments because the window is {} \
                         ({RIGHTS})",
                        Count((*window).into())
                    ),
                    Limit::Mtu(mtu) => {
                        let mtu = Count((*mtu).into());
                        write!(
                            formatter,
                            "the server announced an MSS of at least {size}; this host sends no larger segments because its MTU is \
                             {mtu} ({RIGHTS})"
                        )
                    }
                    Limit::Unknown => write!(formatter, "the server announced an MSS of about {size} ({RIGHTS})"),
                }
            }
        }
    }
}

/// Bytes of TCP options in each segment with data.
pub(crate) const fn options(info: &Info) -> u32 {
    if info.has_timestamps { 12 } else { 0 }
}

const fn limit(segment: u32, window: u32, mtu: u32, options: u32) -> Limit {
    /// IPv4 and IPv6, with TCP.
    const HEADERS: [u32; 2] = [40, 60];
    // Linux takes the whole window if it is not larger than 536 bytes.
    if segment * 2 <= window + 1 && segment * 2 + 2 * options + 2 >= window {
        return Limit::HalfWindow(window);
    }
    let [v4, v6] = HEADERS;
    if segment + options + v4 == mtu || segment + options + v6 == mtu { Limit::Mtu(mtu) } else { Limit::Unknown }
}

/// In repair mode the kernel of Linux reports the MSS of the SYN.
#[cfg(target_os = "linux")]
fn exactly(stream: &TcpStream) -> io::Result<u32> {
    use nix::sys::socket::{setsockopt, sockopt::TcpRepair};

    use crate::socket;

    const ON: u32 = 1;
    /// `TCP_REPAIR_OFF_NO_WP`, -1: without the window probe that ends the mode otherwise.
    const OFF: u32 = u32::MAX;
    setsockopt(stream, TcpRepair, &ON)?;
    let size = socket::mss(stream);
    setsockopt(stream, TcpRepair, &OFF)?;
    size
}

/// No other system tells it.
#[cfg(not(target_os = "linux"))]
fn exactly(_: &TcpStream) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_limit_of_the_segment_size_is_named() {
        assert_eq!(limit(730, 1460, 1500, 0), Limit::HalfWindow(1460));
        assert_eq!(limit(1448, 64240, 1500, 12), Limit::Mtu(1500));
        assert_eq!(limit(1440, 64240, 1500, 0), Limit::Mtu(1500));
        assert_eq!(limit(536, 64240, 1500, 0), Limit::Unknown);
        let text = Announced::AtLeast(730, Limit::HalfWindow(1460)).to_string();
        assert!(text.contains("at least 730") && text.contains("the window is 1,460"), "{text}");
    }

    #[test]
    fn a_connection_on_this_host_has_an_mss() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (Announced::Exactly(size) | Announced::AtLeast(size, _)) = Announced::of(&stream).unwrap();
        assert!(size > 1000, "{size}");
    }
}
