//! Frames: whether the board takes the frames that are for it, and ignores padding and foreign frames.

use smoltcp::wire::EthernetAddress;

use crate::{
    frame::{HEADER, SHORTEST, ethertype, frame_bytes},
    host::Host,
    ip::set_word,
    probe::{Group, Level, Probe, Stop, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Link,
        "padding-ignored",
        (Level::Must, "RFC 894; RFC 1042"),
        "the padding of a short frame is not taken for data",
        &["the length of a packet is taken from its frame instead of from its header"],
        padding,
    )
    .quick(),
    Probe::new(
        Group::Link,
        "foreign-unicast",
        (Level::Must, "RFC 1122, 3.2.1.3"),
        "a frame for another MAC address is ignored",
        &["the card is in promiscuous mode: the board then answers for others, and its processor sees all traffic"],
        foreign,
    )
    .quick(),
    Probe::new(
        Group::Link,
        "broadcast-frame",
        (Level::Should, "RFC 1122, 3.3.6"),
        "a TCP segment in a broadcast frame is discarded",
        &["it is not remembered whether a packet came in a broadcast frame"],
        broadcast,
    ),
    Probe::new(
        Group::Link,
        "multicast-source",
        (Level::Must, "IEEE 802.3, 3.2.3"),
        "a frame whose source is a group of hosts does not become a neighbor's address",
        &["the source of a frame is learned without a look at its group bit: replies go to a group"],
        multicast_source,
    ),
    Probe::new(
        Group::Link,
        "vlan-priority",
        (Level::May, "IEEE 802.1Q, 6.9"),
        "a frame with a priority tag (VLAN 0) is taken like one without a tag",
        &["some switches send such tags to every port: the board then gets nothing"],
        priority_tag,
    ),
    Probe::new(
        Group::Link,
        "vlan-foreign",
        (Level::Must, "IEEE 802.1Q, 6.9"),
        "a frame of a VLAN that the board is not in is ignored",
        &["the VLAN of a tag is not looked at"],
        foreign_vlan,
    ),
    Probe::new(
        Group::Link,
        "llc-frame",
        (Level::Must, "RFC 1122, 2.3.3"),
        "frames with a length instead of a type (802.3 LLC), and of unknown types, are ignored",
        &["a length below 1536 is taken for a type, or an unknown type ends the receive path"],
        llc,
    ),
    Probe::new(
        Group::Link,
        "frame-too-long",
        (Level::Must, "IEEE 802.3, 4.2.4.2.1"),
        "frames of more than 1514 bytes do no harm, and no such frame is sent",
        &["the length of a received frame is not compared with the receive buffer: memory behind it is overwritten"],
        too_long,
    ),
    Probe::new(
        Group::Link,
        "frame-cut",
        (Level::Must, "RFC 1122, 3.2.1.1; RFC 8200, 3"),
        "frames that end within a header do no harm, and are not answered",
        &["a header is read before its length is compared with that of the frame"],
        cut,
    ),
];

fn version(host: &Host<'_>) -> u16 {
    if host.board.address.is_ipv4() { ethertype::IPV4 } else { ethertype::IPV6 }
}

fn padding(host: &Host<'_>) -> Result<String, Stop> {
    let mut frame =
        frame_bytes(host.board.mac, host.identity().mac, version(host), &host.echo_packet(1, b"ab").to_bytes());
    frame.resize(frame.len().max(SHORTEST) + 32, 0xa5);
    host.send_frame(&frame)?;
    let Some(reply) = host.echo_reply(1, host.board.reply_time())? else { return Err(Stop::failed("no reply")) };
    let length = reply.ip().map_or(0, |ip| ip.payload.len());
    require(length == 10, || format!("2 bytes were sent, padded, and {} came back", length.saturating_sub(8)))?;
    Ok("ignored".to_owned())
}

fn foreign(host: &Host<'_>) -> Result<String, Stop> {
    let [a, b, c, d, e, f] = host.board.mac.0;
    let neighbor = EthernetAddress([a | 2, b, c, d, e, f ^ 1]);
    host.send_to(neighbor, version(host), &host.echo_packet(1, b"for another").to_bytes())?;
    host.expect_no_reply(1, "a frame for another MAC address")?;
    host.expect_echo("afterwards")?;
    Ok("ignored".to_owned())
}

