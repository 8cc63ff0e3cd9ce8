//! Defects of TCP: timers and windows.

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use greet_frames::{
    frame::Frame,
    tcp::{Tcp, flags},
};

use super::{
    Make,
    change::{is_pure_ack, is_syn_ack, receives_knowing, receives_tcp, repetition, sends_tcp, with_tcp},
};
use crate::defect::Defect;

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        ("tcp.rto-first", || Defect::none().delays(Duration::from_secs(5), repetition())),
        ("tcp.rto-backoff", || repeats_each_second(|tcp| tcp.payload.len() > 1)),
        ("tcp.rto-same-bytes", || {
            let mut is_repetition = repetition();
            Defect::none().sends(move |frame| {
                let changes = is_repetition(frame);
                vec![with_tcp(frame, |tcp| tcp.payload.iter_mut().for_each(|byte| *byte ^= u8::from(changes)))]
            })
        }),
        ("tcp.rto-long", || {
            let mut is_repetition = repetition();
            gives_up(5, move |frame| is_repetition(frame))
        }),
        ("tcp.syn-ack-repeated", || {
            let mut is_repetition = repetition();
            Defect::none().omits(move |frame| is_repetition(frame) && is_syn_ack(frame))
        }),
        ("tcp.window-honoured", || {
            receives_tcp(|tcp| {
                if (1..100).contains(&tcp.window) {
                    tcp.window = 16_384;
                }
            })
        }),
        ("tcp.window-opens", || {
            let mut acknowledged = HashMap::new();
            Defect::none().ignores(move |frame| {
                let Some(tcp) = frame.tcp() else { return false };
                let is_old = acknowledged.insert(tcp.source_port, tcp.acknowledgement) == Some(tcp.acknowledgement);
                is_old && is_pure_ack(frame)
            })
        }),
        ("tcp.window-shrinks", || {
            receives_tcp(|tcp| {
                if tcp.window == 2 {
                    tcp.window = 16_384;
                }
            })
        }),
        ("tcp.persist", || Defect::none().omits(is_probe)),
        ("tcp.persist-backoff", || repeats_each_second(|tcp| tcp.payload.len() == 1)),
        ("tcp.persist-life", || gives_up(3, is_probe)),
        ("tcp.zero-window-probe", || receives_knowing(|tcp, known| known.window > 0 || tcp.payload.len() != 1)),
        ("tcp.fast-retransmit", || {
            let mut last = HashMap::new();
            Defect::none().ignores(move |frame| {
                let Some(tcp) = frame.tcp() else { return false };
                let is_same = last.insert(tcp.source_port, (tcp.acknowledgement, tcp.window))
                    == Some((tcp.acknowledgement, tcp.window));
                is_same && is_pure_ack(frame)
            })
        }),
        ("tcp.mss-honoured", || {
            receives_tcp(|tcp| {
                if tcp.has(flags::SYN) {
                    tcp.options = vec![2, 4, 5, 180];
                }
            })
        }),
        ("tcp.mss-default", || {
            receives_tcp(|tcp| {
                if tcp.has(flags::SYN) {
                    tcp.options = vec![2, 4, 5, 180];
                }
            })
        }),
        ("tcp.sws-sender", || {
            receives_tcp(|tcp| {
                if tcp.window == 3 {
                    tcp.window = 16_384;
                }
            })
        }),
        ("tcp.sws-receiver", || {
            let mut was_closed = HashSet::new();
            sends_tcp(move |tcp| {
                if tcp.window == 0 && !tcp.has(flags::RST) {
                    was_closed.insert(tcp.destination_port);
                }
                if was_closed.contains(&tcp.destination_port) {
                    tcp.window = tcp.window.min(100);
                }
            })
        }),
        ("tcp.full-segments", || {
            Defect::none().sends(|frame| {
                let Some(tcp) = frame.tcp().filter(|tcp| tcp.payload.len() > 20) else {
                    return vec![frame.bytes.clone()];
                };
                let pieces = (0..).step_by(20).zip(tcp.payload.chunks(20));
                let piece = |(offset, data): (u32, &[u8])| {
                    with_tcp(frame, |tcp| {
                        tcp.sequence = tcp.sequence.wrapping_add(offset);
                        tcp.payload = data.to_vec();
                    })
                };
                pieces.map(piece).collect()
            })
        }),
    ]
}

/// Whether it is a probe of a closed window.
fn is_probe(frame: &Frame) -> bool {
    frame.tcp().is_some_and(|tcp| tcp.payload.len() == 1)
}

/// Such segments are sent again after 1, 2, 3 and more seconds.
fn repeats_each_second(what: impl Fn(&Tcp) -> bool + Send + 'static) -> Defect {
    let mut seen = HashSet::new();
    Defect::none().sends_later(move |frame| {
        let once = vec![(Duration::ZERO, frame.bytes.clone())];
        match frame.tcp().filter(|tcp| what(tcp)) {
            Some(tcp) if seen.insert((tcp.destination_port, tcp.sequence)) => {
                (0..30).map(|seconds| (Duration::from_secs(seconds), frame.bytes.clone())).collect()
            }
            Some(_) => Vec::new(),
            None => once,
        }
    })
}

/// Instead of the segment of this number for which `what` is true, a connection is reset.
fn gives_up(count: u32, mut what: impl FnMut(&Frame) -> bool + Send + 'static) -> Defect {
    let mut counts: HashMap<u16, u32> = HashMap::new();
    Defect::none().sends(move |frame| {
        let is_counted = what(frame);
        vec![with_tcp(frame, |tcp| {
            let counted = counts.entry(tcp.destination_port).or_default();
            *counted += u32::from(is_counted);
            if *counted >= count {
                tcp.flags = flags::RST | flags::ACK;
                tcp.payload.clear();
            }
        })]
    })
}

/// A window of the peer that is not closed and less than this is taken for a closed one.
pub(crate) fn waits_for_window(least: u16) -> Defect {
    receives_tcp(move |tcp| {
        if tcp.window < least && !tcp.has(flags::RST) {
            tcp.window = 0;
        }
    })
}

/// A window of less than this is not offered.
pub(crate) fn offers_window(least: u16) -> Defect {
    sends_tcp(move |tcp| {
        if tcp.window < least {
            tcp.window = 0;
        }
    })
}
