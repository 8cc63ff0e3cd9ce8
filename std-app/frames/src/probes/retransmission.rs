//! TCP, retransmission: its timer, and fast retransmit.

use core::time::Duration;

use super::window::loaded;
use crate::{
    board::LINE,
    host::Host,
    probe::{Group, Level, Probe, Seconds, Stop, gaps, listed, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "rto-first",
        (Level::Should, "RFC 6298, 2.4"),
        "data that is not acknowledged is sent again after 1 s, and not much later",
        &["the timeout has another minimum: spurious retransmissions, or long pauses after a lost frame"],
        rto_first,
    )
    .quick()
    .waits(2),
    Probe::new(
        Group::Tcp,
        "rto-backoff",
        (Level::Must, "RFC 6298, 5.5"),
        "the retransmission timeout is doubled each time",
        &["the timeout is constant: the board floods a congested network"],
        rto_backoff,
    )
    .quick()
    .waits(32),
    Probe::new(
        Group::Tcp,
        "rto-same-bytes",
        (Level::Must, "RFC 9293, 3.8.1"),
        "data is sent again with the same bytes",
        &["the transmit buffer is overwritten before its data is acknowledged"],
        rto_same,
    )
    .waits(7),
    Probe::new(
        Group::Tcp,
        "rto-long",
        (Level::Should, "RFC 9293, SHLD-11"),
        "a connection is not given up before 100 s without an acknowledgement",
        &["the limit is a number of retransmissions, or shorter than a short outage of the link"],
        rto_long,
    )
    .long()
    .waits(130),
    Probe::new(
        Group::Tcp,
        "syn-ack-repeated",
        (Level::Must, "RFC 6298, 2.1; RFC 9293, 3.8.1"),
        "a SYN-ACK that is not acknowledged is sent again",
        &["half-open connections have no timer: a lost SYN-ACK costs the peer's timeout"],
        syn_ack_repeated,
    )
    .waits(2),
    Probe::new(
        Group::Tcp,
        "fast-retransmit",
        (Level::Should, "RFC 5681, 3.2"),
        "after three duplicate acknowledgements the segment is sent again at once",
        &["each lost segment costs a timeout of a second"],
        fast_retransmit,
    ),
];

/// Sends a line whose reply is not acknowledged. Returns when the reply came and when it came again, `count` times at most,
/// and its segments.
fn repetitions(host: &Host<'_>, count: usize, within: Duration) -> Result<(Vec<Duration>, Vec<Tcp>), Stop> {
    let connection = host.connect()?;
    connection.push(LINE)?;
    let reply = connection.expected.get();
    let mut times = Vec::new();
    let mut segments = Vec::new();
    let until = host.now() + within;
    while times.len() <= count {
        let left = until.saturating_sub(host.now());
        let is_first = |tcp: &Tcp| !tcp.payload.is_empty() && tcp.sequence == reply;
        let Some((time, tcp)) = connection.receive(left, is_first)? else { break };
        times.push(time);
        segments.push(tcp);
    }
    require(!times.is_empty(), || "the line is not answered".to_owned())?;
    Ok((times, segments))
}

fn rto_first(host: &Host<'_>) -> Result<String, Stop> {
    let (times, _) = repetitions(host, 1, Duration::from_secs(8))?;
    let Some(&first) = gaps(&times).first() else { return Err(Stop::failed("not sent again within 8 s")) };
    let (least, most) = (Duration::from_millis(900), Duration::from_millis(3500));
    require((least..=most).contains(&first), || format!("sent again after {}", Seconds(first)))?;
    Ok(format!("after {}", Seconds(first)))
}

fn rto_backoff(host: &Host<'_>) -> Result<String, Stop> {
    let (times, _) = repetitions(host, 4, Duration::from_secs(40))?;
    let gaps = gaps(&times);
    require(gaps.len() >= 3, || format!("sent again {} times within 40 s: after {}", gaps.len(), listed(&gaps)))?;
    // The first gap may contain the time that the peer's acknowledgement is waited for.
    let grows = gaps.windows(2).skip(1).all(|pair| pair[1] >= pair[0] * 17 / 10);
    require(grows, || format!("sent again after {}", listed(&gaps)))?;
    Ok(format!("sent again after {}", listed(&gaps)))
}

fn rto_same(host: &Host<'_>) -> Result<String, Stop> {
    let (_, segments) = repetitions(host, 2, Duration::from_secs(20))?;
    require(segments.len() > 1, || "not sent again within 20 s".to_owned())?;
    let is_same = segments.windows(2).all(|pair| {
        let length = pair[0].payload.len().min(pair[1].payload.len());
        pair[0].payload.get(..length) == pair[1].payload.get(..length)
    });
    require(is_same, || "the bytes differ".to_owned())?;
    Ok(format!("{} times the same", segments.len()))
}

fn rto_long(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    connection.push(LINE)?;
    let begin = host.now();
    let mut last = begin;
    while let Some((time, tcp)) = connection.receive(Duration::from_secs(70), |_| true)? {
        require(!tcp.has(flags::RST), || format!("reset after {}", Seconds(time.saturating_sub(begin))))?;
        last = time;
        if time.saturating_sub(begin) > Duration::from_secs(100) {
            break;
        }
    }
    let took = last.saturating_sub(begin);
    require(took > Duration::from_secs(50), || format!("sent for the last time after {}", Seconds(took)))?;
    connection
        .expected
        .set(connection.expected.get().wrapping_add(u32::try_from(host.board.service.reply).unwrap_or(0)));
    connection.is_alive("100 s without an acknowledgement")?;
    Ok(format!("still sent again after {}", Seconds(took)))
}

fn syn_ack_repeated(host: &Host<'_>) -> Result<String, Stop> {
    let syn = host.syn();
    host.send_tcp(&syn)?;
    let answer = |within| host.segment(syn.source_port, within, |tcp| tcp.has(flags::SYN));
    let first = answer(host.board.reply_time())?;
    let second = answer(Duration::from_secs(7))?;
    host.send_tcp(&Tcp { sequence: syn.sequence.wrapping_add(1), flags: flags::RST, ..host.closing(&syn) })?;
    match (first, second) {
        (Some((first, _)), Some((second, _))) => Ok(format!("after {}", Seconds(second.saturating_sub(first)))),
        (Some(_), None) => Err(Stop::failed("not sent again within 7 s")),
        (None, _) => Err(Stop::failed("the SYN is not answered")),
    }
}

fn fast_retransmit(host: &Host<'_>) -> Result<String, Stop> {
    const MSS: u16 = 100;
    let lines = (usize::from(MSS) * 8).div_ceil(host.board.service.reply.max(1));
    let connection = loaded(host, Some(MSS), lines)?;
    let lost = connection.expected.get();
    let mut count = 0;
    while connection.receive(host.board.quiet_time() / 2, |tcp| !tcp.payload.is_empty())?.is_some() {
        count += 1;
    }
    if count < 4 {
        return Err(Stop::undecided(format!("it has {count} segments in flight, and 4 are needed")));
    }
    let begin = host.now();
    for _ in 0..3 {
        connection.acknowledge()?;
    }
    let again = connection.receive(Duration::from_secs(4), |tcp| !tcp.payload.is_empty() && tcp.sequence == lost)?;
    let Some((time, _)) = again else { return Err(Stop::failed("not sent again within 4 s")) };
    let took = time.saturating_sub(begin);
    require(took < Duration::from_millis(100) + host.board.rtt * 4, || format!("sent again after {}", Seconds(took)))?;
    Ok(format!("after {}", Seconds(took)))
}
