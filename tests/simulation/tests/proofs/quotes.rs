//! An ICMP error contains the first bytes of the packet that caused it, as they were sent: its own header, with options and
//! extension headers, and what follows (RFC 1122, 3.2.2; RFC 4443, 2.4 (c)).

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_tests::{
    mutation::fix_checksums,
    scene::{OTHER, OWN, Scene},
};
use smoltcp::wire::{EthernetFrame, Icmpv4Packet, Icmpv6Packet, IpAddress, IpCidr, Ipv4Packet, Ipv6Packet};

const STATIC: [IpCidr; 2] =
    [IpCidr::new(IpAddress::v4(192, 168, 69, 1), 24), IpCidr::new(IpAddress::v6(0xfdaa, 0, 0, 0, 0, 0, 0, 1), 64)];
const OURS: [u8; 16] = [0xfd, 0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PEER: [u8; 16] = [0xfd, 0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// An IPv4 packet to this host with this identification, flags, options and payload.
fn ipv4(options: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let length = u16::try_from(header + payload.len()).unwrap().to_be_bytes();
    let first = 0x40 + u8::try_from(header / 4).unwrap();
    let fixed =
        [first, 0x20, length[0], length[1], 0x1e, 0x38, 0, 0, 33, protocol, 0, 0, 192, 168, 69, 2, 192, 168, 69, 1];
    [&OWN.0[..], &OTHER.0, &[8, 0], &fixed, options, payload].concat()
}

/// An IPv6 packet to this host with a traffic class and a flow label.
fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let fixed = [0x6a, 0xbc, 0xde, 0xf0, length[0], length[1], next_header, 33];
    [&OWN.0[..], &OTHER.0, &[0x86, 0xdd], &fixed, &PEER, &OURS, payload].concat()
}

/// A datagram to a closed port, with its checksum where that is needed.
fn datagram(length: usize) -> Vec<u8> {
    let whole = u16::try_from(8 + length).unwrap().to_be_bytes();
    let mut datagram = vec![0xc3, 0x50, 0, 7, whole[0], whole[1], 0, 0];
    datagram.extend((0..length).map(|index| u8::try_from(index % 256).unwrap()));
    datagram
}

/// What the error that answers this frame quotes. Its checksums are right, and its lengths those of the frame.
fn quoted(frame: &[u8]) -> Vec<u8> {
    let mut scene = Scene::new(|settings| settings.addresses = &STATIC);
    scene.pass(Duration::from_secs(2));
    scene.send_raw(frame);
    let answers = scene.pass(Duration::ZERO);
    let [answer] = &answers[..] else { panic!("one answer: {answers:x?}") };
    let answer = EthernetFrame::new_checked(answer).unwrap();
    let bytes = answer.payload();
    if bytes[0] >> 4 == 4 {
        let packet = Ipv4Packet::new_checked(bytes).unwrap();
        assert!(packet.verify_checksum() && usize::from(packet.total_len()) == bytes.len(), "{bytes:x?}");
        assert!(Icmpv4Packet::new_checked(packet.payload()).unwrap().verify_checksum(), "{bytes:x?}");
        assert_eq!(packet.payload()[0], 3);
        packet.payload()[8..].to_vec()
    } else {
        let packet = Ipv6Packet::new_checked(bytes).unwrap();
        let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        assert!(packet.total_len() == bytes.len() && bytes.len() <= 1280, "{bytes:x?}");
        assert!(message.verify_checksum(&packet.src_addr(), &packet.dst_addr()), "{bytes:x?}");
        assert_eq!(packet.payload()[0], 1);
        packet.payload()[8..].to_vec()
    }
}

#[track_caller]
fn is_quoted(mut frame: Vec<u8>, longest: usize) {
    fix_checksums(&mut frame);
    let packet = &frame[14..];
    let expected = &packet[..packet.len().min(longest)];
    assert!(quoted(&frame) == expected, "quoted {:x?} of {packet:x?}", quoted(&frame));
}

#[test]
fn an_ipv4_error_quotes_the_header_as_it_was_sent() {
    for length in [0, 1, 21, 100] {
        is_quoted(ipv4(&[], 17, &datagram(length)), 548);
        // Options that are skipped, and as many of them as there can be.
        is_quoted(ipv4(&[1, 1, 1, 0], 17, &datagram(length)), 548);
        is_quoted(ipv4(&[1; 40], 17, &datagram(length)), 588);
    }
    is_quoted(ipv4(&[], 200, &[9; 40]), 548);
    is_quoted(ipv4(&[], 17, &datagram(1400)), 548);
    is_quoted(ipv4(&[1, 1, 1, 1], 17, &datagram(1400)), 552);
}

#[test]
fn an_ipv6_error_quotes_the_headers_as_they_were_sent() {
    is_quoted(ipv6(17, &with_checksum(&datagram(21))), 1232);
    is_quoted(ipv6(17, &with_checksum(&datagram(1300))), 1232);
    // Behind destination options that are skipped.
    for length in [0, 21, 1300] {
        let options = [&[17, 0, 0x1e, 4, 1, 2, 3, 4][..], &with_checksum(&datagram(length))].concat();
        is_quoted(ipv6(60, &options), 1232);
    }
}

/// A datagram over IPv6 needs a checksum, also where it follows an extension header.
fn with_checksum(datagram: &[u8]) -> Vec<u8> {
    let mut frame = ipv6(17, datagram);
    fix_checksums(&mut frame);
    frame[14 + 40..].to_vec()
}
