//! TCP, data: checksums, order, overlaps, acknowledgements, resets and SYNs within a connection.

use core::time::Duration;

use super::tcp;
use crate::{
    board::LINE,
    connection::Connection,
    host::Host,
    ip::protocol,
    probe::{Level, Probe, Schedule, Seconds, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    tcp(
        "checksum",
        (Level::Must, "RFC 9293, MUST-3"),
        "a segment with a wrong checksum is discarded",
        &["the driver says that the card verifies checksums, and the card does not"],
        checksum,
    )
    .quick(),
    tcp(
        "duplicate",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a segment that comes twice is processed once, and acknowledged again",
        &["the sequence number of a segment is not compared with what is expected"],
        duplicate,
    )
    .quick(),
    tcp(
        "overlap",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "of a segment that begins before the expected byte only the new bytes are taken",
        &["the bytes are taken from the start of the segment, not from the expected byte on"],
        overlap,
    ),
    tcp(
        "out-of-order",
        (Level::Should, "RFC 9293, SHLD-31"),
        "a segment that comes before the one in front of it is kept",
        &["segments out of order are dropped: each lost frame costs a timeout"],
        out_of_order,
    )
    .quick(),
    tcp(
        "hole",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "data behind a hole is not given to the service, nor acknowledged, before the hole is filled",
        &["the acknowledgement is computed from the last segment instead of from the contiguous ones"],
        hole,
    ),
    tcp(
        "duplicate-ack",
        (Level::Should, "RFC 5681, 4.2"),
        "a segment out of order is acknowledged at once: the peer's fast retransmit needs it",
        &["the acknowledgement waits for the delayed-ACK timer"],
        duplicate_ack,
    ),
    tcp(
        "beyond-window",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a segment beyond the window is not taken, and answered by an acknowledgement",
        &["the window is not compared with the sequence number: the receive buffer is written beyond its end"],
        beyond_window,
    ),
    tcp(
        "old-segment",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a segment with old bytes alone is answered by an acknowledgement",
        &["old segments are ignored: a peer whose acknowledgement was lost repeats them until it gives up"],
        old_segment,
    ),
    tcp(
        "keep-alive",
        (Level::Must, "RFC 9293, 3.8.4, 3.10.7.4"),
        "keep-alive probes, with and without a byte, are answered",
        &["a segment one byte before the expected one is ignored: the peer takes the board for dead"],
        keep_alive,
    ),
    tcp(
        "old-ack",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "the data of a segment with an old acknowledgement number is taken",
        &["the segment is dropped together with its acknowledgement: data that was reordered by the network is lost"],
        old_ack,
    ),
    tcp(
        "ack-unsent",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "an acknowledgement of bytes that were never sent is answered by an acknowledgement, and changes nothing",
        &["it is taken for an acknowledgement of everything: bytes are lost, or the connection is reset"],
        ack_unsent,
    ),
    tcp(
        "no-ack",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a segment without ACK is dropped",
        &["the flag is not looked at"],
        no_ack,
    ),
    tcp(
        "no-psh",
        (Level::Must, "RFC 9293, MUST-61, 3.9.1.2"),
        "data without PSH reaches the service, too",
        &["received data waits for a segment with PSH"],
        no_psh,
    ),
    tcp(
        "urgent",
        (Level::Must, "RFC 9293, MUST-31"),
        "a segment with an urgent pointer does no harm",
        &["the urgent pointer is used as an index without a check"],
        urgent,
    ),
    tcp(
        "rst-exact",
        (Level::Must, "RFC 5961, 3.2; RFC 9293, 3.10.7.4"),
        "a reset at the expected byte ends the connection",
        &["the slot is held until a timeout"],
        rst_exact,
    )
    .quick(),
    tcp(
        "rst-in-window",
        (Level::Must, "RFC 5961, 3.2"),
        "a reset elsewhere in the window is answered by a challenge ACK, and does not end the connection",
        &["any reset within the window is accepted: whoever guesses the ports ends connections"],
        rst_in_window,
    )
    .quick(),
    tcp(
        "rst-outside",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a reset outside the window is ignored",
        &["the sequence number of a reset is not looked at"],
        rst_outside,
    ),
    tcp(
        "syn-in-window",
        (Level::Must, "RFC 5961, 4.2"),
        "a SYN within a connection is answered by a challenge ACK, and does not end it",
        &["it is ignored: a peer that was restarted cannot connect", "it resets the connection: anyone can"],
        syn_in_window,
    ),
    tcp(
        "sequence-wraps",
        (Level::Must, "RFC 9293, 3.4"),
        "sequence numbers of the peer wrap around at 2^32",
        &["sequence numbers are compared as numbers instead of by their difference"],
        wraps,
    ),
    tcp(
        "delayed-ack",
        (Level::Must, "RFC 9293, MUST-40"),
        "data that gets no reply is acknowledged within 0.5 s",
        &["the acknowledgement waits for the next data of the service"],
        delayed_ack,
    )
    .quick(),
    tcp(
        "second-segment",
        (Level::Should, "RFC 9293, SHLD-18; RFC 5681, 4.2"),
        "at least every second full segment is acknowledged at once",
        &["only the delayed-ACK timer acknowledges: the peer sends two segments in that time"],
        second_segment,
    )
    .scheduled(Schedule::Beside),
    tcp(
        "small-segments",
        (Level::Must, "RFC 9293, 3.8"),
        "a line of which each byte comes in a segment of its own is answered",
        &["there is a limit of the number of segments instead of the number of bytes"],
        small_segments,
    ),
];

/// Data of the same length as [`LINE`].
const OTHER_LINE: &[u8] = b"other\n";

/// The service must treat a line in two segments as one line.
fn needs_lines(host: &Host<'_>) -> Result<(), Stop> {
    require(host.board.service.joins, String::new).map_err(|_| {
        Stop::undecided("the service answers each segment on its own: use one whose lines end with a line feed")
    })
}

/// Waits for an acknowledgement of exactly this byte, and nothing more.
fn acknowledgement(connection: &Connection<'_, '_>, of: u32) -> Result<Option<(Duration, Tcp)>, Stop> {
    connection.reply(|tcp| tcp.has(flags::ACK) && !tcp.has(flags::RST) && tcp.acknowledgement == of)
}

fn checksum(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    let mut segment = connection.segment();
    segment.payload = LINE.to_vec();
    host.wait(host.board.quiet_time())?;
    host.clear();
    for place in [25, 4, 16] {
        let mut ip = host.packet(protocol::TCP, segment.to_bytes());
        if let Some(byte) = ip.payload.get_mut(place) {
            *byte ^= 1;
        }
        host.send_ip(&ip)?;
        let answer = connection.receive(host.board.quiet_time(), |_| true)?;
        require(answer.is_none(), || format!("it is answered (byte {place} of the segment was changed)"))?;
    }
    connection.is_alive("wrong checksums")?;
    Ok("discarded".to_owned())
}

fn duplicate(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    let sequence = connection.next.get();
    connection.exchange(LINE)?;
    host.clear();
    connection.send_with(|segment| {
        segment.sequence = sequence;
        segment.payload = LINE.to_vec();
    })?;
    let next = connection.next.get();
    let answer = connection.reply(|_| true)?;
    let Some((_, answer)) = answer else { return Err(Stop::failed("the second one is not acknowledged")) };
    require(answer.acknowledgement == next && answer.payload.is_empty(), || {
        format!("the second one is answered by {answer}")
    })?;
    connection.is_alive("a duplicate")?;
    Ok("acknowledged again".to_owned())
}

fn overlap(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.talk()?;
    let expected = connection.exchange(OTHER_LINE)?;
    let (begin, _) = OTHER_LINE.split_at(3);
    let start = connection.next.get();
    connection.push(begin)?;
    acknowledgement(&connection, connection.next.get())?;
    // The whole line again: its first three bytes are old.
    connection.send_with(|segment| {
        segment.sequence = start;
        segment.payload = OTHER_LINE.to_vec();
    })?;
    connection.advance(OTHER_LINE.len() - begin.len());
    compare(&connection, &expected)
}

/// The reply must be that of the same line in one segment.
fn compare(connection: &Connection<'_, '_>, expected: &[u8]) -> Result<String, Stop> {
    let reply = connection.read(expected.len())?;
    require(reply == expected, || {
        let [reply, expected] = [&reply, expected].map(|bytes| bytes.escape_ascii().to_string());
        format!("the reply is `{reply}`, not `{expected}`: other bytes reached the service")
    })?;
    Ok("the right bytes".to_owned())
}

fn out_of_order(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.talk()?;
    let expected = connection.exchange(OTHER_LINE)?;
    behind_hole(&connection)?;
    host.wait(host.board.rtt)?;
    connection.push(&OTHER_LINE[..3])?;
    connection.advance(OTHER_LINE.len() - 3);
    // Without the end of the line, which must have been kept, there is no reply.
    compare(&connection, &expected)
}

/// Sends the end of a line without its first three bytes.
fn behind_hole(connection: &Connection<'_, '_>) -> Result<(), Stop> {
    connection.send_with(|segment| {
        segment.sequence = segment.sequence.wrapping_add(3);
        segment.payload = OTHER_LINE.get(3..).unwrap_or_default().to_vec();
    })
}

fn hole(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.talk()?;
    let next = connection.next.get();
    host.clear();
    behind_hole(&connection)?;
    while let Some((_, tcp)) = connection.receive(host.board.quiet_time(), |_| true)? {
        require(tcp.payload.is_empty(), || format!("it is answered: {tcp}"))?;
        require(tcp.acknowledgement == next, || {
            format!("byte {next} is missing, and {} is acknowledged", tcp.acknowledgement)
        })?;
    }
    connection.push(&OTHER_LINE[..3])?;
    connection.send_with(|segment| segment.payload = OTHER_LINE.get(3..).unwrap_or_default().to_vec())?;
    connection.advance(OTHER_LINE.len() - 3);
    connection.read(host.board.service.reply)?;
    Ok("answered when it was filled".to_owned())
}

fn duplicate_ack(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.talk()?;
    host.wait(host.board.quiet_time())?;
    host.clear();
    let begin = host.now();
    behind_hole(&connection)?;
    let answer = acknowledgement(&connection, connection.next.get())?;
    let Some((time, _)) = answer else { return Err(Stop::failed("it is not acknowledged")) };
    let took = time.saturating_sub(begin);
    let most = Duration::from_millis(5) + connection.rtt * 4;
    require(took <= most, || {
        format!("it is acknowledged after {}, the RTT is {}", Seconds(took), Seconds(connection.rtt))
    })?;
    Ok(format!("after {}", Seconds(took)))
}

fn beyond_window(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    host.clear();
    let next = connection.next.get();
    connection.send_with(|segment| {
        segment.sequence = next.wrapping_add(1 << 20);
        segment.payload = LINE.to_vec();
    })?;
    let answer = connection.reply(|_| true)?;
    let Some((_, answer)) = answer else { return Err(Stop::failed("it is not answered")) };
    require(answer.acknowledgement == next && answer.payload.is_empty() && !answer.has(flags::RST), || {
        format!("it is answered by {answer}")
    })?;
    connection.is_alive("a segment beyond the window")?;
    Ok("answered by an acknowledgement".to_owned())
}

fn old_segment(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    host.clear();
    let next = connection.next.get();
    connection.send_with(|segment| {
        segment.sequence = next.wrapping_sub(3);
        segment.payload = LINE.get(3..).unwrap_or_default().to_vec();
    })?;
    require(acknowledgement(&connection, next)?.is_some(), || "it is not acknowledged".to_owned())?;
    connection.is_alive("an old segment")?;
    Ok("acknowledged".to_owned())
}

fn keep_alive(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    let next = connection.next.get();
    for garbage in [0, 1] {
        // Some stacks limit the rate of such answers.
        host.wait(Duration::from_millis(1100))?;
        host.clear();
        connection.send_with(|segment| {
            segment.sequence = next.wrapping_sub(1);
            segment.payload = vec![0; garbage];
        })?;
        require(acknowledgement(&connection, next)?.is_some(), || {
            format!("a keep-alive probe with {garbage} bytes is not answered")
        })?;
    }
    connection.is_alive("keep-alive probes")?;
    Ok("answered".to_owned())
}

fn old_ack(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    let old = connection.expected.get();
    connection.exchange(LINE)?;
    connection.send_with(|segment| {
        segment.acknowledgement = old;
        segment.flags |= flags::PSH;
        segment.payload = LINE.to_vec();
    })?;
    connection.advance(LINE.len());
    connection.read(host.board.service.reply)?;
    Ok("answered".to_owned())
}

fn ack_unsent(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    host.clear();
    connection.send_with(|segment| segment.acknowledgement = segment.acknowledgement.wrapping_add(1000))?;
    let answer = connection.reply(|_| true)?;
    require(answer.as_ref().is_some_and(|(_, tcp)| !tcp.has(flags::RST)), || {
        answer.map_or_else(|| "it is not answered".to_owned(), |(_, tcp)| format!("it is answered by {tcp}"))
    })?;
    connection.is_alive("an acknowledgement of bytes that were never sent")?;
    Ok("answered by an acknowledgement".to_owned())
}

fn no_ack(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    host.clear();
    connection.send_with(|segment| {
        segment.flags = flags::PSH;
        segment.payload = LINE.to_vec();
    })?;
    let answer = connection.receive(host.board.quiet_time(), |tcp| !tcp.payload.is_empty())?;
    require(answer.is_none(), || "its data is answered".to_owned())?;
    connection.is_alive("a segment without ACK")?;
    Ok("dropped".to_owned())
}

fn no_psh(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    connection.send_with(|segment| segment.payload = LINE.to_vec())?;
    connection.advance(LINE.len());
    connection.read(host.board.service.reply)?;
    Ok("answered".to_owned())
}

fn urgent(host: &Host<'_>) -> Result<String, Stop> {
    for pointer in [0, 3, 60_000] {
        let connection = host.talk()?;
        connection.send_with(|segment| {
            segment.flags |= flags::URG | flags::PSH;
            segment.urgent = pointer;
            segment.payload = LINE.to_vec();
        })?;
        connection.advance(LINE.len());
        // An urgent byte may be taken out of the stream: any reply will do.
        let answer = connection.reply(|tcp| tcp.acknowledgement == connection.next.get())?;
        require(answer.is_some(), || format!("a segment with urgent pointer {pointer} is not acknowledged"))?;
    }
    host.talk()?.is_alive("urgent pointers")?;
    Ok("no harm".to_owned())
}

fn rst_exact(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    host.clear();
    connection.send_with(|segment| segment.flags = flags::RST)?;
    host.wait(host.board.quiet_time())?;
    connection.send_with(|segment| segment.payload = LINE.to_vec())?;
    match connection.reply(|_| true)? {
        Some((_, tcp)) if tcp.has(flags::RST) => Ok("ended".to_owned()),
        Some((_, tcp)) => Err(Stop::failed(format!("data after the reset is answered by {tcp}"))),
        None => Err(Stop::failed("data after the reset is not answered by a reset")),
    }
}

/// Sends a segment with these flags at a distance from the expected byte. Returns the answer.
fn challenged(host: &Host<'_>, connection: &Connection<'_, '_>, flags: u8, distance: u32) -> Result<Option<Tcp>, Stop> {
    host.clear();
    connection.send_with(|segment| {
        segment.flags = flags;
        segment.sequence = segment.sequence.wrapping_add(distance);
    })?;
    Ok(connection.receive(host.board.quiet_time() * 2, |_| true)?.map(|(_, tcp)| tcp))
}

fn rst_in_window(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    let answer = challenged(host, &connection, flags::RST, 10)?;
    connection.is_alive("a reset 10 bytes beyond the expected byte")?;
    let Some(answer) = answer else { return Err(Stop::failed("the connection stays, but there is no challenge ACK")) };
    require(answer.flags == flags::ACK && answer.acknowledgement == connection.next.get().wrapping_sub(6), || {
        format!("it is answered by {answer}")
    })?;
    Ok("a challenge ACK".to_owned())
}

fn rst_outside(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    for distance in [1 << 20, 1 << 31, u32::MAX] {
        challenged(host, &connection, flags::RST, distance)?;
        connection.is_alive(&format!("a reset at a distance of {distance}"))?;
    }
    Ok("ignored".to_owned())
}

fn syn_in_window(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk()?;
    let answer = challenged(host, &connection, flags::SYN, 10)?;
    connection.is_alive("a SYN in the window")?;
    match answer {
        Some(tcp) if tcp.flags == flags::ACK => Ok("a challenge ACK".to_owned()),
        Some(tcp) => Err(Stop::failed(format!("it is answered by {tcp}"))),
        None => Err(Stop::failed("the connection stays, but there is no challenge ACK")),
    }
}

fn wraps(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.talk_with(|syn| syn.sequence = 0u32.wrapping_sub(9))?;
    for _ in 0..3 {
        connection.exchange(LINE)?;
    }
    Ok("answered before, across and after it".to_owned())
}

fn delayed_ack(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.talk()?;
    host.wait(host.board.quiet_time())?;
    let begin = host.now();
    connection.push(&LINE[..3])?;
    let Some((time, _)) = acknowledgement(&connection, connection.next.get())? else {
        return Err(Stop::failed(format!("no acknowledgement within {:?}", host.board.reply_time())));
    };
    let took = time.saturating_sub(begin);
    require(took <= Duration::from_millis(500) + host.board.rtt, || format!("after {}", Seconds(took)))?;
    Ok(format!("after {}", Seconds(took)))
}

fn second_segment(host: &Host<'_>) -> Result<String, Stop> {
    // Behind a closed window no reply can carry the acknowledgement.
    let connection = host.talk_closed(|_| {})?;
    let full = connection.syn_ack.option(2).map_or(536, |value| usize::from(crate::ip::word(value, 0))).min(1460);
    // What the closed window itself causes comes with the first.
    let lines: Vec<u8> = LINE.iter().copied().cycle().take(3 * full).collect();
    let mut segments = lines.chunks(full);
    connection.push(segments.next().unwrap_or_default())?;
    let end = connection.next.get();
    connection.reply(|tcp| tcp.acknowledgement == end)?;
    host.wait(host.board.quiet_time())?;
    if usize::from(connection.peer_window.get()) < 2 * full {
        return Err(Stop::undecided(format!(
            "its window of {} is less than two segments",
            connection.peer_window.get()
        )));
    }
    host.clear();
    let begin = host.now();
    for segment in segments {
        connection.push(segment)?;
    }
    let end = connection.next.get();
    let answer = connection.reply(|tcp| tcp.has(flags::ACK) && tcp.acknowledgement == end)?;
    let Some((time, _)) = answer else { return Err(Stop::undecided("a line fills its buffers: not all is taken")) };
    let took = time.saturating_sub(begin);
    require(took <= Duration::from_millis(8) + connection.rtt * 4, || {
        format!("two segments of {full} bytes are acknowledged after {}", Seconds(took))
    })?;
    Ok(format!("after {}", Seconds(took)))
}

fn small_segments(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.talk()?;
    for byte in LINE {
        connection.push(&[*byte])?;
    }
    connection.read(host.board.service.reply)?;
    Ok("answered".to_owned())
}
