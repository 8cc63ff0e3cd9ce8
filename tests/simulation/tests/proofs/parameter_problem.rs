//! IPv6 packets with a header or an option that the stack does not support, such as fragments: the sender gets a parameter
//! problem that points to the byte (RFC 8200, 4; RFC 4443, 3.4).

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_tests::scene::{OTHER, OWN, Scene};
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv6Packet, IpAddress, IpCidr, Ipv6Address, Ipv6Packet, Ipv6Repr,
};

const OURS: Ipv6Address = Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 1);
const STATIC: [IpCidr; 1] = [IpCidr::new(IpAddress::Ipv6(OURS), 64)];
const PEER: Ipv6Address = Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 2);
const FRAGMENT: u8 = 44;

/// The parameter problem that the stack sends for a packet with this first next header and payload: its code and pointer.
fn reported(next_header: u8, payload: &[u8]) -> Option<(u8, u32)> {
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
    scene.pass(Duration::from_secs(1)).iter().find_map(|answer| {
        let answer = EthernetFrame::new_checked(answer).ok()?;
        let packet = Ipv6Packet::new_checked(answer.payload()).ok()?;
        let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
        let is_problem = answer.ethertype() == EthernetProtocol::Ipv6 && packet.payload()[0] == 4;
        is_problem.then(|| {
            assert!(message.verify_checksum(&packet.src_addr(), &packet.dst_addr()));
            assert!(packet.payload()[8..].starts_with(&frame[14..14 + 40]), "the packet that caused it");
            (message.msg_code(), message.param_problem_ptr())
        })
    })
}

#[test]
fn an_unsupported_header_is_reported_at_the_field_that_names_it() {
    assert_eq!(reported(132, &[0; 16]), Some((1, 6)));
    // Behind an empty header of hop-by-hop options: its first byte names it.
    assert_eq!(reported(0, &[132, 0, 1, 4, 0, 0, 0, 0, 9, 9]), Some((1, 40)));
}

#[test]
fn an_ipv6_fragment_is_reported_as_an_unsupported_header() {
    for offset_and_more in [1, 0x0408, 0] {
        let [high, low] = u16::to_be_bytes(offset_and_more);
        let fragment = [&[6, 0, high, low, 0, 0, 0, 1][..], &[0; 64]].concat();
        assert_eq!(reported(FRAGMENT, &fragment), Some((1, 6)));
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
