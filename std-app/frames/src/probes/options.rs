//! TCP, options of the SYN.

use crate::{
    board::LINE,
    connection::Connection,
    host::Host,
    ip::{long_word, protocol},
    probe::{Group, Level, Probe, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "mss-option",
        (Level::Should, "RFC 9293, SHLD-5"),
        "the SYN-ACK has the maximum segment size",
        &["without it the peer sends at most 536 or 1220 bytes a segment: slow"],
        mss_option,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "options-not-offered",
        (Level::Must, "RFC 7323, 1.3; RFC 2018, 2"),
        "the SYN-ACK has no window scale, timestamps or SACK if the SYN has none",
        &["the options of the SYN-ACK do not depend on those of the SYN"],
        not_offered,
    ),
    Probe::new(
        Group::Tcp,
        "unknown-option",
        (Level::Must, "RFC 9293, MUST-6"),
        "a SYN with an unknown option is accepted",
        &["an unknown option ends the parsing of the segment"],
        unknown_option,
    ),
    Probe::new(
        Group::Tcp,
        "illegal-option",
        (Level::Must, "RFC 9293, MUST-7"),
        "options with illegal lengths do no harm",
        &["the length of an option is not compared with what is left of the header: a loop, or a read beyond it"],
        illegal_option,
    ),
    Probe::new(
        Group::Tcp,
        "no-option",
        (Level::Must, "RFC 9293, MUST-4"),
        "a SYN without options is accepted",
        &["the maximum segment size is taken for mandatory"],
        |host| accepted(host, |syn| syn.options.clear()),
    ),
    Probe::new(
        Group::Tcp,
        "mss-zero",
        (Level::Must, "RFC 9293, 3.7.1"),
        "a SYN with a maximum segment size of 0 does no harm",
        &["a division by the maximum segment size, or a loop that sends nothing"],
        |host| survives(host, |syn| syn.options = vec![2, 4, 0, 0]),
    ),
    Probe::new(
        Group::Tcp,
        "mss-tiny",
        (Level::Must, "RFC 9293, 3.7.1"),
        "a connection with a maximum segment size of 8 bytes can be used",
        &["the length of the options is subtracted from it without a check"],
        |host| accepted(host, |syn| syn.options = vec![2, 4, 0, 8]),
    ),
    Probe::new(
        Group::Tcp,
        "window-scale",
        (Level::Must, "RFC 7323, 2.2"),
        "if the SYN-ACK has a window scale, the peer's one is used, too",
        &[
            "the own option is sent although that of the SYN is not stored: the peer's window is taken for a smaller one",
        ],
        window_scale,
    ),
    Probe::new(
        Group::Tcp,
        "window-scale-limit",
        (Level::Must, "RFC 7323, 2.3"),
        "a window scale of more than 14 does no harm",
        &["a number is shifted by more bits than it has"],
        |host| {
            for scale in [15, 32, 255] {
                accepted(host, |syn| syn.options.extend([3, 3, scale, 1]))?;
            }
            Ok("3 values".to_owned())
        },
    ),
    Probe::new(
        Group::Tcp,
        "sack",
        (Level::Should, "RFC 2018, 4"),
        "if the SYN-ACK permits SACK, the acknowledgement of a segment out of order names it first",
        &["the option is offered, but its blocks are not sent, or in another order"],
        sack,
    ),
    Probe::new(
        Group::Tcp,
        "timestamps",
        (Level::Must, "RFC 7323, 3.2"),
        "if the SYN-ACK has timestamps, each segment has them, and returns the peer's last one",
        &["the option is sent in the SYN-ACK alone: the peer drops what comes without it"],
        timestamps,
    ),
    Probe::new(
        Group::Tcp,
        "timestamps-old",
        (Level::Must, "RFC 7323, 5.3"),
        "if the SYN-ACK has timestamps, a segment with an older one is acknowledged and not taken",
        &["timestamps are not compared: old segments of a fast connection are taken for new ones"],
        timestamps_old,
    ),
    Probe::new(
        Group::Tcp,
        "reserved-bits",
        (Level::Must, "RFC 9293, 3.1"),
        "the reserved bits of a received segment are ignored",
        &["segments with reserved bits are dropped: a peer with a newer TCP cannot connect"],
        reserved_bits,
    ),
];

