//! ICMP errors: when the board sends them, when it must not, and what it does with those that it receives.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    frame::{Frame, Packet, ethertype},
    host::Host,
    ip::{Ip, fill_transport_checksum, protocol},
    messages::{self, kind, multicast_mac},
    probe::{Group, Level, Probe, Stop, require},
};
use smoltcp::wire::EthernetAddress;

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Icmp,
        "closed-udp-port",
        (Level::Should, "RFC 1122, 4.1.3.1; RFC 4443, 3.1"),
        "a datagram to a closed UDP port is answered by port unreachable",
        &["peers wait for their timeout instead of an error"],
        |host| closed_udp_port(host, false),
    )
    .quick(),
    Probe::new(
        Group::Icmp,
        "error-quotes",
        (Level::Must, "RFC 1122, 3.2.2; RFC 4443, 3.1"),
        "an ICMP error contains the IP header and the first 8 bytes of the packet that caused it",
        &["the quoted bytes are those of another packet, or were changed: the peer cannot tell what it is about"],
        |host| closed_udp_port(host, true),
    ),
    Probe::new(
        Group::Icmp,
        "no-error-to-group",
        (Level::Must, "RFC 1122, 3.2.2; RFC 4443, 2.4"),
        "a datagram to a broadcast or group address causes no ICMP error",
        &["one packet makes all boards of a network send at the same time"],
        no_error_to_group,
    ),
    Probe::new(
        Group::Icmp,
        "no-error-to-error",
        (Level::Must, "RFC 1122, 3.2.2; RFC 4443, 2.4"),
        "an ICMP error causes no ICMP error",
        &["two such stacks would answer each other for ever"],
        no_error_to_error,
    ),
    Probe::new(
        Group::Icmp,
        "unknown-type",
        (Level::Must, "RFC 1122, 3.2.2; RFC 4443, 2.4"),
        "an ICMP message of an unknown informational type is discarded",
        &["the type is used as an index, or the message is answered"],
        unknown_type,
    ),
    Probe::new(
        Group::Icmp,
        "short-message",
        (Level::Must, "RFC 792"),
        "ICMP messages that are too short do no harm",
        &["fields are read behind the end of the message"],
        short_message,
    ),
    Probe::new(
        Group::Icmp,
        "udp-checksum",
        (Level::Must, "RFC 1122, 4.1.3.4"),
        "a datagram with a wrong UDP checksum is discarded",
        &["the driver says that the card verifies checksums, and the card does not"],
        udp_checksum,
    ),
    Probe::new(
        Group::Icmp,
        "soft-error",
        (Level::Must, "RFC 9293, MUST-56; RFC 5461"),
        "host unreachable and time exceeded for a connection do not end it",
        &["any ICMP error ends the connection: anyone who guesses the ports can"],
        soft_error,
    ),
];

const CLOSED: u16 = 33_499;

/// A datagram to a closed port.
fn datagram(host: &Host<'_>, source_port: u16) -> Ip {
    host.packet(protocol::UDP, messages::udp(source_port, CLOSED, b"is anybody there?"))
}

