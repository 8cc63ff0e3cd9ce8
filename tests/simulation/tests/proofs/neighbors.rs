//! Neighbors of a stack: their hardware addresses, hosts with the stack's own address, and frames for groups.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_smoltcp::stack::Conflict;
use greet_tests::{
    ether::Port,
    scene::{OTHER, OWN, Scene, announced, tcp_frame},
    segment::{Segment, segment},
};
use smoltcp::{
    phy::{Device, RxToken},
    socket::tcp::{Socket, SocketBuffer},
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpCidr, Ipv4Address, Ipv6Address, Ipv6Packet,
        TcpControl, TcpRepr,
    },
};

const SECOND: Duration = Duration::from_secs(1);
const OURS: Ipv4Address = Ipv4Address::new(192, 168, 69, 1);
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::Ipv4(OURS), 24)];
const GATEWAY: [IpAddress; 1] = [IpAddress::v4(192, 168, 69, 100)];
const OURS6: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
const PEER6: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const SOLICITED_NODE: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);
const THIRD: EthernetAddress = EthernetAddress([2, 0xcc, 0, 0, 0, 9]);

/// A stack with listening sockets.
fn serving(sockets: usize) -> Scene {
    let mut scene = Scene::new(|settings| {
        settings.addresses = &STATIC;
        settings.gateways = &GATEWAY;
        settings.frames_a_poll = 1000;
    });
    for _ in 0..sockets {
        let mut socket = Socket::new(SocketBuffer::new(vec![0; 64]), SocketBuffer::new(vec![0; 64]));
        socket.listen(9999).unwrap();
        scene.stack.sockets().add(socket);
    }
    scene.pass(SECOND);
    scene
}

fn syn(port: u16) -> TcpRepr<'static> {
    TcpRepr { control: TcpControl::Syn, ..segment(port, 100) }
}

/// An ARP message to all hosts; request is 1, reply is 2.
fn arp(operation: u8, hardware: EthernetAddress, source: Ipv4Address, target: Ipv4Address) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(hardware.0);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(hardware.0);
    frame.extend(source.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// A neighbor solicitation (135) or advertisement (136) with a hardware address.
fn neighbor_message(kind: u8, flags: u8, target: Ipv6Address, hardware: EthernetAddress) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend([kind - 134, 1]);
    message.extend(hardware.0);
    message
}

fn is_arp_request(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6] && frame[21] == 1
}

fn icmpv6_type(frame: &[u8]) -> Option<u8> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
    (frame.ethertype() == EthernetProtocol::Ipv6).then(|| packet.payload().first().copied())?
}

/// The frames sent to the third host only.
fn received(port: &mut Port) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((token, _)) = port.receive(smoltcp::time::Instant::ZERO) {
        frames.push(token.consume(<[u8]>::to_vec));
    }
    frames.retain(|frame| frame[0] & 1 == 0);
    frames
}

fn syn_acks(frames: &[Vec<u8>]) -> usize {
    let is_syn_ack = |segment: Segment| segment.control == TcpControl::Syn && segment.acknowledged.is_some();
    frames.iter().filter(|frame| Segment::read(frame).is_some_and(is_syn_ack)).count()
}

#[test]
fn two_hundred_hosts_that_connect_at_once_are_answered_at_once() {
    for ipv6 in [false, true] {
        let mut scene = serving(200);
        for number in (10..=210).filter(|&number| number != 100) {
            let (own, peer) = if ipv6 {
                (OURS6.into(), IpAddress::v6(0xfe80, 0, 0, 0, 0, 0, 1, u16::from(number)))
            } else {
                (OURS.into(), IpAddress::v4(192, 168, 69, number))
            };
            scene.send_tcp(peer, own, &syn(50_000));
        }
        let frames = scene.pass(Duration::ZERO);
        assert_eq!(syn_acks(&frames), 200);
        assert!(!frames.iter().any(|frame| is_arp_request(frame) || icmpv6_type(frame) == Some(135)));
    }
}

#[test]
fn refused_hosts_and_hosts_that_only_ping_are_answered_at_once() {
    let mut scene = serving(0);
    for number in (10..=210).filter(|&number| number != 100) {
        scene.send_tcp(IpAddress::v4(192, 168, 69, number), OURS.into(), &syn(50_000));
    }
    let resets = scene.pass(Duration::ZERO).iter().filter_map(|frame| Segment::read(frame)).count();
    assert_eq!(resets, 200);
}

#[test]
fn for_concurrent_connects_all_hosts_are_resolved_at_once_and_each_once_per_second() {
    let mut scene = serving(0);
    let off_link = IpAddress::v4(10, 9, 9, 9);
    let remotes = [IpAddress::v4(192, 168, 69, 50), PEER6.into(), off_link, IpAddress::v4(192, 168, 69, 51)];
    for remote in remotes {
        for _ in 0..2 {
            scene.stack.request_neighbor(remote, &mut scene.port, scene.now);
        }
    }
    let asked: Vec<_> = scene.pass(Duration::ZERO).iter().filter_map(|frame| asked_for(frame)).collect();
    let [first, second, _, third] = remotes;
    assert_eq!(asked, [first, second, GATEWAY[0], third]);
    scene.now = scene.now + SECOND;
    scene.stack.request_neighbor(third, &mut scene.port, scene.now);
    assert_eq!(scene.pass(Duration::ZERO).len(), 1);
}

