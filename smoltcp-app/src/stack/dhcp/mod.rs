//! An IPv4 address by DHCP, and a static one for networks without a server.
//!
//! smoltcp 0.14's own client accepts every address, forgets an offer that takes longer than its retry interval, and asks a
//! server that refuses as fast as it answers. So it is not used.

mod client;
mod lease;
mod message;
mod notice;

use greet_core::Instant;
use smoltcp::{
    iface::{Interface, SocketSet},
    phy::Device,
    socket::{AnySocket, tcp::Socket},
    wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpVersion, Ipv4Address, Ipv4Packet},
};

pub use self::notice::Notice;
use self::{
    client::{Action, Client},
    message::Reply,
};
use super::{
    Settings,
    announce::probe,
    assignment::{FALLBACK_AFTER, set_route},
};
use crate::time::{earliest, to_smoltcp};

/// The IPv4 address of an interface, from a server or static.
#[derive(Debug)]
pub(super) struct Dhcp {
    client: Client,
    fallback: Option<IpCidr>,
    fallback_gateway: Option<IpAddress>,
    /// When the fallback is used, if no server answers until then.
    fallback_at: Option<Instant>,
    #[cfg(feature = "dns")]
    dns_servers: message::DnsServers,
}

impl Dhcp {
    pub(super) fn new(settings: &Settings<'_>, now: Instant) -> Self {
        Self {
            client: Client::new(settings.hardware_address, settings.random_seed, now),
            fallback: settings.addresses.iter().copied().find(is_ipv4),
            fallback_gateway: settings.gateways.iter().copied().find(|gateway| gateway.version() == IpVersion::Ipv4),
            fallback_at: Some(now + FALLBACK_AFTER),
            #[cfg(feature = "dns")]
            dns_servers: message::DnsServers::default(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.fallback_at, Some(self.client.deadline()))
    }

    #[cfg(feature = "dns")]
    pub(super) fn dns_servers(&self) -> impl Iterator<Item = IpAddress> {
        self.dns_servers.iter().flatten().copied().map(IpAddress::Ipv4)
    }

    pub(super) const fn take_notice(&mut self) -> Option<Notice> {
        self.client.take_notice()
    }

    /// The link is up again, perhaps to another network.
    pub(super) fn link_up(&mut self, now: Instant) {
        self.client.begin(now, core::time::Duration::ZERO);
        self.fallback_at = Some(now + FALLBACK_AFTER);
    }

    /// Looks at a packet from the host `hardware`; whether it was a DHCP server's message.
    pub(super) fn receive(&mut self, hardware: EthernetAddress, packet: &Ipv4Packet<&[u8]>, now: Instant) -> bool {
        let reply = Reply::read(hardware, packet);
        if let Some(reply) = &reply {
            self.client.receive(reply, now);
        }
        reply.is_some()
    }

    /// Another host has sent an ARP message from `address`, or is probing for it.
    pub(super) fn conflict(&mut self, address: Ipv4Address, now: Instant) {
        self.client.conflict(address, now);
    }

    /// Sends what is due, and applies what was learned. Returns whether there is another address now.
    pub(super) fn settle<D: Device + ?Sized>(
        &mut self,
        interface: &mut Interface,
        sockets: &mut SocketSet<'_>,
        device: &mut D,
        now: Instant,
    ) -> bool {
        let mut is_new = false;
        while let Some(action) = self.client.poll(now) {
            match action {
                // What the device has no room for is lost, and repeated as if it had been lost on the link.
                Action::Ask(question) => {
                    if let Some(token) = device.transmit(to_smoltcp(now)) {
                        question.send(token);
                    }
                }
                Action::Probe(address) => {
                    let HardwareAddress::Ethernet(hardware) = interface.hardware_addr();
                    if let Some(token) = device.transmit(to_smoltcp(now)) {
                        probe(token, hardware, address);
                    }
                }
                Action::Use(lease) => {
                    self.fallback_at = None;
                    #[cfg(feature = "dns")]
                    {
                        self.dns_servers = lease.dns_servers;
                    }
                    let router = lease.router.map(IpAddress::Ipv4);
                    // A static gateway belongs to the static address, unless it is on this network too.
                    let near =
                        self.fallback_gateway.filter(|gateway| IpCidr::Ipv4(lease.address).contains_addr(gateway));
                    let address = Some(IpCidr::Ipv4(lease.address));
                    is_new |= set_address(interface, sockets, device, address, router.or(near), now);
                }
                Action::Drop => {
                    self.fallback_at = Some(now + FALLBACK_AFTER);
                    self.forget();
                    set_address(interface, sockets, device, None, None, now);
                }
            }
        }
        if self.fallback_at.is_some_and(|at| at <= now) {
            self.fallback_at = None;
            self.forget();
            is_new |= set_address(interface, sockets, device, self.fallback, self.fallback_gateway, now);
        }
        is_new
    }

    /// Forgets the DNS servers of the last lease.
    const fn forget(&mut self) {
        #[cfg(feature = "dns")]
        {
            self.dns_servers = [None; smoltcp::wire::DHCP_MAX_DNS_SERVER_COUNT];
        }
    }
}

/// Makes this the one IPv4 address; whether it was another before. Connections of the old one are reset while that can still
/// be sent: otherwise their peers would wait for their own timeouts.
fn set_address<D: Device + ?Sized>(
    interface: &mut Interface,
    sockets: &mut SocketSet<'_>,
    device: &mut D,
    address: Option<IpCidr>,
    gateway: Option<IpAddress>,
    now: Instant,
) -> bool {
    let old = interface.ip_addrs().iter().copied().find(is_ipv4);
    let is_kept = old.map(|old| old.address()) == address.map(|address| address.address());
    if !is_kept && let Some(old) = old {
        let tcp = sockets.iter_mut().filter_map(|(_, socket)| Socket::downcast_mut(socket));
        for socket in tcp.filter(|socket| socket.local_endpoint().is_some_and(|local| local.addr == old.address())) {
            socket.abort();
        }
        interface.poll_egress(to_smoltcp(now), device, sockets);
    }
    interface.routes_mut().remove_default_ipv4_route();
    if let Some(gateway) = gateway {
        set_route(interface, gateway);
    }
    if old == address {
        return false;
    }
    interface.update_ip_addrs(|list| {
        list.retain(|address| !is_ipv4(address));
        if let Some(address) = address {
            // There is room: one was kept when the stack was made.
            let _ = list.insert(0, address);
        }
    });
    address.is_some()
}

pub(super) fn is_ipv4(address: &IpCidr) -> bool {
    matches!(address, IpCidr::Ipv4(_))
}
