//! What is known about the board under test.

use core::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};
use std::sync::{Arc, Mutex, PoisonError};

use smoltcp::wire::EthernetAddress;

/// The board's MAC address before it is known.
pub(crate) const UNKNOWN: EthernetAddress = EthernetAddress([0; 6]);

/// The board under test and its service.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its MAC address.
    pub mac: EthernetAddress,
    /// Its IP address.
    pub address: IpAddr,
    /// The port of its TCP service.
    pub port: u16,
    /// What its service sends.
    pub service: Service,
    /// The time from a SYN to its SYN-ACK.
    pub rtt: Duration,
    /// How many connections it holds at the same time, as far as they were tried.
    pub slots: usize,
    /// The link to it loses frames.
    pub is_lossy: bool,
    /// Unused addresses of its subnet.
    pub unused: UnusedAddresses,
}

/// Unused IP addresses, for probes that need hosts which the board does not know. Each is taken once.
#[derive(Clone, Debug, Default)]
pub struct UnusedAddresses(Arc<Mutex<Vec<IpAddr>>>);

impl UnusedAddresses {
    /// These addresses. For IPv6 none is needed: the subnet has so many that a random one is unused.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        Self(Arc::new(Mutex::new(addresses)))
    }

    /// One of the subnet of `board`, if there is one left.
    pub(crate) fn take(&self, board: IpAddr) -> Option<IpAddr> {
        match board {
            IpAddr::V4(_) => self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(),
            IpAddr::V6(board) => Some(neighbor(board).into()),
        }
    }
}

/// An address with the same prefix of 64 bits and a random interface identifier.
pub(crate) fn neighbor(board: Ipv6Addr) -> Ipv6Addr {
    let prefix = board.to_bits() >> 64 << 64;
    let identifier = fastrand::u64(..) & !(1 << 57 | 1 << 56); // neither global nor of a group
    Ipv6Addr::from_bits(prefix | u128::from(identifier))
}

/// What the service sends.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Before the client sends anything; may be empty.
    pub banner: Vec<u8>,
    /// The length of the reply to [`LINE`]; 0 if it does not reply to a line.
    pub reply: usize,
    /// A line in two segments gets the same reply as in one.
    pub joins: bool,
    /// After the line `exit` the service ends the connection, as greeting servers do.
    pub exits: bool,
}

/// The line after which a greeting server ends the connection.
pub const EXIT: &[u8] = b"exit\n";

/// A line that echo services and greeting servers reply to.
pub const LINE: &[u8] = b"frame\n";

impl Board {
    /// A board of which the address is known alone.
    pub(crate) fn at(address: IpAddr) -> Self {
        let (service, unused) = (Service::default(), UnusedAddresses::default());
        Self { mac: UNKNOWN, address, port: 0, service, rtt: Duration::ZERO, slots: 1, is_lossy: false, unused }
    }

    /// How long a reply is waited for that the board sends at once.
    #[must_use]
    pub fn reply_time(&self) -> Duration {
        Duration::from_secs(1).max(self.rtt * 20)
    }

    /// How long a frame is waited for that must not come.
    #[must_use]
    pub fn quiet_time(&self) -> Duration {
        Duration::from_millis(250).max(self.rtt * 4)
    }
}
