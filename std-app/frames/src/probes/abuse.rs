//! Abuse: floods and random frames, after which another client must be served.

use super::fragments::send_fragment;
use crate::{
    board::{LINE, neighbor},
    frame::{SHORTEST, ethertype, frame_bytes},
    host::{Host, neighbor_packet},
    ip::{Ip, MORE_FRAGMENTS, protocol},
    messages,
    probe::{Group, Level, Probe, Schedule, Seconds, Stop, Versions},
    tcp::{Tcp, flags},
};
use fastrand::Rng;
use smoltcp::wire::EthernetAddress;

const fn abuse(
    group: Group,
    name: &'static str,
    requirement: &'static str,
    causes: &'static [&'static str],
    run: fn(&Host<'_>) -> Result<String, Stop>,
) -> Probe {
    Probe::new(group, name, (Level::Must, "RFC 1122, 1.2.2"), requirement, causes, run).scheduled(Schedule::Last)
}

pub(super) const PROBES: &[Probe] = &[
    abuse(
        Group::Link,
        "arp-flood",
        "after ARP packets from 500 addresses others are served",
        &["the neighbor cache is full, and no entry is replaced"],
        arp_flood,
    )
    .only(Versions::V4),
    abuse(
        Group::Link,
        "nd-flood",
        "after neighbor solicitations from 500 addresses others are served",
        &["the neighbor cache is full, and no entry is replaced"],
        nd_flood,
    )
    .only(Versions::V6),
    abuse(
        Group::Ip,
        "fragment-flood",
        "after 500 fragments of different packets others are served",
        &["all buffers are held by incomplete packets"],
        fragment_flood,
    ),
    abuse(
        Group::Tcp,
        "syn-flood",
        "after 300 SYNs that are never acknowledged others are served",
        &["half-open connections hold all slots until a long timeout"],
        syn_flood,
    ),
    abuse(
        Group::Link,
        "random-frames",
        "after 60 KB of random bytes in frames others are served",
        &["a field of a header is used before it is checked"],
        random_frames,
    )
    .quick(),
    abuse(
        Group::Ip,
        "random-packets",
        "after 60 KB of random bytes in IP packets others are served",
        &["a field of a header is used before it is checked"],
        random_packets,
    )
    .quick(),
    abuse(
        Group::Tcp,
        "random-segments",
        "after 60 KB of mutated segments, most of them for an open connection, others are served",
        &["a length or an offset of a segment is used before it is checked"],
        random_segments,
    )
    .quick(),
];

/// Bytes of each run of random frames.
const AMOUNT: usize = 60_000;

/// Lets the board take what was sent: a tester that overloads it finds nothing out.
fn pace(host: &Host<'_>, number: usize) -> Result<(), Stop> {
    if number % 4 == 3 { host.wait(core::time::Duration::from_millis(1) + host.board.rtt) } else { Ok(()) }
}

/// Somebody else is served: a new connection gets a reply. A board may need a while to free its slots.
fn served(host: &Host<'_>, after: &str) -> Result<String, Stop> {
    host.clear();
    let begin = host.now();
    let mut last = None;
    for _ in 0..6 {
        match serve(host) {
            Ok(()) => return Ok(format!("served after {}", Seconds(host.now().saturating_sub(begin)))),
            Err(Stop::Failed(what)) => last = Some(what),
            Err(stop) => return Err(stop),
        }
    }
    let took = Seconds(host.now().saturating_sub(begin));
    Err(Stop::failed(format!("{after}, nobody is served for {took}: {}", last.unwrap_or_default())))
}

fn serve(host: &Host<'_>) -> Result<(), Stop> {
    let connection = host.open()?;
    connection.read(host.board.service.banner.len())?;
    if host.board.service.reply > 0 {
        connection.exchange(LINE)?;
    }
    Ok(())
}

fn arp_flood(host: &Host<'_>) -> Result<String, Stop> {
    let core::net::IpAddr::V4(board) = host.board.address else { return Err(Stop::undecided("ARP is for IPv4")) };
    for number in 0..500_u32 {
        // Documentation addresses, and MAC addresses that no host has.
        let sender = core::net::Ipv4Addr::from_bits(0xc633_6400 | (number % 250 + 1));
        let [_, _, high, low] = number.to_be_bytes();
        let sender_mac = EthernetAddress([2, 0xf1, 0, 0, high, low]);
        let arp = crate::frame::Arp { sender_mac, ..host.arp(1, sender, EthernetAddress([0; 6]), board) };
        // To the board alone: the other hosts on the link are not tested.
        host.send(ethertype::ARP, &arp.to_bytes())?;
        pace(host, usize::try_from(number).unwrap_or_default())?;
    }
    served(host, "after ARP packets from 500 addresses")
}

fn nd_flood(host: &Host<'_>) -> Result<String, Stop> {
    let core::net::IpAddr::V6(board) = host.board.address else { return Err(Stop::undecided("for IPv6")) };
    for number in 0..500_u16 {
        let [high, low] = number.to_be_bytes();
        let mac = EthernetAddress([2, 0xf1, 0, 0, high, low]);
        let message = messages::solicitation(board, Some(mac));
        let packet = neighbor_packet(neighbor(board).into(), board.into(), message);
        host.send_from(mac, host.board.mac, ethertype::IPV6, &packet.to_bytes())?;
        pace(host, number.into())?;
    }
    served(host, "after neighbor solicitations from 500 addresses")
}

