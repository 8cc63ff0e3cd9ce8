//! When names are due: at once where answers set the pace, or at a rate that does not care for answers.

use core::time::Duration;

/// A schedule of names over all connections, in turn.
///
/// When a name is due does not depend on when it could be sent, or on when others were answered. A latency that counts from
/// here shows all of a stall: also what the names had to wait that came during it (no coordinated omission). Nothing is
/// kept of names that are due: their times can be computed, so a backlog of any length takes no memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    start: Duration,
    rate: f64,
    connections: u64,
    /// The first name whose connection has not been told of it.
    next: u64,
}

impl Schedule {
    pub(super) fn new(start: Duration, rate: f64, connections: usize) -> Self {
        Self { start, rate, connections: u64::try_from(connections).unwrap_or(u64::MAX).max(1), next: 0 }
    }

    /// When a name is due, counted over all connections.
    fn due(&self, name: u64) -> Duration {
        let after = Duration::try_from_secs_f64(name as f64 / self.rate).unwrap_or(Duration::MAX);
        self.start.saturating_add(after)
    }

    /// When a connection's name is due, counted on that connection.
    pub(super) fn due_on(&self, connection: usize, name: u64) -> Duration {
        let connection = u64::try_from(connection).unwrap_or(u64::MAX);
        self.due(name.saturating_mul(self.connections).saturating_add(connection))
    }

    /// When the next name is due of which its connection has not been told.
    pub(super) fn next_due(&self) -> Duration {
        self.due(self.next)
    }

    /// A connection that has a name to send now, if there is one that was not told; each name is told once.
    pub(super) fn next_connection(&mut self, now: Duration) -> Option<usize> {
        (self.next_due() <= now).then(|| {
            let connection = self.next.checked_rem(self.connections).unwrap_or(0);
            self.next = self.next.saturating_add(1);
            usize::try_from(connection).unwrap_or(usize::MAX)
        })
    }

    /// How many names are due before `time`.
    pub(super) fn due_before(&self, time: Duration) -> u64 {
        // A sum of parts may be off by the smallest part either way; the times themselves decide.
        let seconds = time.saturating_sub(self.start).as_secs_f64();
        let about = (seconds * self.rate).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and is not negative"
        )]
        let mut count = about as u64;
        while count > 0 && self.due(count.saturating_sub(1)) >= time {
            count = count.saturating_sub(1);
        }
        while self.due(count) < time {
            count = count.saturating_add(1);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_due_evenly_and_go_round_the_connections() {
        let mut schedule = Schedule::new(Duration::from_secs(5), 1000.0, 3);
        assert_eq!(schedule.next_connection(Duration::from_secs(4)), None);
        let told: Vec<_> = core::iter::from_fn(|| schedule.next_connection(Duration::from_micros(5_004_500))).collect();
        assert_eq!(told, [0, 1, 2, 0, 1]);
        assert_eq!(schedule.next_due(), Duration::from_millis(5_005));
        assert_eq!(schedule.due_on(1, 1), Duration::from_millis(5_004));
        for (milliseconds, names) in [(0, 0), (5_000, 0), (5_001, 1), (6_000, 1000), (3_605_000, 3_600_000)] {
            assert_eq!(schedule.due_before(Duration::from_millis(milliseconds)), names, "{milliseconds}");
        }
    }
}
