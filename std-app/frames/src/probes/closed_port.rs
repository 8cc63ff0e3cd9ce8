//! TCP, segments to closed ports and to no connection.

use crate::{
    host::Host,
    probe::{Group, Level, Probe, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "closed-port",
        (Level::Must, "RFC 9293, 3.10.7.1"),
        "a SYN to a closed port is answered by a reset with sequence number 0 that acknowledges it",
        &["resets are not sent: peers wait for their timeout instead of an error"],
        closed_port,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "closed-port-ack",
        (Level::Must, "RFC 9293, 3.10.7.1"),
        "a segment to no connection is answered by a reset with its acknowledgement number",
        &["peers of a board that was restarted do not notice it"],
        closed_port_ack,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "closed-port-rst",
        (Level::Must, "RFC 9293, 3.10.7.1"),
        "a reset to no connection is not answered",
        &["the flags of a segment are not looked at: two such stacks would answer each other for ever"],
        closed_port_rst,
    ),
];

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
