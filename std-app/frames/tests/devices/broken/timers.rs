//! Defects of TCP: timers and windows.

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use greet_frames::{
    frame::Frame,
    tcp::{Tcp, flags},
};

use super::{
    Make,
    change::{is_pure_ack, is_syn_ack, receives_knowing, receives_tcp, repetition, with_tcp},
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
