//! The interface with its addresses and sockets, and its poll, which does a bounded amount of work.

mod acknowledgements;
mod addresses;
#[cfg(feature = "ipv4")]
mod announce;
mod assignment;
#[cfg(feature = "dhcpv4")]
mod dhcp;
#[cfg(feature = "ipv6")]
mod discovery;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "ipv6")]
mod extensions;
mod guard;
mod icmp;
mod ingress;
mod lengths;
mod meter;
mod neighbors;
mod path_mtu;
mod quote;
mod reason;
#[cfg(feature = "reassembly")]
mod reassembly;
mod receive;
mod segment;
#[cfg(feature = "ipv6")]
mod slaac;
mod syn_acks;
mod tag;

use core::time::Duration;

use greet_core::Instant;
use smoltcp::{
    iface::{Config, Interface, PollResult, SocketHandle, SocketSet},
    phy::{Device, RxToken},
    socket::tcp,
    wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint},
};
#[cfg(feature = "dns")]
use smoltcp::{
    socket::dns::{QueryHandle, Socket as DnsSocket, StartQueryError},
    wire::DnsQueryType,
};

#[cfg(feature = "dhcpv4")]
pub use self::dhcp::Notice as DhcpNotice;
#[cfg(feature = "reassembly")]
pub use self::reassembly::Fragments;
use self::{addresses::Addresses, assignment::Change, guard::Guard, meter::Metered, neighbors::Neighbors};
pub use self::{
    addresses::SettingsError, assignment::FALLBACK_AFTER, meter::Counters, neighbors::Conflict, reason::Reason,
};
use crate::time::{earliest, from_smoltcp, to_smoltcp};

/// How often one poll asks each socket for a segment at most: more than the segments of any buffer.
pub const PASSES: usize = 64;

/// How soon a poll is due again when the device had no room for a frame. A device that reports room by an interrupt is
/// polled earlier.
const DEVICE_RETRY: Duration = Duration::from_millis(1);

/// How soon a poll is due again when smoltcp asks for one at once though nothing is left to send, which is a bug of it.
const STALE_RETRY: Duration = Duration::from_millis(10);

/// The settings of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    /// The MAC address; unicast.
    pub hardware_address: EthernetAddress,
    /// Determines initial sequence numbers and ports: from the best source of entropy available, different at each start.
    pub random_seed: u64,
    /// The service's port; refusals are counted for it.
    pub port: u16,
    /// Maximum number of frames that one poll receives, so that connections are served in between during a flood: 64. A fast
    /// host with many connections does better with more.
    pub frames_a_poll: usize,
    /// Static addresses; unicast. With IPv6 the link-local address is there without being named.
    pub addresses: &'s [IpCidr],
    /// The default routes: at most one of each family.
    pub gateways: &'s [IpAddress],
    /// Whether to get an IPv4 address by DHCP; the static one is used if no server answers for [`FALLBACK_AFTER`].
    #[cfg(feature = "dhcpv4")]
    pub dhcp: bool,
    /// Whether to make IPv6 addresses from the prefixes that routers advertise (SLAAC).
    #[cfg(feature = "ipv6")]
    pub slaac: bool,
}

impl<'s> Settings<'s> {
    /// No address but the link-local one (with IPv6), and the protocol's port.
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
/// The owner repeats this:
///
/// ```text
///     loop {
///         let next = stack.poll(now(), &mut device, |sockets, reason| pool.serve(now, sockets, reason, tell));
///         wait for a frame, or until `next`
///     }
/// ```
pub struct Stack<'a> {
    interface: Interface,
    sockets: SocketSet<'a>,
    addresses: Addresses,
    neighbors: Neighbors,
    guard: Guard,
    #[cfg(feature = "dns")]
    truncated_dns: Option<IpAddress>,
    #[cfg(feature = "reassembly")]
    fragments: Option<&'a mut Fragments>,
    port: u16,
    frames_a_poll: usize,
    /// Whether the device leaves the checksum of received TCP segments to the stack, except those longer than its MTU.
    #[cfg(feature = "segmentation-offload")]
    leaves_checksums: bool,
    /// Whether the checksum of a TCP segment in the frame that is being received is to be verified here: smoltcp does not.
    #[cfg(feature = "segmentation-offload")]
    verifies_tcp: bool,
    counters: Counters,
    /// The identification of the last IPv4 packet that was sent.
    #[cfg(feature = "ipv4")]
    identification: u16,
}

