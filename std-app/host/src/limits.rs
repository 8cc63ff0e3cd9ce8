//! Limits against clients that keep others out: connections of one peer, and the duration of a connection.

use core::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    time::Duration,
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use greet_core::{Instant, LINGER};

/// How many connections each peer has.
#[derive(Debug)]
pub struct Peers {
    max: NonZeroUsize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that counts as one of its peer's until this is dropped.
#[derive(Debug)]
pub struct Admission<'a> {
    peers: &'a Peers,
    peer: IpAddr,
}

impl Peers {
    /// At most `max` connections for each peer.
    #[must_use]
    pub fn new(max: NonZeroUsize) -> Self {
        Self { max, open: Mutex::default() }
    }

    /// Counts a connection of this peer. `None` if the peer has the maximum number already.
    pub fn admit(&self, address: IpAddr) -> Option<Admission<'_>> {
        let peer = peer_of(address);
        let mut open = self.open();
        let count = open.get(&peer).copied().unwrap_or(0);
        (count < self.max.get()).then(|| {
            open.insert(peer, count.saturating_add(1));
            Admission { peers: self, peer }
        })
    }

    /// Locks the numbers. A panic cannot leave them inconsistent, so a poisoned lock is usable.
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        match open.get_mut(&self.peer) {
            Some(count @ 2..) => *count = count.saturating_sub(1),
            _ => _ = open.remove(&self.peer),
        }
    }
}

/// What counts as one peer: an IPv4 address, or the /64 network of an IPv6 address, because one host may use all addresses of
/// it. Each loopback and link-local address is a separate peer.
fn peer_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(own) if !own.is_loopback() && !own.is_unicast_link_local() => {
            let [a, b, c, d, ..] = own.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// How long a conversation may last.
#[derive(Debug)]
pub struct TimeLimit {
    /// The next time at which something is to be done.
    until: Option<Instant>,
    has_expired: bool,
}

/// What the time limit of a conversation demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing yet.
    Nothing,
    /// To close the conversation: the client gets the replies that are due, and a FIN.
    Close,
    /// To cut it off: the client has not taken them.
    CutOff,
}

impl TimeLimit {
    /// A conversation that began at `start` may last for `limit`; `None` for no limit.
    #[must_use]
    pub fn new(start: Instant, limit: Option<Duration>) -> Self {
        Self { until: limit.map(|limit| start + limit), has_expired: false }
    }

    /// When to [`check`](Self::check) it at the latest.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether the conversation has lasted too long.
    #[must_use]
    pub const fn has_expired(&self) -> bool {
        self.has_expired
    }

    /// What to do now. The clock is read only if there is a limit.
    pub fn check(&mut self, now: impl FnOnce() -> Instant) -> Demand {
        let Some(until) = self.until else { return Demand::Nothing };
        let now = now();
        if now < until {
            return Demand::Nothing;
        }
        if self.has_expired {
            return Demand::CutOff;
        }
        self.has_expired = true;
        self.until = Some(now + LINGER); // as long as any client has to end its side (C1)
        Demand::Close
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_at_most_the_maximum_and_others_are_not_affected() {
        let peers = Peers::new(NonZeroUsize::MIN.saturating_add(1));
        let admit = |address: &str| peers.admit(address.parse().unwrap());
        let first = admit("192.0.2.1");
        let second = admit("192.0.2.1");
        assert!(first.is_some() && second.is_some() && admit("192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some());
        drop(first);
        let third = admit("192.0.2.1");
        assert!(third.is_some() && admit("192.0.2.1").is_none());
        drop((second, third));
        assert!(peers.open().is_empty());
    }

    #[test]
    fn the_addresses_of_an_ipv6_network_are_one_peer_but_not_those_of_a_link() {
        let peers = Peers::new(NonZeroUsize::MIN);
        let admit = |address: &str| peers.admit(address.parse().unwrap());
        let _first = admit("2001:db8:0:1::1").unwrap();
        assert!(admit("2001:db8:0:1:ffff::2").is_none());
        assert!(admit("2001:db8:0:2::1").is_some());
        let _link = admit("fe80::1").unwrap();
        assert!(admit("fe80::2").is_some());
    }

    #[test]
    fn a_conversation_is_closed_at_its_limit_and_disconnected_after_the_linger_time() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut limit = TimeLimit::new(at(1), Some(Duration::from_secs(10)));
        assert_eq!((limit.check(|| at(10)), limit.until()), (Demand::Nothing, Some(at(11))));
        assert_eq!((limit.check(|| at(12)), limit.until()), (Demand::Close, Some(at(12) + LINGER)));
        assert!(limit.has_expired());
        assert_eq!(limit.check(|| at(13)), Demand::Nothing);
        assert_eq!(limit.check(|| at(12) + LINGER), Demand::CutOff);
        assert_eq!(
            TimeLimit::new(at(1), None).check(|| panic!("without a limit the clock is not read")),
            Demand::Nothing
        );
    }
}
