//! Defects of path MTU discovery, and of fragments.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use greet_frames::{
    frame::HEADER,
    ip::{Ip, fill_transport_checksum, long_word, protocol, set_word, word},
    messages::{echo_request, kind},
};

use super::{
    Make,
    change::{receives_ipv4_if, repair, stops_after_frame, with_ip},
};
use crate::{defect::Defect, device::addresses};

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        // No router may fragment its packets, and it does not learn the path MTU.
        ("icmp.path-mtu", || {
            Defect::none().sends_changed(|bytes| {
                if word(bytes, 12) == 0x0800 {
                    set_word(bytes, HEADER + 6, 0x4000);
                    repair(bytes);
                }
            })
        }),
        ("icmp.path-mtu-lie", || {
            stops_after_frame(|frame| {
                frame
                    .icmp(kind::UNREACHABLE)
                    .is_some_and(|ip| ip.payload.get(1) == Some(&4) && word(&ip.payload, 6) < 60)
            })
        }),
        ("ip.reserved-flag", || stops_after_frame(|frame| frame.ip().is_some_and(|ip| ip.fragment & 0x8000 != 0))),
        ("ip.fragments-overlap", || {
            // The packet that is made is longer than the fragments.
            receives_ipv4_if(
                |ip| ip.fragment & 0x3fff != 0 && ip.payload.len() == 72,
                |ip| Ip {
                    fragment: 0,
                    payload: echo_request(addresses(false)[0], 0x6772, 1, &[0x99; 300]),
                    ..ip.clone()
                },
            )
        }),
        ("ip.fragment-header", ignores_ipv6_fragments),
        ("ip.fragment-atomic", ignores_ipv6_fragments),
        ("ip.fragment-header-overlap", || reassembles_ipv6(false)),
        ("ip.next-header-none", || {
            Defect::none().receives_changed(|bytes| {
                if word(bytes, 12) == 0x86dd && bytes[HEADER + 6] == protocol::NONE {
                    bytes[HEADER + 6] = protocol::UNASSIGNED;
                }
            })
        }),
    ]
}

fn ignores_ipv6_fragments() -> Defect {
    Defect::none().ignores(|frame| frame.ip().is_some_and(|ip| ip.protocol == protocol::FRAGMENT))
}

/// A packet whose next header says that nothing follows is ignored.
pub(crate) fn ignores_nothing() -> Defect {
    Defect::none().ignores(|frame| frame.ip().is_some_and(|ip| ip.protocol == protocol::NONE))
}

/// The fragments of a packet: their offsets and bytes, and the length of the whole, if it is known.
#[derive(Default)]
struct Pieces {
    bytes: HashMap<usize, u8>,
    length: Option<usize>,
}

/// The board puts IPv6 fragments together, and discards those that overlap if `discards`.
pub(crate) fn reassembles_ipv6(discards: bool) -> Defect {
    let pieces: Arc<Mutex<HashMap<u32, Pieces>>> = Arc::default();
    let mut discarded = HashSet::new();
    Defect::none().receives(move |frame| {
        let Some(ip) = frame.ip().filter(|ip| ip.protocol == protocol::FRAGMENT) else {
            return vec![frame.bytes.clone()];
        };
        let (next, field, number) = (ip.payload[0], word(&ip.payload, 2), long_word(&ip.payload, 4));
        let (offset, data) = (usize::from(field & !7), &ip.payload[8..]);
        let mut all = pieces.lock().unwrap();
        let packet = all.entry(number).or_default();
        for (at, byte) in (offset..).zip(data) {
            if packet.bytes.insert(at, *byte).is_some() && discards {
                discarded.insert(number);
            }
        }
        if field & 1 == 0 {
            packet.length = Some(offset + data.len());
        }
        let is_whole = packet.length == Some(packet.bytes.len()) && !discarded.contains(&number);
        if !is_whole {
            return Vec::new();
        }
        let mut payload: Vec<u8> = (0..packet.bytes.len()).map(|at| packet.bytes[&at]).collect();
        // The overlap has other bytes than the checksum is about: the right checksum shows which bytes were taken.
        fill_transport_checksum(ip.source, ip.destination, next, &mut payload);
        let whole = Ip { protocol: next, payload, ..ip.clone() };
        vec![with_ip(frame, &whole)]
    })
}
