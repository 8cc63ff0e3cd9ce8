//! The schedule of an open loop: when each name is due, independent of replies.

use core::time::Duration;

/// A schedule of names over all connections, round robin.
///
/// A latency counts from the time a name is due, whenever it could be sent. So a stall also lengthens the latencies of the
/// names that were due during it (no coordinated omission). The times are computed, not stored: a backlog of any length takes
/// no memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    start: Duration,
    rate: f64,
    connections: u64,
    /// The number of names.
    total: u64,
    /// The first name that `take_due` has not returned.
    next: u64,
}

/// Names that were due and not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) names: u64,
    /// The time since the oldest of them was due.
    pub(crate) behind: Duration,
}

impl Backlog {
    /// The sum of two backlogs of different names.
    pub(super) fn and(self, other: Self) -> Self {
        Self { names: self.names.saturating_add(other.names), behind: self.behind.max(other.behind) }
    }
}

/// The waits of a connection's unsent names are recorded in at most this number of groups.
const GROUPS: u64 = 1000;

impl Schedule {
    /// The names that are due from `start` to `end`, or `names` of them.
    pub(super) fn new(start: Duration, end: Duration, rate: f64, connections: usize, names: Option<u64>) -> Self {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX).max(1);
        let all = Self { start, rate, connections, total: u64::MAX, next: 0 };
        Self { total: names.unwrap_or_else(|| all.due_before(end)), ..all }
    }

    /// The number of names over all connections.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// When the next name would be due after the last.
    pub(super) fn end(&self) -> Duration {
        self.due(self.total)
    }

    /// When a name is due; its number counts over all connections.
    fn due(&self, name: u64) -> Duration {
        let after = Duration::try_from_secs_f64(name as f64 / self.rate).unwrap_or(Duration::MAX);
        self.start.saturating_add(after)
    }

    /// When a connection's name is due; its number counts on that connection. `None` beyond the last.
    pub(super) fn due_on(&self, connection: usize, name: u64) -> Option<Duration> {
        let connection = u64::try_from(connection).unwrap_or(u64::MAX);
        let name = name.saturating_mul(self.connections).saturating_add(connection);
        (name < self.total).then(|| self.due(name))
    }

    /// When the next name is due that `take_due` has not returned.
    pub(super) fn next_due(&self) -> Option<Duration> {
        (self.next < self.total).then(|| self.due(self.next))
    }

    /// The connections with names that became due since the last call.
    ///
    /// Each connection is returned once for all its names, so a rate that is too high costs one step per connection, not per
    /// name.
    pub(super) fn take_due(&mut self, now: Duration) -> impl Iterator<Item = usize> + use<> {
        let (first, connections) = (self.next, self.connections);
        if self.next_due().is_some_and(|due| due <= now) {
            self.next = self.due_before(now.saturating_add(Duration::from_nanos(1)));
        }
        let count = self.next.saturating_sub(first).min(connections);
        (0..count).map(move |index| {
            let connection = first.saturating_add(index).checked_rem(connections).unwrap_or(0);
            usize::try_from(connection).unwrap_or(usize::MAX)
        })
    }

    /// The number of names due before `time`.
    fn due_before(&self, time: Duration) -> u64 {
        // The floating-point estimate may be off by one; the exact times decide.
        let seconds = time.saturating_sub(self.start).as_secs_f64();
        let about = (seconds * self.rate).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and is not negative"
        )]
        let mut count = (about as u64).min(self.total);
        while count > 0 && self.due(count.saturating_sub(1)) >= time {
            count = count.saturating_sub(1);
        }
        while count < self.total && self.due(count) < time {
            count = count.saturating_add(1);
        }
        count
    }

    /// The names of a connection that are due before `now`, without the first `sent`.
    pub(super) fn backlog(&self, connection: usize, sent: u64, now: Duration) -> Backlog {
        let names = self.due_before(now).saturating_sub(u64::try_from(connection).unwrap_or(u64::MAX));
        let names = names.div_ceil(self.connections).saturating_sub(sent);
        let oldest = self.due_on(connection, sent).filter(|_| names > 0);
        Backlog { names, behind: oldest.map_or(Duration::ZERO, |due| now.saturating_sub(due)) }
    }

    /// The waits of the names of that backlog, in groups: a lower bound of the wait, and the number of names.
    pub(super) fn waits(&self, connection: usize, sent: u64, now: Duration) -> impl Iterator<Item = (Duration, u64)> {
        let names = self.backlog(connection, sent, now).names;
        let size = names.div_ceil(GROUPS).max(1);
        (0..names.div_ceil(size)).map(move |group| {
            let first = group.saturating_mul(size);
            let count = size.min(names.saturating_sub(first));
            // The last one of the group has waited least.
            let youngest = sent.saturating_add(first).saturating_add(count.saturating_sub(1));
            let due = self.due_on(connection, youngest).unwrap_or(now);
            (now.saturating_sub(due), count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(5);

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn names_are_due_evenly_and_round_robin() {
        let mut schedule = Schedule::new(START, Duration::MAX, 1000.0, 3, Some(u64::MAX));
        assert_eq!(schedule.take_due(seconds(4)).count(), 0);
        let told: Vec<_> =
            (1..9).flat_map(|half| schedule.take_due(START + Duration::from_micros(half * 500))).collect();
        assert_eq!(told, [0, 1, 2, 0, 1]);
        assert_eq!(schedule.next_due(), Some(Duration::from_millis(5_005)));
        assert_eq!(schedule.due_on(1, 1), Some(Duration::from_millis(5_004)));
        for (milliseconds, names) in [(0, 0), (5_000, 0), (5_001, 1), (6_000, 1000), (3_605_000, 3_600_000)] {
            assert_eq!(schedule.due_before(Duration::from_millis(milliseconds)), names, "{milliseconds}");
        }
    }

    #[test]
    fn a_rate_that_is_too_high_returns_each_connection_once() {
        for rate in [5e7, 1e9] {
            let mut schedule = Schedule::new(START, seconds(3605), rate, 3, None);
            assert_eq!(schedule.total() as f64, 3600.0 * rate);
            assert_eq!(schedule.take_due(seconds(10)).collect::<Vec<_>>().len(), 3);
            assert!(schedule.next_due().unwrap() > seconds(10));
            let backlog = schedule.backlog(0, 7, seconds(15));
            assert!((backlog.names as f64 * 3.0 / rate - 10.0).abs() < 1e-3, "{backlog:?}");
            assert!(schedule.waits(0, 7, seconds(15)).count() <= 1000);
            assert_eq!(schedule.waits(0, 7, seconds(15)).map(|(_, count)| count).sum::<u64>(), backlog.names);
        }
        // Nor does a time beyond all bounds.
        assert_eq!(Schedule::new(START, Duration::MAX, 1e9, 1, None).total(), u64::MAX);
    }

    #[test]
    fn unsent_names_are_a_backlog_with_their_waits() {
        let schedule = Schedule::new(START, seconds(6), 10.0, 2, None);
        assert_eq!(schedule.total(), 10);
        assert_eq!(schedule.end(), Duration::from_millis(6_000));
        // The connection 1 has five names, from 5.1 s on.
        assert_eq!((schedule.due_on(1, 4), schedule.due_on(1, 5)), (Some(Duration::from_millis(5_900)), None));
        let backlog = Backlog { names: 2, behind: Duration::from_millis(1_300) };
        assert_eq!(schedule.backlog(1, 3, seconds(7)), backlog);
        let waits: Vec<_> = schedule.waits(1, 3, seconds(7)).collect();
        assert_eq!(waits, [(Duration::from_millis(1_300), 1), (Duration::from_millis(1_100), 1)]);
        // Early on less is due, and in the end everything is sent.
        assert_eq!(schedule.backlog(1, 0, Duration::from_millis(5_301)).names, 2);
        assert_eq!(schedule.backlog(1, 5, seconds(7)), Backlog::default());
    }
}
