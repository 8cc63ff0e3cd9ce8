//! TCP, opening: the handshake, initial sequence numbers, repeated SYNs and data in them.

use super::options::survives;
use crate::{
    board::LINE,
    host::Host,
    probe::{Group, Level, Probe, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "handshake",
        (Level::Must, "RFC 9293, 3.5"),
        "a SYN is answered by a SYN-ACK that acknowledges it and offers a window",
        &["the service does not listen", "the acknowledgement does not count the SYN"],
        handshake,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "isn",
        (Level::Must, "RFC 9293, MUST-8; RFC 6528"),
        "initial sequence numbers differ in an unpredictable way",
        &["the random seed is constant: it is not filled from a source of entropy", "a counter is used"],
        isn,
    ),
    Probe::new(
        Group::Tcp,
        "syn-repeated",
        (Level::Should, "RFC 9293, 3.10.7.4"),
        "a repeated SYN is answered again, by the same connection",
        &["a repeated SYN opens a second connection, or is lost: the peer waits for seconds"],
        repeated,
    ),
    Probe::new(
        Group::Tcp,
        "syn-data",
        (Level::Must, "RFC 9293, MUST-1, 3.5"),
        "data in a SYN is acknowledged and kept, or left for the peer to send again",
        &["data in a SYN is acknowledged and lost"],
        syn_data,
    ),
    Probe::new(
        Group::Tcp,
        "syn-fin",
        (Level::Must, "RFC 9293, 3.10.7.2"),
        "a SYN with FIN does no harm",
        &["the FIN is processed before the connection is open"],
        |host| survives(host, |syn| syn.flags |= flags::FIN),
    ),
];

impl Host<'_> {
    /// An empty segment from and to the ports of this SYN, without options.
    pub(super) fn closing(&self, syn: &Tcp) -> Tcp {
        Tcp { options: Vec::new(), payload: Vec::new(), ..syn.clone() }
    }
}

fn handshake(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.open()?;
    let syn_ack = &connection.syn_ack;
    require(syn_ack.window > 0, || "its window is 0".to_owned())?;
    require(!syn_ack.has(flags::FIN) && syn_ack.payload.is_empty(), || format!("it is {syn_ack}"))?;
    Ok(format!("after {}, window {}", crate::probe::Seconds(connection.rtt), syn_ack.window))
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
