//! Defects of TCP: opening.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use greet_frames::{
    ip::{Ip, protocol},
    tcp::flags,
};

use super::{
    Make,
    change::{
        SERVICE, Shared, is_reset, is_syn, is_syn_ack, knows_port, receives_ipv4_if, receives_tcp, sends_tcp,
        stops_after, with_tcp,
    },
};
use crate::{defect::Defect, device::identity};

pub(crate) fn defects() -> Vec<(&'static str, Make)> {
    vec![
        ("tcp.handshake", || {
            sends_tcp(|tcp| {
                if tcp.has(flags::SYN) {
                    tcp.window = 0;
                }
            })
        }),
        ("tcp.mss-option", || {
            sends_tcp(|tcp| {
                if tcp.has(flags::SYN) {
                    tcp.options.clear();
                }
            })
        }),
        ("tcp.isn", || {
            let mut last = 0_u32;
            shifted(move |_| {
                last += 64_000;
                last
            })
        }),
        ("tcp.options-not-offered", || {
            sends_tcp(|tcp| {
                if tcp.has(flags::SYN) {
                    tcp.options.extend([1, 3, 3, 0]);
                }
            })
        }),
        ("tcp.unknown-option", || {
            Defect::none().ignores(|frame| frame.tcp().is_some_and(|tcp| tcp.option(253).is_some()))
        }),
        ("tcp.illegal-option", || stops_after(|tcp| tcp.options().is_err())),
        ("tcp.no-option", || Defect::none().ignores(|frame| is_syn(frame) && frame.tcp().unwrap().options.is_empty())),
        ("tcp.mss-zero", || stops_after(|tcp| tcp.option(2) == Some(&[0, 0]))),
        ("tcp.syn-repeated", || {
            let mut seen = HashSet::new();
            Defect::none().ignores(move |frame| is_syn(frame) && !seen.insert(frame.tcp().unwrap().sequence))
        }),
        ("tcp.syn-data", loses_data_of_syn),
        ("tcp.syn-fin", || stops_after(|tcp| tcp.has(flags::SYN | flags::FIN))),
        ("tcp.closed-port", || {
            sends_tcp(|tcp| {
                if tcp.has(flags::RST | flags::ACK) {
                    tcp.sequence = 5;
                }
            })
        }),
        ("tcp.closed-port-ack", || {
            Defect::none().omits(|frame| is_reset(frame) && !frame.tcp().unwrap().has(flags::ACK))
        }),
        ("tcp.closed-port-rst", || {
            receives_tcp(|tcp| {
                if tcp.flags == flags::RST && tcp.destination_port != SERVICE {
                    tcp.flags = flags::ACK;
                }
            })
        }),
        ("tcp.syn-received-rst", || {
            Defect::none().ignores(|frame| frame.tcp().is_some_and(|tcp| tcp.flags == flags::RST))
        }),
        ("tcp.syn-received-wrong-ack", || {
            Defect::none()
                .omits(|frame| frame.tcp().is_some_and(|tcp| tcp.flags == flags::RST && tcp.source_port == SERVICE))
        }),
        ("tcp.half-open", knows_port),
        ("tcp.half-open-many", || {
            let mut half = HashSet::new();
            Defect::none().ignores(move |frame| match frame.tcp() {
                Some(tcp) if is_syn(frame) => {
                    let is_full = half.len() >= 8 && !half.contains(&tcp.source_port);
                    if !is_full {
                        half.insert(tcp.source_port);
                    }
                    is_full
                }
                Some(tcp) => {
                    half.remove(&tcp.source_port);
                    false
                }
                None => false,
            })
        }),
        ("tcp.mss-tiny", || {
            Defect::none().ignores(|frame| frame.tcp().is_some_and(|tcp| tcp.option(2) == Some(&[0, 8])))
        }),
        ("tcp.window-scale", || {
            let mut scales: HashMap<u16, u8> = HashMap::new();
            receives_tcp(move |tcp| {
                if tcp.has(flags::SYN) {
                    scales.insert(tcp.source_port, tcp.option(3).map_or(0, |value| value[0]));
                } else {
                    tcp.window >>= scales.get(&tcp.source_port).copied().unwrap_or(0);
                }
            })
        }),
        ("tcp.window-scale-limit", || stops_after(|tcp| tcp.option(3).is_some_and(|value| value[0] > 32))),
        ("tcp.sack", || {
            sends_tcp(|tcp| {
                if !tcp.has(flags::SYN) {
                    tcp.options.clear();
                }
            })
        }),
        ("tcp.timestamps", || offers_timestamps(1000)),
        ("tcp.timestamps-old", || offers_timestamps(100_000)),
        ("tcp.reserved-bits", || {
            Defect::none()
                .ignores(|frame| frame.tcp().is_some() && frame.ip().is_some_and(|ip| ip.payload[12] & 0x0e != 0))
        }),
        ("tcp.syn-received-rst-other", || {
            // The address of the sender is not compared.
            receives_ipv4_if(
                |ip| ip.protocol == protocol::TCP && ip.source != identity(false).address,
                |ip| Ip { source: identity(false).address, ..ip.clone() },
            )
        }),
    ]
}

