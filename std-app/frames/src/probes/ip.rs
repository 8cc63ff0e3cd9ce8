//! IP: headers of both versions, and addresses that no host has.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    frame::Frame,
    host::Host,
    ip::{Ip, array, fill_header_checksum, fill_transport_checksum, protocol, set_word, word},
    messages::{self, kind},
    probe::{Group, Level, Probe, Stop, Versions, require},
    tcp::Tcp,
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Ip,
        "header-checksum",
        (Level::Must, "RFC 1122, 3.2.1.2"),
        "a packet with a wrong header checksum is discarded",
        &["the driver says that the card verifies checksums, and the card does not"],
        |host| discarded(host, |bytes| change_word(bytes, 10, |sum| sum ^ 0x1111), false),
    )
    .only(Versions::V4)
    .quick(),
    Probe::new(
        Group::Ip,
        "version",
        (Level::Must, "RFC 1122, 3.2.1.1; RFC 8200, 3"),
        "a packet whose version is not that of its frame is discarded",
        &["the version is taken from the type of the frame alone"],
        |host| discarded(host, |bytes| set_first(bytes, |first| first & 15 | 0x50), true),
    ),
    Probe::new(
        Group::Ip,
        "header-length",
        (Level::Must, "RFC 791, 3.1"),
        "packets whose header length is less than 20 or beyond the packet are discarded",
        &["the header length is not compared with the lengths of the packet and the frame"],
        |host| {
            discarded(host, |bytes| set_first(bytes, |first| first & 0xf0 | 4), true)?;
            discarded(host, |bytes| set_first(bytes, |first| first | 15), true)
        },
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "total-length",
        (Level::Must, "RFC 791, 3.1; RFC 8200, 3"),
        "packets that are longer than their frame, or shorter than their header, are discarded",
        &["the length in the header is not compared with what was received: memory behind it is read"],
        total_length,
    )
    .quick(),
    Probe::new(
        Group::Ip,
        "options",
        (Level::Must, "RFC 1122, 3.2.1.8"),
        "a packet with options is accepted",
        &["the payload is looked for 20 bytes behind the start of the header"],
        |host| options(host, &[1, 1, 1, 0]),
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "options-malformed",
        (Level::Must, "RFC 1122, 3.2.1.8"),
        "options with illegal lengths do no harm",
        &["the length of an option is not compared with what is left of the header"],
        malformed_options,
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "ttl-one",
        (Level::Must, "RFC 1122, 3.2.1.7"),
        "a packet whose TTL is 1 is accepted",
        &["the TTL is decreased before the destination is looked at"],
        |host| answered(host, |ip| ip.ttl = 1),
    ),
    Probe::new(
        Group::Ip,
        "source-group",
        (Level::Must, "RFC 1122, 3.2.1.3; RFC 4443, 2.4"),
        "packets from a broadcast address, a group or the loopback network are discarded",
        &["the source address is not checked: one packet makes the board send to everybody"],
        source_group,
    ),
    Probe::new(
        Group::Ip,
        "source-own",
        (Level::Must, "RFC 1122, 3.2.1.3"),
        "a SYN from the board's own address and port does no harm",
        &["the stack answers itself for ever (LAND attack)"],
        source_own,
    ),
    Probe::new(
        Group::Ip,
        "destination-other",
        (Level::Must, "RFC 1122, 3.2.1.3"),
        "a packet for another IP address is not answered, though its frame is for the board",
        &["the destination address is not compared with the own one"],
        destination_other,
    ),
    Probe::new(
        Group::Ip,
        "destination-broadcast",
        (Level::Must, "RFC 9293, MUST-57"),
        "a SYN to a broadcast or group address is not answered",
        &["TCP accepts packets that are not for the own address"],
        destination_broadcast,
    ),
    Probe::new(
        Group::Ip,
        "unknown-protocol",
        (Level::Should, "RFC 1122, 3.2.2.1"),
        "a packet of an unknown protocol is answered by protocol unreachable",
        &["it is discarded silently"],
        unknown_protocol,
    )
    .only(Versions::V4),
    Probe::new(
        Group::Ip,
        "reserved-flag",
        (Level::Must, "RFC 791, 3.1"),
        "a packet with the reserved flag does no harm",
        &["the flag is taken for a part of the fragment offset"],
        reserved_flag,
    )
    .only(Versions::V4),
];

