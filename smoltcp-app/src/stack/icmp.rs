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
