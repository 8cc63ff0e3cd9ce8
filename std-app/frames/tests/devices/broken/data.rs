//! Defects of TCP: data.

use core::time::Duration;
use std::collections::HashSet;

use greet_frames::tcp::{Tcp, flags};

use super::{
    Make,
    change::{Known, is_pure_ack, knows_port, receives_knowing, receives_tcp, repair_payload},
};
use crate::defect::Defect;

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        ("tcp.checksum", || Defect::none().receives_changed(|bytes| repair_payload(bytes))),
        ("tcp.duplicate", || {
            let mut seen = HashSet::new();
            Defect::none().ignores(move |frame| {
                let tcp = frame.tcp().filter(|tcp| !tcp.payload.is_empty());
                tcp.is_some_and(|tcp| !seen.insert((tcp.source_port, tcp.sequence)))
            })
        }),
        ("tcp.overlap", || {
            receives_knowing(|tcp, known| {
                let old = usize::try_from(known.expected.wrapping_sub(tcp.sequence)).unwrap();
                if old > 0 && old < tcp.payload.len() {
                    tcp.payload.truncate(tcp.payload.len() - old);
                    tcp.sequence = known.expected;
                }
                true
            })
        }),
        ("tcp.out-of-order", || receives_knowing(|tcp, known| !is_beyond(tcp, known))),
        ("tcp.hole", moves_data_into_hole),
        ("tcp.duplicate-ack", || Defect::none().delays(Duration::from_millis(100), is_pure_ack)),
        ("tcp.beyond-window", moves_data_into_hole),
        ("tcp.old-segment", || receives_knowing(|tcp, known| tcp.payload.is_empty() || tcp.end() != known.expected)),
        ("tcp.keep-alive", || {
            receives_knowing(|tcp, known| {
                tcp.has(flags::RST) || tcp.sequence != known.expected.wrapping_sub(1) || tcp.payload.len() > 1
            })
        }),
        ("tcp.old-ack", || receives_knowing(|tcp, known| tcp.payload.is_empty() || tcp.acknowledgement == known.sent)),
        ("tcp.ack-unsent", || receives_knowing(|tcp, known| known.sent.wrapping_sub(tcp.acknowledgement) < 1 << 31)),
        ("tcp.no-ack", || {
            receives_tcp(|tcp| {
                if !tcp.has(flags::SYN) {
                    tcp.flags |= flags::ACK;
                }
            })
        }),
        ("tcp.no-psh", || {
            Defect::none()
                .ignores(|frame| frame.tcp().is_some_and(|tcp| !tcp.payload.is_empty() && !tcp.has(flags::PSH)))
        }),
        ("tcp.urgent", || {
            Defect::none().ignores(|frame| frame.tcp().is_some_and(|tcp| usize::from(tcp.urgent) > tcp.payload.len()))
        }),
        ("tcp.rst-exact", || Defect::none().ignores(|frame| frame.tcp().is_some_and(|tcp| tcp.flags == flags::RST))),
        ("tcp.rst-in-window", || accepts_resets(4096)),
        ("tcp.rst-outside", || accepts_resets(u32::MAX)),
        ("tcp.syn-in-window", knows_port),
        ("tcp.sequence-wraps", || {
            Defect::none().ignores(|frame| frame.tcp().is_some_and(|tcp| tcp.end() < tcp.sequence))
        }),
        ("tcp.delayed-ack", || Defect::none().delays(Duration::from_millis(700), is_pure_ack)),
        ("tcp.second-segment", || Defect::none().delays(Duration::from_millis(200), is_pure_ack)),
        ("tcp.small-segments", || {
            Defect::none().ignores(|frame| frame.tcp().is_some_and(|tcp| tcp.payload.len() == 1))
        }),
        ("tcp.sequence-sign", || {
            let signed = |number: u32| i32::from_ne_bytes(number.to_ne_bytes());
            Defect::none().ignores(move |frame| frame.tcp().is_some_and(|tcp| signed(tcp.end()) < signed(tcp.sequence)))
        }),
        ("tcp.sequence-wraps-hole", || {
            Defect::none().ignores(|frame| frame.tcp().is_some_and(|tcp| tcp.sequence == 0 && !tcp.payload.is_empty()))
        }),
        ("tcp.sequence-wraps-fin", || {
            Defect::none().omits(|frame| {
                frame.tcp().is_some_and(|tcp| tcp.has(flags::ACK) && !tcp.has(flags::RST) && tcp.acknowledgement == 0)
            })
        }),
        ("tcp.ack-buffered", || {
            receives_knowing(|tcp, known| {
                // Taken for an acknowledgement of an unknown connection, which is reset.
                if !tcp.has(flags::RST) && known.sent.wrapping_sub(tcp.acknowledgement) > 1 << 31 {
                    tcp.flags = flags::RST;
                    tcp.sequence = known.expected;
                }
                true
            })
        }),
    ]
}

/// Whether its data begins after the expected byte.
fn is_beyond(tcp: &Tcp, known: Known) -> bool {
    let distance = tcp.sequence.wrapping_sub(known.expected);
    !tcp.payload.is_empty() && distance > 0 && distance < 1 << 31
}

fn moves_data_into_hole() -> Defect {
    receives_knowing(|tcp, known| {
        if is_beyond(tcp, known) {
            tcp.sequence = known.expected;
        }
        true
    })
}

/// A reset at most this far from the expected byte ends the connection.
fn accepts_resets(distance: u32) -> Defect {
    receives_knowing(move |tcp, known| {
        if tcp.flags == flags::RST && tcp.sequence.wrapping_sub(known.expected) < distance {
            tcp.sequence = known.expected;
        }
        true
    })
}