fn mss_option(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.open()?;
    match connection.syn_ack.option(2) {
        Some(&[high, low]) => Ok(format!("{} bytes", u16::from_be_bytes([high, low]))),
        _ => Err(Stop::failed(format!("the SYN-ACK is {}", connection.syn_ack))),
    }
}

fn not_offered(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.open()?;
    for (kind, name) in [(3, "window scale"), (4, "SACK permitted"), (8, "timestamps")] {
        require(connection.syn_ack.option(kind).is_none(), || format!("the SYN-ACK has the option {name}"))?;
    }
    Ok("none".to_owned())
}

/// A connection whose SYN was changed can be used.
pub(super) fn accepted(host: &Host<'_>, change: impl FnOnce(&mut Tcp)) -> Result<String, Stop> {
    let connection = host.open_with(change)?;
    connection.read(host.board.service.banner.len())?;
    if host.board.service.reply > 0 {
        connection.exchange(LINE)?;
    }
    Ok("accepted".to_owned())
}

/// A SYN that was changed may be accepted, refused or ignored; the next one is accepted.
pub(super) fn survives(host: &Host<'_>, change: impl FnOnce(&mut Tcp)) -> Result<String, Stop> {
    let mut syn = host.syn();
    change(&mut syn);
    host.send_tcp(&syn)?;
    let answer = host.segment(syn.source_port, host.board.quiet_time(), |_| true)?;
    let text = match &answer {
        None => "ignored",
        Some((_, answer)) if answer.has(flags::RST) => "refused",
        Some(_) => "accepted",
    };
    if let Some((_, answer)) = answer {
        host.send_tcp(&Tcp { sequence: answer.acknowledgement, flags: flags::RST, ..host.closing(&syn) })?;
    }
    let next = accepted(host, |_| {});
    next.map_err(|stop| match stop {
        Stop::Failed(what) => Stop::Failed(format!("the next connection: {what}")),
        other => other,
    })?;
    Ok(text.to_owned())
}

fn unknown_option(host: &Host<'_>) -> Result<String, Stop> {
    accepted(host, |syn| syn.options.extend([253, 6, 1, 2, 3, 4, 1, 1]))
}

fn illegal_option(host: &Host<'_>) -> Result<String, Stop> {
    let illegal: [&[u8]; 6] =
        [&[2, 0, 5, 180], &[2, 1, 5, 180], &[253, 40, 1, 1], &[1, 1, 1, 2], &[8, 3, 0, 0], &[5, 2, 3, 255]];
    for options in illegal {
        survives(host, |syn| syn.options = options.to_vec())?;
    }
    Ok(format!("{} kinds", illegal.len()))
}

fn window_scale(host: &Host<'_>) -> Result<String, Stop> {
    const SCALE: u8 = 6;
    let connection = host.connect_with(|syn| syn.options.extend([3, 3, SCALE, 1]))?;
    if connection.syn_ack.option(3).is_none() {
        return Ok("not used".to_owned());
    }
    // 64 bytes: enough for a reply.
    let reply = host.board.service.reply;
    if !(2..=1 << SCALE).contains(&reply) {
        return Err(Stop::undecided(format!("a reply has {reply} bytes, and 2 to 64 are needed")));
    }
    connection.window.set(1);
    connection.acknowledge()?;
    connection.push(LINE)?;
    let answer = connection.receive(host.board.quiet_time() * 2, |tcp| !tcp.payload.is_empty())?;
    let length = answer.map_or(0, |(_, tcp)| tcp.payload.len());
    require(length == reply, || format!("the window is 1 << {SCALE}, and {length} of {reply} bytes come"))?;
    Ok("used".to_owned())
}