fn change_word(bytes: &mut [u8], offset: usize, change: impl FnOnce(u16) -> u16) {
    let value = change(word(bytes, offset));
    set_word(bytes, offset, value);
}

fn set_first(bytes: &mut [u8], change: impl FnOnce(u8) -> u8) {
    if let Some(first) = bytes.first_mut() {
        *first = change(*first);
    }
}

/// An echo request whose bytes are changed is not answered; the next one is. The header checksum is made right if `repair`.
fn discarded(host: &Host<'_>, change: impl FnOnce(&mut Vec<u8>), repair: bool) -> Result<String, Stop> {
    let mut bytes = host.echo_packet(1, &[0x31; 40]).to_bytes();
    change(&mut bytes);
    if repair && host.board.address.is_ipv4() {
        fill_header_checksum(&mut bytes);
    }
    host.send_raw_ip(&bytes)?;
    host.expect_no_reply(1, "it")?;
    host.expect_echo("afterwards")?;
    Ok("discarded".to_owned())
}

/// An echo request that is changed is answered.
fn answered(host: &Host<'_>, change: impl FnOnce(&mut Ip)) -> Result<String, Stop> {
    let mut ip = host.echo_packet(1, &[0x31; 40]);
    change(&mut ip);
    host.send_ip(&ip)?;
    require(host.echo_reply(1, host.board.reply_time())?.is_some(), || "it is not answered".to_owned())?;
    Ok("answered".to_owned())
}

fn total_length(host: &Host<'_>) -> Result<String, Stop> {
    let offset = if host.board.address.is_ipv4() { 2 } else { 4 };
    discarded(host, |bytes| change_word(bytes, offset, |length| length + 200), true)?;
    discarded(host, |bytes| set_word(bytes, offset, 9), true)
}

fn options(host: &Host<'_>, options: &[u8]) -> Result<String, Stop> {
    answered(host, |ip| ip.options = options.to_vec())
}

fn malformed_options(host: &Host<'_>) -> Result<String, Stop> {
    let malformed: [[u8; 4]; 4] = [[7, 0, 0, 0], [7, 40, 4, 0], [7, 1, 1, 1], [131, 3, 200, 0]];
    for options in malformed {
        let mut ip = host.echo_packet(1, &[0x31; 40]);
        ip.options = options.to_vec();
        host.send_ip(&ip)?;
        host.wait(host.board.rtt)?;
        host.expect_echo(&format!("after the options {options:?}"))?;
    }
    Ok(format!("{} kinds", malformed.len()))
}

/// Sends an echo request from this address. Returns whether anything but questions for neighbors comes.
fn from(host: &Host<'_>, source: IpAddr) -> Result<Option<Frame>, Stop> {
    let mut request = host.echo_packet(1, &[0x31; 24]);
    request.source = source;
    fill_transport_checksum(source, request.destination, request.protocol, &mut request.payload);
    host.send_ip(&request)?;
    host.receive(host.board.quiet_time(), |frame| {
        frame.icmp(messages::echo_reply_kind(source)).is_some_and(|ip| ip.destination == source)
    })
}

fn source_group(host: &Host<'_>) -> Result<String, Stop> {
    let sources: Vec<IpAddr> = match host.board.address {
        IpAddr::V4(board) => vec![
            Ipv4Addr::BROADCAST.into(),
            Ipv4Addr::from_bits(board.to_bits() | 255).into(),
            Ipv4Addr::new(224, 0, 0, 1).into(),
            Ipv4Addr::LOCALHOST.into(),
        ],
        IpAddr::V6(_) => vec![Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::LOCALHOST.into()],
    };
    for source in &sources {
        require(from(host, *source)?.is_none(), || format!("an echo request from {source} is answered"))?;
    }
    host.expect_echo("afterwards")?;
    Ok("discarded".to_owned())
}

