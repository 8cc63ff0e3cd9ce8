//! Defects of TCP: closing.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use greet_frames::{frame::Frame, tcp::flags};

use super::{
    Make,
    change::{SERVICE, is_pure_ack, is_reset, is_syn, knows_port, receives_knowing, receives_tcp, repetition},
};
use crate::defect::Defect;

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        ("tcp.fin-acknowledged", || receives_tcp(|tcp| tcp.flags &= !flags::FIN)),
        ("tcp.fin-answered", || Defect::none().omits(is_fin)),
        // The reply waits behind a closed window, which does not open any more.
        ("tcp.half-close", || after_fin(is_pure_ack)),
        ("tcp.fin-with-data", || {
            Defect::none().ignores(|frame| is_fin(frame) && frame.tcp().is_some_and(|tcp| !tcp.payload.is_empty()))
        }),
        ("tcp.fin-early", || {
            receives_knowing(|tcp, known| {
                if tcp.has(flags::FIN) {
                    tcp.sequence = known.expected;
                }
                true
            })
        }),
        ("tcp.fin-repeated", || {
            let mut finished = HashSet::new();
            Defect::none().ignores(move |frame| is_fin(frame) && !finished.insert(frame.tcp().unwrap().source_port))
        }),
        ("tcp.fin-retransmission", || {
            let mut is_repetition = repetition();
            Defect::none().omits(move |frame| is_repetition(frame) && is_fin(frame))
        }),
        ("tcp.rst-frees-slot", || {
            // The tester opens eight connections before the probe.
            let mut count = 0;
            Defect::none().ignores(move |frame| {
                count += u32::from(is_syn(frame));
                count > 8 && is_reset(frame)
            })
        }),
        ("tcp.close-frees-slot", || after_fin(is_pure_ack)),
        ("tcp.port-again", knows_port),
        ("tcp.after-close", || {
            Defect::none().omits(|frame| is_reset(frame) && frame.tcp().is_some_and(|tcp| tcp.source_port == SERVICE))
        }),
        ("tcp.fin-wait-2", forgets_when_finished),
        ("tcp.simultaneous-close", forgets_when_finished),
        ("tcp.time-wait", || {
            let mut finished = HashSet::new();
            Defect::none().ignores(move |frame| is_fin(frame) && !finished.insert(frame.tcp().unwrap().source_port))
        }),
        ("tcp.time-wait-syn", knows_port),
    ]
}

fn is_fin(frame: &Frame) -> bool {
    frame.tcp().is_some_and(|tcp| tcp.has(flags::FIN))
}

/// Such segments are ignored after the FIN of their connection.
fn after_fin(what: impl Fn(&Frame) -> bool + Send + 'static) -> Defect {
    let mut finished = HashSet::new();
    Defect::none().ignores(move |frame| {
        let Some(tcp) = frame.tcp() else { return false };
        let is_after = finished.contains(&tcp.source_port);
        if is_fin(frame) {
            finished.insert(tcp.source_port);
        }
        is_after && what(frame)
    })
}

/// A connection is forgotten when the board's FIN is sent.
fn forgets_when_finished() -> Defect {
    let finished: Arc<Mutex<HashSet<u16>>> = Arc::default();
    let sent = Arc::clone(&finished);
    Defect::none()
        .receives(move |frame| {
            let is_finished = frame.tcp().is_some_and(|tcp| finished.lock().unwrap().contains(&tcp.source_port));
            if is_finished && is_fin(frame) { Vec::new() } else { vec![frame.bytes.clone()] }
        })
        .sends(move |frame| {
            if is_fin(frame) {
                sent.lock().unwrap().insert(frame.tcp().unwrap().destination_port);
            }
            vec![frame.bytes.clone()]
        })
}
