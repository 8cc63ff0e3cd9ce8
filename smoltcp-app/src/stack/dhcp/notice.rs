//! What the owner of a stack should know about its DHCP server.

use core::{fmt, time::Duration};

use smoltcp::wire::{Ipv4Address, Ipv4Cidr};

/// A shorter lease is refused: it would have to be renewed all the time.
pub(super) const SHORTEST: Duration = Duration::from_secs(20);

/// What is odd about a DHCP server or its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Notice {
    /// The lease ended, and no server renewed it.
    Expired(Ipv4Address),
    /// This server refused the address (NAK).
    Refused(Ipv4Address),
    /// Another host has the address: it was declined.
    InUse(Ipv4Address),
    /// An address that no host can have.
    Unusable(Ipv4Cidr),
    /// An acknowledgement was for another address than the one requested.
    OtherAddress {
        /// The address that was requested.
        asked: Ipv4Address,
        /// The address that was acknowledged.
        given: Ipv4Address,
    },
    /// This server's lease is too short to be used.
    TooShort {
        /// The server.
        server: Ipv4Address,
        /// The lease's length.
        seconds: u64,
    },
    /// This server gives no subnet mask, or one that is none.
    NoMask(Ipv4Address),
    /// This server names no router.
    NoRouter(Ipv4Address),
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(address) => write!(formatter, "DHCP: the lease of {address} ended and no server renewed it"),
            Self::Refused(server) => write!(formatter, "DHCP: server {server} refused the address; asking for another"),
            Self::InUse(address) => {
                write!(formatter, "DHCP: another host uses {address}; declined, asking again in 10 s")
            }
            Self::Unusable(address) => write!(formatter, "DHCP: no host can have {address}; the offer is ignored"),
            Self::OtherAddress { asked, given } => {
                write!(formatter, "DHCP: asked for {asked}, and {given} was acknowledged; the answer is ignored")
            }
            Self::TooShort { server, seconds } => write!(
                formatter,
                "DHCP: server {server} gives a lease of {seconds} s; ignored, as at least {} s are needed",
                SHORTEST.as_secs()
            ),
            Self::NoMask(server) => {
                write!(formatter, "DHCP: server {server} gives no valid subnet mask; the offer is ignored")
            }
            Self::NoRouter(server) => write!(
                formatter,
                "DHCP: server {server} names no router; a static gateway is used only if it is in the leased network"
            ),
        }
    }
}
