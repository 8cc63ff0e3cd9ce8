//! TCP, the silly window syndrome: short segments that the board sends, or causes, although longer ones are possible.
//!
//! Replies wait behind a closed window: only then there is enough to send.

use core::time::Duration;

use super::window::{fill, loaded};
use crate::{
    board::LINE,
    host::Host,
    probe::{Group, Level, Probe, Stop, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "sws-sender",
        (Level::Must, "RFC 9293, MUST-38, 3.8.6.2.1"),
        "a window that opens by a few bytes is not filled at once",
        &["whatever fits the window is sent: a slow reader gets many short segments"],
        sender,
    ),
    Probe::new(
        Group::Tcp,
        "sws-receiver",
        (Level::Must, "RFC 9293, MUST-39, 3.8.6.2.2"),
        "a closed window opens by a full segment, or by half the buffer",
        &["each byte that the service reads is offered at once: the peer sends short segments"],
        receiver,
    )
    .waits(10),
    Probe::new(
        Group::Tcp,
        "full-segments",
        (Level::Should, "RFC 9293, SHLD-7, 3.7.4"),
        "replies that wait are sent in full segments, not one by one",
        &["each write of the service makes a segment: the Nagle algorithm is missing"],
        full_segments,
    ),
];

fn sender(host: &Host<'_>) -> Result<String, Stop> {
    const FEW: u16 = 3;
    // The sender may fill a window later than this (RFC 9293: 0.1 s to 1 s).
    let at_once = Duration::from_millis(80);
    let connection = host.connect_with_closed_window(|_| {})?;
    for _ in 0..4 {
        connection.push(LINE)?;
    }
    let end = connection.next.get();
    if connection.reply(|tcp| tcp.acknowledgement == end)?.is_none() {
        return Err(Stop::undecided("four lines fill its buffers"));
    }
    host.clear();
    connection.offer(FEW)?;
    let early = connection.receive(at_once, |tcp| tcp.payload.len() > 1)?;
    connection.open_window()?;
    require(early.is_none(), || {
        let text = early.map(|(_, tcp)| tcp.to_string()).unwrap_or_default();
        format!("the window opens by {FEW} bytes, and at once there is {text}")
    })?;
    connection.read(4 * host.board.service.reply)?;
    Ok("not filled".to_owned())
}

fn receiver(host: &Host<'_>) -> Result<String, Stop> {
    const STEP: u16 = 64;
    let connection = host.connect_with_closed_window(|_| {})?;
    let buffer = usize::from(connection.syn_ack.window);
    let full = connection.syn_ack.option(2).map_or(536, |value| usize::from(crate::ip::word(value, 0))).min(1460);
    let sent = fill(host, &connection)?;
    // Half the buffer may be rounded down.
    let least = full.min(buffer / 2).saturating_sub(16);
    connection.next.set(connection.acknowledged.get());
    host.clear();
    for _ in 0..400 {
        connection.offer(STEP)?;
        let Some((_, tcp)) = connection.receive(Duration::from_secs(1), |_| true)? else { continue };
        connection.take(&tcp);
        let window = usize::from(tcp.window);
        if window > 0 {
            connection.open_window()?;
            require(window >= least, || {
                format!("it opens by {window} bytes; a segment has {full}, its buffer {buffer}")
            })?;
            return Ok(format!("by {window} bytes, after {sent} bytes"));
        }
    }
    Err(Stop::undecided("its window stays closed although its replies are read"))
}

fn full_segments(host: &Host<'_>) -> Result<String, Stop> {
    const MSS: u16 = 100;
    let limit = usize::from(MSS);
    let lines = (limit * 4).div_ceil(host.board.service.reply.max(1));
    let connection = loaded(host, Some(MSS), lines)?;
    let mut lengths = Vec::new();
    while let Some((_, tcp)) = connection.receive(host.board.quiet_time(), |tcp| !tcp.payload.is_empty())? {
        if !connection.take(&tcp).is_empty() {
            lengths.push(tcp.payload.len());
        }
        connection.acknowledge()?;
    }
    let total: usize = lengths.iter().sum();
    if total < 2 * limit {
        return Err(Stop::undecided(format!("{total} bytes waited: its buffers are too small")));
    }
    let most = total.div_ceil(limit) + 2;
    require(lengths.len() <= most, || format!("{total} bytes come in {} segments: {lengths:?}", lengths.len()))?;
    Ok(format!("{total} bytes in {} segments", lengths.len()))
}
