//! The addresses of an interface: static, by DHCP with a static fallback, and what IPv6 makes by itself.

use core::{fmt, time::Duration};

use greet_core::Instant;
use smoltcp::{
    config::IFACE_MAX_ADDR_COUNT,
    iface::{Interface, SocketSet},
    phy::Device,
    wire::{EthernetAddress, IpAddress, IpCidr},
};

use super::Settings;
#[cfg(feature = "ipv4")]
use super::announce::announce;
#[cfg(feature = "dhcpv4")]
use super::dhcp::Lease;

/// For how long DHCP may find nobody before the static address is taken. It goes on asking all the same.
pub const FALLBACK_AFTER: Duration = Duration::from_secs(10);

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

/// What becomes of the addresses while the stack runs.
#[derive(Debug)]
pub(super) struct Addresses {
    /// The neighbours do not know yet who is here.
    #[cfg(feature = "ipv4")]
    unannounced: bool,
    #[cfg(feature = "dhcpv4")]
    lease: Option<Lease>,
}

impl Addresses {
    /// Gives the interface the addresses and routes that it starts with.
    pub(super) fn new(
        settings: &Settings<'_>,
        interface: &mut Interface,
        sockets: &mut SocketSet<'_>,
        now: Instant,
    ) -> Result<Self, SettingsError> {
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
        let addresses = Self {
            #[cfg(feature = "ipv4")]
            unannounced: true,
            #[cfg(feature = "dhcpv4")]
            lease: settings.dhcp.then(|| Lease::new(settings, sockets, now)),
        };
        #[cfg(not(feature = "dhcpv4"))]
        let _ = (sockets, now);

        let mut full = false;
        interface.update_ip_addrs(|list| {
            for &address in settings.addresses {
                if !addresses.waits_for(address) {
                    full |= list.push(address).is_err();
                }
            }
            #[cfg(feature = "ipv6")]
            {
                full |= list.push(link_local(settings.hardware_address).into()).is_err();
            }
            // Where would the address go that is still to be found?
            #[cfg(feature = "dhcpv4")]
            {
                full |= settings.dhcp && list.len() >= list.capacity();
            }
            #[cfg(feature = "ipv6")]
            {
                let others = usize::from(addresses.asks());
                full |= settings.slaac && list.len().saturating_add(others) >= list.capacity();
            }
        });
        if full {
            return Err(SettingsError::TooManyAddresses { limit: IFACE_MAX_ADDR_COUNT });
        }
        for &gateway in settings.gateways {
            set_route(interface, gateway);
        }
        Ok(addresses)
    }

    /// Whom the network says to ask for names.
    #[cfg(all(feature = "dhcpv4", feature = "dns"))]
    pub(super) fn dns_servers(&self) -> impl Iterator<Item = IpAddress> {
        self.lease.iter().flat_map(Lease::dns_servers)
    }

    /// Whether DHCP is asked.
    #[cfg(feature = "ipv6")]
    const fn asks(&self) -> bool {
        #[cfg(feature = "dhcpv4")]
        {
            self.lease.is_some()
        }
        #[cfg(not(feature = "dhcpv4"))]
        false
    }

    /// Whether this static address is only for when DHCP finds nobody.
    fn waits_for(&self, address: IpCidr) -> bool {
        #[cfg(feature = "dhcpv4")]
        {
            self.lease.is_some() && matches!(address, IpCidr::Ipv4(_))
        }
        #[cfg(not(feature = "dhcpv4"))]
        {
            let _ = address;
            false
        }
    }

    /// The link is up, or up again.
    pub(super) fn link_up(&mut self, sockets: &mut SocketSet<'_>, now: Instant) {
        #[cfg(feature = "ipv4")]
        {
            self.unannounced = true;
        }
        #[cfg(feature = "dhcpv4")]
        if let Some(lease) = &mut self.lease {
            lease.ask_again(sockets, now);
        }
        let _ = (sockets, now);
    }

    /// Puts in force what was learnt. When to come back, even if nothing is learnt.
    pub(super) fn settle<D: Device + ?Sized>(
        &mut self,
        interface: &mut Interface,
        sockets: &mut SocketSet<'_>,
        device: &mut D,
        now: Instant,
    ) -> Option<Instant> {
        #[cfg(feature = "dhcpv4")]
        if let Some(lease) = &mut self.lease {
            self.unannounced |= lease.settle(interface, sockets, now);
        }
        #[cfg(feature = "ipv4")]
        if self.unannounced
            && let Some(address) = interface.ipv4_addr()
        {
            self.unannounced = !announce(address, interface, device, now);
        }
        let _ = (interface, sockets, device, now);
        #[cfg(feature = "dhcpv4")]
        {
            self.lease.as_ref().and_then(Lease::deadline)
        }
        #[cfg(not(feature = "dhcpv4"))]
        None
    }
}

/// Whether one host on a network can have this address.
fn is_one_hosts(address: &IpCidr) -> bool {
    if !address.address().is_unicast() {
        return false;
    }
    match address {
        #[cfg(feature = "ipv4")]
        IpCidr::Ipv4(address) => {
            let is_all = address.broadcast() == Some(address.address());
            let is_none = address.prefix_len() < 31 && address.network().address() == address.address();
            !is_all && !is_none && !address.address().is_loopback()
        }
        #[cfg(feature = "ipv6")]
        IpCidr::Ipv6(address) => !address.address().is_loopback(),
    }
}

/// Makes this the default route of its family.
pub(super) fn set_route(interface: &mut Interface, gateway: IpAddress) {
    // There is room: one route a family is added here, and the least table has two.
    match gateway {
        #[cfg(feature = "ipv4")]
        IpAddress::Ipv4(gateway) => _ = interface.routes_mut().add_default_ipv4_route(gateway),
        #[cfg(feature = "ipv6")]
        IpAddress::Ipv6(gateway) => _ = interface.routes_mut().add_default_ipv6_route(gateway),
    }
}

/// The address that every IPv6 host has, made from its hardware address (RFC 4291, appendix A).
#[cfg(feature = "ipv6")]
fn link_local(hardware: EthernetAddress) -> smoltcp::wire::Ipv6Cidr {
    let [a, b, c, d, e, f] = hardware.0;
    let interface = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&interface);
    smoltcp::wire::Ipv6Cidr::new(octets.into(), 64)
}