impl<'a> Stack<'a> {
    /// A stack on `device`, whose sockets will live in `sockets`: one for each connection.
    ///
    /// # Errors
    /// A setting that cannot work, see [`SettingsError`].
    ///
    /// # Panics
    /// If `device` is not an Ethernet device.
    pub fn new<D: Device + ?Sized>(
        settings: Settings<'_>,
        device: &mut D,
        sockets: SocketSet<'a>,
        now: Instant,
    ) -> Result<Self, SettingsError> {
        if !settings.hardware_address.is_unicast() {
            return Err(SettingsError::HardwareAddress(settings.hardware_address));
        }
        let mut config = Config::new(HardwareAddress::Ethernet(settings.hardware_address));
        config.random_seed = settings.random_seed;
        let mut interface = Interface::new(config, device, to_smoltcp(now));
        let addresses = Addresses::new(&settings, &mut interface, now)?;
        Ok(Self {
            interface,
            sockets,
            addresses,
            neighbors: Neighbors::default(),
            guard: Guard::default(),
            #[cfg(feature = "dns")]
            truncated_dns: None,
            #[cfg(feature = "reassembly")]
            fragments: None,
            port: settings.port,
            frames_a_poll: settings.frames_a_poll.max(1),
            #[cfg(feature = "segmentation-offload")]
            leaves_checksums: !device.capabilities().checksum.tcp.rx(),
            #[cfg(feature = "segmentation-offload")]
            verifies_tcp: false,
            counters: Counters::default(),
            #[cfg(feature = "ipv4")]
            identification: 0,
        })
    }

    /// Reassembles packets of up to 1,500 bytes, in this memory. Without it every fragment is dropped.
    #[cfg(feature = "reassembly")]
    pub const fn reassemble(&mut self, fragments: &'a mut Fragments) {
        self.fragments = Some(fragments);
    }

