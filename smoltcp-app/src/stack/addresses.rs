//! The addresses of an interface: static, by DHCP with a static fallback, link-local, and by SLAAC.

use core::fmt;

use greet_core::Instant;
use smoltcp::{
    config::IFACE_MAX_ADDR_COUNT,
    iface::{Interface, SocketSet},
    phy::Device,
    wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr},
};

#[cfg(feature = "ipv4")]
use super::announce;
#[cfg(feature = "dhcpv4")]
use super::dhcp::Dhcp;
use super::{
    Settings,
    assignment::{Change, is_one_hosts, set_route},
};
#[cfg(feature = "ipv6")]
use super::{
    discovery::Message,
    slaac::{Slaac, link_local},
};
#[cfg(feature = "ipv6")]
use crate::time::earliest;
use crate::time::to_smoltcp;

/// What is wrong with the settings of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SettingsError {
    /// A hardware address that no single card can have.
    HardwareAddress(EthernetAddress),
    /// An address that no single host can have.
    Address(IpCidr),
    /// An address that is given twice.
    Twice(IpCidr),
    /// A gateway that no single host can be.
    Gateway(IpAddress),
    /// More addresses than the interface holds, which is fixed when it is built.
    TooManyAddresses {
        /// How many there may be, with the link-local one.
        limit: usize,
    },
    /// More than one gateway for one family of addresses.
    TooManyGateways,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HardwareAddress(address) => {
                write!(formatter, "{address} is not one card's address: its first byte must be even, and not all 0")
            }
            Self::Address(address) => write!(
                formatter,
                "{address} is not one host's address on a network: neither the network itself, nor all its hosts, nor a \
                 loopback address is"
            ),
            Self::Twice(address) => write!(formatter, "{address} is given twice: give it once"),
            Self::Gateway(gateway) => write!(formatter, "{gateway} is not one host's address: give a unicast address"),
            Self::TooManyAddresses { limit } => {
                write!(formatter, "there is room for {limit} addresses, with the link-local one: give fewer")
            }
            Self::TooManyGateways => {
                formatter.write_str("there is one default route for IPv4 and one for IPv6: give one gateway for each")
            }
        }
    }
}

impl core::error::Error for SettingsError {}

/// The addresses while the stack runs.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Whether another host has an address of ours was not asked yet.
    unprobed: bool,
    /// The neighbors do not know yet who is here.
    unannounced: bool,
    /// The number of messages sent of the current announcement. A device may have room for a few at a time.
    announced: usize,
    #[cfg(feature = "dhcpv4")]
    pub(super) dhcp: Option<Dhcp>,
    #[cfg(feature = "ipv6")]
    pub(super) slaac: Option<Slaac>,
}

impl Addresses {
    /// Gives the interface the addresses and routes that it starts with.
    pub(super) fn new(settings: &Settings<'_>, interface: &mut Interface, now: Instant) -> Result<Self, SettingsError> {
        if let Some(&address) = settings.addresses.iter().find(|address| !is_one_hosts(address)) {
            return Err(SettingsError::Address(address));
        }
        let twice =
            settings.addresses.iter().enumerate().find(|(index, one)| {
                settings.addresses.iter().take(*index).any(|other| other.address() == one.address())
            });
        if let Some((_, &address)) = twice {
            return Err(SettingsError::Twice(address));
        }
        if let Some(&gateway) = settings.gateways.iter().find(|gateway| !gateway.is_unicast()) {
            return Err(SettingsError::Gateway(gateway));
        }
        let one_a_family = settings
            .gateways
            .iter()
            .enumerate()
            .all(|(index, one)| settings.gateways.iter().take(index).all(|other| one.version() != other.version()));
        if !one_a_family {
            return Err(SettingsError::TooManyGateways);
        }
        #[allow(unused_mut, reason = "SLAAC comes later, where it is a feature")]
        let mut addresses = Self {
            unprobed: true,
            unannounced: true,
            announced: 0,
            #[cfg(feature = "dhcpv4")]
            dhcp: settings.dhcp.then(|| Dhcp::new(settings, now)),
            #[cfg(feature = "ipv6")]
            slaac: None,
        };
        #[cfg(not(feature = "dhcpv4"))]
        let _ = now;

        let mut full = false;
        #[cfg(feature = "ipv6")]
        let mut free = 0;
        interface.update_ip_addrs(|list| {
            for &address in settings.addresses {
                if !addresses.waits_for(address) {
                    full |= list.push(address).is_err();
                }
            }
            #[cfg(feature = "ipv6")]
            {
                let address = smoltcp::wire::Ipv6Cidr::new(link_local(settings.hardware_address), 64);
                full |= list.push(address.into()).is_err();
            }
            // Those that are still to be learned need room too.
            #[cfg(feature = "dhcpv4")]
            {
                full |= settings.dhcp && list.len() >= list.capacity();
            }
            #[cfg(feature = "ipv6")]
            {
                let others = usize::from(addresses.uses_dhcp());
                free = list.capacity().saturating_sub(list.len()).saturating_sub(others);
                full |= settings.slaac && free == 0;
            }
        });
        if full {
            return Err(SettingsError::TooManyAddresses { limit: IFACE_MAX_ADDR_COUNT });
        }
        for &gateway in settings.gateways {
            set_route(interface, gateway);
        }
        #[cfg(feature = "ipv6")]
        {
            let fixed_router = settings.gateways.iter().any(|gateway| matches!(gateway, IpAddress::Ipv6(_)));
            addresses.slaac = settings.slaac.then(|| Slaac::new(free, fixed_router, now));
        }
        Ok(addresses)
    }

