//! TCP, opening: the handshake, initial sequence numbers, options, closed ports, and half-open connections.

use super::tcp;
use crate::{
    board::LINE,
    host::Host,
    probe::{Level, Probe, Schedule, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    tcp(
        "handshake",
        (Level::Must, "RFC 9293, 3.5"),
        "a SYN is answered by a SYN-ACK that acknowledges it and offers a window",
        &["the service does not listen", "the acknowledgement does not count the SYN"],
        handshake,
    )
    .quick(),
    tcp(
        "mss-option",
        (Level::Should, "RFC 9293, SHLD-5"),
        "the SYN-ACK has the maximum segment size",
        &["without it the peer sends at most 536 or 1220 bytes a segment: slow"],
        mss_option,
    )
    .quick(),
    tcp(
        "isn",
        (Level::Must, "RFC 9293, MUST-8; RFC 6528"),
        "initial sequence numbers differ in an unpredictable way",
        &["the random seed is constant: it is not filled from a source of entropy", "a counter is used"],
        isn,
    ),
    tcp(
        "options-not-offered",
        (Level::Must, "RFC 7323, 1.3; RFC 2018, 2"),
        "the SYN-ACK has no window scale, timestamps or SACK if the SYN has none",
        &["the options of the SYN-ACK do not depend on those of the SYN"],
        not_offered,
    ),
    tcp(
        "unknown-option",
        (Level::Must, "RFC 9293, MUST-6"),
        "a SYN with an unknown option is accepted",
        &["an unknown option ends the parsing of the segment"],
        unknown_option,
    ),
    tcp(
        "illegal-option",
        (Level::Must, "RFC 9293, MUST-7"),
        "options with illegal lengths do no harm",
        &["the length of an option is not compared with what is left of the header: a loop, or a read beyond it"],
        illegal_option,
    ),
    tcp(
        "no-option",
        (Level::Must, "RFC 9293, MUST-4"),
        "a SYN without options is accepted",
        &["the maximum segment size is taken for mandatory"],
        |host| accepted(host, |syn| syn.options.clear()),
    ),
    tcp(
        "mss-zero",
        (Level::Must, "RFC 9293, 3.7.1"),
        "a SYN with a maximum segment size of 0 does no harm",
        &["a division by the maximum segment size, or a loop that sends nothing"],
        |host| survives(host, |syn| syn.options = vec![2, 4, 0, 0]),
    ),
    tcp(
        "syn-repeated",
        (Level::Should, "RFC 9293, 3.10.7.4"),
        "a repeated SYN is answered again, by the same connection",
        &["a repeated SYN opens a second connection, or is lost: the peer waits for seconds"],
        repeated,
    ),
    tcp(
        "syn-data",
        (Level::Must, "RFC 9293, MUST-1, 3.5"),
        "data in a SYN is acknowledged and kept, or left for the peer to send again",
        &["data in a SYN is acknowledged and lost"],
        syn_data,
    ),
    tcp(
        "syn-fin",
        (Level::Must, "RFC 9293, 3.10.7.2"),
        "a SYN with FIN does no harm",
        &["the FIN is processed before the connection is open"],
        |host| survives(host, |syn| syn.flags |= flags::FIN),
    ),
    tcp(
        "closed-port",
        (Level::Must, "RFC 9293, 3.10.7.1"),
        "a SYN to a closed port is answered by a reset with sequence number 0 that acknowledges it",
        &["resets are not sent: peers wait for their timeout instead of an error"],
        closed_port,
    )
    .quick(),
    tcp(
        "closed-port-ack",
        (Level::Must, "RFC 9293, 3.10.7.1"),
        "a segment to no connection is answered by a reset with its acknowledgement number",
        &["peers of a board that was restarted do not notice it"],
        closed_port_ack,
    )
    .quick(),
    tcp(
        "closed-port-rst",
        (Level::Must, "RFC 9293, 3.10.7.1"),
        "a reset to no connection is not answered",
        &["the flags of a segment are not looked at: two such stacks would answer each other for ever"],
        closed_port_rst,
    ),
    tcp(
        "syn-received-rst",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a reset ends a half-open connection",
        &["a half-open connection holds its slot until a timeout"],
        syn_received_rst,
    ),
    tcp(
        "syn-received-wrong-ack",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a half-open connection answers a wrong acknowledgement by a reset and is not opened by it",
        &["the acknowledgement number of the third segment is not checked: connections from forged addresses"],
        wrong_third,
    ),
    tcp(
        "half-open",
        (Level::Must, "RFC 5961, 4.2; RFC 9293, 3.5.1"),
        "a peer that was restarted gets a connection from the same port after its reset",
        &["a SYN for an existing connection is ignored", "the reset that follows is not accepted"],
        half_open,
    )
    .quick(),
    tcp(
        "half-open-many",
        (Level::Should, "RFC 4987, 3"),
        "a connection is possible although 16 handshakes are not finished",
        &["half-open connections hold all slots: limit their time, or end the oldest when a SYN finds no slot"],
        half_open_many,
    )
    .scheduled(Schedule::Alone),
];

fn handshake(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.open()?;
    let syn_ack = &connection.syn_ack;
    require(syn_ack.window > 0, || "its window is 0".to_owned())?;
    require(!syn_ack.has(flags::FIN) && syn_ack.payload.is_empty(), || format!("it is {syn_ack}"))?;
    Ok(format!("after {}, window {}", crate::probe::Seconds(connection.rtt), syn_ack.window))
}

fn mss_option(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.open()?;
    match connection.syn_ack.option(2) {
        Some(&[high, low]) => Ok(format!("{} bytes", u16::from_be_bytes([high, low]))),
        _ => Err(Stop::failed(format!("the SYN-ACK is {}", connection.syn_ack))),
    }
}

fn isn(host: &Host<'_>) -> Result<String, Stop> {
    let mut numbers = Vec::new();
    for _ in 0..6 {
        numbers.push(host.open()?.syn_ack.sequence);
        host.wait(host.board.rtt * 2)?;
    }
    let steps: Vec<u32> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let mut different = steps.clone();
    different.sort_unstable();
    different.dedup();
    require(different.len() > 2 && !steps.contains(&0), || format!("six connections: {numbers:?}"))?;
    // The part that only a clock adds in that time is the same for all ports, and small.
    let small = steps.iter().filter(|&&step| step < 1 << 20).count();
    require(small < steps.len(), || {
        format!("six connections: {numbers:?}: each is a little larger than the one before")
    })?;
    Ok("six different ones, not ascending".to_owned())
}

fn not_offered(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.open()?;
    for (kind, name) in [(3, "window scale"), (4, "SACK permitted"), (8, "timestamps")] {
        require(connection.syn_ack.option(kind).is_none(), || format!("the SYN-ACK has the option {name}"))?;
    }
    Ok("none".to_owned())
}

/// A connection whose SYN was changed can be used.
fn accepted(host: &Host<'_>, change: impl FnOnce(&mut Tcp)) -> Result<String, Stop> {
    let connection = host.open_with(change)?;
    connection.read(host.board.service.banner.len())?;
    if host.board.service.reply > 0 {
        connection.exchange(LINE)?;
    }
    Ok("accepted".to_owned())
}

/// A SYN that was changed may be accepted, refused or ignored; the next one is accepted.
fn survives(host: &Host<'_>, change: impl FnOnce(&mut Tcp)) -> Result<String, Stop> {
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

impl Host<'_> {
    /// An empty segment from and to the ports of this SYN, without options.
    pub(super) fn closing(&self, syn: &Tcp) -> Tcp {
        Tcp { options: Vec::new(), payload: Vec::new(), ..syn.clone() }
    }
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

fn repeated(host: &Host<'_>) -> Result<String, Stop> {
    let syn = host.syn();
    host.send_tcp(&syn)?;
    let acknowledges = |tcp: &Tcp| tcp.has(flags::ACK) && tcp.acknowledgement == syn.sequence.wrapping_add(1);
    // Within half the time of the first retransmission.
    let answer = || host.segment(syn.source_port, host.board.reply_time() / 2, acknowledges);
    let Some((_, first)) = answer()? else { return Err(Stop::failed("the first SYN is not answered")) };
    host.send_tcp(&syn)?;
    let again = answer()?;
    host.send_tcp(&Tcp { sequence: syn.sequence.wrapping_add(1), flags: flags::RST, ..host.closing(&syn) })?;
    let Some((_, second)) = again else { return Err(Stop::failed("the second SYN is not answered")) };
    let is_syn_ack = second.has(flags::SYN);
    let expected = if is_syn_ack { first.sequence } else { first.sequence.wrapping_add(1) };
    require(second.sequence == expected, || {
        format!("the first SYN-ACK has sequence number {}, the second answer {}", first.sequence, second.sequence)
    })?;
    Ok(if is_syn_ack { "by the same SYN-ACK" } else { "by an ACK" }.to_owned())
}

fn syn_data(host: &Host<'_>) -> Result<String, Stop> {
    let syn = Tcp { payload: LINE.to_vec(), ..host.syn() };
    host.send_tcp(&syn)?;
    let answer = host.segment(syn.source_port, host.board.reply_time(), |tcp| tcp.has(flags::SYN))?;
    let Some((_, answer)) = answer else { return Err(Stop::failed("the SYN is not answered")) };
    let sequence = answer.acknowledgement;
    let is_kept = sequence == syn.end();
    require(is_kept || sequence == syn.sequence.wrapping_add(1), || format!("the SYN-ACK acknowledges {sequence}"))?;
    // What was not acknowledged is sent again.
    let payload = if is_kept { Vec::new() } else { LINE.to_vec() };
    let third = Tcp {
        sequence,
        acknowledgement: answer.sequence.wrapping_add(1),
        flags: flags::ACK | flags::PSH,
        payload,
        ..host.closing(&syn)
    };
    host.send_tcp(&third)?;
    let expected = host.board.service.banner.len() + host.board.service.reply;
    let all = answer.sequence.wrapping_add(1).wrapping_add(u32::try_from(expected).unwrap_or_default());
    let received = host.segment(syn.source_port, host.board.reply_time(), |tcp| tcp.end() == all)?;
    host.send_tcp(&Tcp { sequence: syn.end(), flags: flags::RST, ..host.closing(&syn) })?;
    require(received.is_some(), || "the line that came with the SYN is not answered".to_owned())?;
    Ok(if is_kept { "kept" } else { "left for the peer" }.to_owned())
}

/// A port that nothing listens on, most likely.
fn closed(host: &Host<'_>) -> u16 {
    host.board.port ^ 0x2a5
}

fn closed_port(host: &Host<'_>) -> Result<String, Stop> {
    let syn = Tcp { destination_port: closed(host), ..host.syn() };
    host.send_tcp(&syn)?;
    let answer = host.segment(syn.source_port, host.board.reply_time(), |_| true)?;
    let Some((_, answer)) = answer else { return Err(Stop::failed("no answer")) };
    let is_right = answer.flags == flags::RST | flags::ACK
        && answer.sequence == 0
        && answer.acknowledgement == syn.sequence.wrapping_add(1);
    require(is_right, || format!("the answer to {syn} is {answer}"))?;
    Ok("refused".to_owned())
}

fn closed_port_ack(host: &Host<'_>) -> Result<String, Stop> {
    let acknowledgement = host.random();
    let segment =
        Tcp { destination_port: closed(host), flags: flags::ACK, acknowledgement, options: Vec::new(), ..host.syn() };
    for destination_port in [closed(host), host.board.port] {
        let segment = Tcp { destination_port, ..segment.clone() };
        host.send_tcp(&segment)?;
        let answer = host.segment(segment.source_port, host.board.reply_time(), |_| true)?;
        let Some((_, answer)) = answer else {
            return Err(Stop::failed(format!("no answer from port {destination_port}")));
        };
        let is_right = answer.has(flags::RST) && !answer.has(flags::ACK) && answer.sequence == acknowledgement;
        require(is_right, || format!("the answer to {segment} is {answer}"))?;
    }
    Ok("reset, from a closed port and from the service's".to_owned())
}

fn closed_port_rst(host: &Host<'_>) -> Result<String, Stop> {
    let segment = Tcp { options: Vec::new(), destination_port: closed(host), flags: flags::RST, ..host.syn() };
    for destination_port in [closed(host), host.board.port] {
        host.send_tcp(&Tcp { destination_port, ..segment.clone() })?;
        let answer = host.segment(segment.source_port, host.board.quiet_time(), |_| true)?;
        require(answer.is_none(), || format!("a reset to port {destination_port} is answered"))?;
    }
    Ok("not answered".to_owned())
}

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