    /// The sockets, to add to.
    pub const fn sockets(&mut self) -> &mut SocketSet<'a> {
        &mut self.sockets
    }

    /// The addresses in use, with their prefix lengths.
    #[must_use]
    pub fn addresses(&self) -> &[IpCidr] {
        self.interface.ip_addrs()
    }

    /// The default router of `family`'s IP version.
    #[must_use]
    pub fn router(&self, family: IpAddress) -> Option<IpAddress> {
        neighbors::router(family, &self.interface)
    }

    /// The DNS servers that DHCP named.
    #[cfg(all(feature = "dhcpv4", feature = "dns"))]
    pub fn dns_servers(&self) -> impl Iterator<Item = IpAddress> {
        self.addresses.dns_servers()
    }

    /// The counters since the stack was made.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Another host that uses an address of this one, if one was noticed since the last call. It is reported every
    /// 10 s at most. The address stays in use and is defended (RFC 5227, 2.4 (c)).
    pub const fn take_conflict(&mut self) -> Option<Conflict> {
        self.neighbors.take_conflict()
    }

    /// What is odd about the DHCP server or its lease, if something was noticed since this was asked last.
    #[cfg(feature = "dhcpv4")]
    pub fn take_dhcp_notice(&mut self) -> Option<DhcpNotice> {
        self.addresses.dhcp.as_mut().and_then(dhcp::Dhcp::take_notice)
    }

    /// The link is up, or up again: announces the addresses, and starts DHCP and the search for routers again.
    ///
    /// The addresses stay in use until others are learned: most likely it is the same network.
    pub fn link_up(&mut self, now: Instant) {
        self.addresses.link_up(now);
    }

    /// Asks for the hardware address of the neighbor that packets to `remote` are sent to, before they are.
    ///
    /// smoltcp 0.14 asks for one neighbor a second (`iface/neighbor.rs`, `SILENT_TIME`): without this call the second of two
    /// hosts that are connected to at the same time waits a second for its first packet.
    pub fn request_neighbor<D: Device + ?Sized>(&mut self, remote: IpAddress, device: &mut D, now: Instant) {
        self.neighbors.request(remote, &self.interface, device, now);
    }

    /// Opens a connection from the socket `handle` to `remote`.
    ///
    /// # Errors
    /// If the socket is in use, or the stack has no address of that IP version.
    pub fn connect(
        &mut self,
        handle: SocketHandle,
        remote: IpEndpoint,
        local_port: u16,
    ) -> Result<(), tcp::ConnectError> {
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).connect(self.interface.context(), remote, local_port)
    }

    /// Sends a DNS query for the records of type `kind` of `name` from the socket `handle`.
    ///
    /// # Errors
    /// If `name` is not a DNS name, or the socket has no room for another query.
    #[cfg(feature = "dns")]
    pub fn look_up(
        &mut self,
        handle: SocketHandle,
        name: &str,
        kind: DnsQueryType,
    ) -> Result<QueryHandle, StartQueryError> {
        let mut buffer = [0; dns::NAME];
        let name = dns::lower_case(name, &mut buffer).unwrap_or(name);
        self.sockets.get_mut::<DnsSocket<'_>>(handle).start_query(self.interface.context(), name, kind)
    }

    /// The DNS server whose last answer was truncated (TC), if one was since this was asked last: addresses are missing.
    #[cfg(feature = "dns")]
    pub const fn take_truncated_dns(&mut self) -> Option<IpAddress> {
        self.truncated_dns.take()
    }

    /// Receives frames, serves the sockets and sends, until there is nothing left to do or `frames_a_poll` frames were
    /// received.
    ///
    /// `serve` gets the sockets, and why it is called; it returns its own deadline. It is called after everything that may
    /// have changed a socket.
    ///
    /// Returns when to poll again at the latest; `None` if only a frame can change anything.
    pub fn poll<D: Device + ?Sized>(
        &mut self,
        now: Instant,
        device: &mut D,
        mut serve: impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) -> Option<Instant> {
        let mut frames = 0;
        loop {
            let round = self.round(now, device, self.frames_a_poll.saturating_sub(frames), &mut serve);
            frames = frames.saturating_add(round.frames);
            if frames >= self.frames_a_poll {
                return Some(now);
            }
            if !round.turned || round.exhausted {
                return earliest(round.deadline, self.due(now, round.exhausted));
            }
        }
    }

    /// Receives at most `limit` frames, then serves and sends until nothing changes.
    fn round<D: Device + ?Sized>(
        &mut self,
        now: Instant,
        device: &mut D,
        limit: usize,
        serve: &mut impl FnMut(&mut SocketSet<'a>, Reason) -> Option<Instant>,
    ) -> Round {
        let time = to_smoltcp(now);
        let mut counters = self.counters;
        #[cfg(feature = "ipv4")]
        let mut identification = self.identification;
        let mut device = Metered {
            device,
            counters: &mut counters,
            port: self.port,
            exhausted: false,
            guard: None,
            #[cfg(feature = "ipv4")]
            identification: &mut identification,
        };
        let mut frames = 0;
        let mut turned = false;
        // A frame that begins or ends a connection ends the round: a socket listens again, if one can, before the next SYN is
        // looked at.
        while frames < limit
            && !turned
            && let Some((received, reply)) = device.receive(time)
        {
            frames += 1;
            #[cfg(feature = "segmentation-offload")]
            {
                self.verifies_tcp = self.leaves_checksums && received.meta().segmentation_offload_size.is_none();
            }
            received.consume(|frame| {
                turned = meter::turns(frame);
                // The whole packet may.
                #[cfg(feature = "reassembly")]
                {
                    turned |= reassembly::has_fragment(frame);
                }
                self.receive(frame, reply, now, serve);
            });
        }
        let Self { interface, sockets, addresses, neighbors, guard, .. } = self;
        device.guard = Some(guard); // it follows what sockets send, not the answers to frames
        interface.poll_maintenance(time);
        let mut reason = Reason::Received;
        let mut passes = 0;
        loop {
            let (change, settled) = addresses.settle(interface, sockets, &mut device, now);
            if change != Change::Nothing {
                neighbors.forget(); // smoltcp has, of all of them
            }
            let served = serve(sockets, reason);
            let moved = interface.poll_egress(time, &mut device, sockets) != PollResult::None;
            // A socket may have more than one segment to send, and `serve` may have more for it to send then.
            // A socket in FIN-WAIT-2 whose peer's window stayed closed always asks to send: smoltcp does not stop its timer.
            if device.exhausted || (reason == Reason::Sent && !moved) || passes == PASSES {
                let exhausted = device.exhausted;
                self.counters = counters;
                #[cfg(feature = "ipv4")]
                {
                    self.identification = identification;
                }
                return Round { frames, turned, exhausted, deadline: earliest(settled, served) };
            }
            reason = Reason::Sent;
            passes += 1;
        }
    }

    /// When the interface is to be polled again, now that it has sent all it could.
    fn due(&mut self, now: Instant, exhausted: bool) -> Option<Instant> {
        let due = self.interface.poll_at(to_smoltcp(now), &self.sockets).map(from_smoltcp);
        if exhausted {
            return earliest(due.filter(|&due| due > now), Some(now + DEVICE_RETRY));
        }
        due.map(|due| if due > now { due } else { now + STALE_RETRY })
    }
}

/// The result of one round.
struct Round {
    /// How many frames were received.
    frames: usize,
    /// The last of them began or ended a connection: there may be more frames.
    turned: bool,
    /// The device had no room for all that was to be sent.
    exhausted: bool,
    /// When `serve`, DHCP or SLAAC has something to do.
    deadline: Option<Instant>,
}

impl core::fmt::Debug for Stack<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Stack").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
