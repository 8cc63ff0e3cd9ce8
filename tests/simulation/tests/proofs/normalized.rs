//! Frames that smoltcp alone would drop or misread: priority tags, hop limits, ICMP errors for a connection attempt, and DNS
//! answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_tests::{
    scene::{OTHER, OWN, Scene, tcp_frame},
    segment::segment,
};
use smoltcp::{
    iface::SocketHandle,
    phy::ChecksumCapabilities,
    socket::{
        dns::{GetQueryResultError, QueryHandle, Socket as DnsSocket},
        tcp::{Socket, SocketBuffer, State},
    },
    wire::{
        DnsQueryType, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet, Icmpv6Packet, IpAddress, IpCidr,
        IpProtocol, IpRepr, Ipv4Packet, TcpControl, TcpRepr, UdpPacket, UdpRepr,
    },
};

const OURS: IpAddress = IpAddress::v4(192, 168, 69, 1);
const PEER: IpAddress = IpAddress::v4(192, 168, 69, 2);
const OURS6: IpAddress = IpAddress::v6(0xfdaa, 0, 0, 0, 0, 0, 0, 1);
const PEER6: IpAddress = IpAddress::v6(0xfdaa, 0, 0, 0, 0, 0, 0, 2);

const ADDRESSES: [IpCidr; 2] = [IpCidr::new(OURS, 24), IpCidr::new(OURS6, 64)];

fn scene() -> Scene {
    let mut scene = Scene::new(|settings| settings.addresses = &ADDRESSES);
    let mut socket = tcp_socket();
    socket.listen(9999).unwrap();
    scene.stack.sockets().add(socket);
    scene.pass(Duration::ZERO);
    scene
}

fn tcp_socket() -> Socket<'static> {
    Socket::new(SocketBuffer::new(vec![0; 64]), SocketBuffer::new(vec![0; 64]))
}

/// A SYN in a frame.
fn syn(source: IpAddress, destination: IpAddress) -> Vec<u8> {
    tcp_frame(OTHER, source, destination, &TcpRepr { control: TcpControl::Syn, ..segment(1000, 7) })
}

/// The number of SYN-ACK segments that the stack sends in answer to this frame.
fn accepted(frame: &[u8]) -> usize {
    const SYN_ACK: u8 = 0x12;
    let mut scene = scene();
    scene.send_raw(frame);
    let frames = scene.pass(Duration::ZERO);
    let accepts = |frame: &&Vec<u8>| match frame.get(12..14) {
        Some([8, 0]) => frame[14 + 20 + 13] & SYN_ACK == SYN_ACK,
        Some([0x86, 0xdd]) => frame.get(14 + 40 + 13).is_some_and(|flags| flags & SYN_ACK == SYN_ACK),
        _ => false,
    };
    frames.iter().filter(accepts).count()
}

fn tagged(frame: &[u8], tag: [u8; 4]) -> Vec<u8> {
    [&frame[..12], &tag, &frame[12..]].concat()
}

#[test]
fn a_frame_with_a_priority_tag_is_received_and_a_frame_of_a_vlan_is_not() {
    for frame in [syn(PEER, OURS), syn(PEER6, OURS6)] {
        assert_eq!(accepted(&frame), 1);
        for priority in [0, 0x20, 0xe0, 0xf0] {
            assert_eq!(accepted(&tagged(&frame, [0x81, 0, priority, 0])), 1);
        }
        assert_eq!(accepted(&tagged(&frame, [0x81, 0, 0, 5])), 0, "VLAN 5");
        assert_eq!(accepted(&tagged(&tagged(&frame, [0x81, 0, 0, 0]), [0x81, 0, 0, 0])), 0, "two tags");
    }
    assert_eq!(accepted(&tagged(&[0; 12], [0x81, 0, 0, 0])), 0);
    assert_eq!(accepted(&[[0x81; 12].as_slice(), &[0x81, 0, 0, 0], &[0; 20_000]].concat()), 0);
}

