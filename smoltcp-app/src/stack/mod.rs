//! The interface with its addresses, and the loop body that a board or a program repeats: a poll of bounded work.

mod addresses;
#[cfg(feature = "ipv4")]
mod announce;
#[cfg(feature = "dhcpv4")]
mod dhcp;
mod meter;
#[cfg(feature = "ipv6")]
mod no_router;

use core::time::Duration;

use greet_core::Instant;
use smoltcp::{
    iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet},
    phy::Device,
    socket::tcp,
    wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint},
};
#[cfg(feature = "dns")]
use smoltcp::{socket::dns, wire::DnsQueryType};

use self::{addresses::Addresses, meter::Metered};
pub use self::{
    addresses::{FALLBACK_AFTER, SettingsError},
    meter::Counters,
};
use crate::time::{earliest, from_smoltcp, to_smoltcp};

/// How often one poll asks a socket for a segment: more often than any buffer has segments.
pub const PASSES: usize = 64;

/// How soon a poll is due again when the device had no room for a frame. Where the device tells of room by an interrupt,
/// that comes first.
const DEVICE_RETRY: Duration = Duration::from_millis(1);

/// How soon a poll is due again when smoltcp says "at once" though nothing is left to send. It should not.
const STALE_RETRY: Duration = Duration::from_millis(10);

/// What the owner of a stack chooses.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    /// The address on the wire; unicast.
    pub hardware_address: EthernetAddress,
    /// Decides initial sequence numbers and ports: from the best source of entropy there is, and another one at each start.
    pub random_seed: u64,
    /// The service's port; refusals are counted for it.
    pub port: u16,
    /// How many frames one poll takes in, so that under a flood the conversations are served in between: 64. A fast machine
    /// with many conversations does better with more.
    pub frames_a_poll: usize,
    /// Static addresses; unicast. With IPv6 the link-local address is there without being named.
    pub addresses: &'s [IpCidr],
    /// The default routes: at most one of each family.
    pub gateways: &'s [IpAddress],
    /// Whether to ask for an IPv4 address by DHCP; the static one is taken where nobody answers for [`FALLBACK_AFTER`].
    #[cfg(feature = "dhcpv4")]
    pub dhcp: bool,
    /// Whether to make IPv6 addresses from what routers advertise (SLAAC).
    #[cfg(feature = "ipv6")]
    pub slaac: bool,
}

impl<'s> Settings<'s> {
    /// No address but, with IPv6, the link-local one; and the protocol's port.
    #[must_use]
    pub const fn new(hardware_address: EthernetAddress, random_seed: u64) -> Self {
        Self {
            hardware_address,
            random_seed,
            port: 9999,
            frames_a_poll: 64,
            addresses: &[],
            gateways: &[],
            #[cfg(feature = "dhcpv4")]
            dhcp: false,
            #[cfg(feature = "ipv6")]
            slaac: false,
        }
    }
}

/// An interface with its addresses and its sockets.
///
/// The owner repeats this, and nothing else:
///
/// ```text
///     loop {
///         let next = stack.poll(now(), &mut device, |sockets, sent| pool.serve(now, sockets, sent, tell));
///         wait for a frame, or until `next`
///     }
/// ```
pub struct Stack<'a> {
    interface: Interface,
    sockets: SocketSet<'a>,
    addresses: Addresses,
    port: u16,
    frames_a_poll: usize,
    counters: Counters,
    /// Routers are looked for until then.
    #[cfg(feature = "ipv6")]
    searches_until: Option<Instant>,
}

