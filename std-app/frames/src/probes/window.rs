//! TCP, windows: closed, small and shrinking ones, and probes of them.

use core::time::Duration;

use crate::{
    board::LINE,
    connection::{Connection, before},
    host::Host,
    probe::{Group, Level, Probe, Seconds, Stop, gaps, listed, require},
    tcp::flags,
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "window-honoured",
        (Level::Must, "RFC 9293, 3.8.6"),
        "not more is sent than the window allows",
        &["the window of the last segment is not stored"],
        window_honoured,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "window-opens",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "when a closed window opens, the data is sent at once",
        &["a window update without data is ignored: the reply waits for a probe of the window"],
        window_opens,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "window-shrinks",
        (Level::Must, "RFC 9293, MUST-34"),
        "a window that shrinks below what was sent does no harm",
        &["the usable window is computed without a sign: it becomes 4 GB"],
        window_shrinks,
    ),
    Probe::new(
        Group::Tcp,
        "persist",
        (Level::Must, "RFC 9293, MUST-35, MUST-36"),
        "a closed window is probed",
        &["without probes a lost window update stops the connection for ever"],
        persist,
    )
    .quick()
    .waits(8),
    Probe::new(
        Group::Tcp,
        "persist-backoff",
        (Level::Should, "RFC 9293, SHLD-30"),
        "the time between probes of a closed window grows",
        &["the persist timer is not doubled"],
        persist_backoff,
    )
    .waits(20),
    Probe::new(
        Group::Tcp,
        "persist-life",
        (Level::Must, "RFC 9293, MUST-37"),
        "a connection stays open while the peer acknowledges probes of its closed window",
        &["the timeout of the connection runs although the peer answers"],
        persist_life,
    )
    .waits(25),
    Probe::new(
        Group::Tcp,
        "zero-window-probe",
        (Level::Must, "RFC 9293, MUST-36, 3.8.6.1"),
        "a probe of the board's closed window is acknowledged with its window",
        &["segments to a closed window are ignored: the peer gives up"],
        zero_window_probe,
    ),
];

/// A connection with a closed window, behind which a reply waits.
fn waiting<'h, 'a>(host: &'h Host<'a>) -> Result<Connection<'h, 'a>, Stop> {
    let connection = host.connect_with_closed_window(|_| {})?;
    connection.push(LINE)?;
    Ok(connection)
}

/// A connection with this maximum segment size and a closed window, behind which the replies of `lines` lines wait.
pub(super) fn loaded<'h, 'a>(host: &'h Host<'a>, mss: Option<u16>, lines: usize) -> Result<Connection<'h, 'a>, Stop> {
    let connection = host.connect_with_closed_window(|syn| {
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
    let connection = host.connect()?;
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

/// Sends lines until the board's window is closed: the service stops reading when its own replies cannot be sent. Returns
/// how many bytes were sent.
pub(super) fn fill(host: &Host<'_>, connection: &Connection<'_, '_>) -> Result<u32, Stop> {
    let mut sent = 0_u32;
    while connection.peer_window.get() > 0 && sent < 200_000 {
        let count = usize::from(connection.peer_window.get()).min(600) / LINE.len() * LINE.len();
        let lines: Vec<u8> = LINE.iter().copied().cycle().take(count.max(1)).collect();
        connection.push(&lines)?;
        sent += u32::try_from(lines.len()).unwrap_or_default();
        let end = connection.next.get();
        // A board that is busy is not taken for one that is full.
        if connection.receive(host.board.reply_time(), |tcp| tcp.acknowledgement == end)?.is_none() {
            break;
        }
    }
    let window = connection.peer_window.get();
    if window > 0 {
        return Err(Stop::undecided(format!("its window is {window} after {sent} bytes: the service reads on")));
    }
    Ok(sent)
}

fn zero_window_probe(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect_with_closed_window(|_| {})?;
    let sent = fill(host, &connection)?;
    let next = connection.acknowledged.get();
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