fn broadcast(host: &Host<'_>) -> Result<String, Stop> {
    let syn = host.syn();
    let segment = host.packet(crate::ip::protocol::TCP, syn.to_bytes());
    host.send_to(EthernetAddress::BROADCAST, version(host), &segment.to_bytes())?;
    let answer = host.segment(syn.source_port, host.board.quiet_time(), |_| true)?;
    if let Some((_, answer)) = &answer {
        host.send_tcp(&crate::tcp::Tcp {
            flags: crate::tcp::flags::RST,
            sequence: answer.acknowledgement,
            ..host.closing(&syn)
        })?;
    }
    require(answer.is_none(), || "a SYN in a broadcast frame is answered".to_owned())?;
    Ok("discarded".to_owned())
}

fn multicast_source(host: &Host<'_>) -> Result<String, Stop> {
    let group = EthernetAddress([3, 0, 0, 1, 2, 3]);
    let mut frame = frame_bytes(host.board.mac, group, version(host), &host.echo_packet(1, b"from a group").to_bytes());
    frame.resize(frame.len().max(SHORTEST), 0);
    host.send_frame(&frame)?;
    let reply = host.echo_reply(1, host.board.quiet_time())?;
    let is_group = reply.is_some_and(|reply| !reply.destination().is_unicast());
    require(!is_group, || format!("the reply is sent to the group {group}"))?;
    let reply = host.expect_echo("afterwards")?;
    require(reply.destination() == host.identity().mac, || format!("replies are sent to {} now", reply.destination()))?;
    Ok("not learned".to_owned())
}

/// An echo request in a frame with this tag.
fn tagged(host: &Host<'_>, tag: u16) -> Result<(), Stop> {
    let mut payload = vec![0; 4];
    set_word(&mut payload, 0, tag);
    set_word(&mut payload, 2, version(host));
    payload.extend(host.echo_packet(1, &[0x5a; 40]).to_bytes());
    host.send(ethertype::VLAN, &payload)
}

fn priority_tag(host: &Host<'_>) -> Result<String, Stop> {
    tagged(host, 0xa000)?;
    require(host.echo_reply(1, host.board.reply_time())?.is_some(), || "it is ignored".to_owned())?;
    Ok("answered".to_owned())
}

fn foreign_vlan(host: &Host<'_>) -> Result<String, Stop> {
    tagged(host, 0x0123)?;
    host.expect_no_reply(1, "a frame of VLAN 291")?;
    host.expect_echo("afterwards")?;
    Ok("ignored".to_owned())
}

fn llc(host: &Host<'_>) -> Result<String, Stop> {
    host.send(46, &[0x42; 46])?;
    host.send(0x88b5, &[0; 46])?; // for local experiments
    host.send(0xffff, &host.echo_packet(1, b"another type").to_bytes())?;
    host.expect_no_reply(1, "a frame of type 0xffff")?;
    host.expect_echo("afterwards")?;
    Ok("ignored".to_owned())
}

/// The kernel does not send a frame that is longer than the MTU of its interface allows.
fn is_too_long(stop: &Stop) -> bool {
    const MESSAGE_TOO_LONG: i32 = 90;
    matches!(stop, Stop::Link(error) if error.raw_os_error() == Some(MESSAGE_TOO_LONG))
}

fn too_long(host: &Host<'_>) -> Result<String, Stop> {
    let header = if host.board.address.is_ipv4() { 28 } else { 48 };
    let mut count = 0;
    for length in [1515, 1518, 1519, 1536, 1600, 2000, 4000] {
        let data = vec![0x4c; length - HEADER - header];
        match host.send_ip(&host.echo_packet(1, &data)) {
            Err(stop) if is_too_long(&stop) => break,
            sent => sent?,
        }
        count += 1;
        host.wait(host.board.rtt * 2)?;
        host.expect_echo(&format!("after a frame of {length} bytes"))?;
    }
    if count == 0 {
        return Err(Stop::undecided(
            "the interface sends no frame of more than 1514 bytes: `ip link set NAME mtu 4000`",
        ));
    }
    let long = host.receive(host.board.quiet_time(), |frame| frame.bytes.len() > HEADER + 1500)?;
    require(long.is_none(), || format!("a frame of {} bytes is sent", long.map_or(0, |frame| frame.bytes.len())))?;
    Ok(format!("{count} lengths"))
}

fn cut(host: &Host<'_>) -> Result<String, Stop> {
    let packet = host.echo_packet(1, &[0x63; 40]).to_bytes();
    let frame = frame_bytes(host.board.mac, host.identity().mac, version(host), &packet);
    for length in HEADER..SHORTEST {
        host.send_frame(frame.get(..length).unwrap_or_default())?;
        if length % 4 == 0 {
            host.wait(host.board.rtt)?;
        }
    }
    host.expect_no_reply(1, "a frame that is cut off")?;
    host.expect_echo("afterwards")?;
    Ok(format!("{} lengths", SHORTEST - HEADER))
}
