//! Stalls: times in which no connection received a reply although names were in flight or due.

use core::time::Duration;

/// Shorter gaps between two replies are not recorded.
const SHORTEST: Duration = Duration::from_millis(100);

/// A gap only counts as a stall if it is this many times the usual latency: a slow server pauses before each reply.
const TIMES: u32 = 10;

/// Which latency is the usual one. Not the median: in an open loop every name that is due during a stall waits, and these may be
/// more than half of all.
pub(super) const USUAL_PERCENTILE: f64 = 5.0;

/// The number of stalls that are kept: the longest ones.
const KEPT: usize = 10;

/// A gap between two replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    /// When it began, counted from the start of the measurement.
    pub(crate) begin: Duration,
    pub(crate) length: Duration,
    /// It lasted to the end of the measured time: no reply followed.
    pub(crate) is_last: bool,
}

/// Records the gaps between replies.
#[derive(Clone, Debug, Default)]
pub(super) struct Stalls {
    /// Since when a reply is missing; in the measured time.
    since: Duration,
    longest: Vec<Stall>,
}

impl Stalls {
    /// A reply was received, or the measurement begins.
    pub(super) fn reply(&mut self, now: Duration) {
        let length = now.saturating_sub(self.since);
        if length >= SHORTEST {
            self.add(Stall { begin: self.since, length, is_last: false });
        }
        self.since = now;
    }

    /// The load asked for nothing until `now`: this is the end of a pause of its own.
    pub(super) fn resume(&mut self, now: Duration) {
        self.since = self.since.max(now);
    }

    /// The measured time is over while names are in flight or due.
    pub(super) fn end(&mut self, now: Duration) {
        let length = now.saturating_sub(self.since);
        if length >= SHORTEST {
            self.add(Stall { begin: self.since, length, is_last: true });
        }
    }

    fn add(&mut self, stall: Stall) {
        // The list is short, because stalls are rare.
        self.longest.push(stall);
        if self.longest.len() > KEPT {
            let shortest = self.longest.iter().enumerate().min_by_key(|(_, stall)| (stall.is_last, stall.length));
            if let Some((index, _)) = shortest {
                self.longest.remove(index);
            }
        }
    }

    /// The longest stalls, in the order of time. `usual` is the latency at [`USUAL_PERCENTILE`], if any name was answered.
    pub(super) fn found(&self, usual: Option<Duration>) -> Vec<Stall> {
        let shortest = usual.unwrap_or_default().saturating_mul(TIMES).max(SHORTEST);
        self.longest.iter().filter(|stall| stall.length >= shortest).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_gap_between_replies_is_a_stall_and_a_pause_of_the_load_is_not() {
        let mut stalls = Stalls::default();
        for now in [10, 50, 140, 1140] {
            stalls.reply(ms(now));
        }
        stalls.resume(ms(3000));
        stalls.reply(ms(3001));
        stalls.end(ms(3300));
        assert_eq!(
            stalls.found(Some(ms(1))),
            [
                Stall { begin: ms(140), length: ms(1000), is_last: false },
                Stall { begin: ms(3001), length: ms(299), is_last: true },
            ]
        );
    }

    #[test]
    fn a_slow_server_does_not_stall_before_each_reply() {
        let mut stalls = Stalls::default();
        (1..20).for_each(|second| stalls.reply(ms(second * 1000)));
        assert_eq!(stalls.found(Some(ms(1000))), []);
    }

    #[test]
    fn only_the_longest_stalls_are_kept() {
        let mut stalls = Stalls::default();
        let mut now = ms(0);
        for length in 100..200 {
            now += ms(length);
            stalls.reply(now);
        }
        let found = stalls.found(None);
        assert_eq!((found.len(), found[0].length), (KEPT, ms(190)));
    }
}
