//! IPv6 addresses and the default router, learned from router advertisements (RFC 4861 and RFC 4862, SLAAC).
//!
//! smoltcp 0.14 has this too, and it is switched off: it stops the program on a multicast prefix (`iface/interface/mod.rs`
//! line 899) and on a prefix length over 128 (`wire/ipv6.rs` line 262), loses the sockets' deadlines while it waits for
//! nothing itself (`mod.rs` line 568: the least of two `Option`s, where `None` is the least), fills the route table with
//! routers until the IPv4 route has no room, reads one prefix of an advertisement, and gives up an address at once when an
//! advertisement says so, which RFC 4862, 5.5.3 (e) forbids.

use core::time::Duration;

use greet_core::Instant;
use smoltcp::{
    config::IFACE_MAX_ADDR_COUNT,
    iface::{Interface, SocketSet},
    phy::Device,
    socket::Socket,
    wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv6Address, Ipv6Cidr},
};

use super::{
    assignment::{Change, set_route},
    discovery::{Message, Options},
    neighbors::{is_neighbor, router},
};
use crate::time::{earliest, to_smoltcp};

/// How many prefixes make an address: as many as the interface has room for, beside one IPv4 and the link-local address.
const PREFIXES: usize = IFACE_MAX_ADDR_COUNT - 2;
/// How many routers are remembered, so that another one takes over when the first withdraws (RFC 4861, 6.3.4: at least two).
const ROUTERS: usize = 4;
/// MAX_RTR_SOLICITATIONS and RTR_SOLICITATION_INTERVAL (RFC 4861, 10).
const SOLICITATIONS: u8 = 3;
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
/// How often the default router is asked whether it is still there: REACHABLE_TIME is 30 s (RFC 4861, 10), and then the first packet
/// waits 5 s more. Here nothing notes when a packet shows that the router is there, so it is asked earlier.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// RETRANS_TIMER and MAX_UNICAST_SOLICIT (RFC 4861, 10).
const RETRANS_TIMER: Duration = Duration::from_secs(1);
const MOST_UNANSWERED: u8 = 3;
/// An advertisement can shorten the time of an address to this and no less, unless less was left (RFC 4862, 5.5.3 (e)).
const TWO_HOURS: Duration = Duration::from_secs(7200);
/// The end of a lifetime that has none.
const FOREVER: Instant = Instant::from_micros(u64::MAX);

