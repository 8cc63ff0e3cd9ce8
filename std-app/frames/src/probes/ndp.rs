//! Neighbor discovery: whether the board answers for its own IPv6 address, for no other, and believes what it should.

use core::net::{IpAddr, Ipv6Addr};

use smoltcp::wire::EthernetAddress;

use crate::{
    frame::{Frame, SHORTEST, ethertype, frame_bytes},
    host::Host,
    ip::{Ip, array, fill_transport_checksum, protocol},
    messages::{self, kind, multicast_mac, solicited_node},
    probe::{Group, Level, Probe, Schedule, Stop, Versions, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Link,
        "nd-multicast",
        (Level::Must, "RFC 4861, 7.2.4"),
        "a solicitation to the solicited-node group is answered by a solicited advertisement with the MAC address",
        &["the card does not receive the multicast addresses of the group: its hash filter"],
        |host| solicited(host, true),
    )
    .only(Versions::V6)
    .quick(),
    Probe::new(
        Group::Link,
        "nd-unicast",
        (Level::Must, "RFC 4861, 7.2.4, 7.3.3"),
        "a solicitation that is sent to the board alone is answered: others check with it whether it is still there",
        &["only solicitations to the group are taken"],
        |host| solicited(host, false),
    )
    .only(Versions::V6),
    Probe::new(
        Group::Link,
        "nd-duplicate",
        (Level::Must, "RFC 4862, 5.4.3; RFC 4861, 7.2.4"),
        "duplicate address detection for the board's address is answered to all nodes",
        &["solicitations from :: are taken for invalid: another host takes the address"],
        duplicate,
    )
    .only(Versions::V6)
    .quick(),
    Probe::new(
        Group::Link,
        "nd-other",
        (Level::Must, "RFC 4861, 7.2.3"),
        "a solicitation for another address is not answered",
        &["the target is not compared with the own addresses"],
        other,
    )
    .only(Versions::V6)
    .quick(),
    Probe::new(
        Group::Link,
        "nd-hop-limit",
        (Level::Must, "RFC 4861, 7.1.1"),
        "a solicitation whose hop limit is not 255 is ignored: it came from another link",
        &["the hop limit is not looked at: hosts far away can change the neighbor cache"],
        |host| ignored(host, |ip| ip.ttl = 254),
    )
    .only(Versions::V6),
    Probe::new(
        Group::Link,
        "nd-checksum",
        (Level::Must, "RFC 4861, 7.1.1"),
        "a solicitation with a wrong checksum is ignored",
        &["checksums of ICMPv6 are not verified"],
        |host| {
            ignored(host, |ip| {
                if let Some(byte) = ip.payload.get_mut(2) {
                    *byte ^= 1;
                }
            })
        },
    )
    .only(Versions::V6),
    Probe::new(
        Group::Link,
        "nd-malformed",
        (Level::Must, "RFC 4861, 7.1.1"),
        "solicitations with an option of length 0, a code, or a multicast target are ignored",
        &["an option of length 0 is a loop", "a multicast address gets into the neighbor cache"],
        malformed,
    )
    .only(Versions::V6),
    Probe::new(
        Group::Link,
        "nd-override",
        (Level::Must, "RFC 4861, 7.2.5"),
        "an advertisement with the override flag changes the MAC address of a known neighbor",
        &["a known neighbor is updated only when its entry expires: frames go to the card that was replaced"],
        |host| advertised(host, 0x20, true),
    )
    .only(Versions::V6)
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Link,
        "nd-no-override",
        (Level::Must, "RFC 4861, 7.2.5"),
        "an advertisement without the override flag does not change the MAC address of a known neighbor",
        &["the flag is not looked at"],
        |host| advertised(host, 0, false),
    )
    .only(Versions::V6)
    .scheduled(Schedule::Alone),
];

/// The board's address and this host's.
fn addresses(host: &Host<'_>) -> Result<[Ipv6Addr; 2], Stop> {
    match (host.board.address, host.identity().address) {
        (IpAddr::V6(board), IpAddr::V6(own)) => Ok([board, own]),
        _ => Err(Stop::undecided("neighbor discovery is for IPv6")),
    }
}

/// Waits for an advertisement of this address.
fn advertisement(host: &Host<'_>, of: Ipv6Addr, expected: bool) -> Result<Option<Frame>, Stop> {
    let within = if expected { host.board.reply_time() } else { host.board.quiet_time() };
    host.receive(within, |frame| {
        frame.icmp(kind::ADVERTISEMENT).is_some_and(|ip| array::<16>(&ip.payload, 8) == of.octets())
    })
}

fn solicited(host: &Host<'_>, by_group: bool) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    let group = solicited_node(board);
    let (to, mac) = if by_group { (group, multicast_mac(group)) } else { (board, host.board.mac) };
    host.clear();
    host.send_neighbor(own.into(), to.into(), mac, messages::solicitation(board, Some(host.identity().mac)))?;
    let Some(frame) = advertisement(host, board, true)? else { return Err(Stop::failed("no advertisement")) };
    let payload = frame.ip().map(|ip| ip.payload.as_slice()).unwrap_or_default();
    const SOLICITED: u8 = 0x40;
    require(array::<1>(payload, 4)[0] & SOLICITED != 0, || "the advertisement is not marked as solicited".to_owned())?;
    let option = payload.get(24..).unwrap_or_default();
    // A unicast solicitation shows that the MAC address is known.
    if by_group || !option.is_empty() {
        let expected = [&[2, 1], &host.board.mac.0[..]].concat();
        require(option == expected, || format!("its options are {option:02x?}"))?;
    }
    require(frame.destination() == host.identity().mac, || format!("it is sent to {}", frame.destination()))?;
    Ok(format!("{board} is at {}", host.board.mac))
}

