//! Defects of IP and ICMP.

use greet_frames::{
    frame::{Frame, HEADER, Packet, ethertype},
    ip::{Ip, fill_header_checksum, fill_transport_checksum, long_word, protocol, set_word, word},
    messages::udp,
    tcp::{Tcp, flags},
};

use super::{
    Make,
    change::{
        SERVICE, is_echo_reply, is_syn, lengthen, repair, repair_payload, sends_tcp, stops_after_frame, with_ip,
        with_payload,
    },
};
use crate::{
    defect::Defect,
    device::{MAC, addresses, identity},
};

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        ("ip.header-checksum", || Defect::none().receives_changed(|bytes| repair(bytes))),
        ("ip.version", || {
            receives_ipv4(|packet| {
                packet[0] = packet[0] & 15 | 0x40;
                fill_header_checksum(packet);
            })
        }),
        ("ip.header-length", || {
            receives_ipv4(|packet| {
                packet[0] = 0x45;
                fill_header_checksum(packet);
            })
        }),
        ("ip.total-length", || {
            Defect::none().receives_changed(|bytes| {
                if word(bytes, 12) == ethertype::IPV4 && usize::from(word(bytes, HEADER + 2)) > bytes.len() - HEADER {
                    lengthen(bytes);
                }
            })
        }),
        ("ip.options", || Defect::none().ignores(|frame| frame.ip().is_some_and(|ip| !ip.options.is_empty()))),
        ("ip.options-malformed", || {
            let mut is_stopped = false;
            Defect::none().ignores(move |frame| {
                is_stopped |= frame.ip().is_some_and(|ip| ip.options.get(1) == Some(&40));
                is_stopped
            })
        }),
        ("ip.ttl-one", || Defect::none().ignores(|frame| frame.ip().is_some_and(|ip| ip.ttl == 1))),
        ("ip.fragments", || Defect::none().ignores(is_fragment)),
        ("ip.fragments-reordered", || {
            let mut expected = 0;
            Defect::none().ignores(move |frame| {
                let Some(offset) = frame.ip().filter(|_| is_fragment(frame)).map(|ip| ip.fragment & 0x1fff) else {
                    return false;
                };
                let is_next = offset == expected;
                expected = if is_next { offset + 8 } else { expected };
                !is_next
            })
        }),
        ("ip.fragments-repeated", || {
            // Everything after a fragment that was there already is dropped.
            let mut seen = Vec::new();
            Defect::none().ignores(move |frame| {
                let Some(ip) = frame.ip().filter(|_| is_fragment(frame)) else { return false };
                let key = (ip.identification, ip.fragment);
                let is_new = !seen.contains(&key);
                seen.push(key);
                !is_new || seen.iter().filter(|other| **other == (key.0, 0x2000)).count() > 1
            })
        }),
        ("ip.fragment-alone", || {
            receives_ipv4(|packet| {
                set_word(packet, 6, 0);
                fill_header_checksum(packet);
            })
        }),
        ("ip.fragments-incomplete", || {
            let mut count = 0;
            Defect::none().ignores(move |frame| {
                count += u32::from(is_fragment(frame));
                count > 40
            })
        }),
        ("ip.source-group", || {
            // The reply goes to everybody.
            let mut sources = Vec::new();
            Defect::none()
                .receives(move |frame| {
                    let Some(ip) = frame.ip().filter(|ip| ip.source != identity(false).address) else {
                        return vec![frame.bytes.clone()];
                    };
                    sources.push(ip.source);
                    let mut ip = ip.clone();
                    ip.source = identity(false).address;
                    vec![with_ip(frame, &ip)]
                })
                .sends(|frame| {
                    let mut bytes = frame.bytes.clone();
                    if is_echo_reply(frame) && word(&bytes, HEADER + 26) == 1 {
                        bytes[HEADER + 16..HEADER + 20].fill(0xff);
                        repair(&mut bytes);
                    }
                    vec![bytes]
                })
        }),
        ("ip.source-own", || {
            let mut is_stopped = false;
            Defect::none().ignores(move |frame| {
                is_stopped |= frame.ip().is_some_and(|ip| ip.source == ip.destination);
                is_stopped
            })
        }),
        ("ip.destination-other", || takes_for_own(|frame| frame.icmp(8).is_some())),
        ("ip.destination-broadcast", || takes_for_own(is_syn)),
        ("ip.unknown-protocol", || Defect::none().omits(|frame| frame.icmp(3).is_some())),
        ("icmp.closed-udp-port", || Defect::none().omits(|frame| frame.icmp(3).is_some())),
        ("icmp.error-quotes", || {
            Defect::none().sends(|frame| {
                vec![match frame.icmp(3) {
                    Some(_) => with_payload(frame, |payload| payload[8 + 22] ^= 1),
                    None => frame.bytes.clone(),
                }]
            })
        }),
        ("icmp.no-error-to-group", || takes_for_own(|frame| matches!(frame.packet, Packet::Udp(_)))),
        ("icmp.no-error-to-error", || turns_into_datagram(|kind| kind == 3)),
        ("icmp.unknown-type", || turns_into_datagram(|kind| kind == 250)),
        ("icmp.short-message", || {
            stops_after_frame(|frame| frame.ip().is_some_and(|ip| ip.protocol == 1 && ip.payload.len() == 5))
        }),
        ("icmp.udp-checksum", || {
            Defect::none().receives_changed(|bytes| {
                if bytes.get(HEADER + 9) == Some(&protocol::UDP) {
                    repair_payload(bytes);
                }
            })
        }),
        ("icmp.soft-error", || {
            Defect::none().receives(|frame| {
                let Some(ip) = frame.icmp(3).filter(|ip| ip.payload.get(17) == Some(&protocol::TCP)) else {
                    return vec![frame.bytes.clone()];
                };
                // The connection that is quoted is reset.
                let quoted = &ip.payload[28..];
                let tcp = Tcp {
                    source_port: word(quoted, 2),
                    destination_port: word(quoted, 0),
                    sequence: long_word(quoted, 8),
                    flags: flags::RST,
                    ..Tcp::default()
                };
                let mut reset = Ip::new(ip.source, ip.destination, protocol::TCP, tcp.to_bytes());
                fill_transport_checksum(ip.source, ip.destination, protocol::TCP, &mut reset.payload);
                vec![with_ip(frame, &reset)]
            })
        }),
        ("link.arp-flood", || {
            let mut count = 0;
            stops_after_frame(move |frame| {
                count += u32::from(frame.arp().is_some());
                count > 400
            })
        }),
        ("ip.fragment-flood", || {
            let mut count = 0;
            stops_after_frame(move |frame| {
                count += u32::from(is_fragment(frame));
                count > 400
            })
        }),
        ("tcp.syn-flood", || {
            let mut count = 0;
            stops_after_frame(move |frame| {
                count += u32::from(is_syn(frame));
                count > 200
            })
        }),
        ("link.random-frames", || stops_after_frame(|frame| matches!(frame.packet, Packet::Other(0x0042)))),
        ("ip.random-packets", || {
            stops_after_frame(|frame| frame.tcp().is_some_and(|tcp| tcp.destination_port != SERVICE))
        }),
        ("tcp.random-segments", || {
            stops_after_frame(|frame| frame.tcp().is_some_and(|tcp| tcp.has(flags::URG | flags::FIN | flags::PSH)))
        }),
        ("ip.hop-by-hop", || begins_with(protocol::HOP_BY_HOP)),
        ("ip.destination-options", || begins_with(protocol::DESTINATION_OPTIONS)),
        ("ip.option-discard", || {
            Defect::none().receives_changed(|bytes| {
                if bytes.get(HEADER + 42) == Some(&0x5e) {
                    bytes[HEADER + 42] = 0x1e;
                }
            })
        }),
        ("ip.option-problem", || Defect::none().omits(|frame| frame.icmp(4).is_some())),
        ("ip.next-header", || Defect::none().omits(|frame| frame.icmp(4).is_some())),
        ("link.sent-padding", || {
            Defect::none().sends_changed(|bytes| {
                if usize::from(word(bytes, HEADER + 2)) < 40 && word(bytes, 12) == ethertype::IPV4 {
                    bytes[59] = 7;
                }
            })
        }),
        ("link.sent-length", || {
            Defect::none().sends_changed(|bytes| {
                if bytes.len() == 1514 {
                    bytes.push(0);
                }
            })
        }),
        ("ip.sent-checksums", || {
            Defect::none().sends(|frame| {
                let mut bytes = frame.bytes.clone();
                if is_echo_reply(frame) && bytes.len() > 1000 {
                    bytes[HEADER + 23] ^= 1;
                }
                vec![bytes]
            })
        }),
        ("ip.sent-ttl", || sends_ipv4(|packet| packet[8] = 32)),
        ("ip.sent-source", || {
            sends_ipv4(|packet| {
                if packet[9] == protocol::ICMP && word(packet, 2) == 60 {
                    packet[12..16].fill(0xff);
                }
            })
        }),
        ("ip.sent-identification", || sends_ipv4(|packet| set_word(packet, 4, 7))),
        ("link.sent-hop-limit", || {
            Defect::none().sends_changed(|bytes| {
                if bytes.get(HEADER + 40) == Some(&136) {
                    bytes[HEADER + 7] = 64;
                }
            })
        }),
        ("tcp.sent-reserved", || {
            Defect::none().sends_changed(|bytes| {
                if bytes.get(HEADER + 9) == Some(&protocol::TCP) && word(bytes, 12) == ethertype::IPV4 {
                    bytes[HEADER + 32] |= 4;
                    repair(bytes);
                }
            })
        }),
        ("tcp.sent-options", || {
            sends_tcp(|tcp| {
                if !tcp.has(flags::SYN) {
                    tcp.options = vec![4, 2, 1, 1];
                }
            })
        }),
        ("tcp.sent-ack", || {
            sends_tcp(|tcp| {
                if tcp.flags == flags::ACK | flags::PSH {
                    tcp.flags = flags::PSH;
                }
            })
        }),
        ("tcp.sent-isn", || super::opening::shifted(|_| 1234)),
        ("tcp.sent-window", || {
            let mut is_small = false;
            sends_tcp(move |tcp| {
                is_small = !is_small;
                tcp.window = if is_small { 1024 } else { 4096 };
            })
        }),
        ("icmp.echo-lengths", || Defect::none().omits(|frame| is_echo_reply(frame) && frame.bytes.len() == 1066)),
        ("icmp.echo-every-length", || Defect::none().omits(|frame| is_echo_reply(frame) && frame.bytes.len() == 1043)),
        ("icmp.echo-checksum", || Defect::none().receives_changed(|bytes| repair_payload(bytes))),
        ("icmp.echo-odd-checksum", || {
            Defect::none().receives_changed(|bytes| {
                if word(bytes, HEADER + 2) % 2 == 1 {
                    repair_payload(bytes);
                }
            })
        }),
        ("icmp.echo-burst", || {
            let mut last = None;
            Defect::none().omits(move |frame| is_echo_reply(frame) && last.replace(frame.time) == Some(frame.time))
        }),
        ("icmp.echo-reply-ignored", || {
            Defect::none().receives(|frame| {
                vec![with_payload(frame, |payload| {
                    if is_echo_reply(frame) {
                        payload[0] = 8;
                    }
                })]
            })
        }),
        ("link.sent-mac", || {
            let mut count = 0;
            Defect::none().sends(move |frame| {
                let mut bytes = frame.bytes.clone();
                count += u32::from(is_echo_reply(frame));
                if count == 80 {
                    bytes[11] ^= 1;
                }
                vec![bytes]
            })
        }),
        ("tcp.sent-flags", || {
            sends_tcp(|tcp| {
                if tcp.has(flags::SYN) {
                    tcp.flags |= flags::FIN;
                }
            })
        }),
    ]
}

