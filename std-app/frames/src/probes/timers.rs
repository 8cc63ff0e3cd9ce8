//! TCP, timers and windows: retransmission, closed windows, small windows.

use core::time::Duration;

use super::tcp;
use crate::{
    board::LINE,
    connection::{Connection, before},
    host::Host,
    probe::{Level, Probe, Schedule, Seconds, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    tcp(
        "rto-first",
        (Level::Should, "RFC 6298, 2.4"),
        "data that is not acknowledged is sent again after 1 s, and not much later",
        &["the timeout has another minimum: spurious retransmissions, or long pauses after a lost frame"],
        rto_first,
    )
    .quick()
    .scheduled(Schedule::Waits),
    tcp(
        "rto-backoff",
        (Level::Must, "RFC 6298, 5.5"),
        "the retransmission timeout is doubled each time",
        &["the timeout is constant: the board floods a congested network"],
        rto_backoff,
    )
    .quick()
    .scheduled(Schedule::Waits),
    tcp(
        "rto-same-bytes",
        (Level::Must, "RFC 9293, 3.8.1"),
        "data is sent again with the same bytes",
        &["the transmit buffer is overwritten before its data is acknowledged"],
        rto_same,
    )
    .scheduled(Schedule::Waits),
    tcp(
        "rto-long",
        (Level::Should, "RFC 9293, SHLD-11"),
        "a connection is not given up before 100 s without an acknowledgement",
        &["the limit is a number of retransmissions, or shorter than a short outage of the link"],
        rto_long,
    )
    .long()
    .scheduled(Schedule::Waits),
    tcp(
        "syn-ack-repeated",
        (Level::Must, "RFC 6298, 2.1; RFC 9293, 3.8.1"),
        "a SYN-ACK that is not acknowledged is sent again",
        &["half-open connections have no timer: a lost SYN-ACK costs the peer's timeout"],
        syn_ack_repeated,
    )
    .scheduled(Schedule::Waits),
    tcp(
        "window-honoured",
        (Level::Must, "RFC 9293, 3.8.6"),
        "not more is sent than the window allows",
        &["the window of the last segment is not stored"],
        window_honoured,
    )
    .quick(),
    tcp(
        "window-opens",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "when a closed window opens, the data is sent at once",
        &["a window update without data is ignored: the reply waits for a probe of the window"],
        window_opens,
    )
    .quick(),
    tcp(
        "window-shrinks",
        (Level::Must, "RFC 9293, MUST-34"),
        "a window that shrinks below what was sent does no harm",
        &["the usable window is computed without a sign: it becomes 4 GB"],
        window_shrinks,
    ),
    tcp(
        "persist",
        (Level::Must, "RFC 9293, MUST-35, MUST-36"),
        "a closed window is probed",
        &["without probes a lost window update stops the connection for ever"],
        persist,
    )
    .quick()
    .scheduled(Schedule::Waits),
    tcp(
        "persist-backoff",
        (Level::Should, "RFC 9293, SHLD-30"),
        "the time between probes of a closed window grows",
        &["the persist timer is not doubled"],
        persist_backoff,
    )
    .scheduled(Schedule::Waits),
    tcp(
        "persist-life",
        (Level::Must, "RFC 9293, MUST-37"),
        "a connection stays open while the peer acknowledges probes of its closed window",
        &["the timeout of the connection runs although the peer answers"],
        persist_life,
    )
    .scheduled(Schedule::Waits),
    tcp(
        "zero-window-probe",
        (Level::Must, "RFC 9293, MUST-36, 3.8.6.1"),
        "a probe of the board's closed window is acknowledged with its window",
        &["segments to a closed window are ignored: the peer gives up"],
        zero_window_probe,
    ),
    tcp(
        "fast-retransmit",
        (Level::Should, "RFC 5681, 3.2"),
        "after three duplicate acknowledgements the segment is sent again at once",
        &["each lost segment costs a timeout of a second"],
        fast_retransmit,
    ),
    tcp(
        "mss-honoured",
        (Level::Must, "RFC 9293, MUST-16"),
        "segments are not longer than the peer's maximum segment size",
        &["the option of the SYN is not stored"],
        |host| segment_limit(host, Some(100), 100),
    )
    .quick(),
    tcp(
        "mss-default",
        (Level::Must, "RFC 9293, MUST-15"),
        "without the option segments have at most 536 bytes, with IPv6 1220",
        &["the default is the MTU of the link: long packets vanish in tunnels"],
        |host| segment_limit(host, None, if host.board.address.is_ipv4() { 536 } else { 1220 }),
    ),
];

/// Sends a line whose reply is not acknowledged. Returns when the reply came and when it came again, `count` times at most,
/// and its segments.
fn repetitions(host: &Host<'_>, count: usize, within: Duration) -> Result<(Vec<Duration>, Vec<Tcp>), Stop> {
    let connection = host.talk()?;
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

fn gaps(times: &[Duration]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
}

fn listed(gaps: &[Duration]) -> String {
    gaps.iter().map(|gap| Seconds(*gap).to_string()).collect::<Vec<_>>().join(", ")
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
    let connection = host.talk()?;
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

/// A connection with a closed window, behind which a reply waits.
fn waiting<'h, 'a>(host: &'h Host<'a>) -> Result<Connection<'h, 'a>, Stop> {
    let connection = host.talk_closed(|_| {})?;
    connection.push(LINE)?;
    Ok(connection)
}

fn window_honoured(host: &Host<'_>) -> Result<String, Stop> {
    const SMALL: u16 = 7;
    let connection = host.open_with(|syn| syn.window = SMALL)?;
    let expected = host.board.service.banner.len() + host.board.service.reply;
    let mut line = Some(LINE);
    let mut received = 0;
    while received < expected {
        if received >= host.board.service.banner.len()
            && let Some(line) = line.take()
        {
            connection.push(line)?;
        }
        // The sender may wait for more than this window, for a while (RFC 9293, 3.8.6.2.1).
        let Some((_, tcp)) = connection.receive(host.board.reply_time() * 3, |tcp| !tcp.payload.is_empty())? else {
            break;
        };
        let limit = connection.expected.get().wrapping_add(u32::from(SMALL));
        require(!before(limit, tcp.end()), || format!("the window ends at {limit}, and there is {tcp}"))?;
        received += connection.take(&tcp).len();
        connection.acknowledge()?;
    }
    require(received == expected, || format!("{received} of {expected} bytes came"))?;
    Ok(format!("{received} bytes through a window of {SMALL}"))
}

/// What comes to a closed window within this time: probes, of a byte at most.
fn probes(connection: &Connection<'_, '_>, host: &Host<'_>, within: Duration) -> Result<Vec<Duration>, Stop> {
    let mut times = Vec::new();
    let until = host.now() + within;
    loop {
        let left = until.saturating_sub(host.now());
        let Some((time, tcp)) = connection.receive(left, |_| true)? else { return Ok(times) };
        require(!tcp.has(flags::RST), || format!("the connection was reset: {tcp}"))?;
        require(tcp.payload.len() <= 1, || format!("data is sent to a closed window: {tcp}"))?;
        // An acknowledgement of the line is no probe.
        let is_probe = !tcp.payload.is_empty() || tcp.sequence != connection.expected.get();
        if is_probe {
            times.push(time);
            connection.acknowledge()?;
        }
    }
}

fn window_opens(host: &Host<'_>) -> Result<String, Stop> {
    let connection = waiting(host)?;
    host.wait(host.board.quiet_time())?;
    host.clear();
    let begin = host.now();
    connection.open_window()?;
    connection.read(host.board.service.reply)?;
    let took = host.now().saturating_sub(begin);
    require(took < Duration::from_millis(200) + host.board.rtt * 10, || format!("after {}", Seconds(took)))?;
    Ok(format!("after {}", Seconds(took)))
}

fn window_shrinks(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    connection.push(LINE)?;
    let reply = connection.expected.get();
    let Some(_) = connection.reply(|tcp| !tcp.payload.is_empty() && tcp.sequence == reply)? else {
        return Err(Stop::failed("the line is not answered"));
    };
    // Smaller than what is in flight.
    connection.window.set(2);
    connection.push(LINE)?;
    let limit = reply.wrapping_add(u32::try_from(host.board.service.reply).unwrap_or_default());
    let beyond = connection.receive(host.board.quiet_time(), |tcp| !tcp.payload.is_empty() && tcp.sequence == limit)?;
    require(beyond.is_none(), || "new data is sent beyond the window".to_owned())?;
    connection.window.set(crate::connection::WINDOW);
    connection.acknowledge()?;
    connection.read(2 * host.board.service.reply)?;
    Ok("no harm".to_owned())
}

fn persist(host: &Host<'_>) -> Result<String, Stop> {
    let connection = waiting(host)?;
    let times = probes(&connection, host, Duration::from_secs(8))?;
    require(!times.is_empty(), || "no probe within 8 s".to_owned())?;
    Ok(format!("{} probes within 8 s", times.len()))
}

fn persist_backoff(host: &Host<'_>) -> Result<String, Stop> {
    let connection = waiting(host)?;
    let times = probes(&connection, host, Duration::from_secs(20))?;
    let gaps = gaps(&times);
    if gaps.len() < 2 {
        return Err(Stop::undecided(format!("{} probes within 20 s", times.len())));
    }
    let grows = gaps.windows(2).all(|pair| pair[1] >= pair[0] * 15 / 10);
    require(grows, || format!("the times between probes are {}", listed(&gaps)))?;
    Ok(listed(&gaps))
}

fn persist_life(host: &Host<'_>) -> Result<String, Stop> {
    let connection = waiting(host)?;
    let count = probes(&connection, host, Duration::from_secs(25))?.len();
    connection.open_window()?;
    connection.read(host.board.service.reply)?;
    Ok(format!("open after 25 s and {count} probes"))
}

fn zero_window_probe(host: &Host<'_>) -> Result<String, Stop> {
    // The service stops reading when its own replies cannot be sent.
    let connection = host.talk_closed(|_| {})?;
    let mut sent = 0_u32;
    while connection.peer_window.get() > 0 && sent < 200_000 {
        let count = usize::from(connection.peer_window.get()).min(600) / LINE.len() * LINE.len();
        let lines: Vec<u8> = LINE.iter().copied().cycle().take(count.max(1)).collect();
        connection.push(&lines)?;
        sent += u32::try_from(lines.len()).unwrap_or_default();
        let end = connection.next.get();
        if connection.receive(host.board.quiet_time(), |tcp| tcp.acknowledgement == end)?.is_none() {
            break;
        }
    }
    let (window, next) = (connection.peer_window.get(), connection.acknowledged.get());
    if window > 0 {
        return Err(Stop::undecided(format!("its window is {window} after {sent} bytes: the service reads on")));
    }
    host.wait(Duration::from_millis(1100))?;
    host.clear();
    connection.send_with(|segment| {
        segment.sequence = next;
        segment.payload = vec![b'x'];
    })?;
    // Not what the board sends to probe the window of its peer.
    let answer = connection.reply(|tcp| tcp.payload.is_empty() && tcp.acknowledgement.wrapping_sub(next) <= 1)?;
    require(answer.is_some(), || format!("not acknowledged, after {sent} bytes"))?;
    Ok(format!("acknowledged, after {sent} bytes"))
}

/// A connection with this maximum segment size and a closed window, behind which the replies of `lines` lines wait.
fn loaded<'h, 'a>(host: &'h Host<'a>, mss: Option<u16>, lines: usize) -> Result<Connection<'h, 'a>, Stop> {
    let connection = host.talk_closed(|syn| {
        syn.options = mss.map_or_else(Vec::new, |mss| [&[2, 4], &mss.to_be_bytes()[..]].concat());
    })?;
    for _ in 0..lines {
        connection.push(LINE)?;
        let end = connection.next.get();
        if connection.reply(|tcp| tcp.acknowledgement == end)?.is_none() {
            break; // its buffers are full
        }
    }
    connection.next.set(connection.acknowledged.get());
    host.clear();
    connection.open_window()?;
    Ok(connection)
}

fn segment_limit(host: &Host<'_>, mss: Option<u16>, limit: usize) -> Result<String, Stop> {
    // Two segments and a half.
    let lines = (limit * 5 / 2).div_ceil(host.board.service.reply.max(1));
    let connection = loaded(host, mss, lines)?;
    let mut longest = 0;
    while let Some((_, tcp)) = connection.receive(host.board.quiet_time(), |tcp| !tcp.payload.is_empty())? {
        longest = longest.max(tcp.payload.len());
        connection.take(&tcp);
        connection.acknowledge()?;
    }
    require(longest <= limit, || format!("a segment has {longest} bytes, and at most {limit} are allowed"))?;
    if longest < limit / 3 {
        return Err(Stop::undecided(format!("its longest segment has {longest} bytes: its buffers are too small")));
    }
    Ok(format!("the longest has {longest} bytes"))
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
