//! Path MTU discovery and redirects: what the board does with ICMP messages about the path of its packets.

use core::time::Duration;

use super::window::loaded;
use crate::{
    connection::Connection,
    frame::{Frame, ethertype},
    host::Host,
    ip::{Ip, protocol},
    messages::{self, kind},
    probe::{Group, Level, Probe, Schedule, Stop, Versions, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Icmp,
        "path-mtu",
        (Level::Must, "RFC 1191, 3; RFC 8201, 4"),
        "after `fragmentation needed` or `packet too big` packets are as short as it says",
        &["ICMP messages do not reach TCP: connections through tunnels stop at the first long segment"],
        path_mtu,
    )
    .waits(3),
    Probe::new(
        Group::Icmp,
        "path-mtu-lie",
        (Level::Must, "RFC 1191, 3; RFC 8201, 4; RFC 5927, 7"),
        "path MTUs of 68, 20 and 0 bytes do not stop a connection",
        &["the MTU is used without a check: no byte fits a segment, or a length becomes negative"],
        lie,
    )
    .waits(5),
    Probe::new(
        Group::Icmp,
        "redirect",
        (Level::Should, "RFC 1122, 3.2.2.2"),
        "a redirect by a host that is not the router in use is ignored",
        &["the source of a redirect is not compared with the router: any host can take over connections"],
        redirect,
    )
    .only(Versions::V4)
    .scheduled(Schedule::Alone),
];

/// The least MTU that the board must take for possible.
const fn least_mtu(host: &Host<'_>) -> u16 {
    if host.board.address.is_ipv4() { 700 } else { 1280 }
}

/// The message of a router whose next link has this MTU.
fn too_big(host: &Host<'_>, mtu: u16, packet: &Ip) -> Result<(), Stop> {
    let [high, low] = mtu.to_be_bytes();
    let mut rest = vec![0, 0, high, low];
    let bytes = packet.to_bytes();
    rest.extend(bytes.get(..bytes.len().min(500)).unwrap_or_default());
    let (kind, code) = if host.board.address.is_ipv4() { (kind::UNREACHABLE, 4) } else { (kind::TOO_BIG_V6, 0) };
    host.send_icmp(messages::icmp(kind, code, &rest))
}

/// The next packet with data for this connection.
fn packet(host: &Host<'_>, connection: &Connection<'_, '_>, within: Duration) -> Result<Option<Ip>, Stop> {
    let has_data = |frame: &Frame| {
        frame.tcp().is_some_and(|tcp| tcp.destination_port == connection.port && !tcp.payload.is_empty())
    };
    Ok(host.receive(within, has_data)?.as_ref().and_then(Frame::ip).cloned())
}

/// A connection of a host that the board does not know, behind whose closed window 3000 bytes waited: what the board
/// remembers about the path is about that host alone.
fn long_packets<'h, 'a>(host: &'h Host<'a>) -> Result<Connection<'h, 'a>, Stop> {
    host.set_identity(host.unknown(0)?);
    let mss = if host.board.address.is_ipv4() { 1460 } else { 1440 };
    loaded(host, Some(mss), 3000_usize.div_ceil(host.board.service.reply.max(1)))
}

fn path_mtu(host: &Host<'_>) -> Result<String, Stop> {
    const DO_NOT_FRAGMENT: u16 = 0x4000;
    let mtu = least_mtu(host);
    let connection = long_packets(host)?;
    let mut longest: Option<Ip> = None;
    while let Some(packet) = packet(host, &connection, host.board.quiet_time())? {
        if longest.as_ref().is_none_or(|longest| packet.payload.len() > longest.payload.len()) {
            longest = Some(packet);
        }
    }
    let Some(long) = longest else { return Err(Stop::failed("what waited behind the closed window does not come")) };
    let length = long.to_bytes().len();
    if host.board.address.is_ipv4() && long.fragment & DO_NOT_FRAGMENT == 0 {
        return Ok(format!("packets of {length} bytes without DF: routers fragment them"));
    }
    if length <= mtu.into() {
        return match host.board.address.is_ipv6() {
            true => Ok(format!("packets of at most {length} bytes: they pass everywhere")),
            false => Err(Stop::undecided(format!("its longest packet has {length} bytes: its buffers are too small"))),
        };
    }
    host.clear();
    too_big(host, mtu, &long)?;
    let Some(next) = packet(host, &connection, Duration::from_secs(8))? else {
        return Err(Stop::failed("nothing is sent again within 8 s"));
    };
    let next = next.to_bytes().len();
    require(next <= mtu.into(), || format!("a packet of {next} bytes is sent, and the path MTU is {mtu}"))?;
    Ok(format!("{length} bytes before, {next} after it"))
}

fn lie(host: &Host<'_>) -> Result<String, Stop> {
    let connection = long_packets(host)?;
    let Some(long) = packet(host, &connection, host.board.reply_time())? else {
        return Err(Stop::failed("what waited behind the closed window does not come"));
    };
    host.wait(host.board.quiet_time())?;
    for mtu in [68, 20, 0] {
        too_big(host, mtu, &long)?;
    }
    host.wait(host.board.rtt * 2)?;
    host.clear();
    let until = host.now() + Duration::from_secs(30);
    let (mut count, mut within) = (0, Duration::from_secs(7));
    // What was not acknowledged comes again after a timeout, which may have been doubled; then the rest.
    while host.now() < until
        && let Some((_, tcp)) = connection.receive(within, |tcp| !tcp.payload.is_empty())?
    {
        within = host.board.reply_time() * 2;
        count += connection.take(&tcp).len();
        connection.acknowledge()?;
    }
    require(count > 0, || "no more data comes within 7 s".to_owned())?;
    connection.is_alive("them")?;
    Ok(format!("{count} bytes come after them"))
}

fn redirect(host: &Host<'_>) -> Result<String, Stop> {
    let (victim, thief) = (host.unknown(0)?, host.unknown(0x44)?);
    host.set_identity(victim);
    host.expect_echo("before")?;
    let mut quoted = host.echo_packet(1, b"redirected");
    (quoted.source, quoted.destination) = (quoted.destination, quoted.source);
    host.answer_for(thief);
    host.answer_for(victim);
    host.set_identity(thief);
    let core::net::IpAddr::V4(gateway) = thief.address else { return Err(Stop::undecided("for IPv4")) };
    let mut rest = gateway.octets().to_vec();
    rest.extend(quoted.to_bytes());
    let message = host.packet(protocol::ICMP, messages::icmp(kind::REDIRECT, 1, &rest));
    host.send(ethertype::IPV4, &message.to_bytes())?;
    host.wait(host.board.rtt)?;
    host.set_identity(victim);
    let reply = host.expect_echo("after a redirect")?;
    require(reply.destination() == victim.mac, || format!("the reply goes to {}", reply.destination()))?;
    Ok("ignored".to_owned())
}