/// The address that an ARP request or a neighbor solicitation with a source asks for.
fn asked_for(frame: &[u8]) -> Option<IpAddress> {
    if is_arp_request(frame) {
        return Some(Ipv4Address::from(<[u8; 4]>::try_from(&frame[38..42]).unwrap()).into());
    }
    let packet = Ipv6Packet::new_checked(&frame[14..]).ok()?;
    (icmpv6_type(frame) == Some(135) && !packet.src_addr().is_unspecified())
        .then(|| Ipv6Address::from(<[u8; 16]>::try_from(&packet.payload()[8..24]).unwrap()).into())
}

#[test]
fn a_host_whose_hardware_address_changes_is_answered_at_the_new_address() {
    let mut scene = serving(2);
    let mut third = scene.host(THIRD);
    let peer = IpAddress::v4(192, 168, 69, 50);
    scene.send_tcp(peer, OURS.into(), &syn(50_000));
    assert_eq!(syn_acks(&scene.pass(Duration::ZERO)), 1);
    scene.send_raw(&tcp_frame(THIRD, peer, OURS.into(), &syn(50_001)));
    scene.pass(Duration::ZERO);
    assert_eq!(syn_acks(&received(&mut third)), 1);
}

#[test]
fn the_announcement_of_a_gateway_after_a_failover_is_accepted() {
    const OTHER_GATEWAY: EthernetAddress = EthernetAddress([2, 0xcc, 0, 0, 0, 0x0a]);
    let gateway = Ipv4Address::new(192, 168, 69, 100);
    for operation in [1, 2] {
        let mut scene = serving(1);
        let mut other_gateway = scene.host(OTHER_GATEWAY);
        scene.send_raw(&arp(1, OTHER, gateway, OURS));
        scene.send_tcp(IpAddress::v4(10, 9, 9, 9), OURS.into(), &syn(50_000));
        assert_eq!(syn_acks(&scene.pass(Duration::ZERO)), 1, "through the first gateway");
        scene.send_raw(&arp(operation, OTHER_GATEWAY, gateway, gateway));
        received(&mut other_gateway);
        scene.pass(SECOND + SECOND / 10);
        assert_eq!(syn_acks(&received(&mut other_gateway)), 1, "the next one goes through the other gateway");
    }
}

#[test]
fn the_hardware_address_of_a_router_is_not_learned_from_ip_packets() {
    let mut scene = serving(2);
    let mut third = scene.host(THIRD);
    scene.send_raw(&arp(1, OTHER, Ipv4Address::new(192, 168, 69, 100), OURS));
    scene.pass(Duration::ZERO);
    scene.send_raw(&tcp_frame(THIRD, GATEWAY[0], OURS.into(), &syn(50_000)));
    scene.send_tcp(IpAddress::v4(10, 9, 9, 9), OURS.into(), &syn(50_001));
    assert_eq!(syn_acks(&scene.pass(Duration::ZERO)), 2);
    assert_eq!(syn_acks(&received(&mut third)), 0);
}

#[test]
fn an_arp_probe_is_answered() {
    let mut scene = serving(0);
    let mut third = scene.host(THIRD);
    scene.send_raw(&arp(1, THIRD, Ipv4Address::UNSPECIFIED, OURS));
    scene.pass(Duration::ZERO);
    let frames = received(&mut third);
    assert_eq!(frames.len(), 1, "{frames:x?}");
    assert_eq!(frames[0][20..22], [0, 2], "a reply");
    assert_eq!((&frames[0][22..28], &frames[0][28..32]), (&OWN.0[..], &OURS.octets()[..]));
    scene.send_raw(&arp(1, THIRD, Ipv4Address::UNSPECIFIED, Ipv4Address::new(192, 168, 69, 7)));
    scene.pass(Duration::ZERO);
    assert!(received(&mut third).is_empty(), "of another address");
}

#[test]
fn duplicate_address_detection_of_another_host_is_answered() {
    let mut scene = serving(0);
    let mut probe = neighbor_message(135, 0, OURS6, OTHER);
    probe.truncate(24); // it names no hardware address
    scene.send_icmpv6(Ipv6Address::UNSPECIFIED, SOLICITED_NODE, &probe);
    let frames = scene.pass(Duration::ZERO);
    let answer = frames.iter().find(|frame| icmpv6_type(frame) == Some(136)).unwrap();
    assert_eq!(answer[..6], [0x33, 0x33, 0, 0, 0, 1], "to all nodes");
    assert_eq!(answer[54 + 8..54 + 24], OURS6.octets());
}