#[test]
fn a_packet_with_any_hop_limit_is_received() {
    // RFC 1122, 3.2.1.7: a host MUST NOT discard a datagram just because it was received with a TTL less than 2; RFC 8200, 3:
    // a node that is the destination of a packet should process it, even if the hop limit is zero.
    for limit in [0, 1, 255] {
        let mut frame = syn(PEER, OURS);
        frame[14 + 8] = limit;
        Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        assert_eq!(accepted(&frame), 1);
        let mut frame = syn(PEER6, OURS6);
        frame[14 + 7] = limit;
        assert_eq!(accepted(&frame), 1);
    }
}

/// An ICMP error for `packet`, from the peer.
fn icmp_error(packet: &[u8], (kind, code): (u8, u8)) -> Vec<u8> {
    let returned = &packet[14..packet.len().min(14 + 48)];
    let mut message = [&[kind, code, 0, 0, 0, 0, 0, 0], returned].concat();
    let (source, destination, ethertype, protocol) = match packet[12] {
        8 => (PEER, OURS, EthernetProtocol::Ipv4, IpProtocol::Icmp),
        _ => (PEER6, OURS6, EthernetProtocol::Ipv6, IpProtocol::Icmpv6),
    };
    match (source, destination) {
        (IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) => {
            Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&source, &destination);
        }
        _ => Icmpv4Packet::new_unchecked(&mut message[..]).fill_checksum(),
    }
    packet_frame((source, destination), ethertype, protocol, &message)
}

