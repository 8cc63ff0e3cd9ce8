//! Stalls: times in which a server answers nothing, and whether they come at regular intervals.

use core::time::Duration;

/// A paced exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paced {
    /// When the message was sent, from the first on.
    pub(crate) begin: Duration,
    pub(crate) rtt: Duration,
    /// Segments that this host sent again meanwhile.
    pub(crate) retransmitted: u32,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stalls {
    /// When each began, and how long it took.
    pub(crate) all: Vec<(Duration, Duration)>,
    /// The time from one to the next, if it is about the same each time.
    pub(crate) period: Option<Duration>,
}

/// A shorter wait may be due to this host.
const SHORTEST: Duration = Duration::from_millis(150);

impl Stalls {
    /// Those of these exchanges. `network` is the network's share of each.
    pub(crate) fn find(exchanges: &[Paced], network: Duration) -> Option<Self> {
        let mut rtts: Vec<Duration> = exchanges.iter().map(|exchange| exchange.rtt).collect();
        rtts.sort_unstable();
        let median = *rtts.get(rtts.len() / 2)?;
        let limit = SHORTEST.max(10 * median).max(2 * network);
        let is_long = |exchange: &&Paced| exchange.rtt >= limit;
        // After one retransmission the answer came: a segment was lost. A stack that stands still answers none of several.
        let has_loss = exchanges.iter().filter(is_long).any(|exchange| exchange.retransmitted == 1);
        let is_stall = |exchange: &&Paced| match exchange.retransmitted {
            0 => true,
            1 => false,
            _ => !has_loss,
        };
        let all: Vec<_> =
            exchanges.iter().filter(is_long).filter(is_stall).map(|exchange| (exchange.begin, exchange.rtt)).collect();
        (!all.is_empty()).then(|| Self { period: period(&all), all })
    }

    /// The longest one.
    pub(crate) fn longest(&self) -> Duration {
        self.all.iter().map(|(_, length)| *length).max().unwrap_or_default()
    }
}

/// The interval between begins, if there are several and all are about the same.
fn period(stalls: &[(Duration, Duration)]) -> Option<Duration> {
    let gaps: Vec<Duration> = stalls
        .windows(2)
        .filter_map(|pair| match pair {
            [(before, _), (after, _)] => after.checked_sub(*before),
            _ => None,
        })
        .collect();
    let mean = gaps.iter().sum::<Duration>().checked_div(u32::try_from(gaps.len()).ok()?)?;
    gaps.iter().all(|gap| gap.abs_diff(mean) <= mean / 8).then_some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exchange each 20 ms, except that those which begin in the last `length` of each `every` wait for its end.
    fn exchanges(every: u64, length: u64, retransmitted: u32) -> Vec<Paced> {
        let mut now = 0;
        let mut all = Vec::new();
        while now < 12_000 {
            let phase = now % every;
            let wait = if phase >= every - length { every - phase } else { 0 };
            let rtt = Duration::from_micros(wait * 1000 + 80);
            all.push(Paced {
                begin: Duration::from_millis(now),
                rtt,
                retransmitted: if wait > 0 { retransmitted } else { 0 },
            });
            now += wait + 20;
        }
        all
    }

    #[test]
    fn stalls_are_found_with_their_period() {
        let stalls = Stalls::find(&exchanges(5000, 500, 0), Duration::ZERO).unwrap();
        assert_eq!((stalls.all.len(), stalls.period.unwrap().as_millis() / 100), (2, 50), "{stalls:?}");
        assert!(stalls.longest() >= Duration::from_millis(450), "{stalls:?}");
        assert!(Stalls::find(&exchanges(5000, 500, 2), Duration::ZERO).is_some(), "the whole stack stands still");
    }

    #[test]
    fn a_lost_segment_a_short_wait_and_a_slow_network_are_no_stalls() {
        assert_eq!(Stalls::find(&exchanges(5000, 240, 1), Duration::ZERO), None, "sent again once");
        assert_eq!(Stalls::find(&exchanges(5000, 100, 0), Duration::ZERO), None, "short");
        assert_eq!(Stalls::find(&exchanges(5000, 500, 0), Duration::from_millis(300)), None, "a slow network");
        assert_eq!(Stalls::find(&[], Duration::ZERO), None);
    }

    #[test]
    fn stalls_at_any_time_have_no_period() {
        let at = |seconds: u64| (Duration::from_secs(seconds), Duration::from_millis(500));
        assert_eq!(period(&[at(1), at(2), at(9)]), None);
        assert_eq!(period(&[at(1), at(4), at(7)]), Some(Duration::from_secs(3)));
        assert_eq!(period(&[at(1)]), None);
    }
}
