//! TCP, half-open connections.

use crate::{
    board::LINE,
    host::Host,
    probe::{Group, Level, Probe, Schedule, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "syn-received-rst",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a reset ends a half-open connection",
        &["a half-open connection holds its slot until a timeout"],
        syn_received_rst,
    ),
    Probe::new(
        Group::Tcp,
        "syn-received-wrong-ack",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a half-open connection answers a wrong acknowledgement by a reset and is not opened by it",
        &["the acknowledgement number of the third segment is not checked: connections from forged addresses"],
        wrong_third,
    ),
    Probe::new(
        Group::Tcp,
        "half-open",
        (Level::Must, "RFC 5961, 4.2; RFC 9293, 3.5.1"),
        "a peer that was restarted gets a connection from the same port after its reset",
        &["a SYN for an existing connection is ignored", "the reset that follows is not accepted"],
        half_open,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "half-open-many",
        (Level::Should, "RFC 4987, 3"),
        "a connection is possible although 16 handshakes are not finished",
        &["half-open connections hold all slots: limit their time, or end the oldest when a SYN finds no slot"],
        half_open_many,
    )
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Tcp,
        "syn-received-rst-other",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a reset of another host, or to another port, does not end a half-open connection",
        &["the connection that a reset belongs to is looked for by its ports alone"],
        reset_by_other,
    ),
];

/// Sends a SYN and returns it with its SYN-ACK.
fn half(host: &Host<'_>) -> Result<(Tcp, Tcp), Stop> {
    let syn = host.syn();
    match host.handshake(&syn)? {
        Some((_, answer)) if answer.has(flags::SYN) => Ok((syn, answer)),
        Some((_, answer)) => Err(Stop::failed(format!("a SYN is answered by {answer}"))),
        None => Err(Stop::failed("no answer to three SYNs")),
    }
}

fn syn_received_rst(host: &Host<'_>) -> Result<String, Stop> {
    let (syn, answer) = half(host)?;
    let sequence = syn.sequence.wrapping_add(1);
    host.send_tcp(&Tcp { sequence, flags: flags::RST, ..host.closing(&syn) })?;
    host.wait(host.board.quiet_time())?;
    host.clear();
    // No connection is left: a late third segment is answered by a reset.
    let acknowledgement = answer.sequence.wrapping_add(1);
    host.send_tcp(&Tcp { sequence, acknowledgement, flags: flags::ACK, ..host.closing(&syn) })?;
    let answer = host.segment(syn.source_port, host.board.reply_time(), |_| true)?;
    host.send_tcp(&Tcp { sequence, flags: flags::RST | flags::ACK, ..host.closing(&syn) })?;
    match answer {
        Some((_, tcp)) if tcp.has(flags::RST) && tcp.sequence == acknowledgement => Ok("ended".to_owned()),
        Some((_, tcp)) => Err(Stop::failed(format!("a segment after the reset is answered by {tcp}"))),
        None => Err(Stop::failed("a segment after the reset is not answered by a reset")),
    }
}

fn wrong_third(host: &Host<'_>) -> Result<String, Stop> {
    let (syn, answer) = half(host)?;
    let (sequence, wrong) = (syn.sequence.wrapping_add(1), answer.sequence.wrapping_add(5000));
    let third = Tcp { sequence, acknowledgement: wrong, flags: flags::ACK, ..host.closing(&syn) };
    host.send_tcp(&third)?;
    let reset = host.segment(syn.source_port, host.board.reply_time(), |tcp| tcp.has(flags::RST))?;
    host.send_tcp(&Tcp { flags: flags::RST, ..third })?;
    let Some((_, reset)) = reset else { return Err(Stop::failed("no reset")) };
    require(reset.sequence == wrong, || format!("the reset has sequence number {}, not {wrong}", reset.sequence))?;
    Ok("reset".to_owned())
}

