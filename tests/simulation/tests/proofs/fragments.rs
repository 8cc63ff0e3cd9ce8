//! Fragments: a stack reassembles packets of up to 1,500 bytes, independent of other fragments.

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::{ops::Range, slice, time::Duration};

use greet_tests::{
    scene::{OTHER, OWN, Scene, tcp_frame},
    segment::{Segment, segment},
};
use smoltcp::{
    socket::tcp::{Socket, SocketBuffer},
    wire::{
        EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpAddress, IpCidr, Ipv4Packet, Ipv6Address,
        Ipv6Packet, TcpControl, TcpRepr,
    },
};

const OURS: IpAddress = IpAddress::v4(192, 168, 69, 1);
const PEER: IpAddress = IpAddress::v4(192, 168, 69, 100);
const OURS_V6: Ipv6Address = Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 1);
const PEER_V6: Ipv6Address = Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 2);
const STATIC: [IpCidr; 2] = [IpCidr::new(OURS, 24), IpCidr::new(IpAddress::Ipv6(OURS_V6), 64)];
const FRAGMENT: u8 = 44;
const HEADERS: usize = 14 + 20;

fn scene() -> Scene {
    let mut scene = Scene::new(|settings| settings.addresses = &STATIC);
    scene.pass(Duration::from_secs(1));
    scene
}

/// An echo request with `size` bytes of data, in one frame.
fn echo(size: usize) -> Vec<u8> {
    // The headers of a segment to the stack, with another protocol and payload.
    let data: Vec<u8> = (0..size).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let mut frame = tcp_frame(OTHER, PEER, OURS, &segment(50_000, 7))[..HEADERS].to_vec();
    frame.extend([8, 0, 0, 0, 0, 1, 0, 1]);
    frame.extend(data);
    Icmpv4Packet::new_unchecked(&mut frame[HEADERS..]).fill_checksum();
    let length = u16::try_from(frame.len() - 14).unwrap();
    frame[14 + 9] = 1;
    Ipv4Packet::new_unchecked(&mut frame[14..]).set_total_len(length);
    frame
}

/// The fragment of `frame`'s packet with these bytes of its payload.
fn fragment(frame: &[u8], bytes: Range<usize>, identification: u16) -> Vec<u8> {
    let payload = &frame[HEADERS..];
    let mut fragment = frame[..HEADERS].to_vec();
    fragment.extend(&payload[bytes.clone()]);
    let length = u16::try_from(fragment.len() - 14).unwrap();
    let mut packet = Ipv4Packet::new_unchecked(&mut fragment[14..]);
    packet.set_total_len(length);
    packet.set_ident(identification);
    packet.clear_flags();
    packet.set_more_frags(bytes.end < payload.len());
    packet.set_frag_offset(u16::try_from(bytes.start).unwrap());
    packet.fill_checksum();
    fragment
}

/// The data of the echo replies that the stack sends to these frames.
fn replies(scene: &mut Scene, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    for frame in frames {
        scene.send_raw(frame);
        sent.extend(scene.pass(Duration::ZERO));
    }
    sent.extend(scene.pass(Duration::from_millis(1)));
    sent.iter()
        .filter_map(|frame| {
            let frame = EthernetFrame::new_checked(frame.as_slice()).ok()?;
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let is_reply = frame.ethertype() == EthernetProtocol::Ipv4 && packet.payload().first() == Some(&0);
            is_reply.then(|| packet.payload()[8..].to_vec())
        })
        .collect()
}

#[test]
fn fragments_in_any_order_and_repeated_are_one_packet() {
    for size in [3, 1000, 1472] {
        let whole = echo(size);
        let data = whole[HEADERS + 8..].to_vec();
        let end = 8 + size;
        let (first, second) = (8.min(end), 808.min(end));
        let mut parts = vec![fragment(&whole, 0..first, 1), fragment(&whole, first..second, 1)];
        if second < end {
            parts.push(fragment(&whole, second..end, 1));
        }
        parts.push(parts[0].clone());
        parts.swap(0, 1);
        let mut scene = scene();
        assert_eq!(replies(&mut scene, &parts[..parts.len() - 2]), Vec::<Vec<u8>>::new().as_slice(), "{size}");
        let last = parts.len() - 2..;
        assert_eq!(replies(&mut scene, &parts[last]), [data], "{size}");
    }
}

