//! The neighbors' hardware addresses that smoltcp gets, and conflicts: other hosts that use an address of this one.
//!
//! smoltcp 0.14 sends one ARP request or neighbor solicitation a second, for all neighbors together
//! (`iface/neighbor.rs`, `SILENT_TIME`). So that a reply seldom needs one, the hardware address of every neighbor that
//! sends to this host is learned from its frames. A client that connects to several hosts at once asks for each of them.

use greet_core::Instant;
use smoltcp::{
    iface::{Interface, SocketSet},
    phy::{Device, TxToken},
    socket::Socket,
    wire::{EthernetAddress, HardwareAddress, IpAddress},
};

#[cfg(feature = "ipv6")]
use super::discovery::{LONGEST, Message, advertisement};
use super::ingress::OneFrame;
use crate::time::to_smoltcp;

/// DEFEND_INTERVAL: the shortest time between two reports of a conflict, and between two defenses (RFC 5227, 1.1).
const DEFEND_INTERVAL: core::time::Duration = core::time::Duration::from_secs(10);

/// Shortest time between two requests for the same neighbor (RFC 1122, 2.3.2.1).
const REQUEST_INTERVAL: core::time::Duration = core::time::Duration::from_secs(1);

/// Another host uses an address of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Conflict {
    /// The address that both use.
    pub address: IpAddress,
    /// The other host's hardware address.
    pub hardware_address: EthernetAddress,
}

impl core::fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { address, hardware_address } = self;
        write!(
            formatter,
            "another host ({hardware_address}) uses {address} too, so that connections may fail: give one of the two \
             another address"
        )
    }
}

/// What was learned from frames.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    /// The neighbor that smoltcp was told last: most often the next frame is from the same one.
    last: Option<(IpAddress, EthernetAddress)>,
    conflict: Option<Conflict>,
    /// No conflict is reported until then.
    quiet_until: Option<Instant>,
    /// The neighbor that was asked for last, and when.
    requested: Option<(IpAddress, Instant)>,
}

impl Neighbors {
    /// The conflict that was noticed since this was asked last.
    pub(super) const fn take_conflict(&mut self) -> Option<Conflict> {
        self.conflict.take()
    }

    /// Whether `address` is this host's, and so the sender of it is another host with the same one. Whether to defend it.
    pub(super) fn is_conflict(
        &mut self,
        address: IpAddress,
        hardware_address: EthernetAddress,
        interface: &Interface,
        now: Instant,
    ) -> bool {
        let conflict = interface.has_ip_addr(address) && self.quiet_until.is_none_or(|until| until <= now);
        if conflict {
            self.quiet_until = Some(now + DEFEND_INTERVAL);
            self.conflict = Some(Conflict { address, hardware_address });
        }
        conflict
    }

    /// Asks for the hardware address of the neighbor that packets to `remote` are sent to, unless it was asked for last and
    /// within a second.
    pub(super) fn request<D: Device + ?Sized>(
        &mut self,
        remote: IpAddress,
        interface: &Interface,
        device: &mut D,
        now: Instant,
    ) {
        let target = if is_neighbor(remote, interface) { Some(remote) } else { router(remote, interface) };
        let Some(target) = target else { return };
        let is_recent = |(address, at): (IpAddress, Instant)| address == target && now.since(at) < REQUEST_INTERVAL;
        if self.requested.is_some_and(is_recent) {
            return;
        }
        let HardwareAddress::Ethernet(own) = interface.hardware_addr();
        let Some(token) = device.transmit(to_smoltcp(now)) else { return };
        match target {
            #[cfg(feature = "ipv4")]
            IpAddress::Ipv4(target) => {
                let Some(source) = interface.get_source_address_ipv4(&target) else { return };
                super::announce::request(token, (own, source), target);
            }
            #[cfg(feature = "ipv6")]
            IpAddress::Ipv6(target) => {
                let source = interface.get_source_address_ipv6(&target);
                Message::neighbor_solicitation(own, source, target).send(token);
            }
        }
        self.requested = Some((target, now));
    }