fn duplicate(host: &Host<'_>) -> Result<String, Stop> {
    let [board, _] = addresses(host)?;
    let group = solicited_node(board);
    let nobody = Ipv6Addr::UNSPECIFIED.into();
    host.clear();
    host.send_neighbor(nobody, group.into(), multicast_mac(group), messages::solicitation(board, None))?;
    let Some(frame) = advertisement(host, board, true)? else { return Err(Stop::failed("no advertisement")) };
    let to = frame.ip().map(|ip| ip.destination);
    let all_nodes: IpAddr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into();
    require(to == Some(all_nodes), || format!("the advertisement is sent to {to:?}"))?;
    Ok("answered to all nodes".to_owned())
}

fn other(host: &Host<'_>) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    let target = Ipv6Addr::from_bits(board.to_bits() ^ 0x4100);
    for group in [solicited_node(target), solicited_node(board)] {
        let message = messages::solicitation(target, Some(host.identity().mac));
        host.send_neighbor(own.into(), group.into(), multicast_mac(group), message)?;
    }
    require(advertisement(host, target, false)?.is_none(), || format!("a solicitation for {target} is answered"))?;
    Ok("not answered".to_owned())
}

/// A solicitation to the group as a packet.
fn solicitation(host: &Host<'_>, message: Option<Vec<u8>>) -> Result<(Ip, EthernetAddress), Stop> {
    let [board, own] = addresses(host)?;
    let group = solicited_node(board);
    let mut message = message.unwrap_or_else(|| messages::solicitation(board, Some(host.identity().mac)));
    fill_transport_checksum(own.into(), group.into(), protocol::ICMPV6, &mut message);
    let mut ip = Ip::new(own.into(), group.into(), protocol::ICMPV6, message);
    ip.ttl = 255;
    Ok((ip, multicast_mac(group)))
}

fn ignored(host: &Host<'_>, change: impl FnOnce(&mut Ip)) -> Result<String, Stop> {
    let [board, _] = addresses(host)?;
    let (mut ip, mac) = solicitation(host, None)?;
    change(&mut ip);
    host.send_to(mac, ethertype::IPV6, &ip.to_bytes())?;
    require(advertisement(host, board, false)?.is_none(), || "it is answered".to_owned())?;
    solicited(host, true)?;
    Ok("ignored".to_owned())
}

fn malformed(host: &Host<'_>) -> Result<String, Stop> {
    let [board, _] = addresses(host)?;
    let good = messages::solicitation(board, Some(host.identity().mac));
    let changed = |offset: usize, value: u8| {
        let mut message = good.clone();
        if let Some(byte) = message.get_mut(offset) {
            *byte = value;
        }
        message
    };
    let group = messages::solicitation(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), Some(host.identity().mac));
    let cut = good.get(..20).unwrap_or_default().to_vec();
    let kinds = [
        ("an option of length 0", changed(25, 0)),
        ("code 7", changed(1, 7)),
        ("a group as target", group),
        ("20 bytes", cut),
    ];
    for (name, message) in kinds {
        let (ip, mac) = solicitation(host, Some(message))?;
        host.send_to(mac, ethertype::IPV6, &ip.to_bytes())?;
        let answer = host.receive(host.board.quiet_time(), |frame| frame.icmp(kind::ADVERTISEMENT).is_some())?;
        require(answer.is_none(), || format!("a solicitation with {name} is answered"))?;
    }
    solicited(host, true)?;
    Ok("4 kinds ignored".to_owned())
}

/// After an advertisement with these flags echo replies go to the host's other MAC address, or not.
fn advertised(host: &Host<'_>, flags: u8, moves: bool) -> Result<String, Stop> {
    let [_, own] = addresses(host)?;
    host.expect_echo("before")?;
    let advertise = |mac: EthernetAddress, flags| {
        let message = messages::advertisement(own, mac, flags);
        host.send_neighbor(own.into(), host.board.address, host.board.mac, message)
    };
    advertise(host.other_mac(), flags)?;
    // The frame itself comes from the address that is right then: some stacks learn from all frames.
    let source = if moves { host.other_mac() } else { host.identity().mac };
    let packet = host.echo_packet(1, b"moved?").to_bytes();
    let mut frame = frame_bytes(host.board.mac, source, ethertype::IPV6, &packet);
    frame.resize(frame.len().max(SHORTEST), 0);
    host.send_frame(&frame)?;
    let reply = host.echo_reply(1, host.board.reply_time())?;
    advertise(host.identity().mac, 0x20)?;
    let Some(reply) = reply else { return Err(Stop::failed("no echo reply after it, at either MAC address")) };
    require(reply.destination() == source, || {
        format!("the echo reply goes to {}, not to {source}", reply.destination())
    })?;
    host.expect_echo("after the first MAC address was advertised again")?;
    Ok(if moves { "believed" } else { "ignored" }.to_owned())
}
