//! What is known about the board under test.

use core::{net::IpAddr, time::Duration};

use smoltcp::wire::EthernetAddress;

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
}

/// A line that echo services and greeting servers reply to.
pub const LINE: &[u8] = b"frame\n";

impl Board {
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
