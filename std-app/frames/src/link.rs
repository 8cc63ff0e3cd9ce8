//! A link: what a probe sends frames to and receives frames from, with the time.

use core::time::Duration;
use std::io;

use smoltcp::wire::EthernetAddress;

/// One host's view of a link: it gets the frames for its MAC addresses (see [`is_for`]) and for groups.
///
/// Times are counted from the same point for all hosts of a link. They may be virtual.
pub trait Link {
    /// The time now.
    fn now(&self) -> Duration;

    /// Sends a frame, without its frame check sequence.
    ///
    /// # Errors
    /// If the link does not take frames any more.
    fn send(&mut self, frame: &[u8]) -> io::Result<()>;

    /// Waits for a frame until that time. Returns it and when it arrived, or `None` at that time.
    ///
    /// # Errors
    /// If the link is gone.
    fn receive(&mut self, until: Duration) -> io::Result<Option<(Duration, Vec<u8>)>>;
}

/// A link that several hosts can be attached to.
pub trait Medium: Sync {
    /// Attaches a host with this MAC address.
    fn attach(&self, mac: EthernetAddress) -> Box<dyn Link + '_>;
}

/// Whether a host with this MAC address gets frames for that destination. A host has 256 MAC addresses, which differ in the
/// last byte, so that a probe can tell to which of them the board sends.
#[must_use]
pub fn is_for(mac: EthernetAddress, destination: EthernetAddress) -> bool {
    !destination.is_unicast() || mac.0[..5] == destination.0[..5]
}
