//! IPv6 routers: which one the board uses, what it takes from their advertisements, and redirects.

use core::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use crate::{
    frame::{Frame, ethertype},
    host::{Host, Identity, neighbor_packet},
    ip::{Ip, array, fill_transport_checksum, protocol},
    messages::{self, PrefixInformation, RouterAdvertisement, kind},
    probe::{Group, Level, Probe, Schedule, Seconds, Stop, Versions, require},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Link,
        "nd-router",
        (Level::May, "RFC 4861, 6.3.4"),
        "a router that advertises itself is used for other networks",
        &["the board has a router in its settings, or ignores advertisements"],
        used,
    )
    .only(Versions::V6)
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Link,
        "nd-two-routers",
        (Level::Must, "RFC 4861, 6.3.4"),
        "when a router withdraws, another one is used",
        &["only one router is remembered", "a lifetime of 0 is ignored"],
        two,
    )
    .only(Versions::V6)
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Link,
        "nd-router-unreachable",
        (Level::Must, "RFC 4861, 7.3, 6.3.6"),
        "when a router does not answer any more, another one is used within 25 s",
        &["there is no neighbor unreachability detection: the board is cut off until the router's lifetime ends"],
        unreachable,
    )
    .only(Versions::V6)
    .waits(25),
    Probe::new(
        Group::Link,
        "nd-multicast-prefix",
        (Level::Must, "RFC 4861, 6.1.2; RFC 4862, 5.5.3"),
        "advertised prefixes of groups, or longer than an address, do no harm and make no address",
        &["an address is made from a prefix without a look at it"],
        multicast_prefix,
    )
    .only(Versions::V6)
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Link,
        "nd-redirect",
        (Level::Must, "RFC 4861, 8.1"),
        "a redirect by a host that is not the router in use is ignored",
        &["the source of a redirect is not compared with the router: any host can take over connections"],
        redirect,
    )
    .only(Versions::V6)
    .scheduled(Schedule::Alone),
];

/// A host of another network (RFC 3849).
const REMOTE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 7);

/// A router with a link-local address, for which the host answers.
fn router(host: &Host<'_>, number: u8) -> Identity {
    let identifier = u128::from(host.random()) << 32 | u128::from(host.random()) | 1;
    let address = Ipv6Addr::from_bits(0xfe80 << 112 | identifier & !(3 << 56));
    let router = Identity { mac: host.mac(number), address: address.into() };
    host.answer_for(router);
    router
}

/// Sends an advertisement to the board alone: the other hosts on the link do not see it.
fn advertise(host: &Host<'_>, router: Identity, lifetime: u16, prefixes: &[PrefixInformation]) -> Result<(), Stop> {
    let advertisement = RouterAdvertisement { lifetime, reachable_ms: 1000, mac: router.mac, prefixes };
    let packet = neighbor_packet(router.address, host.board.address, advertisement.to_bytes());
    host.send_from(router.mac, host.board.mac, ethertype::IPV6, &packet.to_bytes())
}

