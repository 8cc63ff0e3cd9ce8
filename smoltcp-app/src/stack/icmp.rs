//! ICMP errors. Received ones end an attempt to connect: the peer has no such port or protocol (RFC 1122, 4.2.3.9; RFC 4443, 3.1).
//! smoltcp 0.14 ignores them. A connection that is established is not ended by an ICMP message (RFC 5927, 5.2).

use smoltcp::{
    iface::SocketSet,
    socket::{
        AnySocket,
        tcp::{Socket, State},
    },
    wire::{IpAddress, IpEndpoint},
};

const TCP: u8 = 6;

/// Ends the attempt whose segment an ICMPv4 error returns; `message` is the whole ICMP message.
#[cfg(feature = "ipv4")]
pub(super) fn receive_ipv4(message: &[u8], sockets: &mut SocketSet<'_>) {
    use smoltcp::wire::{Icmpv4Packet, Ipv4Address};

    const UNREACHABLE: u8 = 3;
    const PROTOCOL: u8 = 2;
    const PORT: u8 = 3;
    let Some((&[UNREACHABLE, PROTOCOL | PORT, ..], packet)) = message.split_first_chunk::<8>() else { return };
    if !Icmpv4Packet::new_checked(message).is_ok_and(|message| message.verify_checksum()) {
        return;
    }
    let Some((header, _)) = packet.split_first_chunk::<20>() else { return };
    let &[first, _, _, _, _, _, _, _, _, protocol, _, _, ref addresses @ ..] = header;
    let Some((source, destination)) = addresses.split_first_chunk::<4>() else { return };
    let Ok(destination) = <[u8; 4]>::try_from(destination) else { return };
    let Some(content) = packet.get(usize::from(first & 15) * 4..) else { return };
    if first >> 4 == 4 && protocol == TCP {
        let (source, destination) = (Ipv4Address::from(*source), Ipv4Address::from(destination));
        refuse((source.into(), destination.into()), content, sockets);
    }
}

/// Ends the attempt whose segment an ICMPv6 error returns; `message` is the whole ICMP message, its checksum verified.
#[cfg(feature = "ipv6")]
pub(super) fn receive_ipv6(message: &[u8], sockets: &mut SocketSet<'_>) {
    use smoltcp::wire::Ipv6Address;

    const UNREACHABLE: u8 = 1;
    const PORT: u8 = 4;
    let Some((&[UNREACHABLE, PORT, ..], packet)) = message.split_first_chunk::<8>() else { return };
    let Some((header, content)) = packet.split_first_chunk::<40>() else { return };
    let &[first, _, _, _, _, _, protocol, _, ref addresses @ ..] = header;
    let Some((source, destination)) = addresses.split_first_chunk::<16>() else { return };
    let Ok(destination) = <[u8; 16]>::try_from(destination) else { return };
    if first >> 4 == 6 && protocol == TCP {
        let (source, destination) = (Ipv6Address::from(*source), Ipv6Address::from(destination));
        refuse((source.into(), destination.into()), content, sockets);
    }
}

/// Corrects the pointer of a parameter problem that this frame reports: smoltcp 0.14 sets it to 40, the end of the IPv6 header.
/// It is the offset of the byte that names the unsupported header, or that of the unsupported option (RFC 4443, 3.4).
#[cfg(feature = "ipv6")]
pub(super) fn correct_pointer(frame: &mut [u8]) {
    use smoltcp::wire::{Icmpv6Packet, Ipv6Packet};

    const PARAMETER_PROBLEM: u8 = 4;
    const UNKNOWN_HEADER: u8 = 1;
    const HOP_BY_HOP: u8 = 0;
    let Some((&mut [.., 0x86, 0xdd], packet)) = frame.split_first_chunk_mut::<14>() else { return };
    let Ok(mut packet) = Ipv6Packet::new_checked(packet) else { return };
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    if packet.next_header() != smoltcp::wire::IpProtocol::Icmpv6 {
        return;
    }
    let Some((header, reported)) = packet.payload_mut().split_first_chunk_mut::<8>() else { return };
    let &mut [PARAMETER_PROBLEM, code, _, _, ref mut pointer @ ..] = header else { return };
    let is_after_options = reported.get(6) == Some(&HOP_BY_HOP);
    let offset = match code {
        UNKNOWN_HEADER if is_after_options => 40,
        UNKNOWN_HEADER => 6,
        _ => option_to_report(reported),
    };
    *pointer = u32::from(offset).to_be_bytes();
    Icmpv6Packet::new_unchecked(packet.payload_mut()).fill_checksum(&source, &destination);
}

/// The offset of the first option in this packet's hop-by-hop header that is unsupported and must not be skipped.
#[cfg(feature = "ipv6")]
fn option_to_report(packet: &[u8]) -> u8 {
    let mut offset: u8 = 42;
    while let Some(&[kind, length]) = packet.get(usize::from(offset)..).and_then(<[u8]>::first_chunk) {
        // The first two bits are the action; a router alert is supported (RFC 2711).
        if kind >> 6 != 0 {
            break;
        }
        offset = offset.saturating_add(if kind == 0 { 1 } else { length.saturating_add(2) });
    }
    offset
}

/// Ends the attempt that a segment between these addresses belongs to.
fn refuse((source, destination): (IpAddress, IpAddress), segment: &[u8], sockets: &mut SocketSet<'_>) {
    let Some(&[a, b, c, d]) = segment.first_chunk::<4>() else { return };
    let local = Some(IpEndpoint::new(source, u16::from_be_bytes([a, b])));
    let remote = Some(IpEndpoint::new(destination, u16::from_be_bytes([c, d])));
    for socket in sockets.iter_mut().filter_map(|(_, socket)| Socket::downcast_mut(socket)) {
        let attempts = socket.state() == State::SynSent;
        if attempts && socket.local_endpoint() == local && socket.remote_endpoint() == remote {
            socket.abort();
        }
    }
}
