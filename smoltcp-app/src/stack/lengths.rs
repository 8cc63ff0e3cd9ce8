//! Lengths of a frame, and the IP packet in it.

/// Length of the Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// The longest frame of an Ethernet with the usual MTU of 1,500 bytes.
pub(super) const LONGEST_FRAME: usize = ETHERNET + 1500;

/// The IP packet of `length` bytes in this frame, without padding; empty if the frame is shorter than that.
pub(super) fn ip_packet(frame: &[u8], length: usize) -> &[u8] {
    frame.get(ETHERNET..).and_then(|packet| packet.get(..length)).unwrap_or_default()
}
