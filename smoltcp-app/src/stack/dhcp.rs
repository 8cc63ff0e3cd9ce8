//! An IPv4 address by DHCP, and a static one for where nobody hands out any.

use greet_core::Instant;
use smoltcp::{
    iface::{Interface, SocketHandle, SocketSet},
    socket::dhcpv4::{Event, RetryConfig, Socket},
    time::Duration,
    wire::{IpAddress, IpCidr, IpVersion},
};

#[cfg(feature = "dns")]
use smoltcp::wire::{DHCP_MAX_DNS_SERVER_COUNT, Ipv4Address};

use super::{
    Settings,
    addresses::{FALLBACK_AFTER, set_route},
};

/// How often it asks while nobody answers: a first question is easily lost, as some switches take their time.
const DISCOVER_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Lease {
    handle: SocketHandle,
    fallback: Option<IpCidr>,
    fallback_gateway: Option<IpAddress>,
    /// When the fallback is taken, if nobody has answered until then.
    patience: Option<Instant>,
    /// Whom the lease says to ask for names.
    #[cfg(feature = "dns")]
    dns_servers: [Option<Ipv4Address>; DHCP_MAX_DNS_SERVER_COUNT],
}

impl Lease {
    pub(super) fn new(settings: &Settings<'_>, sockets: &mut SocketSet<'_>, now: Instant) -> Self {
        let mut socket = Socket::new();
        let mut retry = RetryConfig::default();
        retry.discover_timeout = DISCOVER_EVERY;
        socket.set_retry_config(retry);
        // After a refusal smoltcp begins anew at once, and with a server that refuses again this would go on as fast as the
        // wire allows. So a refusal is not heard, and what is refused runs out.
        socket.set_ignore_naks(true);
        let mut lease = Self {
            handle: sockets.add(socket),
            fallback: settings.addresses.iter().copied().find(is_ipv4),
            fallback_gateway: settings.gateways.iter().copied().find(|gateway| gateway.version() == IpVersion::Ipv4),
            patience: None,
            #[cfg(feature = "dns")]
            dns_servers: [None; DHCP_MAX_DNS_SERVER_COUNT],
        };
        lease.ask_again(sockets, now);
        lease
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.patience
    }

    #[cfg(feature = "dns")]
    pub(super) fn dns_servers(&self) -> impl Iterator<Item = IpAddress> {
        self.dns_servers.iter().flatten().copied().map(IpAddress::Ipv4)
    }

    pub(super) fn ask_again(&mut self, sockets: &mut SocketSet<'_>, now: Instant) {
        let socket = sockets.get_mut::<Socket<'_>>(self.handle);
        socket.reset();
        let _ = socket.poll(); // that there is no lease now is nothing to act upon
        self.patience = Some(now + FALLBACK_AFTER);
    }

    /// Puts in force what was learnt; whether that is another address.
    pub(super) fn settle(&mut self, interface: &mut Interface, sockets: &mut SocketSet<'_>, now: Instant) -> bool {
        match sockets.get_mut::<Socket<'_>>(self.handle).poll() {
            Some(Event::Configured(lease)) => {
                self.patience = None;
                #[cfg(feature = "dns")]
                {
                    self.dns_servers = core::array::from_fn(|place| lease.dns_servers.get(place).copied());
                }
                let (address, router) = (lease.address.into(), lease.router.map(IpAddress::Ipv4));
                return set_address(interface, Some(address), router);
            }
            // The lease has run out, and whoever gave it was silent for half of its time.
            Some(Event::Deconfigured) => self.patience = Some(now),
            None => {}
        }
        if self.patience.is_none_or(|patience| now < patience) {
            return false;
        }
        self.patience = None;
        #[cfg(feature = "dns")]
        {
            self.dns_servers = [None; DHCP_MAX_DNS_SERVER_COUNT];
        }
        set_address(interface, self.fallback, self.fallback_gateway)
    }
}

/// Makes this the one IPv4 address; whether it was another before.
fn set_address(interface: &mut Interface, address: Option<IpCidr>, gateway: Option<IpAddress>) -> bool {
    // What no single host can have is an error of the server's, and as good as none.
    let address = address.filter(|address| address.address().is_unicast());
    interface.routes_mut().remove_default_ipv4_route();
    if let Some(gateway) = gateway.filter(IpAddress::is_unicast) {
        set_route(interface, gateway);
    }
    if interface.ip_addrs().iter().copied().find(is_ipv4) == address {
        return false;
    }
    interface.update_ip_addrs(|list| {
        list.retain(|address| !is_ipv4(address));
        if let Some(address) = address {
            // There is room: a place was kept when the stack was made.
            let _ = list.insert(0, address);
        }
    });
    address.is_some()
}

fn is_ipv4(address: &IpCidr) -> bool {
    matches!(address, IpCidr::Ipv4(_))
}
