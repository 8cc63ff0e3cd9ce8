//! Standstills: times in which the server acknowledged nothing of what this host sent again and again. They are noted during all
//! probes, and the connections survive them.

use core::time::Duration;
use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Those of a check.
#[derive(Debug)]
pub(crate) struct Standstills {
    begin: Instant,
    all: Mutex<Vec<Standstill>>,
}

/// A time in which every segment was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standstill {
    /// Since the check began.
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
    /// Number of segments that were lost one after the other.
    pub(crate) lost: u32,
}

/// So many lost segments with data in a row, or SYNs, are no accident if few are lost otherwise.
const FEWEST: [u32; 2] = [4, 3];

impl Default for Standstills {
    fn default() -> Self {
        Self { begin: Instant::now(), all: Mutex::default() }
    }
}

impl Standstills {
    /// An answer came after this time, in which so many segments were sent again on a network with this round-trip time.
    pub(crate) fn note(&self, begin: Instant, took: Duration, retransmissions: u32, rtt: Duration) {
        let [data, _] = FEWEST;
        let lost = retransmissions.min(lost_in_a_row(took, rtt));
        if lost >= data {
            self.add(begin, took, lost);
        }
    }

    /// A handshake took this time: a SYN is sent again after 1 s, and then each time after twice as long.
    pub(crate) fn note_handshake(&self, begin: Instant, took: Duration) {
        let (lost, [_, syns]) = (lost_syns(took), FEWEST);
        if lost >= syns {
            self.add(begin, took, lost);
        }
    }

    fn add(&self, begin: Instant, took: Duration, lost: u32) {
        let begin = begin.saturating_duration_since(self.begin);
        let found = Standstill { begin, end: begin + took, lost };
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // Several connections see the same one.
        match all.iter_mut().find(|known| known.begin <= found.end && found.begin <= known.end) {
            Some(known) => {
                known.begin = known.begin.min(found.begin);
                known.end = known.end.max(found.end);
            }
            None => all.push(found),
        }
    }

    /// Those so far, in their order.
    pub(crate) fn all(&self) -> Vec<Standstill> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by_key(|standstill| standstill.begin);
        all
    }
}

/// How often one segment was sent again within this time at most: after 200 ms or longer, and then each time after twice as long.
fn lost_in_a_row(took: Duration, rtt: Duration) -> u32 {
    const FIRST: Duration = Duration::from_millis(200);
    let firsts = took.as_nanos() / (FIRST + rtt).as_nanos();
    (firsts + 1).ilog2()
}

/// How many SYNs were lost in a handshake of this length. The last attempt may have taken a long round trip.
fn lost_syns(took: Duration) -> u32 {
    (took.as_secs() + 1).ilog2()
}

/// Whether there are several, and chance is excluded: so many of the `segments` were sent again, some of them in the standstills
/// themselves, and there were so many `connections`.
pub(crate) fn several(all: &[Standstill], (segments, retransmissions): (u64, u64), connections: u64) -> bool {
    const SEVERAL: usize = 2;
    /// Expected number of standstills by chance.
    const CHANCE: f64 = 0.05;
    let own: u64 = all.iter().map(|standstill| u64::from(standstill.lost)).sum();
    let share = retransmissions.saturating_sub(own) as f64 / segments.max(1) as f64;
    let [data, syns] = FEWEST.map(|lost| share.powi(i32::try_from(lost).unwrap_or(i32::MAX)));
    all.len() >= SEVERAL && segments as f64 * data + connections as f64 * syns < CHANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn connections_that_wait_at_the_same_time_see_one_standstill() {
        let found = Standstills::default();
        let now = found.begin;
        let note = |begin, took, retransmissions| {
            found.note(now + begin * SECOND, took, retransmissions, Duration::from_millis(1));
        };
        note(7, 6 * SECOND, 5);
        note(8, 6 * SECOND, 4);
        note(30, 5 * SECOND, 3);
        note(40, Duration::from_millis(210), 9);
        note(22, 5 * SECOND, 4);
        let times: Vec<_> = found.all().iter().map(|one| (one.begin.as_secs(), one.end.as_secs())).collect();
        assert_eq!(times, [(7, 14), (22, 27)], "three in a row may be chance, and many at once are not in a row");
    }

    #[test]
    fn lost_syns_are_counted_by_the_time_of_the_handshake() {
        for (milliseconds, lost) in [(1, 0), (900, 0), (1020, 1), (3050, 2), (7100, 3), (15_200, 4)] {
            assert_eq!(lost_syns(Duration::from_millis(milliseconds)), lost, "{milliseconds} ms");
        }
    }

    #[test]
    fn several_standstills_on_a_lossy_network_are_chance_and_one_is_an_accident() {
        let one = Standstill { begin: SECOND, end: 6 * SECOND, lost: 4 };
        assert!(several(&[one, one], (5000, 8), 1000));
        assert!(several(&[one, one], (5000, 60), 1000), "one in a hundred");
        assert!(!several(&[one, one], (5000, 1000), 1000), "one in five");
        assert!(!several(&[one], (5000, 4), 1000));
    }
}