/// What routers have advertised, and the search for routers.
#[derive(Debug)]
pub(super) struct Slaac {
    prefixes: [Option<Prefix>; PREFIXES],
    /// The default router is one of them, and stays it as long as its lifetime lasts.
    routers: [Option<Router>; ROUTERS],
    /// The addresses that were made so far.
    made: [Option<Ipv6Cidr>; PREFIXES],
    /// How many addresses there is room for.
    limit: usize,
    /// The default router is in the settings and does not change.
    fixed_router: bool,
    /// A packet came from another network since the router has answered, so its reply goes to the router.
    used: bool,
    /// Whether the default router is still there: asked while it is used and another one is known.
    check: Option<Check>,
    /// How many router solicitations are still to be sent, and when the next one is due.
    solicitations: u8,
    solicit_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Prefix {
    /// The first 64 bits.
    bits: [u8; 8],
    /// Its hosts are neighbors: reached without a router.
    on_link: bool,
    preferred_until: Instant,
    valid_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Router {
    address: Ipv6Address,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Check {
    router: Ipv6Address,
    /// How many solicitations it has not answered.
    unanswered: u8,
    /// When the next one is due.
    at: Instant,
}

impl Slaac {
    /// Nothing known, and `limit` addresses wanted at most.
    pub(super) fn new(limit: usize, fixed_router: bool, now: Instant) -> Self {
        Self {
            prefixes: [None; PREFIXES],
            routers: [None; ROUTERS],
            made: [None; PREFIXES],
            limit: limit.min(PREFIXES),
            fixed_router,
            used: false,
            check: None,
            solicitations: SOLICITATIONS,
            solicit_at: now,
        }
    }

    /// Searches for routers again, as the link may lead to another network.
    pub(super) fn search(&mut self, now: Instant) {
        (self.solicitations, self.solicit_at) = (SOLICITATIONS, now);
    }

    /// Learns from a router advertisement: the ICMPv6 message, whose hop limit, checksum and code are right.
    pub(super) fn learn(&mut self, source: Ipv6Address, message: &[u8], now: Instant) {
        // RFC 4861, 6.1.2: a link-local source, and no option without a length.
        let Some((header, options)) = message.split_first_chunk::<16>() else { return };
        if !source.is_unicast_link_local() || !Options(options).all(|option| option.is_some()) {
            return;
        }
        let lifetime = u16::from_be_bytes([header[6], header[7]]);
        self.learn_router(source, now + Duration::from_secs(lifetime.into()), now);
        if lifetime > 0 {
            self.solicitations = 0;
        }
        for option in Options(options).flatten() {
            // The MTU option needs no care: IPv6 packets of TCP are 1,280 bytes at most, which every link carries.
            if let Ok(&[3, 4, length, flags, ref rest @ ..]) = <&[u8; 32]>::try_from(option)
                && length == 64
                && flags & AUTONOMOUS != 0
            {
                self.learn_prefix(flags & ON_LINK != 0, rest, now);
            }
        }
    }

    fn learn_router(&mut self, address: Ipv6Address, until: Instant, now: Instant) {
        if let Some(known) = self.routers.iter_mut().flatten().find(|router| router.address == address) {
            known.until = until;
        } else if until > now
            && let Some(free) = self.routers.iter_mut().find(|router| router.is_none())
        {
            *free = Some(Router { address, until });
        }
    }

    /// Learns from a prefix information option, after its flags (RFC 4861, 4.6.2; RFC 4862, 5.5.3).
    fn learn_prefix(&mut self, on_link: bool, option: &[u8; 28], now: Instant) {
        let [a, b, c, d, e, f, g, h, _, _, _, _, bits @ ..] = *option;
        let (valid, preferred) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let Some((&bits, _)) = bits.split_first_chunk::<8>() else { return };
        // (b), (c): not link-local, nor preferred for longer than valid. 0::/8 is no prefix of hosts (RFC 4291, 2.4), nor
        // are multicast addresses.
        if matches!(bits, [0 | 0xff, ..] | [0xfe, 0x80..=0xbf, ..]) || preferred > valid {
            return;
        }
        let (valid_until, preferred_until) = (end(valid, now), end(preferred, now));
        if let Some(known) = self.prefixes.iter_mut().flatten().find(|prefix| prefix.bits == bits) {
            let two_hours = now + TWO_HOURS;
            if valid_until > two_hours || valid_until > known.valid_until {
                known.valid_until = valid_until;
            } else if known.valid_until > two_hours {
                known.valid_until = two_hours;
            }
            known.preferred_until = preferred_until.min(known.valid_until);
            known.on_link |= on_link;
            return;
        }
        if valid == 0 {
            return;
        }
        let Some(slots) = self.prefixes.get_mut(..self.limit) else { return };
        // Where all are taken, the deprecated one that ends first gives way.
        let slot = slots.iter_mut().min_by_key(|slot| match slot {
            None => Instant::ZERO,
            Some(prefix) if prefix.preferred_until <= now => prefix.valid_until,
            Some(_) => FOREVER,
        });
        if let Some(slot) = slot
            && slot.is_none_or(|prefix| prefix.preferred_until <= now)
        {
            *slot = Some(Prefix { bits, on_link, preferred_until, valid_until });
        }
    }

    /// A packet came from `source`, and its reply may go to the router.
    pub(super) fn heard(&mut self, source: Ipv6Address, interface: &Interface) {
        // With one router there is nothing to choose.
        self.used |= self.has_several_routers() && !is_neighbor(source.into(), interface);
    }

    /// `neighbor` has answered a solicitation: it can be reached.
    pub(super) fn answered(&mut self, neighbor: Ipv6Address, now: Instant) {
        if let Some(check) = &mut self.check
            && check.router == neighbor
        {
            (check.unanswered, check.at) = (0, now + CHECK_INTERVAL);
            self.used = false;
        }
    }

    fn has_several_routers(&self) -> bool {
        self.routers.iter().flatten().nth(1).is_some()
    }

    /// Puts in force what was learned and what is over, and searches for routers. How the addresses changed.
    pub(super) fn settle<D: Device + ?Sized>(
        &mut self,
        interface: &mut Interface,
        sockets: &SocketSet<'_>,
        device: &mut D,
        now: Instant,
    ) -> Change {
        let HardwareAddress::Ethernet(hardware) = interface.hardware_addr();
        for slot in &mut self.prefixes {
            slot.take_if(|prefix| prefix.valid_until <= now);
        }
        let change = self.settle_addresses(interface, hardware);
        self.settle_router(interface, now);
        self.check_router(interface, sockets, device, now);
        if self.solicitations > 0
            && self.solicit_at <= now
            && let Some(token) = device.transmit(to_smoltcp(now))
        {
            Message::router_solicitation(hardware, link_local(hardware)).send(token);
            self.solicitations -= 1;
            self.solicit_at = now + SOLICITATION_INTERVAL;
        }
        change
    }

    fn settle_addresses(&mut self, interface: &mut Interface, hardware: EthernetAddress) -> Change {
        let wanted = self.prefixes.map(|prefix| prefix.map(|prefix| prefix.address(hardware)));
        if wanted == self.made {
            return Change::Nothing;
        }
        let before = core::mem::replace(&mut self.made, wanted);
        let mut new = false;
        interface.update_ip_addrs(|list| {
            list.retain(|address| match address {
                IpCidr::Ipv6(address) => !before.contains(&Some(*address)) || wanted.contains(&Some(*address)),
                #[cfg(feature = "ipv4")]
                IpCidr::Ipv4(_) => true,
            });
            for address in wanted.into_iter().flatten() {
                if !list.iter().any(|other| other.address() == address.address().into()) {
                    new |= list.push(address.into()).is_ok();
                }
            }
        });
        if new { Change::Added } else { Change::Removed }
    }

    /// Makes a router that was learned, and whose lifetime has not ended, the default one, unless one such is.
    pub(super) fn settle_router(&mut self, interface: &mut Interface, now: Instant) {
        for slot in &mut self.routers {
            slot.take_if(|router| router.until <= now);
        }
        if self.fixed_router {
            return;
        }
        let current = interface.routes().get_default_ipv6_route().map(|route| route.via_router);
        let known = |router| self.routers.iter().flatten().any(|known| IpAddress::Ipv6(known.address) == router);
        if current.is_some_and(known) {
            return;
        }
        match self.routers.iter().flatten().next() {
            Some(router) => set_route(interface, router.address.into()),
            None if current.is_some() => _ = interface.routes_mut().remove_default_ipv6_route(),
            None => {}
        }
    }

    /// Asks the default router whether it is still there, and replaces one that does not answer (RFC 4861, 7.3 and 6.3.6).
    fn check_router<D: Device + ?Sized>(
        &mut self,
        interface: &mut Interface,
        sockets: &SocketSet<'_>,
        device: &mut D,
        now: Instant,
    ) {
        if self.fixed_router || !self.has_several_routers() || !(self.used || is_needed(interface, sockets)) {
            self.check = None;
            return;
        }
        let Some(IpAddress::Ipv6(router)) = router(IpAddress::Ipv6(Ipv6Address::UNSPECIFIED), interface) else {
            return;
        };
        let check = match &mut self.check {
            Some(check) if check.router == router => check,
            check => check.insert(Check { router, unanswered: 0, at: now }),
        };
        if check.at > now {
            return;
        }
        if check.unanswered == MOST_UNANSWERED {
            // Where no router answers, the next packet from another network goes on asking.
            (self.check, self.used) = (None, false);
            self.replace_router(router, interface);
            return;
        }
        let HardwareAddress::Ethernet(hardware) = interface.hardware_addr();
        if let Some(token) = device.transmit(to_smoltcp(now)) {
            Message::neighbor_solicitation(hardware, link_local(hardware), router).send(token);
            check.unanswered += 1;
            check.at = now + RETRANS_TIMER;
        }
    }

    /// The router that is remembered after this one becomes the default one.
    fn replace_router(&mut self, unreachable: Ipv6Address, interface: &mut Interface) {
        let mut known = self.routers.iter().flatten();
        let after = known.find(|router| router.address == unreachable).and_then(|_| known.next());
        if let Some(router) = after.or_else(|| self.routers.iter().flatten().next()) {
            set_route(interface, router.address.into());
        }
    }

    /// When something is due; later than `now`.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let prefixes = self.prefixes.iter().flatten().map(|prefix| prefix.valid_until);
        let routers = self.routers.iter().flatten().map(|router| router.until);
        let ends = prefixes.chain(routers).filter(|&end| end != FOREVER).min();
        let search = (self.solicitations > 0).then_some(self.solicit_at);
        earliest(earliest(ends, search), self.check.map(|check| check.at)).filter(|&due| due > now)
    }
}

/// Whether a connection over IPv6 needs the router.
fn is_needed(interface: &Interface, sockets: &SocketSet<'_>) -> bool {
    sockets.iter().any(|(_, socket)| {
        #[allow(irrefutable_let_patterns, reason = "with other features there are other sockets")]
        let Socket::Tcp(socket) = socket else { return false };
        socket
            .remote_endpoint()
            .is_some_and(|remote| matches!(remote.addr, IpAddress::Ipv6(_)) && !is_neighbor(remote.addr, interface))
    })
}

/// Flags of a prefix information option.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

impl Prefix {
    /// The address that this host makes of it. A prefix that is not on-link says nothing of other hosts (RFC 5942).
    fn address(&self, hardware: EthernetAddress) -> Ipv6Cidr {
        let mut octets = link_local(hardware).octets();
        octets[..8].copy_from_slice(&self.bits);
        Ipv6Cidr::new(octets.into(), if self.on_link { 64 } else { 128 })
    }
}

/// The end of a lifetime in seconds that starts `now`; all ones is without end (RFC 4861, 4.6.2).
fn end(seconds: u32, now: Instant) -> Instant {
    if seconds == u32::MAX { FOREVER } else { now + Duration::from_secs(seconds.into()) }
}

/// The address that every IPv6 host has, made from its hardware address (RFC 4291, appendix A).
pub(super) const fn link_local(hardware: EthernetAddress) -> Ipv6Address {
    let [a, b, c, d, e, f] = hardware.0;
    Ipv6Address::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}
