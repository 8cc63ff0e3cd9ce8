//! Assigning an address to this host: which addresses are possible, what changed, and the default route that comes with it.

use core::time::Duration;

use smoltcp::{
    iface::Interface,
    wire::{IpAddress, IpCidr},
};

/// How long DHCP may stay without an answer before the static address is used. DHCP keeps asking.
pub const FALLBACK_AFTER: Duration = Duration::from_secs(10);

/// How the addresses changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// They did not.
    Nothing,
    /// At least one was removed, and none is new.
    #[allow(dead_code, reason = "without DHCP and SLAAC nothing changes")]
    Removed,
    /// At least one is new.
    #[allow(dead_code, reason = "without DHCP and SLAAC nothing changes")]
    Added,
}

/// Whether one host on a network can have this address.
pub(super) fn is_one_hosts(address: &IpCidr) -> bool {
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
    // There is room: each family has one route, and the table has at least two.
    match gateway {
        #[cfg(feature = "ipv4")]
        IpAddress::Ipv4(gateway) => _ = interface.routes_mut().add_default_ipv4_route(gateway),
        #[cfg(feature = "ipv6")]
        IpAddress::Ipv6(gateway) => _ = interface.routes_mut().add_default_ipv6_route(gateway),
    }
}