fn source_own(host: &Host<'_>) -> Result<String, Stop> {
    let board = host.board.address;
    let syn = Tcp { source_port: host.board.port, ..host.syn() };
    let mut segment = host.packet(protocol::TCP, syn.to_bytes());
    segment.source = board;
    fill_transport_checksum(board, board, protocol::TCP, &mut segment.payload);
    host.send_ip(&segment)?;
    host.wait(host.board.quiet_time())?;
    host.expect_echo("afterwards")?;
    host.open()?;
    Ok("no harm".to_owned())
}

fn destination_other(host: &Host<'_>) -> Result<String, Stop> {
    let other: IpAddr = match host.board.address {
        IpAddr::V4(board) => Ipv4Addr::from_bits(board.to_bits() ^ 0x41).into(),
        IpAddr::V6(board) => Ipv6Addr::from_bits(board.to_bits() ^ 0x4100).into(),
    };
    let mut request = host.echo_packet(1, &[0x31; 24]);
    request.destination = other;
    fill_transport_checksum(request.source, other, request.protocol, &mut request.payload);
    host.send_ip(&request)?;
    let answer = host.receive(host.board.quiet_time(), |frame| {
        frame.ip().is_some_and(|ip| ip.source == other || frame.icmp(messages::echo_reply_kind(other)).is_some())
    })?;
    require(answer.is_none(), || format!("a packet for {other} is answered"))?;
    host.expect_echo("afterwards")?;
    Ok("not answered".to_owned())
}

fn destination_broadcast(host: &Host<'_>) -> Result<String, Stop> {
    let destinations: Vec<IpAddr> = match host.board.address {
        IpAddr::V4(board) => vec![
            Ipv4Addr::BROADCAST.into(),
            Ipv4Addr::from_bits(board.to_bits() | 255).into(),
            Ipv4Addr::new(224, 0, 0, 1).into(),
        ],
        IpAddr::V6(_) => vec![Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into()],
    };
    for destination in destinations {
        let syn = host.syn();
        let mut segment = host.packet(protocol::TCP, syn.to_bytes());
        segment.destination = destination;
        fill_transport_checksum(segment.source, destination, protocol::TCP, &mut segment.payload);
        host.send_ip(&segment)?;
        let answer = host.receive(host.board.quiet_time(), |frame| {
            frame.tcp().is_some_and(|tcp| tcp.destination_port == syn.source_port)
        })?;
        require(answer.is_none(), || format!("a SYN to {destination} is answered"))?;
    }
    host.expect_echo("afterwards")?;
    Ok("not answered".to_owned())
}

fn unknown_protocol(host: &Host<'_>) -> Result<String, Stop> {
    let mut packet = host.packet(protocol::ICMP, vec![0; 24]);
    packet.protocol = protocol::UNASSIGNED;
    host.send_ip(&packet)?;
    let answer = host.receive(host.board.reply_time(), |frame| frame.icmp(kind::UNREACHABLE).is_some())?;
    let code = answer.as_ref().and_then(Frame::ip).map(|ip| array::<2>(&ip.payload, 0)[1]);
    require(code == Some(2), || {
        code.map_or_else(|| "no answer".to_owned(), |code| format!("unreachable, code {code}"))
    })?;
    Ok("protocol unreachable".to_owned())
}

fn reserved_flag(host: &Host<'_>) -> Result<String, Stop> {
    let mut packet = host.echo_packet(1, &[0x31; 40]);
    packet.fragment = 0x8000;
    host.send_ip(&packet)?;
    let is_answered = host.echo_reply(1, host.board.quiet_time())?.is_some();
    host.expect_echo("after a packet with the reserved flag")?;
    Ok(if is_answered { "the flag is ignored" } else { "the packet is discarded" }.to_owned())
}
