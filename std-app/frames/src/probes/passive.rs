//! What every frame that the board sends must be like.

use core::net::IpAddr;
use std::collections::HashMap;

use crate::{
    board::Board,
    connection::before,
    frame::{Frame, HEADER, Packet, ethertype},
    ip::{Ip, array, protocol, word},
    messages::kind,
    probe::{Group, Level, Probe, Stop, Versions},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::passive(
        Group::Link,
        "sent-padding",
        (Level::Must, "RFC 894; RFC 1042; IEEE 802.3, 4.2.3.3"),
        "the padding of short frames that the board sends is zeros",
        &["frames are sent from a buffer that still has bytes of another frame: they leak to everybody on the link"],
        padding,
    )
    .only(Versions::V4),
    Probe::passive(
        Group::Link,
        "sent-length",
        (Level::Must, "RFC 894"),
        "no frame that the board sends is longer than 1514 bytes",
        &["the MTU of the stack is larger than that of the link"],
        length,
    ),
    Probe::passive(
        Group::Ip,
        "sent-checksums",
        (Level::Must, "RFC 1122, 3.2.1.2; RFC 9293, MUST-2"),
        "all checksums and lengths in packets that the board sends are right",
        &["the driver says that the card computes checksums, and the card does not, or the other way round"],
        checksums,
    ),
    Probe::passive(
        Group::Ip,
        "sent-ttl",
        (Level::Should, "RFC 1122, 3.2.1.7; RFC 1700"),
        "packets that the board sends have a TTL of 64 or more",
        &["distant peers are not reached"],
        ttl,
    ),
    Probe::passive(
        Group::Ip,
        "sent-source",
        (Level::Must, "RFC 1122, 3.2.1.3"),
        "the source of each packet that the board sends is one address of a host",
        &["a packet is sent from 0.0.0.0, a broadcast address or a group"],
        source,
    ),
    Probe::passive(
        Group::Ip,
        "sent-identification",
        (Level::Must, "RFC 6864, 4.3"),
        "packets that routers may fragment have different identifications",
        &["fragments of two packets are put together"],
        identification,
    )
    .only(Versions::V4),
    Probe::passive(
        Group::Link,
        "sent-hop-limit",
        (Level::Must, "RFC 4861, 7.1"),
        "messages of neighbor discovery that the board sends have the hop limit 255",
        &["they are ignored by the other hosts"],
        hop_limit,
    )
    .only(Versions::V6),
    Probe::passive(
        Group::Tcp,
        "sent-reserved",
        (Level::Must, "RFC 9293, 3.1"),
        "reserved bits of segments that the board sends are zero",
        &["the header is not cleared before it is filled"],
        reserved,
    ),
    Probe::passive(
        Group::Tcp,
        "sent-options",
        (Level::Must, "RFC 9293, 3.2"),
        "options of segments that the board sends are well-formed",
        &["the length of an option is wrong, or the padding after the last one"],
        options,
    ),
    Probe::passive(
        Group::Tcp,
        "sent-ack",
        (Level::Must, "RFC 9293, 3.1"),
        "each segment of an open connection that the board sends has ACK",
        &["the flag is set only when there is something new to acknowledge"],
        ack,
    ),
    Probe::passive(
        Group::Tcp,
        "sent-isn",
        (Level::Must, "RFC 9293, MUST-8"),
        "no initial sequence number is used twice",
        &["the random seed is constant, or the generator is started again for each connection"],
        isn,
    ),
    Probe::passive(
        Group::Tcp,
        "sent-window",
        (Level::Should, "RFC 9293, SHLD-14"),
        "the right edge of the board's window does not move to the left",
        &["the window is computed from free memory that others use, too"],
        window,
    ),
    Probe::passive(
        Group::Link,
        "sent-mac",
        (Level::Must, "RFC 894; RFC 826"),
        "all frames from the board's IP address have its MAC address as their source",
        &["another host has the same IP address", "the source of a frame is not the MAC address that ARP tells"],
        mac,
    ),
    Probe::passive(
        Group::Tcp,
        "sent-flags",
        (Level::Must, "RFC 9293, 3.10"),
        "no segment that the board sends has SYN with FIN or RST, or RST with FIN or data",
        &["flags of an earlier segment are left in the buffer"],
        wrong_flags,
    ),
];

