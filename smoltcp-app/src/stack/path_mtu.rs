//! Packets that fit every path, as this host does no path MTU discovery.
//!
//! smoltcp 0.14 sends packets as long as the device takes them, forbids routers to fragment them (`wire/ipv4.rs`,
//! `Repr::emit`) and ignores the ICMP messages that say "too big": a tunnel on the path then swallows every long packet.

#[cfg(feature = "ipv4")]
use smoltcp::wire::{EthernetFrame, EthernetProtocol, Ipv4Packet};
#[cfg(feature = "ipv6")]
use smoltcp::wire::{Ipv6Packet, TcpPacket};

/// Lets routers fragment this packet, if it is one of IPv4: clears DF, and gives it an identification of its own, which its
/// fragments share (RFC 791, 3.2; RFC 6864, 4.3).
#[cfg(feature = "ipv4")]
pub(super) fn allow_fragments(frame: &mut [u8], identification: &mut u16) {
    let Ok(mut frame) = EthernetFrame::new_checked(frame) else { return };
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return;
    }
    let Ok(mut packet) = Ipv4Packet::new_checked(frame.payload_mut()) else { return };
    *identification = identification.wrapping_add(1);
    packet.set_ident(*identification);
    packet.set_dont_frag(false);
    // A device that computes the checksum itself gets 0.
    if packet.checksum() != 0 {
        packet.fill_checksum();
    }
}

/// The longest packet that every IPv6 path carries (RFC 8200, 5), and the longest segment of TCP in it.
#[cfg(feature = "ipv6")]
const MAX_SEGMENT: u16 = 1280 - 40 - 20;

/// Room for a SYN without data.
#[cfg(feature = "ipv6")]
pub(super) const SYN: usize = 14 + 40 + 60;

/// A SYN over IPv6 whose maximum segment size is too much for a node that does no path MTU discovery (RFC 8201, 4), with one
/// that is not: smoltcp then sends no longer segments to this peer. `segment` is the end of `frame`. Data that came with
/// the SYN is left out; the peer sends it again.
#[cfg(feature = "ipv6")]
pub(super) fn limit_segments<'b>(frame: &[u8], segment: &[u8], buffer: &'b mut [u8; SYN]) -> Option<&'b [u8]> {
    const MAX_SEGMENT_OPTION: [u8; 2] = [2, 4];

    let packet = Ipv6Packet::new_checked(frame.get(14..)?).ok()?;
    let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
    let tcp = TcpPacket::new_checked(segment).ok()?;
    if !tcp.syn() || !tcp.verify_checksum(&source, &destination) {
        return None;
    }
    let start = 14usize.checked_add(packet.total_len())?.checked_sub(segment.len())?;
    let header = usize::from(tcp.header_len());
    let end = start.checked_add(header)?;
    let short = buffer.get_mut(..end)?;
    short.copy_from_slice(frame.get(..end)?);
    let payload_length = u16::try_from(end.checked_sub(14 + 40)?).ok()?;
    Ipv6Packet::new_unchecked(short.get_mut(14..)?).set_payload_len(payload_length);
    let segment = short.get_mut(start..)?;
    let mut options = 20;
    while let Some(&kind) = segment.get(options) {
        let length = match kind {
            0 => return None,
            1 => 1,
            _ => usize::from(*segment.get(options + 1)?),
        };
        if let Some(option) = segment.get_mut(options..options + 4)
            && let [a, b, value @ ..] = option
            && [*a, *b] == MAX_SEGMENT_OPTION
            && u16::from_be_bytes([value[0], value[1]]) > MAX_SEGMENT
        {
            value.copy_from_slice(&MAX_SEGMENT.to_be_bytes());
            TcpPacket::new_unchecked(segment).fill_checksum(&source, &destination);
            return Some(short);
        }
        if length == 0 {
            return None;
        }
        options += length;
    }
    None
}