/// Whether it is a fragment.
fn is_fragment(frame: &Frame) -> bool {
    frame.ip().is_some_and(|ip| ip.fragment & 0x3fff != 0)
}

fn receives_ipv4(mut change: impl FnMut(&mut [u8]) + Send + 'static) -> Defect {
    Defect::none().receives_changed(move |bytes| {
        if word(bytes, 12) == ethertype::IPV4 {
            change(&mut bytes[HEADER..]);
        }
    })
}

/// The board sends each IPv4 packet changed, with right checksums.
fn sends_ipv4(mut change: impl FnMut(&mut [u8]) + Send + 'static) -> Defect {
    Defect::none().sends_changed(move |bytes| {
        if word(bytes, 12) == ethertype::IPV4 {
            change(&mut bytes[HEADER..]);
            repair(bytes);
        }
    })
}

/// Such packets are received as packets to the board, with any destination.
fn takes_for_own(what: impl Fn(&Frame) -> bool + Send + 'static) -> Defect {
    Defect::none().receives(move |frame| {
        let mut bytes = frame.bytes.clone();
        if what(frame) {
            let mut ip = frame.ip().unwrap().clone();
            ip.destination = addresses(false)[0];
            bytes = with_ip(frame, &ip);
            bytes[..6].copy_from_slice(&MAC.0);
            repair_payload(&mut bytes);
        }
        vec![bytes]
    })
}

/// Packets whose first next header is this one are ignored.
fn begins_with(header: u8) -> Defect {
    Defect::none()
        .ignores(move |frame| word(&frame.bytes, 12) == ethertype::IPV6 && frame.bytes.get(HEADER + 6) == Some(&header))
}

/// An ICMP message of such a type is answered like a datagram to a closed port.
fn turns_into_datagram(what: impl Fn(u8) -> bool + Send + 'static) -> Defect {
    Defect::none().receives(move |frame| {
        let Packet::Icmp(ip) = &frame.packet else { return vec![frame.bytes.clone()] };
        if !what(ip.payload[0]) {
            return vec![frame.bytes.clone()];
        }
        let mut datagram = Ip::new(ip.source, ip.destination, protocol::UDP, udp(1, 2, &[]));
        fill_transport_checksum(ip.source, ip.destination, protocol::UDP, &mut datagram.payload);
        vec![with_ip(frame, &datagram)]
    })
}