fn segments(frames: &[Frame]) -> impl Iterator<Item = (&Ip, &Tcp)> {
    frames.iter().filter_map(|frame| match &frame.packet {
        Packet::Tcp(ip, tcp) => Some((ip, tcp)),
        _ => None,
    })
}

/// Fails with the first frame for which `wrong` says what is wrong. The others are counted.
fn each<'a, T: 'a>(
    items: impl Iterator<Item = T>,
    name: &str,
    mut wrong: impl FnMut(&T) -> Option<String>,
) -> Result<String, Stop> {
    let mut count = 0;
    for item in items {
        count += 1;
        if let Some(what) = wrong(&item) {
            return Err(Stop::Failed(what));
        }
    }
    if count == 0 {
        return Err(Stop::undecided(format!("no {name} came")));
    }
    Ok(format!("{count} {name}"))
}

fn padding(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    let padded = frames.iter().filter_map(|frame| {
        let length = match word(&frame.bytes, 12) {
            ethertype::ARP => 28,
            ethertype::IPV4 => usize::from(word(&frame.bytes, HEADER + 2)),
            ethertype::IPV6 => 40 + usize::from(word(&frame.bytes, HEADER + 4)),
            _ => return None,
        };
        Some((frame, frame.bytes.get(HEADER + length..).unwrap_or_default()))
    });
    each(padded.filter(|(_, padding)| !padding.is_empty()), "padded frames", |(frame, padding)| {
        let leaked = padding.iter().any(|&byte| byte != 0);
        leaked.then(|| format!("the padding of `{frame}` is {:02x?}", padding))
    })
}

fn length(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    each(frames.iter(), "frames", |frame| {
        (frame.bytes.len() > 1514).then(|| format!("{} bytes: {frame}", frame.bytes.len()))
    })
}

fn checksums(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    each(frames.iter(), "frames", |frame| match &frame.packet {
        Packet::Malformed(what) => Some(what.clone()),
        _ => None,
    })
}

fn ttl(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    // Packets for the local link may have TTL 1.
    let routed = frames.iter().filter_map(|frame| frame.ip()).filter(|ip| !ip.destination.is_multicast());
    each(routed, "packets", |ip| (ip.ttl < 64).then(|| format!("TTL {} to {}", ip.ttl, ip.destination)))
}

fn source(board: &Board, frames: &[Frame]) -> Result<String, Stop> {
    let to_hosts = frames.iter().filter_map(|frame| frame.ip()).filter(|ip| !ip.destination.is_multicast());
    each(to_hosts, "packets", |ip| {
        let is_wrong = match ip.source {
            IpAddr::V4(source) => source.is_multicast() || source.is_broadcast() || source.is_loopback(),
            IpAddr::V6(source) => source.is_multicast() || source.is_loopback(),
        };
        // DHCP is the only one that has no address yet.
        let is_nobody = ip.source.is_unspecified() && ip.protocol != protocol::UDP;
        (is_wrong || is_nobody)
            .then(|| format!("from {} to {}; the board is {}", ip.source, ip.destination, board.address))
    })
}

fn identification(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    const DO_NOT_FRAGMENT: u16 = 0x4000;
    let mut last = HashMap::new();
    let may_be = frames.iter().filter_map(|frame| frame.ip()).filter(|ip| ip.source.is_ipv4() && ip.fragment == 0);
    let counted = each(may_be, "packets without DF", |ip| {
        let key = (ip.destination, ip.protocol);
        let is_same = last.insert(key, ip.identification) == Some(ip.identification);
        is_same.then(|| {
            format!("two packets to {} after each other have the identification {}", ip.destination, ip.identification)
        })
    });
    let is_atomic = |frame: &Frame| frame.ip().is_none_or(|ip| ip.fragment & DO_NOT_FRAGMENT != 0);
    if frames.iter().all(is_atomic) { Ok("all packets have DF".to_owned()) } else { counted }
}

