//! IPv6 extension headers: what they say is skipped, or the sender gets a parameter problem that points to the byte which is not
//! supported (RFC 8200, 4; RFC 4443, 3.4).

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_tests::scene::{OTHER, OWN, Scene};
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv6Packet, IpAddress, IpCidr, Ipv6Address, Ipv6Packet, Ipv6Repr,
};

const OURS: Ipv6Address = Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 1);
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::Ipv6(OURS), 64)];
const PEER: Ipv6Address = Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 2);
const PARAMETER_PROBLEM: u8 = 4;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;
const DESTINATION_OPTIONS: u8 = 60;

/// The ICMPv6 messages that the stack sends for a packet with this first next header and payload.
fn answers(next_header: u8, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut scene = Scene::new(|settings| settings.addresses = &STATIC);
    scene.pass(Duration::from_secs(1));
    let header = Ipv6Repr {
        src_addr: PEER,
        dst_addr: OURS,
        next_header: next_header.into(),
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut frame = [&OWN.0[..], &OTHER.0, &[0x86, 0xdd]].concat();
    frame.resize(14 + header.buffer_len(), 0);
    header.emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
    frame.extend(payload);
    scene.send_raw(&frame);
    let received = scene.pass(Duration::from_secs(1));
    let messages = received.iter().filter_map(|answer| {
        let answer = EthernetFrame::new_checked(answer).ok()?;
        let packet = Ipv6Packet::new_checked(answer.payload()).ok()?;
        if packet.dst_addr() != PEER || answer.ethertype() != EthernetProtocol::Ipv6 {
            return None;
        }
        let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
        assert!(message.verify_checksum(&packet.src_addr(), &packet.dst_addr()));
        if packet.payload()[0] == PARAMETER_PROBLEM {
            assert_eq!(packet.payload()[8..], frame[14..], "the packet that caused it");
        }
        Some(packet.payload().to_vec())
    });
    messages.collect()
}

/// The parameter problem that the stack sends for such a packet: its code and pointer.
fn reported(next_header: u8, payload: &[u8]) -> Option<(u8, u32)> {
    let answers = answers(next_header, payload);
    let problem = answers.iter().find(|message| message[0] == PARAMETER_PROBLEM)?;
    Some((problem[1], u32::from_be_bytes(problem[4..8].try_into().unwrap())))
}

/// Whether an echo request behind these headers is answered.
fn is_taken(next_header: u8, headers: &[u8]) -> bool {
    let mut request = vec![128, 0, 0, 0, 0, 1, 0, 1, 7, 7, 7];
    Icmpv6Packet::new_unchecked(&mut request).fill_checksum(&PEER, &OURS);
    let answers = answers(next_header, &[headers, &request].concat());
    answers.iter().any(|message| message[0] == 129 && message[8..] == [7, 7, 7])
}

#[test]
fn an_unsupported_header_is_reported_at_the_field_that_names_it() {
    assert_eq!(reported(132, &[0; 16]), Some((1, 6)));
    // Behind an empty header of hop-by-hop options: its first byte names it.
    assert_eq!(reported(0, &[132, 0, 1, 4, 0, 0, 0, 0, 9, 9]), Some((1, 40)));
}

#[test]
fn a_fragment_behind_other_headers_is_reported_as_an_unsupported_header() {
    for offset_and_more in [1, 0x0408, 9] {
        let [high, low] = u16::to_be_bytes(offset_and_more);
        let fragment = [&[6, 0, high, low, 0, 0, 0, 1][..], &[0; 64]].concat();
        let behind = [&[FRAGMENT, 0, 1, 4, 0, 0, 0, 0], &fragment[..]].concat();
        assert_eq!(reported(HOP_BY_HOP, &behind), Some((1, 40)));
    }
}

#[test]
fn an_unknown_option_is_reported_at_its_position_or_skipped_according_to_its_type() {
    // A router alert option, then an option whose type requires a report.
    assert_eq!(reported(0, &[132, 1, 5, 2, 0, 0, 0x9e, 2, 0, 0, 1, 4, 0, 0, 0, 0]), Some((2, 46)));
    assert_eq!(reported(0, &[132, 0, 0x9e, 4, 0, 0, 0, 0]), Some((2, 42)));
    // A skipped option does not hide the next one.
    assert_eq!(reported(0, &[132, 1, 0x1e, 1, 0, 0, 0xde, 2, 0, 0, 1, 4, 0, 0, 0, 0]), Some((2, 46)));
    assert_eq!(reported(0, &[132, 0, 0x5e, 4, 0, 0, 0, 0]), None);
}

#[test]
fn extension_headers_are_skipped_in_any_order_and_number() {
    let skipped = |next: u8| [next, 0, 0x1e, 4, 1, 2, 3, 4];
    assert!(is_taken(DESTINATION_OPTIONS, &skipped(ICMPV6)));
    assert!(is_taken(HOP_BY_HOP, &[skipped(DESTINATION_OPTIONS), skipped(ICMPV6)].concat()));
    // A route that is at its end, whatever its type (RFC 8200, 4.4).
    assert!(is_taken(ROUTING, &[ICMPV6, 0, 77, 0, 0, 0, 0, 0]));
    // A fragment that is the whole packet (RFC 6946).
    assert!(is_taken(FRAGMENT, &[ICMPV6, 0, 0, 0, 0, 0, 0, 1]));
    let all = [skipped(DESTINATION_OPTIONS), skipped(ROUTING), [FRAGMENT, 0, 0, 0, 0, 0, 0, 0]].concat();
    let all = [&all[..], &[DESTINATION_OPTIONS, 0, 0, 0, 0, 0, 0, 1], &skipped(ICMPV6)].concat();
    assert!(is_taken(HOP_BY_HOP, &all));
}

#[test]
fn what_is_unsupported_behind_an_extension_header_is_reported_at_its_position() {
    assert_eq!(reported(DESTINATION_OPTIONS, &[132, 0, 1, 4, 0, 0, 0, 0]), Some((1, 40)));
    assert_eq!(reported(DESTINATION_OPTIONS, &[ICMPV6, 0, 0x9e, 4, 0, 0, 0, 0, 128, 0, 0, 0]), Some((2, 42)));
    assert_eq!(reported(DESTINATION_OPTIONS, &[ICMPV6, 0, 0x5e, 4, 0, 0, 0, 0, 128, 0, 0, 0]), None);
    // A route that goes on: the type of the route is unsupported (RFC 8200, 4.4).
    assert_eq!(reported(ROUTING, &[ICMPV6, 0, 77, 1, 0, 0, 0, 0, 128, 0, 0, 0]), Some((0, 42)));
    // Hop-by-hop options must be the first header.
    assert_eq!(
        reported(DESTINATION_OPTIONS, &[HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0, ICMPV6, 0, 1, 4, 0, 0, 0, 0]),
        Some((1, 40))
    );
}

#[test]
fn an_error_is_not_reported_even_if_its_headers_are_unsupported() {
    assert_eq!(reported(DESTINATION_OPTIONS, &[ICMPV6, 0, 0x9e, 4, 0, 0, 0, 0, 1, 4, 0, 0]), None);
}

#[test]
fn a_header_that_is_cut_off_is_dropped() {
    for length in 0..8 {
        assert!(answers(DESTINATION_OPTIONS, &[ICMPV6, 0, 1, 4, 0, 0, 0, 0][..length]).is_empty(), "{length} bytes");
        assert!(answers(ROUTING, &[ICMPV6, 0, 0, 0, 0, 0, 0, 0][..length]).is_empty(), "{length} bytes");
    }
    assert!(answers(DESTINATION_OPTIONS, &[ICMPV6, 1, 1, 4, 0, 0, 0, 0]).is_empty());
    assert!(
        answers(DESTINATION_OPTIONS, &[ICMPV6, 0, 1, 5, 0, 0, 0, 0, 128, 0, 0, 0]).is_empty(),
        "an option that is too long"
    );
    assert!(answers(59, &[1, 2, 3]).is_empty(), "no next header");
}