/// The reply to an echo request of a host of another network, which `router` forwards. The first replies may be lost while the
/// board asks for the router's MAC address.
fn forwarded(host: &Host<'_>, router: Identity, sequence: u16) -> Result<Option<Frame>, Stop> {
    for _ in 0..3 {
        if let Some(reply) = forwarded_once(host, router, sequence)? {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

fn forwarded_once(host: &Host<'_>, router: Identity, sequence: u16) -> Result<Option<Frame>, Stop> {
    let source = IpAddr::from(REMOTE);
    let mut packet = Ip { source, ..host.echo_packet(sequence, b"from another network") };
    fill_transport_checksum(source, packet.destination, protocol::ICMPV6, &mut packet.payload);
    host.clear();
    host.send_from(router.mac, host.board.mac, ethertype::IPV6, &packet.to_bytes())?;
    host.receive(host.board.reply_time(), |frame| {
        frame.icmp(kind::ECHO_REPLY_V6).is_some_and(|ip| ip.destination == source)
    })
}

/// Runs `test` with two routers that advertise themselves, of which the board uses the first. They withdraw afterwards.
fn with_routers(
    host: &Host<'_>,
    test: impl FnOnce(Identity, Identity) -> Result<String, Stop>,
) -> Result<String, Stop> {
    let routers = [router(host, 0x11), router(host, 0x22)];
    for router in routers {
        advertise(host, router, 60, &[])?;
    }
    let [one, other] = routers;
    let result = match forwarded(host, one, 1)?.map(|reply| reply.destination()) {
        Some(mac) if mac == one.mac => test(one, other),
        Some(mac) if mac == other.mac => test(other, one),
        _ => Err(Stop::undecided("it does not use routers that advertise themselves, or has another one")),
    };
    for router in routers {
        advertise(host, router, 0, &[])?;
    }
    result
}

fn used(host: &Host<'_>) -> Result<String, Stop> {
    let router = router(host, 0x11);
    advertise(host, router, 60, &[])?;
    let reply = forwarded(host, router, 1)?;
    advertise(host, router, 0, &[])?;
    let Some(reply) = reply else { return Err(Stop::failed("a host of another network gets no reply by it")) };
    require(reply.destination() == router.mac, || format!("the reply goes to {}", reply.destination()))?;
    Ok("used".to_owned())
}

fn two(host: &Host<'_>) -> Result<String, Stop> {
    with_routers(host, |first, second| {
        advertise(host, first, 0, &[])?;
        let reply = forwarded(host, second, 2)?;
        let to = reply.map(|reply| reply.destination());
        require(to == Some(second.mac), || {
            to.map_or_else(|| "no reply by the second router".to_owned(), |to| format!("the reply goes to {to}"))
        })?;
        Ok("the second one is used".to_owned())
    })
}

fn unreachable(host: &Host<'_>) -> Result<String, Stop> {
    const MOST: Duration = Duration::from_secs(25);
    with_routers(host, |first, second| {
        host.answer_no_more_for(first);
        let begin = host.now();
        for sequence in 2.. {
            let reply = forwarded_once(host, second, sequence)?;
            let took = host.now().saturating_sub(begin);
            if reply.is_some_and(|reply| reply.destination() == second.mac) {
                return Ok(format!("the second one is used after {}", Seconds(took)));
            }
            if took >= MOST {
                break;
            }
            host.wait(Duration::from_secs(1))?;
        }
        Err(Stop::failed(format!("replies still go to the router that does not answer, after {}", Seconds(MOST))))
    })
}

fn multicast_prefix(host: &Host<'_>) -> Result<String, Stop> {
    let router = router(host, 0x11);
    let groups = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0);
    let network = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0);
    let prefixes = [(groups, 64), (groups, 8), (network, 129), (network, 255)];
    host.clear();
    for (prefix, length) in prefixes {
        advertise(host, router, 0, &[PrefixInformation { prefix, length, lifetime: 7200 }])?;
        // The board looks for another host with an address that it makes.
        let made = host.receive(host.board.quiet_time(), |frame| {
            frame.icmp(kind::SOLICITATION).is_some_and(|ip| {
                let target = Ipv6Addr::from(array::<16>(&ip.payload, 8));
                ip.source.is_unspecified()
                    && (target.is_multicast() || target.segments()[..3] == network.segments()[..3])
            })
        })?;
        require(made.is_none(), || format!("an address is made from the prefix {prefix}/{length}"))?;
        host.expect_echo(&format!("after the prefix {prefix}/{length}"))?;
    }
    Ok(format!("{} prefixes ignored", prefixes.len()))
}

fn redirect(host: &Host<'_>) -> Result<String, Stop> {
    let (victim, thief) = (host.unknown(0)?, router(host, 0x44));
    host.set_identity(victim);
    host.expect_echo("before")?;
    let (IpAddr::V6(target), IpAddr::V6(destination)) = (thief.address, victim.address) else {
        return Err(Stop::undecided("neighbor discovery is for IPv6"));
    };
    let packet =
        neighbor_packet(thief.address, host.board.address, messages::redirect_v6(target, destination, thief.mac));
    host.send_from(thief.mac, host.board.mac, ethertype::IPV6, &packet.to_bytes())?;
    host.wait(host.board.rtt)?;
    let reply = host.expect_echo("after a redirect")?;
    require(reply.destination() == victim.mac, || format!("the reply goes to {}", reply.destination()))?;
    Ok("ignored".to_owned())
}
