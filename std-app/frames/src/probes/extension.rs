//! Extension headers of IPv6, and parameter problems.

use crate::{
    frame::Frame,
    host::Host,
    ip::{Ip, array, protocol},
    messages::kind,
    probe::{Group, Level, Probe, Stop, Versions, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Ip,
        "hop-by-hop",
        (Level::Must, "RFC 8200, 4.2, 4.3"),
        "a packet with a hop-by-hop header of padding is accepted",
        &["extension headers are not skipped"],
        |host| extended(host, protocol::HOP_BY_HOP, [1, 4, 0, 0, 0, 0]),
    )
    .only(Versions::V6),
    Probe::new(
        Group::Ip,
        "destination-options",
        (Level::Must, "RFC 8200, 4.2, 4.6"),
        "a packet with a destination options header whose option is unknown and skippable is accepted",
        &["an unknown option ends the parsing, whatever its highest bits say"],
        |host| extended(host, protocol::DESTINATION_OPTIONS, [0x1e, 4, 1, 2, 3, 4]),
    )
    .only(Versions::V6),
    Probe::new(
        Group::Ip,
        "option-discard",
        (Level::Must, "RFC 8200, 4.2"),
        "a packet with an unknown hop-by-hop option that says so (01) is discarded",
        &["the highest bits of an unknown option are not looked at"],
        option_discard,
    )
    .only(Versions::V6),
    Probe::new(
        Group::Ip,
        "option-problem",
        (Level::Must, "RFC 8200, 4.2; RFC 4443, 3.4"),
        "an unknown hop-by-hop option that asks for it (10) is answered by a parameter problem that points at it",
        &["the message is not sent, or its pointer is not the offset from the start of the packet"],
        option_problem,
    )
    .only(Versions::V6),
    Probe::new(
        Group::Ip,
        "next-header",
        (Level::Should, "RFC 8200, 4; RFC 4443, 3.4"),
        "an unknown next header is answered by a parameter problem (code 1) that points at its field",
        &["the message is not sent, or its pointer is that of the payload"],
        next_header,
    )
    .only(Versions::V6),
    Probe::new(
        Group::Ip,
        "next-header-none",
        (Level::Must, "RFC 8200, 4.7"),
        "a packet whose next header says that nothing follows is ignored",
        &["it is taken for an unknown protocol: a keep-alive of a tunnel causes an error message"],
        next_header_none,
    )
    .only(Versions::V6),
];

/// An echo request behind a header of options with this option, which has 6 bytes.
fn with_option(host: &Host<'_>, header: u8, option: [u8; 6]) -> Ip {
    let mut packet = host.echo_packet(1, &[0x31; 24]);
    let mut payload = vec![packet.protocol, 0];
    payload.extend(option);
    payload.append(&mut packet.payload);
    Ip { protocol: header, payload, ..packet }
}

fn extended(host: &Host<'_>, header: u8, option: [u8; 6]) -> Result<String, Stop> {
    host.send_ip(&with_option(host, header, option))?;
    require(host.echo_reply(1, host.board.reply_time())?.is_some(), || "it is not answered".to_owned())?;
    Ok("answered".to_owned())
}

fn option_discard(host: &Host<'_>) -> Result<String, Stop> {
    host.send_ip(&with_option(host, protocol::HOP_BY_HOP, [0x5e, 4, 1, 2, 3, 4]))?;
    host.expect_no_reply(1, "it")?;
    host.expect_echo("afterwards")?;
    Ok("discarded".to_owned())
}

/// The code and pointer of the parameter problem that answers.
fn problem(host: &Host<'_>) -> Result<Option<(u8, u32)>, Stop> {
    let is_problem = |frame: &Frame| {
        frame.icmp(kind::PARAMETER_PROBLEM_V6).is_some_and(|ip| ip.destination == host.identity().address)
    };
    let answer = host.receive(host.board.reply_time(), is_problem)?;
    Ok(answer.as_ref().and_then(Frame::ip).map(|ip| {
        let [_, code] = array::<2>(&ip.payload, 0);
        (code, crate::ip::long_word(&ip.payload, 4))
    }))
}

fn option_problem(host: &Host<'_>) -> Result<String, Stop> {
    host.send_ip(&with_option(host, protocol::HOP_BY_HOP, [0x9e, 4, 1, 2, 3, 4]))?;
    match problem(host)? {
        Some((2, 42)) => Ok("code 2 at 42".to_owned()),
        Some((code, pointer)) => Err(Stop::failed(format!("code {code} at {pointer} instead of code 2 at 42"))),
        None => Err(Stop::failed("no answer")),
    }
}

fn next_header(host: &Host<'_>) -> Result<String, Stop> {
    let mut packet = host.echo_packet(1, &[0x31; 24]);
    packet.protocol = protocol::UNASSIGNED;
    host.send_ip(&packet)?;
    match problem(host)? {
        Some((1, 6)) => Ok("code 1 at 6".to_owned()),
        Some((code, pointer)) => Err(Stop::failed(format!("code {code} at {pointer} instead of code 1 at 6"))),
        None => Err(Stop::failed("no answer")),
    }
}

fn next_header_none(host: &Host<'_>) -> Result<String, Stop> {
    let packet = Ip { protocol: protocol::NONE, ..host.echo_packet(1, &[0x31; 24]) };
    host.clear();
    host.send_ip(&packet)?;
    let answer = host.receive(host.board.quiet_time(), |frame| frame.icmp(kind::PARAMETER_PROBLEM_V6).is_some())?;
    require(answer.is_none(), || "it is answered by a parameter problem".to_owned())?;
    host.expect_no_reply(1, "it")?;
    host.expect_echo("afterwards")?;
    Ok("ignored".to_owned())
}