    /// The DNS servers that DHCP named.
    #[cfg(all(feature = "dhcpv4", feature = "dns"))]
    pub(super) fn dns_servers(&self) -> impl Iterator<Item = IpAddress> {
        self.dhcp.iter().flat_map(Dhcp::dns_servers)
    }

    /// Whether DHCP is in use.
    #[cfg(feature = "ipv6")]
    const fn uses_dhcp(&self) -> bool {
        #[cfg(feature = "dhcpv4")]
        {
            self.dhcp.is_some()
        }
        #[cfg(not(feature = "dhcpv4"))]
        false
    }

    /// Whether this static address is used only while DHCP has no answer.
    fn waits_for(&self, address: IpCidr) -> bool {
        #[cfg(feature = "dhcpv4")]
        {
            self.dhcp.is_some() && matches!(address, IpCidr::Ipv4(_))
        }
        #[cfg(not(feature = "dhcpv4"))]
        {
            let _ = address;
            false
        }
    }

    /// The link is up, or up again.
    pub(super) fn link_up(&mut self, now: Instant) {
        (self.unprobed, self.unannounced, self.announced) = (true, true, 0);
        #[cfg(feature = "dhcpv4")]
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.link_up(now);
        }
        #[cfg(feature = "ipv6")]
        if let Some(slaac) = &mut self.slaac {
            slaac.search(now);
        }
        let _ = now;
    }

    /// Another host uses one of the addresses: tells the neighbors again who is here.
    pub(super) const fn defend(&mut self) {
        (self.unannounced, self.announced) = (true, 0);
    }

    /// Puts in force what was learned. How the addresses changed, and when to come back even if nothing is learned.
    pub(super) fn settle<D: Device + ?Sized>(
        &mut self,
        interface: &mut Interface,
        sockets: &mut SocketSet<'_>,
        device: &mut D,
        now: Instant,
    ) -> (Change, Option<Instant>) {
        #[allow(unused_mut, reason = "without DHCP and SLAAC nothing changes")]
        let (mut change, mut deadline) = (Change::Nothing, None);
        #[cfg(feature = "dhcpv4")]
        if let Some(dhcp) = &mut self.dhcp {
            let network = |interface: &Interface| interface.ip_addrs().iter().copied().find(super::dhcp::is_ipv4);
            let before = network(interface);
            if dhcp.settle(interface, sockets, device, now) {
                change = Change::Added;
            } else if network(interface) != before {
                change = Change::Removed;
            }
            deadline = dhcp.deadline();
        }
        #[cfg(feature = "ipv6")]
        if let Some(slaac) = &mut self.slaac {
            change = change.max(slaac.settle(interface, sockets, device, now));
            deadline = earliest(deadline, slaac.deadline(now));
        }
        if change == Change::Added {
            (self.unprobed, self.unannounced, self.announced) = (true, true, 0);
        }
        if self.unannounced && announce_all(interface, self.unprobed, &mut self.announced, device, now).is_some() {
            (self.unprobed, self.unannounced, self.announced) = (false, false, 0);
        }
        let _ = sockets;
        (change, deadline)
    }
}

/// Tells the neighbors which addresses are here, and with `probe` asks first whether another host has them; of an IPv6
/// address it then only asks. `None` if the device had no room for all of it: `sent` is how many messages are done, and
/// the next call continues there.
///
/// The addresses are in use at once (RFC 4429): to wait for an answer would take 1 s (RFC 4862) and 7 s (RFC 5227). Where
/// one comes, it is a [conflict](super::Conflict).
fn announce_all<D: Device + ?Sized>(
    interface: &Interface,
    probe: bool,
    sent: &mut usize,
    device: &mut D,
    now: Instant,
) -> Option<()> {
    let HardwareAddress::Ethernet(hardware) = interface.hardware_addr();
    let now = to_smoltcp(now);
    let is_ipv4 = |address: IpAddress| match address {
        #[cfg(feature = "ipv4")]
        IpAddress::Ipv4(_) => true,
        #[cfg(feature = "ipv6")]
        IpAddress::Ipv6(_) => false,
    };
    // The announcement of an IPv4 address follows its probe.
    let messages = interface.ip_addrs().iter().map(IpCidr::address).flat_map(|address| {
        let announcement = (!probe || is_ipv4(address)).then_some((address, false));
        probe.then_some((address, true)).into_iter().chain(announcement)
    });
    for (address, is_probe) in messages.skip(*sent) {
        let token = device.transmit(now)?;
        match address {
            #[cfg(feature = "ipv4")]
            IpAddress::Ipv4(address) if is_probe => announce::probe(token, hardware, address),
            #[cfg(feature = "ipv4")]
            IpAddress::Ipv4(address) => announce::announce(token, hardware, address),
            #[cfg(feature = "ipv6")]
            IpAddress::Ipv6(address) => {
                let message = if is_probe { Message::probe } else { Message::announcement };
                message(hardware, address).send(token);
            }
        }
        *sent = sent.saturating_add(1);
    }
    Some(())
}