impl<'a> Stack<'a> {
    /// A stack on `device`, whose sockets will live in `sockets`: one for each conversation, and one for DHCP.
    ///
    /// # Errors
    /// What is wrong with the settings.
    ///
    /// # Panics
    /// Where `device` is no Ethernet, and as [`SocketSet::add`] does where the set has no place left.
    pub fn new<D: Device + ?Sized>(
        settings: Settings<'_>,
        device: &mut D,
        mut sockets: SocketSet<'a>,
        now: Instant,
    ) -> Result<Self, SettingsError> {
        if !settings.hardware_address.is_unicast() {
            return Err(SettingsError::HardwareAddress(settings.hardware_address));
        }
        let mut config = Config::new(HardwareAddress::Ethernet(settings.hardware_address));
        config.random_seed = settings.random_seed;
        #[cfg(feature = "ipv6")]
        {
            config.slaac = settings.slaac;
        }
        let mut interface = Interface::new(config, device, to_smoltcp(now));
        let addresses = Addresses::new(&settings, &mut interface, &mut sockets, now)?;
        Ok(Self {
            interface,
            sockets,
            addresses,
            port: settings.port,
            frames_a_poll: settings.frames_a_poll.max(1),
            counters: Counters::default(),
            #[cfg(feature = "ipv6")]
            searches_until: settings.slaac.then(|| now + no_router::SEARCH),
        })
    }