fn fragment_flood(host: &Host<'_>) -> Result<String, Stop> {
    for number in 0..500 {
        let mut piece = host.echo_packet(1, &[0; 512]);
        piece.identification = number;
        piece.fragment = MORE_FRAGMENTS | (number % 100);
        send_fragment(host, &piece)?;
        pace(host, number.into())?;
    }
    served(host, "after 500 fragments")
}

fn syn_flood(host: &Host<'_>) -> Result<String, Stop> {
    let mut syns = Vec::new();
    for number in 0..300 {
        let syn = host.syn();
        host.send_tcp(&syn)?;
        pace(host, number)?;
        syns.push(syn);
    }
    let result = served(host, "after 300 SYNs");
    for (number, syn) in syns.iter().enumerate() {
        host.send_tcp(&Tcp { sequence: syn.sequence.wrapping_add(1), flags: flags::RST, ..host.closing(syn) })?;
        pace(host, number)?;
    }
    result
}

/// A random length, small ones more often.
fn random_length(random: &mut Rng) -> usize {
    if random.u8(..) < 192 { random.usize(..100) } else { random.usize(..1400) }
}

/// Calls `send` with random bytes until enough was sent, and checks whether a client is served: for each of three seeds, so
/// that each run of a probe sends the same bytes.
fn thrice(
    host: &Host<'_>,
    mut send: impl FnMut(&mut Rng, Vec<u8>) -> Result<(), Stop>,
    after: &str,
) -> Result<String, Stop> {
    for seed in 1..=3 {
        let mut random = Rng::with_seed(seed);
        let (mut sent, mut number) = (0, 0);
        while sent < AMOUNT / 3 {
            let length = random_length(&mut random);
            let bytes: Vec<u8> = core::iter::repeat_with(|| random.u8(..)).take(length).collect();
            sent += bytes.len();
            send(&mut random, bytes)?;
            pace(host, number)?;
            number += 1;
        }
        served(host, &format!("{after} (seed {seed})"))?;
    }
    Ok("served after each of 3 runs, with seeds 1 to 3".to_owned())
}

fn random_frames(host: &Host<'_>) -> Result<String, Stop> {
    const TYPES: [u16; 5] = [ethertype::IPV4, ethertype::ARP, ethertype::IPV6, ethertype::VLAN, 0x0042];
    let mut number = 0;
    let send = |_: &mut Rng, bytes: Vec<u8>| {
        number += 1;
        let kind = TYPES.get(number % TYPES.len()).copied().unwrap_or_default();
        let mut frame = frame_bytes(host.board.mac, host.identity().mac, kind, &bytes);
        frame.resize(frame.len().max(SHORTEST), 0);
        host.send_frame(&frame)
    };
    thrice(host, send, "after random frames")
}

fn random_packets(host: &Host<'_>) -> Result<String, Stop> {
    let mut number = 0;
    let send = |_: &mut Rng, bytes: Vec<u8>| {
        number += 1;
        let protocol = match number % 4 {
            0 => protocol::TCP,
            1 => protocol::UDP,
            2 => host.icmp_protocol(),
            _ => bytes.first().copied().unwrap_or_default(),
        };
        // Every second one with a right checksum, so that it gets further.
        let packet = host.packet(protocol, bytes.clone());
        let packet = if number % 2 == 0 { packet } else { Ip { payload: bytes, ..packet } };
        // Not an answer to a question for this host's own address.
        let is_neighbor = packet.protocol == protocol::ICMPV6
            && matches!(packet.payload.first(), Some(&(messages::kind::SOLICITATION | messages::kind::ADVERTISEMENT)));
        if is_neighbor { Ok(()) } else { host.send_ip(&packet) }
    };
    thrice(host, send, "after random packets")
}

fn random_segments(host: &Host<'_>) -> Result<String, Stop> {
    let mut connection = host.open()?;
    let mut number = 0_usize;
    let send = |random: &mut Rng, bytes: Vec<u8>| {
        number += 1;
        if number.is_multiple_of(50) {
            connection = host.open()?;
        }
        let [a, b, c, d] = random.u32(..).to_be_bytes();
        connection.send_with(|segment| {
            segment.flags = a & 0x3f;
            segment.window = u16::from_be_bytes([b, c]);
            segment.urgent = u16::from_be_bytes([c, d]);
            if d & 3 == 0 {
                segment.sequence = segment.sequence.wrapping_add(u32::from(b) << 4);
            }
            if d & 12 == 0 {
                segment.acknowledgement = segment.acknowledgement.wrapping_sub(u32::from(c));
            }
            let options = usize::from(d >> 4).min(10) * 4;
            segment.options = bytes.get(..options.min(bytes.len())).unwrap_or_default().to_vec();
            segment.payload = bytes.get(options..).unwrap_or_default().to_vec();
        })
    };
    thrice(host, send, "after mutated segments")
}
