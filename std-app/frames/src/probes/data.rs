//! TCP, data: checksums, order, overlaps, urgent data, and sequence numbers that wrap around.

use crate::{
    board::LINE,
    connection::Connection,
    host::Host,
    ip::protocol,
    probe::{Group, Level, Probe, Stop, require},
    tcp::flags,
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "checksum",
        (Level::Must, "RFC 9293, MUST-3"),
        "a segment with a wrong checksum is discarded",
        &["the driver says that the card verifies checksums, and the card does not"],
        checksum,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "duplicate",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a segment that comes twice is processed once, and acknowledged again",
        &["the sequence number of a segment is not compared with what is expected"],
        duplicate,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "overlap",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "of a segment that begins before the expected byte only the new bytes are taken",
        &["the bytes are taken from the start of the segment, not from the expected byte on"],
        overlap,
    ),
    Probe::new(
        Group::Tcp,
        "out-of-order",
        (Level::Should, "RFC 9293, SHLD-31"),
        "a segment that comes before the one in front of it is kept",
        &["segments out of order are dropped: each lost frame costs a timeout"],
        out_of_order,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "hole",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "data behind a hole is not given to the service, nor acknowledged, before the hole is filled",
        &["the acknowledgement is computed from the last segment instead of from the contiguous ones"],
        hole,
    ),
    Probe::new(
        Group::Tcp,
        "beyond-window",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a segment beyond the window is not taken, and answered by an acknowledgement",
        &["the window is not compared with the sequence number: the receive buffer is written beyond its end"],
        beyond_window,
    ),
    Probe::new(
        Group::Tcp,
        "old-segment",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a segment with old bytes alone is answered by an acknowledgement",
        &["old segments are ignored: a peer whose acknowledgement was lost repeats them until it gives up"],
        old_segment,
    ),
    Probe::new(
        Group::Tcp,
        "no-psh",
        (Level::Must, "RFC 9293, MUST-61, 3.9.1.2"),
        "data without PSH reaches the service, too",
        &["received data waits for a segment with PSH"],
        no_psh,
    ),
    Probe::new(
        Group::Tcp,
        "urgent",
        (Level::Must, "RFC 9293, MUST-31"),
        "a segment with an urgent pointer does no harm",
        &["the urgent pointer is used as an index without a check"],
        urgent,
    ),
    Probe::new(
        Group::Tcp,
        "sequence-wraps",
        (Level::Must, "RFC 9293, 3.4"),
        "sequence numbers of the peer wrap around at 2^32",
        &["sequence numbers are compared as numbers instead of by their difference"],
        |host| passes(host, 0),
    ),
    Probe::new(
        Group::Tcp,
        "small-segments",
        (Level::Must, "RFC 9293, 3.8"),
        "a line of which each byte comes in a segment of its own is answered",
        &["there is a limit of the number of segments instead of the number of bytes"],
        small_segments,
    ),
    Probe::new(
        Group::Tcp,
        "sequence-sign",
        (Level::Must, "RFC 9293, 3.4"),
        "sequence numbers of the peer pass 2^31",
        &["sequence numbers are compared as numbers with a sign"],
        |host| passes(host, 1 << 31),
    ),
    Probe::new(
        Group::Tcp,
        "sequence-wraps-hole",
        (Level::Must, "RFC 9293, 3.4"),
        "a hole that ends at 2^32 is filled",
        &["segments out of order are sorted by their sequence numbers instead of by their distance"],
        wraps_hole,
    ),
    Probe::new(
        Group::Tcp,
        "sequence-wraps-fin",
        (Level::Must, "RFC 9293, 3.4"),
        "a FIN with the sequence number 2^32 - 1 is acknowledged by 0",
        &["the acknowledgement number 0 is taken for none"],
        wraps_fin,
    ),
];

/// Data of the same length as [`LINE`].
pub(super) const OTHER_LINE: &[u8] = b"other\n";

/// The service must treat a line in two segments as one line.
pub(super) fn needs_lines(host: &Host<'_>) -> Result<(), Stop> {
    require(host.board.service.joins, String::new).map_err(|_| {
        Stop::undecided("the service answers each segment on its own: use one whose lines end with a line feed")
    })
}