/// The initial sequence number of a connection is `choose` of the real one.
pub(crate) fn shifted(mut choose: impl FnMut(u32) -> u32 + Send + 'static) -> Defect {
    let shifts: Shared<(u32, u32)> = Arc::default();
    let inbound = Arc::clone(&shifts);
    Defect::none()
        .receives(move |frame| {
            vec![with_tcp(frame, |tcp| {
                let shift = inbound.lock().unwrap().get(&tcp.source_port).map_or(0, |(_, shift)| *shift);
                tcp.acknowledgement = tcp.acknowledgement.wrapping_sub(shift);
            })]
        })
        .sends(move |frame| {
            vec![with_tcp(frame, |tcp| {
                let mut shifts = shifts.lock().unwrap();
                let known = shifts.get(&tcp.destination_port).copied();
                if is_syn_ack(frame) && known.is_none_or(|(real, _)| real != tcp.sequence) {
                    let shift = choose(tcp.sequence).wrapping_sub(tcp.sequence);
                    shifts.insert(tcp.destination_port, (tcp.sequence, shift));
                }
                let shift = shifts.get(&tcp.destination_port).map_or(0, |(_, shift)| *shift);
                tcp.sequence = tcp.sequence.wrapping_add(shift);
            })]
        })
}

/// Data in a SYN is acknowledged and lost.
fn loses_data_of_syn() -> Defect {
    let lost: Shared<u32> = Arc::default();
    let inbound = Arc::clone(&lost);
    Defect::none()
        .receives(move |frame| {
            vec![with_tcp(frame, |tcp| {
                let mut lost = inbound.lock().unwrap();
                if tcp.has(flags::SYN) {
                    lost.insert(tcp.source_port, u32::try_from(tcp.payload.len()).unwrap());
                    tcp.payload.clear();
                } else {
                    tcp.sequence = tcp.sequence.wrapping_sub(lost.get(&tcp.source_port).copied().unwrap_or(0));
                }
            })]
        })
        .sends(move |frame| {
            vec![with_tcp(frame, |tcp| {
                let lost = lost.lock().unwrap().get(&tcp.destination_port).copied().unwrap_or(0);
                tcp.acknowledgement = tcp.acknowledgement.wrapping_add(lost);
            })]
        })
}

/// The SYN-ACK offers timestamps and returns this one, and no other segment has them.
fn offers_timestamps(echo: u32) -> Defect {
    sends_tcp(move |tcp| {
        if tcp.has(flags::SYN) {
            tcp.options.extend([1, 1, 8, 10, 0, 0, 0, 5]);
            tcp.options.extend(echo.to_be_bytes());
        }
    })
}