    /// The sockets, to add to.
    pub const fn sockets(&mut self) -> &mut SocketSet<'a> {
        &mut self.sockets
    }

    /// The addresses in force, with their networks.
    #[must_use]
    pub fn addresses(&self) -> &[IpCidr] {
        self.interface.ip_addrs()
    }

    /// The router to other networks, for addresses of this one's family.
    #[must_use]
    pub fn router(&mut self, family: IpAddress) -> Option<IpAddress> {
        let mut router = None;
        self.interface.routes_mut().update(|routes| {
            let mut defaults = routes.iter().filter(|route| route.cidr.prefix_len() == 0).map(|route| route.via_router);
            router = defaults.find(|router| router.version() == family.version());
        });
        router
    }

    /// Whom the lease of DHCP says to ask for names.
    #[cfg(all(feature = "dhcpv4", feature = "dns"))]
    pub fn dns_servers(&self) -> impl Iterator<Item = IpAddress> {
        self.addresses.dns_servers()
    }

    /// What was seen on the wire so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The link is up, or up again: tells the neighbours who is here, and asks for an address where DHCP is wanted.
    ///
    /// The address in force stays until another is known: it is most likely the same network.
    pub fn link_up(&mut self, now: Instant) {
        self.addresses.link_up(&mut self.sockets, now);
    }

    /// Opens a connection from the socket `handle` to `remote`.
    ///
    /// # Errors
    /// Where the socket is busy, or there is no address of ours to speak from.
    pub fn connect(
        &mut self,
        handle: SocketHandle,
        remote: IpEndpoint,
        local_port: u16,
    ) -> Result<(), tcp::ConnectError> {
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).connect(self.interface.context(), remote, local_port)
    }

    /// Asks the servers of the socket `handle` for what `kind` says of `name`.
    ///
    /// # Errors
    /// Where that is no name, or the socket has no room for another question.
    #[cfg(feature = "dns")]
    pub fn look_up(
        &mut self,
        handle: SocketHandle,
        name: &str,
        kind: DnsQueryType,
    ) -> Result<dns::QueryHandle, dns::StartQueryError> {
        self.sockets.get_mut::<dns::Socket<'_>>(handle).start_query(self.interface.context(), name, kind)
    }

    /// Takes in what came, has it served, and sends what is owed: until nothing moves, or so many frames came that it is
    /// better to come back.
    ///
    /// `serve` gets the sockets, and whether each of them had the chance to send since it was called last; it answers with
    /// its own deadline. It is called again after everything that may have changed a socket, so that nobody waits for a
    /// frame that happens to come.
    ///
    /// The answer is when to poll again, at the latest; `None` where only a frame can change anything.
    pub fn poll<D: Device + ?Sized>(
        &mut self,
        now: Instant,
        device: &mut D,
        mut serve: impl FnMut(&mut SocketSet<'a>, bool) -> Option<Instant>,
    ) -> Option<Instant> {
        let mut frames = 0;
        loop {
            let round = self.round(now, device, self.frames_a_poll.saturating_sub(frames), &mut serve);
            frames = frames.saturating_add(round.frames);
            if frames >= self.frames_a_poll {
                return Some(now);
            }
            if !round.turned || round.exhausted {
                return earliest(round.deadline, self.due(now, device, round.exhausted));
            }
        }
    }

    /// Takes in at most so many frames, and lets everything take its course that comes of them.
    fn round<D: Device + ?Sized>(
        &mut self,
        now: Instant,
        device: &mut D,
        limit: usize,
        serve: &mut impl FnMut(&mut SocketSet<'a>, bool) -> Option<Instant>,
    ) -> Round {
        let time = to_smoltcp(now);
        let Self { interface, sockets, addresses, counters, .. } = self;
        let mut device = Metered { device, counters, port: self.port, exhausted: false, turned: false };
        let mut frames = 0;
        // A frame that begins or ends a connection ends the round: a socket listens again, if one can, before the next SYN is
        // looked at.
        while frames < limit
            && !device.turned
            && interface.poll_ingress_single(time, &mut device, sockets) != PollIngressSingleResult::None
        {
            frames += 1;
        }
        maintain(interface, time);
        let mut sent = false;
        let mut passes = 0;
        loop {
            let settled = addresses.settle(interface, sockets, &mut device, now);
            let served = serve(sockets, sent);
            let moved = interface.poll_egress(time, &mut device, sockets) != PollResult::None;
            // A socket may have more than one segment to send; another that waited for its turn may be done now.
            // One in FIN-WAIT-2 whose peer's window stayed closed says the same for ever: smoltcp's timer for that runs on.
            if device.exhausted || (sent && !moved) || passes == PASSES {
                let Metered { exhausted, turned, .. } = device;
                return Round { frames, turned, exhausted, deadline: earliest(settled, served) };
            }
            sent = true;
            passes += 1;
        }
    }

    /// When the interface wants to be polled again, now that it has sent all it could.
    fn due<D: Device + ?Sized>(&mut self, now: Instant, device: &D, exhausted: bool) -> Option<Instant> {
        let time = to_smoltcp(now);
        let due = self.interface.poll_at(time, &self.sockets).map(from_smoltcp);
        if exhausted {
            return earliest(due.filter(|&due| due > now), Some(now + DEVICE_RETRY));
        }
        if due.is_none_or(|due| due > now) {
            return due;
        }
        #[cfg(feature = "ipv6")]
        if self.searches_until.is_some_and(|until| until <= now) {
            self.searches_until = None;
            no_router::tell(&mut self.interface, &mut self.sockets, device.capabilities(), time);
            return self.due(now, device, exhausted);
        }
        let _ = device;
        Some(now + STALE_RETRY)
    }
}

/// Puts in force what routers have advertised.
fn maintain(interface: &mut Interface, time: smoltcp::time::Instant) {
    // smoltcp adds no route to a router that it heard of as long as there is one for IPv4: so that one steps aside.
    #[cfg(all(feature = "ipv4", feature = "ipv6"))]
    let route = interface.routes_mut().remove_default_ipv4_route();
    interface.poll_maintenance(time);
    #[cfg(all(feature = "ipv4", feature = "ipv6"))]
    if let Some(route) = route {
        // There is room: its place was kept.
        interface.routes_mut().update(|routes| _ = routes.push(route));
    }
}

/// What one round came to.
struct Round {
    /// So many frames came in.
    frames: usize,
    /// The last of them began or ended a connection: there may be more.
    turned: bool,
    /// The device had no room for all that was to be sent.
    exhausted: bool,
    /// When the service wants to be called again.
    deadline: Option<Instant>,
}

impl core::fmt::Debug for Stack<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Stack").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