fn hop_limit(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    let messages = frames
        .iter()
        .filter_map(|frame| frame.ip())
        .filter(|ip| ip.protocol == protocol::ICMPV6 && (133..=137).contains(&array::<1>(&ip.payload, 0)[0]));
    each(messages, "messages", |ip| {
        let name = if ip.payload.first() == Some(&kind::ADVERTISEMENT) { "advertisement" } else { "message" };
        (ip.ttl != 255).then(|| format!("a neighbor discovery {name} has hop limit {}", ip.ttl))
    })
}

fn reserved(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    each(segments(frames), "segments", |(ip, tcp)| {
        let bits = array::<1>(&ip.payload, 12)[0] & 0x0e;
        (bits != 0).then(|| format!("reserved bits 0x{bits:x} in {tcp}"))
    })
}

fn options(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    each(segments(frames), "segments", |(_, tcp)| {
        let found = match tcp.options() {
            Err(error) => return Some(error),
            Ok(found) => found,
        };
        let wrong = found.iter().find(|(kind, value)| {
            let length = match kind {
                2 => 2,
                3 => 1,
                4 => 0,
                8 => 8,
                _ => return false,
            };
            value.len() != length
        });
        let misplaced = !tcp.has(flags::SYN) && found.iter().any(|(kind, _)| matches!(kind, 2..=4));
        (wrong.is_some() || misplaced).then(|| format!("the options of {tcp}"))
    })
}

fn ack(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    each(segments(frames), "segments", |(_, tcp)| {
        let needs_ack = tcp.flags & (flags::SYN | flags::RST) == 0;
        (needs_ack && !tcp.has(flags::ACK)).then(|| tcp.to_string())
    })
}

fn isn(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    let mut seen: HashMap<u32, (IpAddr, u16, u32)> = HashMap::new();
    let syn_acks = segments(frames).filter(|(_, tcp)| tcp.has(flags::SYN | flags::ACK));
    each(syn_acks, "SYN-ACKs", |(ip, tcp)| {
        let connection = (ip.destination, tcp.destination_port, tcp.acknowledgement);
        let earlier = seen.insert(tcp.sequence, connection);
        let is_other = earlier.is_some_and(|earlier| earlier != connection);
        is_other.then(|| format!("two connections begin with {}", tcp.sequence))
    })
}

fn window(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    let mut edges: HashMap<(IpAddr, u16), u32> = HashMap::new();
    let mut scales: HashMap<(IpAddr, u16), u8> = HashMap::new();
    each(segments(frames), "segments", |(ip, tcp)| {
        let key = (ip.destination, tcp.destination_port);
        if tcp.has(flags::SYN) || tcp.has(flags::RST) || !tcp.has(flags::ACK) {
            edges.remove(&key);
            scales.insert(key, tcp.option(3).and_then(<[u8]>::first).copied().unwrap_or(0));
            return None;
        }
        let scale = scales.get(&key).copied().unwrap_or(0).min(14);
        let edge = tcp.acknowledgement.wrapping_add(u32::from(tcp.window) << scale);
        // A scaled window is rounded down.
        let slack = 1_u32 << scale;
        let earlier = edges.insert(key, edge)?;
        before(edge.wrapping_add(slack), earlier)
            .then(|| format!("the window ended at {earlier}, and then at {edge}: {tcp}"))
    })
}

fn mac(board: &Board, frames: &[Frame]) -> Result<String, Stop> {
    each(frames.iter().filter(|frame| frame.is_from(board.address)), "frames", |frame| {
        let told = frame.arp().map_or(board.mac, |arp| arp.sender_mac);
        (frame.source() != board.mac || told != board.mac)
            .then(|| format!("a frame comes from {}, and the board is {}: {frame}", frame.source(), board.mac))
    })
}

fn wrong_flags(_: &Board, frames: &[Frame]) -> Result<String, Stop> {
    each(segments(frames), "segments", |(_, tcp)| {
        let is_wrong = tcp.has(flags::SYN | flags::FIN)
            || tcp.has(flags::SYN | flags::RST)
            || tcp.has(flags::RST | flags::FIN)
            || tcp.has(flags::RST | flags::PSH);
        is_wrong.then(|| tcp.to_string())
    })
}