/// Whether it is an ICMP error to this host.
fn is_error(host: &Host<'_>, frame: &Frame) -> bool {
    let Packet::Icmp(ip) = &frame.packet else { return false };
    let kind = ip.payload.first().copied().unwrap_or_default();
    let is_one = if ip.source.is_ipv4() { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { kind < 128 };
    is_one && ip.destination == host.identity().address
}

fn closed_udp_port(host: &Host<'_>, compares: bool) -> Result<String, Stop> {
    let datagram = datagram(host, host.port());
    host.send_ip(&datagram)?;
    let answer = host.receive(host.board.reply_time(), |frame| is_error(host, frame))?;
    let Some(payload) = answer.as_ref().and_then(Frame::ip).map(|ip| &ip.payload) else {
        return Err(if compares { Stop::undecided("it sends no ICMP error") } else { Stop::failed("no answer") });
    };
    let (port, protocol) = if host.board.address.is_ipv4() { ([3, 3], [3, 2]) } else { ([1, 4], [4, 1]) };
    let has_no_udp = payload.starts_with(&protocol);
    require(has_no_udp || payload.starts_with(&port), || format!("type and code are {:?}", payload.get(..2)))?;
    if compares {
        let sent = datagram.to_bytes();
        let header = sent.len() - datagram.payload.len();
        let quoted = payload.get(8..).unwrap_or_default();
        let least = header + 8;
        require(quoted.len() >= least && sent.starts_with(&quoted[..quoted.len().min(least)]), || {
            format!("sent {:02x?}, quoted {:02x?}", &sent[..least], quoted.get(..least).unwrap_or(quoted))
        })?;
        return Ok(format!("{} bytes", quoted.len()));
    }
    Ok(if has_no_udp { "protocol unreachable: it has no UDP" } else { "port unreachable" }.to_owned())
}

fn no_error_to_group(host: &Host<'_>) -> Result<String, Stop> {
    let groups: Vec<(IpAddr, EthernetAddress)> = match host.board.address {
        IpAddr::V4(board) => vec![
            (Ipv4Addr::BROADCAST.into(), EthernetAddress::BROADCAST),
            (Ipv4Addr::from_bits(board.to_bits() | 255).into(), EthernetAddress::BROADCAST),
            (Ipv4Addr::new(224, 0, 0, 1).into(), EthernetAddress([1, 0, 0x5e, 0, 0, 1])),
        ],
        IpAddr::V6(_) => {
            let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            vec![(all.into(), multicast_mac(all))]
        }
    };
    let version = if host.board.address.is_ipv4() { ethertype::IPV4 } else { ethertype::IPV6 };
    for (group, mac) in groups {
        let mut packet = datagram(host, host.port());
        packet.destination = group;
        fill_transport_checksum(packet.source, group, protocol::UDP, &mut packet.payload);
        host.send_to(mac, version, &packet.to_bytes())?;
        let answer = host.receive(host.board.quiet_time(), |frame| is_error(host, frame))?;
        require(answer.is_none(), || format!("a datagram to {group} is answered"))?;
    }
    host.expect_echo("afterwards")?;
    Ok("none".to_owned())
}

/// An ICMP error about a packet that the board never sent, or about a segment of a connection.
fn error_about(host: &Host<'_>, kind: u8, code: u8, quoted: &Ip) -> Result<(), Stop> {
    let mut rest = vec![0; 4];
    rest.extend(quoted.to_bytes());
    host.send_icmp(messages::icmp(kind, code, &rest))
}

fn no_error_to_error(host: &Host<'_>) -> Result<String, Stop> {
    let (unreachable, code) =
        if host.board.address.is_ipv4() { (kind::UNREACHABLE, 3) } else { (kind::UNREACHABLE_V6, 4) };
    let mut quoted = datagram(host, CLOSED);
    (quoted.source, quoted.destination) = (quoted.destination, quoted.source);
    host.clear();
    error_about(host, unreachable, code, &quoted)?;
    // An unknown error, too.
    error_about(host, if host.board.address.is_ipv4() { 12 } else { 100 }, 9, &quoted)?;
    let answer = host.receive(host.board.quiet_time(), |frame| is_error(host, frame))?;
    require(answer.is_none(), || "it is answered".to_owned())?;
    host.expect_echo("afterwards")?;
    Ok("none".to_owned())
}

fn unknown_type(host: &Host<'_>) -> Result<String, Stop> {
    host.clear();
    for kind in [200, 250] {
        host.send_icmp(messages::icmp(kind, 0, &[0; 12]))?;
    }
    let answer = host.receive(host.board.quiet_time(), |frame| is_error(host, frame))?;
    require(answer.is_none(), || "it is answered".to_owned())?;
    host.expect_echo("afterwards")?;
    Ok("discarded".to_owned())
}

fn short_message(host: &Host<'_>) -> Result<String, Stop> {
    let echo = messages::echo_request(host.board.address, 0x6772, 1, &[]);
    for length in 1..8 {
        let message = echo.get(..length).unwrap_or_default().to_vec();
        host.send_ip(&host.packet(host.icmp_protocol(), message))?;
        host.wait(host.board.rtt)?;
    }
    let unreachable = if host.board.address.is_ipv4() { kind::UNREACHABLE } else { kind::UNREACHABLE_V6 };
    for length in [0, 1, 19, 21] {
        host.send_icmp(messages::icmp(unreachable, 3, &vec![0x45; 4 + length]))?;
        host.wait(host.board.rtt)?;
    }
    host.expect_no_reply(1, "an echo request of less than 8 bytes")?;
    host.expect_echo("afterwards")?;
    Ok("no harm".to_owned())
}

fn udp_checksum(host: &Host<'_>) -> Result<String, Stop> {
    let good = datagram(host, host.port());
    host.send_ip(&good)?;
    let answer = host.receive(host.board.reply_time(), |frame| is_error(host, frame))?;
    let port = if host.board.address.is_ipv4() { [3, 3] } else { [1, 4] };
    if !answer.as_ref().and_then(Frame::ip).is_some_and(|ip| ip.payload.starts_with(&port)) {
        return Err(Stop::undecided("it does not answer a right datagram by port unreachable"));
    }
    let mut bad = good;
    if let Some(byte) = bad.payload.get_mut(10) {
        *byte ^= 4;
    }
    host.send_ip(&bad)?;
    let answer = host.receive(host.board.quiet_time(), |frame| is_error(host, frame))?;
    require(answer.is_none(), || "it is answered by port unreachable".to_owned())?;
    Ok("discarded".to_owned())
}

fn soft_error(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    // A segment of the board, as a router would quote it.
    let mut quoted = host.packet(protocol::TCP, Vec::new());
    (quoted.source, quoted.destination) = (quoted.destination, quoted.source);
    let segment = connection.segment();
    let last = crate::tcp::Tcp {
        source_port: segment.destination_port,
        destination_port: segment.source_port,
        sequence: segment.acknowledgement,
        acknowledgement: segment.sequence,
        ..segment
    };
    quoted.payload = last.to_bytes();
    fill_transport_checksum(quoted.source, quoted.destination, protocol::TCP, &mut quoted.payload);
    let errors: [(u8, u8); 3] =
        if host.board.address.is_ipv4() { [(3, 0), (3, 1), (11, 0)] } else { [(1, 0), (1, 3), (3, 0)] };
    for (kind, code) in errors {
        error_about(host, kind, code, &quoted)?;
    }
    host.wait(host.board.quiet_time())?;
    connection.is_alive("host unreachable and time exceeded")?;
    Ok("the connection stays".to_owned())
}