    /// smoltcp's table has changed in another way than by [`learn`](Self::learn).
    pub(super) const fn forget(&mut self) {
        self.last = None;
    }

    /// Learns from an IP packet that `address` sent from `hardware` to this host. RFC 826 and RFC 4861 leave this open. A
    /// forged packet misleads until the next one of the right sender, and never about a router: those only ARP and
    /// neighbor discovery tell.
    pub(super) fn learn(
        &mut self,
        address: IpAddress,
        hardware: EthernetAddress,
        interface: &mut Interface,
        sockets: &mut SocketSet<'_>,
        now: Instant,
    ) {
        if self.last == Some((address, hardware)) || !is_neighbor(address, interface) || is_router(address, interface) {
            return;
        }
        tell(address, hardware, true, interface, sockets, now);
        self.last = Some((address, hardware));
    }
}

/// Whether `address` is in a network of this host, and so is reached without a router.
#[inline(never)] // once in flash
pub(super) fn is_neighbor(address: IpAddress, interface: &Interface) -> bool {
    interface.ip_addrs().iter().any(|network| network.contains_addr(&address))
}

/// The default router of `remote`'s IP version.
pub(super) fn router(remote: IpAddress, interface: &Interface) -> Option<IpAddress> {
    let route = match remote {
        #[cfg(feature = "ipv4")]
        IpAddress::Ipv4(_) => interface.routes().get_default_ipv4_route(),
        #[cfg(feature = "ipv6")]
        IpAddress::Ipv6(_) => interface.routes().get_default_ipv6_route(),
    };
    route.map(|route| route.via_router)
}

/// Whether `address` is a default router's.
fn is_router(address: IpAddress, interface: &Interface) -> bool {
    router(address, interface) == Some(address)
}

/// Whether frames go to `address`: it is a router, or the peer of a connection.
pub(super) fn is_in_use(address: IpAddress, interface: &Interface, sockets: &SocketSet<'_>) -> bool {
    is_router(address, interface)
        || sockets.iter().any(|(_, socket)| {
            #[allow(irrefutable_let_patterns, reason = "with other features there are other sockets")]
            if let Socket::Tcp(socket) = socket {
                socket.remote_endpoint().is_some_and(|remote| remote.addr == address)
            } else {
                false
            }
        })
}

/// Tells smoltcp the hardware address of a neighbor, as the answer to a question: it has no function for this.
/// With `replaces`, another hardware address that it knows is replaced.
pub(super) fn tell(
    address: IpAddress,
    hardware: EthernetAddress,
    replaces: bool,
    interface: &mut Interface,
    sockets: &mut SocketSet<'_>,
    now: Instant,
) {
    let HardwareAddress::Ethernet(own) = interface.hardware_addr();
    if !hardware.is_unicast() {
        return;
    }
    match address {
        #[cfg(feature = "ipv4")]
        IpAddress::Ipv4(address) => {
            let Some(target) = interface.get_source_address_ipv4(&address) else { return };
            let mut frame = [0; super::announce::ARP];
            super::announce::write_reply(&mut frame, (hardware, address), (own, target));
            interface.poll_ingress_single(to_smoltcp(now), &mut OneFrame::new(&frame, NoReply), sockets);
            let _ = replaces; // ARP always does
        }
        #[cfg(feature = "ipv6")]
        IpAddress::Ipv6(address) => {
            use smoltcp::wire::NdiscNeighborFlags;

            let Some(destination) = interface.ipv6_addr() else { return };
            let flags = if replaces { NdiscNeighborFlags::OVERRIDE } else { NdiscNeighborFlags::empty() };
            let message = Message {
                hardware_source: hardware,
                hardware_destination: own,
                source: address,
                destination,
                body: advertisement(hardware, address, flags),
            };
            let mut frame = [0; LONGEST];
            message.write(&mut frame);
            interface.poll_ingress_single(to_smoltcp(now), &mut OneFrame::new(&frame, NoReply), sockets);
        }
    }
}

/// The right to send a reply to an answer, which has none.
struct NoReply;

impl TxToken for NoReply {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = [0; 64];
        write(frame.get_mut(..length).unwrap_or_default())
    }
}
