//! The order and pace of connecting, and the choice among the host's addresses.

use core::{net::SocketAddr, time::Duration};
use std::collections::BTreeSet;

/// The maximum number of connections that are opened at once. A backlog of 5 is common, and when it overflows, a server with
/// SYN cookies drops connections that the client considers open: their greeting never arrives.
const OPENING: usize = 4;
/// A connection that has waited this long does not count for that limit: the server may be full.
pub(super) const LATE: Duration = Duration::from_millis(200);

/// The connections that are to be opened, for the first time or again.
#[derive(Debug)]
pub(super) struct Opening {
    addresses: Vec<SocketAddr>,
    /// The index of the address in use.
    address: usize,
    /// The address does not change any more.
    settled: bool,
    /// The closed connections, and when each may be opened.
    closed: BTreeSet<(Duration, usize)>,
    /// Those that wait for their greeting, and since when.
    waiting: Vec<(usize, Duration)>,
}

impl Opening {
    /// All connections are closed and may be opened.
    pub(super) fn new(addresses: Vec<SocketAddr>, connections: usize) -> Self {
        Self {
            addresses,
            address: 0,
            settled: false,
            closed: (0..connections).map(|index| (Duration::ZERO, index)).collect(),
            waiting: Vec::new(),
        }
    }

    /// The address in use.
    pub(super) fn peer(&self) -> SocketAddr {
        self.addresses.get(self.address).copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Keeps the address in use from now on.
    pub(super) const fn settle(&mut self) {
        self.settled = true;
    }

    /// The address in use is not reachable: moves on to the next, and returns whether there is one. A server may listen on one
    /// address of a host only, for example on `127.0.0.1` and not on `::1`.
    pub(super) fn move_on(&mut self) -> bool {
        let next = self.address.saturating_add(1);
        let moves = !self.settled && next < self.addresses.len();
        if moves {
            self.address = next;
        }
        moves
    }

    /// A connection is closed, and may be opened from `again` on.
    pub(super) fn closed(&mut self, index: usize, again: Duration) {
        self.closed.insert((again, index));
    }

    /// Whether a closed connection may be opened by this time.
    pub(super) fn is_wanted(&self, by: Duration) -> bool {
        self.closed.first().is_some_and(|(again, _)| *again <= by)
    }

    /// Whether every connection that may be opened by this time was, and none of them is waiting.
    pub(super) fn is_over(&self, by: Duration, is_waiting: impl Fn(usize) -> bool) -> bool {
        !self.is_wanted(by) && !self.waiting.iter().any(|(index, _)| is_waiting(*index))
    }

    /// The next connection to open now, of those that may be opened by `by`.
    pub(super) fn next(&mut self, now: Duration, by: Duration, is_waiting: impl Fn(usize) -> bool) -> Option<usize> {
        self.waiting.retain(|(index, _)| is_waiting(*index));
        let counted = self.waiting.iter().filter(|(_, since)| now.saturating_sub(*since) < LATE).count();
        // With several addresses the first connection decides which one is used.
        let alone = !self.settled && self.addresses.len() > 1 && !self.waiting.is_empty();
        if counted >= OPENING || alone || !self.is_wanted(by) {
            return None;
        }
        let (_, index) = self.closed.pop_first()?;
        self.waiting.push((index, now));
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// All that are opened at a time, if those below `greeted` have their greeting.
    fn opened(opening: &mut Opening, now: Duration, greeted: usize) -> Vec<usize> {
        core::iter::from_fn(|| opening.next(now, now, |index| index >= greeted)).collect()
    }

    #[test]
    fn four_are_opened_at_once_and_more_when_they_are_greeted_or_late() {
        let mut opening = Opening::new(addresses(1), 20);
        assert_eq!(opened(&mut opening, ms(0), 0), [0, 1, 2, 3]);
        assert!(opened(&mut opening, ms(1), 0).is_empty());
        assert_eq!(opened(&mut opening, ms(2), 3), [4, 5, 6]);
        assert_eq!(opened(&mut opening, ms(201), 3), [7]); // 3 has waited for 200 ms
        assert!(!opening.is_over(ms(0), |_| false)); // twelve are still closed
    }

    #[test]
    fn connections_that_failed_together_are_not_opened_together() {
        let mut opening = Opening::new(addresses(1), 300);
        while opening.next(ms(0), ms(0), |_| false).is_some() {}
        for index in 0..300 {
            opening.closed(index, ms(1000));
        }
        assert!(!opening.is_wanted(ms(999)) && opening.is_wanted(ms(1000)));
        assert_eq!(opened(&mut opening, ms(1000), 0).len(), 4);
    }

    #[test]
    fn addresses_are_tried_in_order_until_one_serves() {
        let mut opening = Opening::new(addresses(3), 5);
        assert_eq!(opened(&mut opening, ms(0), 0), [0]);
        assert!(opening.move_on());
        opening.closed(0, ms(0));
        assert_eq!((opened(&mut opening, ms(0), 5).first(), opening.peer().port()), (Some(&0), 2));
        opening.settle();
        assert!(!opening.move_on());
        assert_eq!(opening.peer().port(), 2);
    }

    #[test]
    fn the_last_address_stays_too() {
        let mut opening = Opening::new(addresses(2), 1);
        assert!(opening.move_on() && !opening.move_on());
        assert_eq!(opening.peer().port(), 2);
    }
}
