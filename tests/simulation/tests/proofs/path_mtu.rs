//! A link with an MTU of 1,280 bytes on the path: every packet of a stack fits, or may be fragmented.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;
use std::collections::HashSet;

use greet_tests::{
    scene::Scene,
    segment::{Segment, segment},
};
use smoltcp::{
    socket::tcp::{Socket, SocketBuffer},
    wire::{EthernetFrame, EthernetProtocol, IpAddress, IpCidr, Ipv4Packet, TcpControl, TcpRepr},
};

const LINK: usize = 1280;
const REPLY: usize = 4690;
const SECOND: Duration = Duration::from_secs(1);
const IPV4: IpAddress = IpAddress::v4(192, 168, 69, 1);
const IPV6: IpAddress = IpAddress::v6(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
const STATIC: [IpCidr; 1] = [IpCidr::new(IPV4, 24)];

/// Whether the frame's packet can pass the link: it is short enough, or a router may fragment it.
fn passes(frame: &[u8], identifications: &mut HashSet<u16>) -> bool {
    let frame = EthernetFrame::new_checked(frame).unwrap();
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return frame.payload().len() <= LINK;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
    assert!(packet.verify_checksum());
    assert!(packet.dont_frag() || identifications.insert(packet.ident()), "fragments of two packets would be mixed up");
    frame.payload().len() <= LINK || !packet.dont_frag()
}

/// Lets the server send a reply to `peer`, whose SYN is `syn`, through the link. Returns the bytes that arrive.
fn reply(own: IpAddress, peer: IpAddress, syn: &TcpRepr<'_>) -> usize {
    let mut scene = Scene::new(|settings| settings.addresses = &STATIC);
    let mut socket = Socket::new(SocketBuffer::new(vec![0; 4096]), SocketBuffer::new(vec![0; 8192]));
    socket.listen(9999).unwrap();
    let handle = scene.stack.sockets().add(socket);
    scene.pass(SECOND);
    scene.send_tcp(peer, own, syn);
    let answer = scene.pass(Duration::ZERO).iter().find_map(|frame| Segment::read(frame)).unwrap();
    let mut expected = answer.sequence + 1;
    let acknowledge = |next| TcpRepr {
        seq_number: syn.seq_number + 1,
        ack_number: Some(next),
        control: TcpControl::None,
        max_seg_size: None,
        payload: &[],
        ..*syn
    };
    scene.send_tcp(peer, own, &acknowledge(expected));
    scene.pass(Duration::ZERO);
    scene.stack.sockets().get_mut::<Socket<'_>>(handle).send_slice(&[b'a'; REPLY]).unwrap();
    let mut arrived = 0;
    let mut identifications = HashSet::new();
    for _ in 0..20 {
        for frame in scene.pass(Duration::from_millis(1)) {
            let Some(segment) = Segment::read(&frame) else { continue };
            if passes(&frame, &mut identifications) && segment.sequence == expected {
                arrived += segment.payload.len();
                expected += segment.payload.len();
            }
        }
        scene.send_tcp(peer, own, &acknowledge(expected));
    }
    arrived
}

#[test]
fn a_reply_arrives_through_a_link_of_1280_bytes() {
    let syn = TcpRepr { control: TcpControl::Syn, window_len: 65_535, ..segment(50_000, 100) };
    for max_seg_size in [None, Some(1), Some(536), Some(1220), Some(1221), Some(1440), Some(65_535)] {
        let syn = TcpRepr { max_seg_size, ..syn };
        let peer = IpAddress::v4(192, 168, 69, 2);
        assert_eq!(reply(IPV4, peer, &syn), REPLY, "IPv4, {max_seg_size:?}");
        let peer = IpAddress::v6(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        assert_eq!(reply(IPV6, peer, &syn), REPLY, "IPv6, {max_seg_size:?}");
        let with_data = TcpRepr { payload: b"early", ..syn };
        assert_eq!(reply(IPV6, peer, &with_data), REPLY, "IPv6 and data, {max_seg_size:?}");
    }
}
