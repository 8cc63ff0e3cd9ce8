//! ARP: whether the board answers for its own address, for no other, and believes what it should.

use core::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::EthernetAddress;

use crate::{
    frame::{Arp, Frame, ethertype},
    host::{Host, NOBODY},
    probe::{Group, Level, Probe, Schedule, Stop, Versions, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Link,
        "arp-reply",
        (Level::Must, "RFC 826"),
        "an ARP request for the board's address is answered to the sender alone, with the right addresses",
        &["the fields of the reply are not swapped", "the card does not receive broadcast frames"],
        reply,
    )
    .only(Versions::V4)
    .quick(),
    Probe::new(
        Group::Link,
        "arp-unicast",
        (Level::Must, "RFC 1122, 2.3.2.1"),
        "an ARP request that is sent to the board's MAC address is answered: others check their cache with it",
        &["only broadcast frames are taken for ARP requests"],
        unicast,
    )
    .only(Versions::V4),
    Probe::new(
        Group::Link,
        "arp-other",
        (Level::Must, "RFC 826"),
        "an ARP request for another address is not answered",
        &["the target address of a request is not compared with the own one"],
        other,
    )
    .only(Versions::V4)
    .quick(),
    Probe::new(
        Group::Link,
        "arp-probe",
        (Level::Must, "RFC 5227, 2.1.1"),
        "an ARP probe (sender 0.0.0.0) for the board's address is answered: another host wants the address",
        &["a sender with the address 0.0.0.0 is taken for invalid"],
        probe,
    )
    .only(Versions::V4)
    .quick(),
    Probe::new(
        Group::Link,
        "arp-merge",
        (Level::Must, "RFC 826, packet reception"),
        "a host that says it has another MAC address now gets its frames there",
        &["a known neighbor is updated only when its entry expires: frames go to the card that was replaced"],
        merge,
    )
    .only(Versions::V4)
    .quick()
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Link,
        "arp-announcement",
        (Level::Must, "RFC 5227, 3; RFC 826"),
        "a gratuitous ARP of a known host is believed",
        &["ARP packets that are not for the own address are dropped before the cache is updated"],
        announcement,
    )
    .only(Versions::V4)
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Link,
        "arp-conflict",
        (Level::Should, "RFC 5227, 2.4"),
        "a board whose address another host claims once keeps it",
        &["the address is given up at the first conflict, or frames to the own address go to the other host"],
        conflict,
    )
    .only(Versions::V4)
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Link,
        "arp-malformed",
        (Level::Must, "RFC 826"),
        "ARP packets for other networks, with other lengths or operations are not answered",
        &["the fields of an ARP packet are not checked before it is answered"],
        malformed,
    )
    .only(Versions::V4),
    Probe::new(
        Group::Link,
        "arp-reply-ignored",
        (Level::Must, "RFC 826"),
        "an ARP reply is not answered",
        &["the operation of an ARP packet is not looked at: two such boards would answer each other for ever"],
        reply_ignored,
    )
    .only(Versions::V4),
];

/// The board's address and this host's.
fn addresses(host: &Host<'_>) -> Result<[Ipv4Addr; 2], Stop> {
    match (host.board.address, host.identity().address) {
        (IpAddr::V4(board), IpAddr::V4(own)) => Ok([board, own]),
        _ => Err(Stop::undecided("ARP is for IPv4")),
    }
}

fn send(host: &Host<'_>, mac: EthernetAddress, arp: &Arp) -> Result<(), Stop> {
    host.send_to(mac, ethertype::ARP, &arp.to_bytes())
}

/// Waits for an ARP reply of the board.
fn answer(host: &Host<'_>, expected: bool) -> Result<Option<Frame>, Stop> {
    let within = if expected { host.board.reply_time() } else { host.board.quiet_time() };
    host.receive(within, |frame| frame.arp().is_some_and(|arp| arp.operation == 2))
}

fn reply(host: &Host<'_>) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    host.clear();
    send(host, EthernetAddress::BROADCAST, &host.arp(1, own, NOBODY, board))?;
    let Some(frame) = answer(host, true)? else { return Err(Stop::failed("no reply")) };
    let (mac, own_mac) = (host.board.mac, host.identity().mac);
    let expected = Arp { operation: 2, sender_mac: mac, sender: board, target_mac: own_mac, target: own };
    require(frame.arp() == Some(&expected), || format!("the reply is {:?}", frame.arp()))?;
    require(frame.destination() == own_mac, || format!("the reply is sent to {}", frame.destination()))?;
    Ok(format!("{board} is at {mac}"))
}

fn unicast(host: &Host<'_>) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    send(host, host.board.mac, &host.arp(1, own, host.board.mac, board))?;
    require(answer(host, true)?.is_some(), || "no reply".to_owned())?;
    Ok("answered".to_owned())
}

/// An address that is not the board's; it is only asked for.
fn neighbor_of(board: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(board.to_bits() ^ 0x40)
}

