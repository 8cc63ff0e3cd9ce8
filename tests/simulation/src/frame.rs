//! The hardware addresses of the two hosts of a scene, and a frame from one of them.

use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr};

/// The stack's hardware address.
pub const OWN: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
/// The other host's hardware address.
pub const OTHER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);

/// A frame from the other host to all hosts. `write` writes the payload.
#[must_use]
pub fn broadcast(ethertype: EthernetProtocol, length: usize, write: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let header = EthernetRepr { src_addr: OTHER, dst_addr: EthernetAddress::BROADCAST, ethertype };
    let mut bytes = vec![0; header.buffer_len() + length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    header.emit(&mut frame);
    write(frame.payload_mut());
    bytes
}