#[test]
fn fifty_incomplete_packets_do_not_block_the_next_one() {
    let mut scene = scene();
    let whole = echo(1400);
    let data = whole[HEADERS + 8..].to_vec();
    for identification in 0..50 {
        assert!(replies(&mut scene, &[fragment(&whole, 0..800, identification)]).is_empty());
    }
    let parts = [fragment(&whole, 0..800, 50), fragment(&whole, 800..1408, 50)];
    assert_eq!(replies(&mut scene, &parts), slice::from_ref(&data));
    // The first of the fifty were replaced; the last can be completed until their reassembly timeout.
    assert_eq!(replies(&mut scene, &[fragment(&whole, 800..1408, 49)]), [data]);
    assert!(replies(&mut scene, &[fragment(&whole, 800..1408, 0)]).is_empty());
    scene.pass(Duration::from_secs(31));
    assert!(replies(&mut scene, &[fragment(&whole, 800..1408, 48)]).is_empty());
}

#[test]
fn inconsistent_fragments_are_dropped() {
    let whole = echo(1400);
    let longer = echo(1450);
    let cases = [
        // an overlap
        vec![fragment(&whole, 0..800, 1), fragment(&whole, 400..1200, 1), fragment(&whole, 1200..1408, 1)],
        // two ends
        vec![fragment(&whole, 800..1408, 1), fragment(&longer, 1408..1458, 1), fragment(&whole, 0..800, 1)],
        // data behind the end
        vec![fragment(&longer, 1408..1458, 1), fragment(&whole, 1200..1408, 1), fragment(&whole, 0..1200, 1)],
        // not a multiple of 8 bytes
        vec![fragment(&whole, 0..801, 1), fragment(&whole, 800..1408, 1)],
        // too long for the buffer
        vec![
            fragment(&echo(3000), 0..800, 1),
            fragment(&echo(3000), 800..1600, 1),
            fragment(&echo(3000), 1600..3008, 1),
        ],
    ];
    for (number, case) in cases.iter().enumerate() {
        let mut scene = scene();
        assert!(replies(&mut scene, case).is_empty(), "case {number}");
        // The next packet with that identification is reassembled.
        scene.pass(Duration::from_secs(31));
        let parts = [fragment(&whole, 0..800, 1), fragment(&whole, 800..1408, 1)];
        assert_eq!(replies(&mut scene, &parts).len(), 1, "case {number}");
    }
}

#[test]
fn a_connection_whose_segments_are_fragmented_is_served() {
    let mut scene = scene();
    let mut socket = Socket::new(SocketBuffer::new(vec![0; 4096]), SocketBuffer::new(vec![0; 4096]));
    socket.listen(9999).unwrap();
    let handle = scene.stack.sockets().add(socket);
    let send = |scene: &mut Scene, repr: &TcpRepr<'_>, identification| {
        let whole = tcp_frame(OTHER, PEER, OURS, repr);
        for bytes in [8..whole.len() - HEADERS, 0..8] {
            scene.send_raw(&fragment(&whole, bytes, identification));
        }
        scene.pass(Duration::from_millis(1))
    };
    let syn = TcpRepr { control: TcpControl::Syn, ..segment(50_000, 7) };
    let answer = send(&mut scene, &syn, 1).iter().find_map(|frame| Segment::read(frame)).unwrap();
    assert_eq!(answer.control, TcpControl::Syn);
    let name = TcpRepr { ack_number: Some(answer.sequence + 1), payload: &[b'a'; 1300], ..segment(50_000, 8) };
    send(&mut scene, &name, 2);
    let received = scene.stack.sockets().get_mut::<Socket<'_>>(handle).recv_queue();
    assert_eq!(received, 1300);
}