fn checksum(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    let mut segment = connection.segment();
    segment.payload = LINE.to_vec();
    host.wait(host.board.quiet_time())?;
    host.clear();
    for offset in [25, 4, 16] {
        let mut ip = host.packet(protocol::TCP, segment.to_bytes());
        if let Some(byte) = ip.payload.get_mut(offset) {
            *byte ^= 1;
        }
        host.send_ip(&ip)?;
        let answer = connection.receive(host.board.quiet_time(), |_| true)?;
        require(answer.is_none(), || format!("it is answered (byte {offset} of the segment was changed)"))?;
    }
    connection.is_alive("wrong checksums")?;
    Ok("discarded".to_owned())
}

fn duplicate(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
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
    let connection = host.connect()?;
    let expected = connection.exchange(OTHER_LINE)?;
    let (begin, _) = OTHER_LINE.split_at(3);
    let start = connection.next.get();
    connection.push(begin)?;
    connection.acknowledgement(connection.next.get())?;
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
    let connection = host.connect()?;
    let expected = connection.exchange(OTHER_LINE)?;
    behind_hole(&connection)?;
    host.wait(host.board.rtt)?;
    connection.push(&OTHER_LINE[..3])?;
    connection.advance(OTHER_LINE.len() - 3);
    // Without the end of the line, which must have been kept, there is no reply.
    compare(&connection, &expected)
}

/// Sends the end of a line without its first three bytes.
pub(super) fn behind_hole(connection: &Connection<'_, '_>) -> Result<(), Stop> {
    connection.send_with(|segment| {
        segment.sequence = segment.sequence.wrapping_add(3);
        segment.payload = OTHER_LINE.get(3..).unwrap_or_default().to_vec();
    })
}

fn hole(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.connect()?;
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

fn beyond_window(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
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
    let connection = host.connect()?;
    host.clear();
    let next = connection.next.get();
    connection.send_with(|segment| {
        segment.sequence = next.wrapping_sub(3);
        segment.payload = LINE.get(3..).unwrap_or_default().to_vec();
    })?;
    require(connection.acknowledgement(next)?.is_some(), || "it is not acknowledged".to_owned())?;
    connection.is_alive("an old segment")?;
    Ok("acknowledged".to_owned())
}

fn no_psh(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    connection.send_with(|segment| segment.payload = LINE.to_vec())?;
    connection.advance(LINE.len());
    connection.read(host.board.service.reply)?;
    Ok("answered".to_owned())
}

fn urgent(host: &Host<'_>) -> Result<String, Stop> {
    for pointer in [0, 3, 60_000] {
        let connection = host.connect()?;
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
    host.connect()?.is_alive("urgent pointers")?;
    Ok("no harm".to_owned())
}

fn small_segments(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.connect()?;
    for byte in LINE {
        connection.push(&[*byte])?;
    }
    connection.read(host.board.service.reply)?;
    Ok("answered".to_owned())
}

/// A connection whose data of the peer crosses this sequence number in its second line.
fn passes(host: &Host<'_>, number: u32) -> Result<String, Stop> {
    let connection = host.connect_with(|syn| syn.sequence = number.wrapping_sub(9))?;
    for _ in 0..3 {
        connection.exchange(LINE)?;
    }
    Ok("answered before, across and after it".to_owned())
}

fn wraps_hole(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let line = u32::try_from(2 * OTHER_LINE.len()).unwrap_or_default();
    // After two lines three bytes are left to 2^32.
    let connection = host.connect_with(|syn| syn.sequence = 0_u32.wrapping_sub(line + 3 + 1))?;
    let expected = connection.exchange(OTHER_LINE)?;
    behind_hole(&connection)?;
    host.wait(host.board.rtt)?;
    connection.push(&OTHER_LINE[..3])?;
    if let Some((_, tcp)) = connection.reply(|tcp| !tcp.payload.is_empty())? {
        connection.advance(OTHER_LINE.len() - 3);
        connection.take(&tcp);
        connection.acknowledge()?;
    } else {
        // It was not kept, as `out-of-order` says.
        connection.push(OTHER_LINE.get(3..).unwrap_or_default())?;
        connection.read(expected.len())?;
    }
    connection.is_alive("the hole")?;
    Ok("filled".to_owned())
}

fn wraps_fin(host: &Host<'_>) -> Result<String, Stop> {
    let line = u32::try_from(LINE.len()).unwrap_or_default();
    let connection = host.connect_with(|syn| syn.sequence = u32::MAX.wrapping_sub(line + 1))?;
    connection.finish(&[])?;
    require(connection.next.get() == 0, || format!("the probe is at {}", connection.next.get()))?;
    connection.all_acknowledged("the FIN")?;
    Ok("acknowledged".to_owned())
}
