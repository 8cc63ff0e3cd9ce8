//! TCP, acknowledgements: when the board sends them, and what it does with wrong ones.

use core::time::Duration;

use super::data::{behind_hole, needs_lines};
use crate::{
    board::LINE,
    host::Host,
    probe::{Group, Level, Probe, Seconds, Stop, require},
    tcp::flags,
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "duplicate-ack",
        (Level::Should, "RFC 5681, 4.2"),
        "a segment out of order is acknowledged at once: the peer's fast retransmit needs it",
        &["the acknowledgement waits for the delayed-ACK timer"],
        duplicate_ack,
    ),
    Probe::new(
        Group::Tcp,
        "keep-alive",
        (Level::Must, "RFC 9293, 3.8.4, 3.10.7.4"),
        "keep-alive probes, with and without a byte, are answered",
        &["a segment one byte before the expected one is ignored: the peer takes the board for dead"],
        keep_alive,
    ),
    Probe::new(
        Group::Tcp,
        "old-ack",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "the data of a segment with an old acknowledgement number is taken",
        &["the segment is dropped together with its acknowledgement: data that was reordered by the network is lost"],
        old_ack,
    ),
    Probe::new(
        Group::Tcp,
        "ack-unsent",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "an acknowledgement of bytes that were never sent is answered by an acknowledgement, and changes nothing",
        &["it is taken for an acknowledgement of everything: bytes are lost, or the connection is reset"],
        ack_unsent,
    ),
    Probe::new(
        Group::Tcp,
        "no-ack",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a segment without ACK is dropped",
        &["the flag is not looked at"],
        no_ack,
    ),
    Probe::new(
        Group::Tcp,
        "delayed-ack",
        (Level::Must, "RFC 9293, MUST-40"),
        "data that gets no reply is acknowledged within 0.5 s",
        &["the acknowledgement waits for the next data of the service"],
        delayed_ack,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "second-segment",
        (Level::Should, "RFC 9293, SHLD-18; RFC 5681, 4.2"),
        "at least every second full segment is acknowledged at once",
        &["only the delayed-ACK timer acknowledges: the peer sends two segments in that time"],
        second_segment,
    ),
    Probe::new(
        Group::Tcp,
        "ack-buffered",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "an acknowledgement of bytes that wait behind a closed window changes nothing",
        &[
            "the number is compared with the end of the transmit buffer instead of with the last byte sent: bytes are lost",
        ],
        ack_buffered,
    ),
];

fn duplicate_ack(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.connect()?;
    host.wait(host.board.quiet_time())?;
    host.clear();
    let begin = host.now();
    behind_hole(&connection)?;
    let answer = connection.acknowledgement(connection.next.get())?;
    let Some((time, _)) = answer else { return Err(Stop::failed("it is not acknowledged")) };
    let took = time.saturating_sub(begin);
    let most = Duration::from_millis(5) + connection.rtt * 4;
    require(took <= most, || {
        format!("it is acknowledged after {}, the RTT is {}", Seconds(took), Seconds(connection.rtt))
    })?;
    Ok(format!("after {}", Seconds(took)))
}

fn keep_alive(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    let next = connection.next.get();
    for garbage in [0, 1] {
        // Some stacks limit the rate of such answers.
        host.wait(Duration::from_millis(1100))?;
        host.clear();
        connection.send_with(|segment| {
            segment.sequence = next.wrapping_sub(1);
            segment.payload = vec![0; garbage];
        })?;
        require(connection.acknowledgement(next)?.is_some(), || {
            format!("a keep-alive probe with {garbage} bytes is not answered")
        })?;
    }
    connection.is_alive("keep-alive probes")?;
    Ok("answered".to_owned())
}

fn old_ack(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
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
    let connection = host.connect()?;
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
    let connection = host.connect()?;
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

fn delayed_ack(host: &Host<'_>) -> Result<String, Stop> {
    needs_lines(host)?;
    let connection = host.connect()?;
    host.wait(host.board.quiet_time())?;
    let begin = host.now();
    connection.push(&LINE[..3])?;
    let Some((time, _)) = connection.acknowledgement(connection.next.get())? else {
        return Err(Stop::failed(format!("no acknowledgement within {:?}", host.board.reply_time())));
    };
    let took = time.saturating_sub(begin);
    require(took <= Duration::from_millis(500) + host.board.rtt, || format!("after {}", Seconds(took)))?;
    Ok(format!("after {}", Seconds(took)))
}

fn second_segment(host: &Host<'_>) -> Result<String, Stop> {
    // Behind a closed window no reply can carry the acknowledgement.
    let connection = host.connect_with_closed_window(|_| {})?;
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

fn ack_buffered(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect_with_closed_window(|_| {})?;
    connection.push(LINE)?;
    let end = connection.next.get();
    connection.reply(|tcp| tcp.acknowledgement == end)?;
    host.clear();
    let reply = u32::try_from(host.board.service.reply).unwrap_or_default();
    connection.send_with(|segment| segment.acknowledgement = segment.acknowledgement.wrapping_add(reply))?;
    host.wait(host.board.rtt * 2)?;
    connection.open_window()?;
    connection.read(host.board.service.reply)?;
    connection.is_alive("an acknowledgement of bytes that were not sent")?;
    Ok("the bytes come".to_owned())
}