fn sack(host: &Host<'_>) -> Result<String, Stop> {
    const GAP: u32 = 3;
    let connection = host.connect_with(|syn| syn.options.extend([4, 2, 1, 1]))?;
    if connection.syn_ack.option(4).is_none() {
        return Ok("not used".to_owned());
    }
    host.clear();
    let begin = connection.next.get().wrapping_add(GAP);
    connection.send_with(|segment| {
        segment.sequence = begin;
        segment.payload = b"xyz".to_vec();
    })?;
    let answer = connection.reply(|_| true)?;
    let Some((_, answer)) = answer else { return Err(Stop::failed("it is not acknowledged")) };
    let expected = [begin.to_be_bytes(), begin.wrapping_add(3).to_be_bytes()].concat();
    let blocks = answer.option(5).unwrap_or_default();
    require(blocks.starts_with(&expected), || {
        format!("bytes {begin} to {} are answered by {answer}", begin.wrapping_add(3))
    })?;
    Ok("used".to_owned())
}

/// The option with this value, and the last one of the peer.
fn timestamp(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10], &value.to_be_bytes()[..], &echo.to_be_bytes()].concat()
}

/// A connection with timestamps, after one line. Returns the board's last timestamp, too.
fn with_timestamps<'h, 'a>(host: &'h Host<'a>, value: u32) -> Result<Option<(Connection<'h, 'a>, u32)>, Stop> {
    let connection = host.open_with(|syn| syn.options.extend(timestamp(value, 0)))?;
    let Some(option) = connection.syn_ack.option(8) else { return Ok(None) };
    let (own, echo) = (long_word(option, 0), long_word(option, 4));
    require(echo == value, || format!("the SYN-ACK returns {echo} instead of {value}: {}", connection.syn_ack))?;
    // What `open` sent has no timestamp; it is not taken.
    connection.send_with(|segment| segment.options = timestamp(value, own))?;
    Ok(Some((connection, own)))
}

/// Sends a line with this timestamp.
fn line_at(connection: &Connection<'_, '_>, value: u32, echo: u32) -> Result<(), Stop> {
    connection.send_with(|segment| {
        segment.options = timestamp(value, echo);
        segment.payload = LINE.to_vec();
        segment.flags |= flags::PSH;
    })
}

fn timestamps(host: &Host<'_>) -> Result<String, Stop> {
    let value = 1000;
    let Some((connection, own)) = with_timestamps(host, value)? else { return Ok("not used".to_owned()) };
    host.wait(host.board.quiet_time())?;
    host.clear();
    let value = value + 5;
    line_at(&connection, value, own)?;
    connection.advance(LINE.len());
    let end = connection.next.get();
    let answer = connection.reply(|tcp| tcp.acknowledgement == end)?;
    let Some((_, answer)) = answer else { return Err(Stop::failed("a line with a timestamp is not acknowledged")) };
    let option = answer.option(8);
    require(option.is_some(), || format!("a segment without a timestamp: {answer}"))?;
    let echo = long_word(option.unwrap_or_default(), 4);
    require(echo == value, || format!("{echo} is returned instead of {value}: {answer}"))?;
    Ok("used".to_owned())
}

fn timestamps_old(host: &Host<'_>) -> Result<String, Stop> {
    let value = 100_000;
    let Some((connection, own)) = with_timestamps(host, value)? else { return Ok("not used".to_owned()) };
    host.wait(host.board.quiet_time())?;
    host.clear();
    line_at(&connection, value - 50_000, own)?;
    let next = connection.next.get();
    let answer = connection.reply(|_| true)?;
    let Some((_, answer)) = answer else { return Err(Stop::failed("it is not answered")) };
    require(answer.acknowledgement == next && answer.payload.is_empty(), || format!("it is answered by {answer}"))?;
    Ok("not taken".to_owned())
}

fn reserved_bits(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    let mut segment = connection.segment();
    segment.payload = LINE.to_vec();
    segment.flags |= flags::PSH;
    let mut bytes = segment.to_bytes();
    if let Some(byte) = bytes.get_mut(12) {
        *byte |= 0x0e;
    }
    host.send_ip(&host.packet(protocol::TCP, bytes))?;
    connection.advance(LINE.len());
    connection.read(host.board.service.reply)?;
    Ok("ignored".to_owned())
}