fn other(host: &Host<'_>) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    send(host, EthernetAddress::BROADCAST, &host.arp(1, own, NOBODY, neighbor_of(board)))?;
    send(host, host.board.mac, &host.arp(1, own, NOBODY, neighbor_of(board)))?;
    require(answer(host, false)?.is_none(), || format!("a request for {} is answered", neighbor_of(board)))?;
    Ok("not answered".to_owned())
}

fn probe(host: &Host<'_>) -> Result<String, Stop> {
    let [board, _] = addresses(host)?;
    send(host, EthernetAddress::BROADCAST, &host.arp(1, Ipv4Addr::UNSPECIFIED, NOBODY, board))?;
    let Some(frame) = answer(host, true)? else { return Err(Stop::failed("no reply")) };
    let is_right = frame.arp().is_some_and(|arp| arp.sender == board && arp.sender_mac == host.board.mac);
    require(is_right, || format!("the reply is {:?}", frame.arp()))?;
    Ok("answered".to_owned())
}

fn merge(host: &Host<'_>) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    let question = Arp { sender_mac: host.other_mac(), ..host.arp(1, own, NOBODY, board) };
    moved_by(host, &question)
}

fn announcement(host: &Host<'_>) -> Result<String, Stop> {
    let [_, own] = addresses(host)?;
    moved_by(host, &Arp { sender_mac: host.other_mac(), ..host.arp(1, own, NOBODY, own) })
}

/// After `arp`, echo replies go to the host's other MAC address; then it has the first one again.
fn moved_by(host: &Host<'_>, arp: &Arp) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    host.expect_echo("before")?;
    send(host, EthernetAddress::BROADCAST, arp)?;
    // The frame itself comes from the other address: some stacks learn from all frames.
    let mut frame = host.echo_packet(1, b"moved").to_bytes();
    frame = crate::frame::frame_bytes(host.board.mac, host.other_mac(), ethertype::IPV4, &frame);
    frame.resize(frame.len().max(crate::frame::SHORTEST), 0);
    host.send_frame(&frame)?;
    let reply = host.echo_reply(1, host.board.reply_time())?;
    send(host, EthernetAddress::BROADCAST, &host.arp(1, own, NOBODY, board))?;
    send(host, EthernetAddress::BROADCAST, &host.arp(1, own, NOBODY, own))?;
    let Some(reply) = reply else { return Err(Stop::failed("no echo reply after it, at either MAC address")) };
    require(reply.destination() == host.other_mac(), || {
        format!("the echo reply goes to {}, not to {}", reply.destination(), host.other_mac())
    })?;
    host.expect_echo("after the first MAC address was announced again")?;
    Ok("believed".to_owned())
}

fn conflict(host: &Host<'_>) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    host.clear();
    // To the board alone: the caches of the other hosts stay right.
    send(host, host.board.mac, &host.arp(1, board, NOBODY, board))?;
    let defence = host.receive(host.board.quiet_time(), |frame| {
        frame.arp().is_some_and(|arp| arp.sender == board && arp.target == board)
    })?;
    send(host, EthernetAddress::BROADCAST, &host.arp(1, own, NOBODY, board))?;
    let answer = answer(host, true)?;
    require(answer.is_some(), || "requests for the board's address are not answered any more".to_owned())?;
    host.expect_echo("after the conflict")?;
    Ok(if defence.is_some() { "kept and defended" } else { "kept, not defended" }.to_owned())
}

fn malformed(host: &Host<'_>) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    let request = host.arp(1, own, NOBODY, board).to_bytes();
    let changes: [(usize, u8, &str); 6] = [
        (1, 15, "hardware type 15"),
        (2, 9, "protocol 0x0900"),
        (4, 8, "hardware length 8"),
        (5, 16, "protocol length 16"),
        (7, 0, "operation 0"),
        (7, 9, "operation 9"),
    ];
    for (offset, value, name) in changes {
        let mut changed = request.clone();
        if let Some(byte) = changed.get_mut(offset) {
            *byte = value;
        }
        host.send_to(EthernetAddress::BROADCAST, ethertype::ARP, &changed)?;
        require(answer(host, false)?.is_none(), || format!("{name} is answered"))?;
    }
    // Cut off, and not padded.
    let cut = request.get(..20).unwrap_or_default();
    host.send_frame(&crate::frame::frame_bytes(host.board.mac, host.identity().mac, ethertype::ARP, cut))?;
    require(answer(host, false)?.is_none(), || "a request of 20 bytes is answered".to_owned())?;
    host.expect_echo("after malformed ARP packets")?;
    Ok(format!("{} kinds not answered", changes.len() + 1))
}

fn reply_ignored(host: &Host<'_>) -> Result<String, Stop> {
    let [board, own] = addresses(host)?;
    host.clear();
    send(host, host.board.mac, &host.arp(2, own, host.board.mac, board))?;
    let found = host.receive(host.board.quiet_time(), |frame| frame.arp().is_some_and(|arp| arp.target == own))?;
    require(found.is_none(), || "it is answered".to_owned())?;
    Ok("not answered".to_owned())
}
