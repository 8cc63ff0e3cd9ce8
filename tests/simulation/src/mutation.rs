//! Frames that a host on the link may send: valid ones of every kind that a stack parses, answers to its frames, and mutations
//! of both.

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpAddress, IpProtocol, Ipv4Address,
    Ipv4Packet, Ipv6Address, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket,
};

use crate::{
    scene::{ALL_NODES, OTHER, OWN, Prefix, router_advertisement, tcp_frame},
    segment::{Segment, segment},
};

/// The stack's addresses.
pub const OURS: Ipv4Address = Ipv4Address::new(192, 168, 69, 1);
const OURS6: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
/// The other host's addresses.
const PEER: Ipv4Address = Ipv4Address::new(192, 168, 69, 100);
const PEER6: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// Writes the headers of Ethernet and IP in front of `payload`, without checksums.
fn packet(source: IpAddress, destination: IpAddress, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let multicast = !matches!(destination, IpAddress::Ipv4(OURS) | IpAddress::Ipv6(OURS6));
    let mut frame = match destination {
        IpAddress::Ipv6(address) if multicast => [&[0x33, 0x33][..], &address.octets()[12..]].concat(),
        IpAddress::Ipv4(_) if multicast => vec![0xff; 6],
        _ => OWN.0.to_vec(),
    };
    frame.extend(OTHER.0);
    let length = u16::try_from(payload.len()).unwrap_or(0);
    match (source, destination) {
        (IpAddress::Ipv4(source), IpAddress::Ipv4(destination)) => {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((length + 20).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
        (IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([protocol, 255]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
        _ => {}
    }
    frame.extend(payload);
    fix_checksums(&mut frame);
    frame
}

fn udp(source: (IpAddress, u16), destination: (IpAddress, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(source.1.to_be_bytes());
    datagram.extend(destination.1.to_be_bytes());
    datagram.extend(u16::try_from(payload.len() + 8).unwrap_or(0).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    packet(source.0, destination.0, 17, &datagram)
}

fn arp(destination: EthernetAddress, operation: u8, source: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    [&destination.0[..], &OTHER.0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation], &OTHER.0, &source, &OWN.0, &target].concat()
}

fn neighbor(kind: u8, flags: u8, target: Ipv6Address) -> Vec<u8> {
    [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &target.octets(), &[kind - 134, 1], &OTHER.0].concat()
}

/// A fragment of `whole`, an IPv4 packet: its flags and its offset in blocks of 8 bytes are `field`.
fn fragment(mut whole: Vec<u8>, field: u16) -> Vec<u8> {
    whole[20..22].copy_from_slice(&field.to_be_bytes());
    if let Ok(mut packet) = Ipv4Packet::new_checked(&mut whole[14..]) {
        packet.fill_checksum();
    }
    whole
}

/// One valid frame of each kind.
#[must_use]
pub fn frames() -> Vec<Vec<u8>> {
    let icmpv6 = |source: Ipv6Address, destination: Ipv6Address, message: &[u8]| {
        packet(source.into(), destination.into(), 58, message)
    };
    let solicited: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);
    let prefix = |number| Prefix::new(Ipv6Address::new(0x2001, 0xdb8, 0, number, 0, 0, 0, 0));
    let mut advertisement = router_advertisement(1800, &[prefix(1), prefix(2)]);
    advertisement.extend([5, 1, 0, 0, 0, 0, 5, 0, 1, 1, 2, 0, 0, 0, 0, 2]);
    let router = |number| Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, number);
    let error =
        |kind: u8, code: u8| [&[kind, code, 0, 0, 0, 0, 5, 0, 0x60, 0, 0, 0, 0, 8, 6, 64][..], &[0xfe; 40]].concat();
    let hop_by_hop =
        |next: u8, option: u8| [&[next, 0, option, 4, 0, 0, 0, 0][..], &[128, 0, 0, 0, 1, 2, 3, 4]].concat();
    let syn = |options: &'static [u8]| {
        [
            &[0xc3, 0x50, 0x27, 0x0f, 0, 0, 0, 1, 0, 0, 0, 0][..],
            &[0x50 + u8::try_from(options.len() / 4).unwrap_or(0) * 16, 2, 16, 0, 0, 0, 0, 0],
            options,
        ]
        .concat()
    };
    let full: &[u8] = &[2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 14];
    vec![
        arp(EthernetAddress::BROADCAST, 1, PEER.octets(), OURS.octets()),
        arp(EthernetAddress::BROADCAST, 1, PEER.octets(), PEER.octets()),
        arp(EthernetAddress::BROADCAST, 1, [0; 4], OURS.octets()),
        arp(EthernetAddress::BROADCAST, 1, OURS.octets(), OURS.octets()),
        arp(OWN, 2, PEER.octets(), OURS.octets()),
        icmpv6(PEER6, solicited, &neighbor(135, 0, OURS6)),
        icmpv6(Ipv6Address::UNSPECIFIED, solicited, &neighbor(135, 0, OURS6)[..24]),
        icmpv6(PEER6, OURS6, &neighbor(136, 0x60, PEER6)),
        icmpv6(PEER6, ALL_NODES, &neighbor(136, 0x20, PEER6)),
        icmpv6(router(9), ALL_NODES, &advertisement),
        icmpv6(router(8), ALL_NODES, &router_advertisement(0, &[Prefix { valid: 0, preferred: 0, ..prefix(1) }])),
        icmpv6(router(7), ALL_NODES, &router_advertisement(9000, &[prefix(3), prefix(4), prefix(5), prefix(6)])),
        icmpv6(PEER6, ALL_NODES, &[133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 2]),
        icmpv6(router(9), OURS6, &[&[137, 0, 0, 0, 0, 0, 0, 0][..], &[0xfe; 32], &[4, 6, 0, 0], &[0; 44]].concat()),
        icmpv6(PEER6, OURS6, &[128, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3]),
        icmpv6(PEER6, ALL_NODES, &[128, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3]),
        icmpv6(PEER6, OURS6, &error(1, 4)),
        icmpv6(PEER6, OURS6, &error(2, 0)),
        icmpv6(PEER6, OURS6, &error(4, 1)),
        icmpv6(
            PEER6,
            ALL_NODES,
            &[130, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        packet(PEER6.into(), OURS6.into(), 0, &hop_by_hop(58, 1)),
        packet(PEER6.into(), OURS6.into(), 0, &hop_by_hop(58, 0xc3)),
        packet(PEER6.into(), OURS6.into(), 0, &hop_by_hop(6, 5)),
        packet(PEER6.into(), OURS6.into(), 44, &hop_by_hop(6, 0)),
        packet(PEER6.into(), OURS6.into(), 43, &hop_by_hop(6, 0)),
        packet(PEER.into(), OURS.into(), 1, &[8, 0, 0, 0, 0, 1, 0, 1, 9, 9, 9]),
        packet(PEER.into(), Ipv4Address::BROADCAST.into(), 1, &[8, 0, 0, 0, 0, 1, 0, 1, 9, 9, 9]),
        packet(PEER.into(), OURS.into(), 1, &[&[3, 4, 0, 0, 0, 0, 5, 0, 0x45, 0, 0, 28][..], &[6; 24]].concat()),
        packet(PEER.into(), OURS.into(), 2, &[0x11, 100, 0, 0, 0, 0, 0, 0]),
        packet(PEER.into(), OURS.into(), 200, &[1; 40]),
        fragment(packet(PEER.into(), OURS.into(), 6, &syn(&[])[..16]), 0x2000),
        fragment(packet(PEER.into(), OURS.into(), 6, &syn(&[])[16..]), 2),
        fragment(packet(PEER.into(), OURS.into(), 17, &[1; 1480]), 0x2000 + 8000),
        udp((PEER.into(), 1), (OURS.into(), 7), &[1; 40]),
        udp((PEER6.into(), 1), (OURS6.into(), 7), &[1; 40]),
        packet(PEER.into(), OURS.into(), 6, &syn(&[])),
        packet(PEER.into(), OURS.into(), 6, &syn(full)),
        packet(PEER6.into(), OURS6.into(), 6, &syn(full)),
        packet(PEER6.into(), OURS6.into(), 6, &syn(&[2, 4, 5, 0xa0])),
    ]
}

/// The answer of a host to a frame of the stack: of a neighbor, a router, a DHCP server, a DNS server, a client.
#[must_use]
pub fn answer(frame: &[u8], chance: &mut fastrand::Rng) -> Option<Vec<u8>> {
    if frame.get(12..14)? == [8, 6] {
        let target = frame.get(38..42)?.try_into().ok()?;
        return (target != OURS.octets()).then(|| arp(OWN, 2, target, OURS.octets()));
    }
    if let Some(segment) = Segment::read(frame) {
        return Some(tcp_answer(frame, &segment, chance));
    }
    if let Some(question) = crate::scene::dhcp_message(frame) {
        return dhcp_answer(&question, chance);
    }
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() == EthernetProtocol::Ipv6 {
        let message = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
        let [135, _, _, _, _, _, _, _, target @ ..] = message.payload() else { return None };
        let target = <[u8; 16]>::try_from(target.get(..16)?).ok()?.into();
        return (target != OURS6).then(|| packet(PEER6.into(), OURS6.into(), 58, &neighbor(136, 0x60, target)));
    }
    let header = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let datagram = UdpPacket::new_checked(header.payload()).ok()?;
    let mut message =
        (header.next_header() == IpProtocol::Udp && datagram.dst_port() == 53).then(|| datagram.payload().to_vec())?;
    *message.get_mut(2)? = 0x81;
    *message.get_mut(7)? = 1;
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    Some(udp((header.dst_addr().into(), 53), (OURS.into(), datagram.src_port()), &message))
}

fn tcp_answer(frame: &[u8], received: &Segment, chance: &mut fastrand::Rng) -> Vec<u8> {
    let length = received.payload.len() + usize::from(matches!(received.control, TcpControl::Syn | TcpControl::Fin));
    let control =
        [TcpControl::None, TcpControl::Psh, TcpControl::Psh, TcpControl::Fin, TcpControl::Rst, TcpControl::Syn];
    let (source, destination) =
        if frame.get(12) == Some(&8) { (PEER.into(), OURS.into()) } else { (PEER6.into(), OURS6.into()) };
    let reply = TcpRepr {
        control: *chance.choice(&control).unwrap_or(&TcpControl::None),
        ack_number: Some(received.sequence + length),
        payload: chance.choice([&b""[..], b"haha\n", b"a"]).unwrap_or_default(),
        window_len: *chance.choice(&[0, 1, 100, 65_535]).unwrap_or(&0),
        ..segment(received.destination_port, received.acknowledged.unwrap_or(TcpSeqNumber(0)).0)
    };
    tcp_frame(OTHER, source, destination, &reply)
}

fn dhcp_answer(question: &[u8], chance: &mut fastrand::Rng) -> Option<Vec<u8>> {
    let mut message = question.get(..240)?.to_vec();
    message[0] = 2;
    message[16..20].copy_from_slice(&[192, 168, 69, chance.u8(..)]);
    let is_discover = question.get(240..243)? == [53, 1, 1];
    let kind = if is_discover { 2 } else { *chance.choice(&[5, 5, 5, 6])? };
    message.extend([53, 1, kind, 54, 4, 192, 168, 69, 100, 51, 4, 0, 0, 0, chance.u8(..), 1, 4, 255, 255, 255, 0]);
    message.extend([3, 4, 192, 168, 69, 100, 6, 8, 192, 168, 69, 100, 0, 0, 0, 0, 255]);
    Some(udp((PEER.into(), 67), (Ipv4Address::BROADCAST.into(), 68), &message))
}

/// Values at which a field changes its meaning.
const EDGES: [u8; 12] = [0, 1, 2, 4, 63, 64, 127, 128, 129, 224, 254, 255];

/// Changes some bytes of `frame` or its length. In most cases it then corrects the checksums, so that the frame is parsed.
pub fn mutate(frame: &mut Vec<u8>, chance: &mut fastrand::Rng) {
    for _ in 0..chance.usize(1..4) {
        let index = chance.usize(..frame.len());
        match chance.u8(..8) {
            0 => frame[index] ^= 1 << chance.u8(..8),
            1 => frame[index] = chance.u8(..),
            2 => frame.truncate(index.max(1)),
            3 => frame.extend((0..chance.usize(..40)).map(|_| chance.u8(..))),
            4 => {
                let end = (index + chance.usize(..16)).min(frame.len());
                frame.copy_within(index..end, index.saturating_sub(8));
            }
            _ => frame[index] = *chance.choice(&EDGES).unwrap_or(&0),
        }
    }
    if chance.u8(..8) != 0 {
        fix_checksums(frame);
    }
}

/// Corrects the checksums of a frame, as far as it can be parsed.
pub fn fix_checksums(frame: &mut [u8]) {
    let Ok(mut ethernet) = EthernetFrame::new_checked(&mut *frame) else { return };
    let kind = ethernet.ethertype();
    let payload = ethernet.payload_mut();
    if kind == EthernetProtocol::Ipv4 {
        let Ok(mut packet) = Ipv4Packet::new_checked(&mut *payload) else { return };
        packet.fill_checksum();
        let (source, destination, protocol) =
            (packet.src_addr().into(), packet.dst_addr().into(), packet.next_header());
        fix_transport_checksum(packet.payload_mut(), source, destination, protocol);
    } else if kind == EthernetProtocol::Ipv6 {
        let Ok(mut packet) = Ipv6Packet::new_checked(&mut *payload) else { return };
        let (source, destination, protocol) = (packet.src_addr(), packet.dst_addr(), packet.next_header());
        let content = packet.payload_mut();
        if protocol == IpProtocol::Icmpv6 {
            if let Ok(mut message) = Icmpv6Packet::new_checked(content) {
                message.fill_checksum(&source, &destination);
            }
        } else {
            fix_transport_checksum(content, source.into(), destination.into(), protocol);
        }
    }
}

fn fix_transport_checksum(content: &mut [u8], source: IpAddress, destination: IpAddress, protocol: IpProtocol) {
    match protocol {
        IpProtocol::Tcp => {
            if let Ok(mut segment) = TcpPacket::new_checked(content) {
                segment.fill_checksum(&source, &destination);
            }
        }
        IpProtocol::Udp => {
            if let Ok(mut datagram) = UdpPacket::new_checked(content) {
                datagram.fill_checksum(&source, &destination);
            }
        }
        IpProtocol::Icmp => {
            if let Ok(mut message) = Icmpv4Packet::new_checked(content) {
                message.fill_checksum();
            }
        }
        _ => {}
    }
}
