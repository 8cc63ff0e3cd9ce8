//! A lease, read from a server's message: what no host may have is refused.

use core::time::Duration;

use greet_core::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address, Ipv4Cidr};

use super::{
    super::assignment::is_one_hosts,
    message::{DnsServers, Reply},
    notice::{Notice, SHORTEST},
};

/// The shortest time to a renewal, unless half of the lease is shorter (RFC 2131, 4.4.5).
const EARLIEST_RENEWAL: Duration = Duration::from_secs(60);

/// An address with all that a server says about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) address: Ipv4Cidr,
    pub(super) router: Option<Ipv4Address>,
    #[cfg_attr(not(feature = "dns"), allow(dead_code, reason = "read by the DNS client alone"))]
    pub(super) dns_servers: DnsServers,
    pub(super) server: Ipv4Address,
    /// The hardware address that the server's messages come from: its own, or that of a relay agent or router.
    pub(super) server_hardware: EthernetAddress,
    since: Instant,
    /// From then on: when it is renewed (T1), when any server may renew it (T2), when it ends.
    renewal: Duration,
    rebinding: Duration,
    duration: Duration,
}

/// [`Ord::clamp`], not inlined: for durations it is large on a board.
#[inline(never)]
fn within(span: Duration, shortest: Duration, longest: Duration) -> Duration {
    span.clamp(shortest, longest)
}

impl Lease {
    /// The lease that this offer or acknowledgement grants from `since` on; why it is of no use otherwise.
    pub(super) fn read(reply: &Reply, since: Instant) -> Result<Self, Notice> {
        let (server, address) = (reply.server.unwrap_or(reply.source), reply.address);
        let Some(address) = reply.mask.and_then(|mask| Ipv4Cidr::from_netmask(address, mask).ok()) else {
            return Err(Notice::NoMask(server));
        };
        let is_other = Some(address.address()) == reply.router || address.address() == server;
        if is_other || address.address().octets()[0] == 0 || !is_one_hosts(&IpCidr::Ipv4(address)) {
            return Err(Notice::Unusable(address));
        }
        let duration = reply.duration.unwrap_or_default();
        if duration < SHORTEST {
            return Err(Notice::TooShort { server, seconds: duration.as_secs() });
        }
        let (half, latest) = (duration / 2, duration / 8 * 7);
        let rebinding = within(reply.rebinding.unwrap_or(latest), half, latest);
        let renewal = within(reply.renewal.unwrap_or(half), half.min(EARLIEST_RENEWAL), rebinding);
        let is_useful = |router: &Ipv4Address| IpAddress::Ipv4(*router).is_unicast();
        Ok(Self {
            address,
            router: reply.router.filter(is_useful),
            dns_servers: reply.dns_servers,
            server,
            server_hardware: reply.server_hardware,
            since,
            renewal,
            rebinding,
            duration,
        })
    }

    /// T1 of RFC 2131, 4.4.5.
    pub(super) fn renews(&self) -> Instant {
        self.since + self.renewal
    }

    /// T2 of RFC 2131, 4.4.5.
    pub(super) fn rebinds(&self) -> Instant {
        self.since + self.rebinding
    }

    pub(super) fn expires(&self) -> Instant {
        self.since + self.duration
    }
}