fn half_open(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.open()?;
    connection.read(host.board.service.banner.len())?;
    // The peer was restarted, and connects from the same port.
    let syn = Tcp { source_port: connection.port, sequence: connection.next.get().wrapping_add(1 << 28), ..host.syn() };
    host.clear();
    host.send_tcp(&syn)?;
    let answer = host.segment(syn.source_port, host.board.reply_time(), |_| true)?;
    let Some((_, answer)) = answer else { return Err(Stop::failed("the SYN is not answered")) };
    require(answer.has(flags::ACK), || format!("the SYN is answered by {answer}"))?;
    if answer.acknowledgement == syn.sequence.wrapping_add(1) {
        // A new connection at once: Linux does not do that, and no RFC forbids it.
        host.send_tcp(&Tcp { sequence: answer.acknowledgement, flags: flags::RST, ..host.closing(&syn) })?;
        return Ok("a new connection at once".to_owned());
    }
    require(answer.acknowledgement == connection.next.get(), || format!("the SYN is answered by {answer}"))?;
    host.send_tcp(&Tcp { sequence: answer.acknowledgement, flags: flags::RST, ..host.closing(&syn) })?;
    let second = host.handshake(&syn)?;
    let is_open = second.as_ref().is_some_and(|(_, tcp)| tcp.has(flags::SYN));
    require(is_open, || "after the reset the SYN is not answered by a SYN-ACK".to_owned())?;
    host.send_tcp(&Tcp { sequence: syn.sequence.wrapping_add(1), flags: flags::RST, ..host.closing(&syn) })?;
    Ok("after a challenge ACK and a reset".to_owned())
}

fn half_open_many(host: &Host<'_>) -> Result<String, Stop> {
    const COUNT: usize = 16;
    let mut syns = Vec::new();
    for _ in 0..COUNT {
        let syn = host.syn();
        host.send_tcp(&syn)?;
        host.wait(host.board.rtt * 2)?;
        syns.push(syn);
    }
    let begin = host.now();
    let served = host.open().map(|connection| connection.rtt);
    let took = host.now().saturating_sub(begin);
    for syn in &syns {
        host.send_tcp(&Tcp { sequence: syn.sequence.wrapping_add(1), flags: flags::RST, ..host.closing(syn) })?;
    }
    host.wait(host.board.quiet_time())?;
    served?;
    Ok(format!("open after {}", crate::probe::Seconds(took)))
}

fn reset_by_other(host: &Host<'_>) -> Result<String, Stop> {
    let (syn, answer) = half(host)?;
    let sequence = syn.sequence.wrapping_add(1);
    let reset = Tcp { sequence, flags: flags::RST, ..host.closing(&syn) };
    let this = host.identity();
    host.set_identity(host.unknown(0x30)?);
    host.send_tcp(&reset)?;
    host.set_identity(this);
    host.send_tcp(&Tcp { source_port: host.port(), ..reset.clone() })?;
    host.wait(host.board.quiet_time())?;
    host.clear();
    // The connection opens: a line is answered.
    let acknowledgement = answer.sequence.wrapping_add(1);
    let third = Tcp { sequence, acknowledgement, flags: flags::ACK, ..host.closing(&syn) };
    host.send_tcp(&third)?;
    host.send_tcp(&Tcp { flags: flags::ACK | flags::PSH, payload: LINE.to_vec(), ..third.clone() })?;
    let end = sequence.wrapping_add(u32::try_from(LINE.len()).unwrap_or_default());
    let answer = host.segment(syn.source_port, host.board.reply_time() * 2, |tcp| {
        tcp.has(flags::RST) || tcp.acknowledgement == end
    })?;
    host.send_tcp(&Tcp { sequence: end, flags: flags::RST, ..third })?;
    match answer {
        Some((_, tcp)) if tcp.has(flags::RST) => Err(Stop::failed(format!("the connection is ended: {tcp}"))),
        Some(_) => Ok("ignored".to_owned()),
        None => Err(Stop::failed("the connection does not open after them")),
    }
}