/// An ICMPv6 echo request with `size` bytes of data.
fn echo_v6(size: usize) -> Vec<u8> {
    let data = (0..size).map(|index| u8::try_from(index % 251).unwrap());
    let mut message: Vec<u8> = [128, 0, 0, 0, 0, 1, 0, 1].into_iter().chain(data).collect();
    Icmpv6Packet::new_unchecked(&mut message).fill_checksum(&PEER_V6, &OURS_V6);
    message
}

/// A frame with the fragment of `message` that has these bytes. `next` is what the message is.
fn fragment_v6(message: &[u8], bytes: Range<usize>, identification: u8, next: u8) -> Vec<u8> {
    let more = u16::from(bytes.end < message.len());
    let [high, low] = (u16::try_from(bytes.start).unwrap() | more).to_be_bytes();
    let mut frame = [&OWN.0[..], &OTHER.0, &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, FRAGMENT, 64]].concat();
    frame.extend([PEER_V6.octets(), OURS_V6.octets()].concat());
    frame.extend([next, 0, high, low, 0, 0, 0, identification]);
    frame.extend(&message[bytes]);
    let length = u16::try_from(frame.len() - 54).unwrap();
    Ipv6Packet::new_unchecked(&mut frame[14..]).set_payload_len(length);
    frame
}

/// The data of the ICMPv6 echo replies that the stack sends to these frames.
fn replies_v6(scene: &mut Scene, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    for frame in frames {
        scene.send_raw(frame);
        sent.extend(scene.pass(Duration::ZERO));
    }
    let messages = sent.iter().filter_map(|frame| {
        let frame = EthernetFrame::new_checked(frame.as_slice()).ok()?;
        let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
        let is_reply = frame.ethertype() == EthernetProtocol::Ipv6 && packet.payload().first() == Some(&129);
        is_reply.then(|| packet.payload()[8..].to_vec())
    });
    messages.collect()
}

#[test]
fn ipv6_fragments_in_any_order_and_repeated_are_one_packet() {
    // The last one is as long as a frame carries.
    for size in [16, 1000, 1452] {
        let message = echo_v6(size);
        let middle = size / 16 * 8;
        let parts = [0..8, 8..middle, middle..message.len()].map(|bytes| fragment_v6(&message, bytes, 1, 58));
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut frames: Vec<Vec<u8>> = order.iter().map(|&index| parts[index].clone()).collect();
            frames.insert(1, frames[0].clone());
            assert_eq!(replies_v6(&mut scene(), &frames), [&message[8..]], "{size} bytes, {order:?}");
        }
    }
}

#[test]
fn inconsistent_ipv6_fragments_are_dropped() {
    let whole = echo_v6(1000);
    let long = echo_v6(1500);
    let cut = |bytes, identification| fragment_v6(&whole, bytes, identification, 58);
    let cases = [
        // an overlap
        vec![cut(0..800, 1), cut(400..1008, 1)],
        // of two packets
        vec![cut(0..800, 1), cut(800..1008, 2)],
        // not a multiple of 8 bytes
        vec![cut(0..801, 1), cut(800..1008, 1)],
        // longer than a frame
        vec![fragment_v6(&long, 0..800, 1, 58), fragment_v6(&long, 800..1508, 1, 58)],
    ];
    for (number, case) in cases.iter().enumerate() {
        assert!(replies_v6(&mut scene(), case).is_empty(), "case {number}");
    }
}

#[test]
fn fragments_of_an_ipv6_fragment_are_dropped() {
    let message = echo_v6(64);
    let inner: Vec<Vec<u8>> =
        [0..40, 40..72].map(|bytes| fragment_v6(&message, bytes, 1, 58)[54..].to_vec()).into_iter().collect();
    let mut frames = Vec::new();
    for (identification, inner) in (2..).zip(&inner) {
        for bytes in [0..8, 8..inner.len()] {
            frames.push(fragment_v6(inner, bytes, identification, FRAGMENT));
        }
    }
    assert!(replies_v6(&mut scene(), &frames).is_empty());
}