#[test]
fn a_neighbor_solicitation_is_answered_only_if_it_is_for_this_host() {
    let mut scene = serving(0);
    scene.send_icmpv6(PEER6, SOLICITED_NODE, &neighbor_message(135, 0, OURS6, OTHER));
    assert_eq!(scene.pass(Duration::ZERO).iter().filter(|frame| icmpv6_type(frame) == Some(136)).count(), 1);
    scene.send_icmpv6(PEER6, SOLICITED_NODE, &neighbor_message(135, 0, PEER6, OTHER));
    assert!(scene.pass(Duration::ZERO).is_empty());
}

#[test]
fn a_neighbor_advertisement_applies_to_its_target_not_to_its_source() {
    let mut scene = serving(2);
    let mut third = scene.host(THIRD);
    scene.send_tcp(PEER6.into(), OURS6.into(), &syn(50_000));
    assert_eq!(syn_acks(&scene.pass(Duration::ZERO)), 1);
    let target = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77);
    scene.send_icmpv6(PEER6, OURS6, &neighbor_message(136, 0x60, target, THIRD));
    let frames = scene.pass(SECOND + SECOND / 10);
    assert_eq!(syn_acks(&frames), 1, "the next one comes to the same host");
    assert!(received(&mut third).is_empty());
}

#[test]
fn new_addresses_are_probed() {
    let mut scene = Scene::new(|settings| settings.addresses = &STATIC);
    let frames = scene.pass(SECOND);
    let probes = frames.iter().filter(|frame| is_arp_request(frame) && frame[28..32] == [0; 4]).count();
    assert_eq!(probes, 1, "RFC 5227, 2.1.1");
    assert_eq!(frames.iter().filter(|frame| icmpv6_type(frame) == Some(135)).count(), 1, "RFC 4862, 5.4.2");
}

#[test]
fn an_address_conflict_is_reported_once_in_ten_seconds_and_the_address_is_defended() {
    let mut scene = serving(0);
    let conflict = Some(Conflict { address: OURS.into(), hardware_address: THIRD });
    scene.send_raw(&arp(1, THIRD, OURS, OURS));
    let frames = scene.pass(SECOND);
    assert_eq!(scene.stack.take_conflict(), conflict);
    assert_eq!(frames.iter().filter_map(|frame| announced(frame)).collect::<Vec<_>>(), [OURS]);
    for _ in 0..5 {
        scene.send_raw(&arp(2, THIRD, OURS, OURS));
        assert!(scene.pass(SECOND).is_empty());
        assert_eq!(scene.stack.take_conflict(), None);
    }
    scene.pass(5 * SECOND);
    scene.send_raw(&arp(2, THIRD, OURS, OURS));
    assert_eq!(scene.pass(SECOND).iter().filter_map(|frame| announced(frame)).count(), 1);
    assert_eq!(scene.stack.take_conflict(), conflict);

    scene.pass(11 * SECOND);
    scene.send_icmpv6(OURS6, Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1), &neighbor_message(136, 0x20, OURS6, OTHER));
    let frames = scene.pass(SECOND);
    assert_eq!(scene.stack.take_conflict(), Some(Conflict { address: OURS6.into(), hardware_address: OTHER }));
    assert_eq!(frames.iter().filter(|frame| icmpv6_type(frame) == Some(136)).count(), 1);
    assert_eq!(scene.stack.addresses().len(), 2, "both addresses stay");
}

#[test]
fn multicast_packets_get_neither_a_reset_nor_an_icmp_error() {
    let mut scene = serving(1);
    let broadcasts = [IpAddress::v4(192, 168, 69, 255), IpAddress::v4(255, 255, 255, 255), IpAddress::v4(224, 0, 0, 1)];
    let peer = IpAddress::v4(192, 168, 69, 50);
    for destination in broadcasts {
        let mut frame = tcp_frame(OTHER, peer, destination, &syn(50_000));
        scene.send_raw(&frame);
        frame[..6].fill(0xff);
        scene.send_raw(&frame);
        // The same as UDP and as an unknown protocol, with wrong checksums, also that of the header.
        for protocol in [17, 200] {
            frame[23] = protocol;
            scene.send_raw(&frame);
        }
    }
    let mut frame = tcp_frame(OTHER, peer, OURS.into(), &syn(50_000));
    frame[..6].fill(0xff);
    scene.send_raw(&frame);
    let mut frame = tcp_frame(OTHER, PEER6.into(), IpAddress::v6(0xff02, 0, 0, 0, 0, 0, 0, 1), &syn(50_000));
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    for protocol in [6, 17, 200] {
        frame[20] = protocol;
        scene.send_raw(&frame);
    }
    let frames = scene.pass(SECOND);
    assert!(frames.is_empty(), "{frames:x?}");
    scene.send_tcp(peer, OURS.into(), &syn(50_000));
    assert_eq!(syn_acks(&scene.pass(Duration::ZERO)), 1, "the socket still listens");
}