fn packet_frame(
    (source, destination): (IpAddress, IpAddress),
    ethertype: EthernetProtocol,
    protocol: IpProtocol,
    content: &[u8],
) -> Vec<u8> {
    let header = IpRepr::new(source, destination, protocol, content.len(), 64);
    let mut frame = vec![0; 14 + header.header_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    EthernetRepr { src_addr: OTHER, dst_addr: OWN, ethertype }.emit(&mut ethernet);
    header.emit(ethernet.payload_mut(), &ChecksumCapabilities::default());
    frame.extend_from_slice(content);
    frame
}

/// A connection attempt to a peer, whose hardware address is known: the socket and the SYN.
fn attempt(scene: &mut Scene, peer: IpAddress, ours: IpAddress) -> (SocketHandle, Vec<u8>) {
    scene.send_raw(&syn(peer, ours)); // the stack learns the address from this
    scene.pass(Duration::from_secs(1));
    let handle = scene.stack.sockets().add(tcp_socket());
    scene.stack.connect(handle, (peer, 80).into(), 50_000).unwrap();
    let frames = scene.pass(Duration::ZERO);
    let is_attempt = |frame: &Vec<u8>| frame.windows(4).any(|ports| ports == [0xc3, 0x50, 0, 80]);
    (handle, frames.into_iter().find(is_attempt).unwrap())
}

#[test]
fn an_icmp_port_unreachable_error_ends_a_connection_attempt() {
    for (peer, ours, fatal, others) in
        [(PEER, OURS, [(3, 3), (3, 2)], [(3, 1), (11, 0)]), (PEER6, OURS6, [(1, 4), (1, 4)], [(1, 0), (3, 0)])]
    {
        for (error, state) in
            fatal.into_iter().map(|error| (error, State::Closed)).chain(others.map(|error| (error, State::SynSent)))
        {
            let mut scene = scene();
            let (handle, packet) = attempt(&mut scene, peer, ours);
            let mut other = packet.clone();
            let ports = other.windows(4).position(|ports| ports == [0xc3, 0x50, 0, 80]).unwrap();
            other[ports + 1] ^= 1;
            let mut spoiled = icmp_error(&packet, error);
            *spoiled.last_mut().unwrap() ^= 1;
            for frame in [icmp_error(&other, error), spoiled, icmp_error(&packet[..30], error)] {
                scene.send_raw(&frame);
                scene.pass(Duration::ZERO);
                assert_eq!(scene.stack.sockets().get::<Socket<'_>>(handle).state(), State::SynSent);
            }
            scene.send_raw(&icmp_error(&packet, error));
            scene.pass(Duration::ZERO);
            assert_eq!(scene.stack.sockets().get::<Socket<'_>>(handle).state(), state, "{error:?}");
        }
    }
}

/// Queries a DNS server for a name. Returns the query's message and port.
fn query(scene: &mut Scene, server: IpAddress, name: &str) -> (SocketHandle, QueryHandle, Vec<u8>, u16) {
    let (peer, ours) = if server == PEER { (PEER, OURS) } else { (PEER6, OURS6) };
    scene.send_raw(&syn(peer, ours));
    scene.pass(Duration::from_secs(1));
    let handle = scene.stack.sockets().add(DnsSocket::new(&[server], Vec::new()));
    let query = scene.stack.look_up(handle, name, DnsQueryType::A).unwrap();
    let headers = if server == PEER { 14 + 20 } else { 14 + 40 };
    let is_query = |frame: &Vec<u8>| frame.len() > headers + 20 && frame[headers + 2..headers + 4] == [0, 53];
    let frame = scene.pass(Duration::ZERO).into_iter().find(is_query).unwrap();
    let port = u16::from_be_bytes([frame[headers], frame[headers + 1]]);
    (handle, query, frame[headers + 8..].to_vec(), port)
}

/// An answer with one address; `change` is made to it.
fn answer(server: IpAddress, query: &[u8], port: u16, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80;
    message[7] = 1;
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, b'A', b'B', b'C', b'D']);
    change(&mut message);
    let udp = UdpRepr { src_port: 53, dst_port: port };
    let (ours, ethertype) =
        if server == PEER { (OURS, EthernetProtocol::Ipv4) } else { (OURS6, EthernetProtocol::Ipv6) };
    let mut datagram = vec![0; 8 + message.len()];
    udp.emit(
        &mut UdpPacket::new_unchecked(&mut datagram[..]),
        &server,
        &ours,
        message.len(),
        |payload| payload.copy_from_slice(&message),
        &ChecksumCapabilities::default(),
    );
    packet_frame((server, ours), ethertype, IpProtocol::Udp, &datagram)
}

const FOUND: [u8; 4] = *b"ABCD";

#[test]
fn names_in_dns_answers_are_compared_case_insensitively() {
    for server in [PEER, PEER6] {
        for name in ["greet.example", "Greet.EXAMPLE"] {
            let mut scene = scene();
            let (handle, question, message, port) = query(&mut scene, server, name);
            scene.send_raw(&answer(server, &message, port, |message| {
                let name = message.len() - 16 - 4 - 15;
                message[name..name + 15].make_ascii_uppercase();
            }));
            scene.pass(Duration::ZERO);
            let found = scene.stack.sockets().get_mut::<DnsSocket<'_>>(handle).get_query_result(question).unwrap();
            assert_eq!(found[..], [IpAddress::Ipv4(FOUND.into())], "the address is not changed");
            assert_eq!(scene.stack.take_truncated_dns(), None);
        }
    }
}

#[test]
fn a_truncated_dns_answer_is_reported() {
    let mut scene = scene();
    let (handle, question, message, port) = query(&mut scene, PEER, "greet.example");
    scene.send_raw(&answer(PEER, &message, port, |message| message[2] |= 2));
    scene.pass(Duration::ZERO);
    assert_eq!(scene.stack.take_truncated_dns(), Some(PEER));
    assert_eq!(scene.stack.take_truncated_dns(), None, "once");
    assert!(scene.stack.sockets().get_mut::<DnsSocket<'_>>(handle).get_query_result(question).is_ok());
}

#[test]
fn a_malformed_dns_answer_is_ignored() {
    let mut scene = scene();
    let (handle, question, message, port) = query(&mut scene, PEER, "greet.example");
    for length in 0..message.len() + 15 {
        scene.send_raw(&answer(PEER, &message, port, |message| message.truncate(length)));
        scene.pass(Duration::ZERO);
    }
    let socket = scene.stack.sockets().get_mut::<DnsSocket<'_>>(handle);
    assert!(matches!(socket.get_query_result(question), Err(GetQueryResultError::Pending)));
}
