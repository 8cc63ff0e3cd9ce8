//! Delays: the steps in a distribution of round-trip times, and the causes that they point at.

use core::time::Duration;
use std::time::Instant;

/// Round-trip times of about one length, most of which a timer or a lost segment causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The delay, without the network's share.
    pub(crate) delay: Duration,
    /// Number of round trips that have it.
    pub(crate) count: usize,
    /// All round trips have it, or a multiple of it. Otherwise others are much shorter.
    pub(crate) is_always: bool,
}

/// What delays each reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Replies are sent at the multiples of this time, whenever the message comes.
    Tick(Duration),
    /// A reply takes this long, whenever the message comes.
    Delay(Duration),
    /// The reply takes this short a time if this host acknowledges at once.
    Acknowledgement(Duration),
}

pub(crate) const NAGLE: &str = "Nagle's algorithm at the server together with the client's delayed ACK (40 ms): write a reply at \
                                once, and set TCP_NODELAY";
/// A shorter delay is work rather than a timer.
const SHORTEST: Duration = Duration::from_millis(4);
/// Delays belong together if the longest is no more than this much longer than the shortest.
const WIDTH: f64 = 1.25;

impl Step {
    /// The step of these round-trip times, which are in ascending order. `network` is the network's share of each.
    pub(crate) fn find(rtts: &[Duration], network: Duration) -> Option<Self> {
        let delays: Vec<Duration> = rtts.iter().map(|rtt| rtt.saturating_sub(network)).collect();
        // A frame with data takes longer than one of the handshake.
        let least = SHORTEST.max((network / 4).min(Duration::from_millis(30)));
        Self::of_all(&delays, least).or_else(|| Self::of_some(&delays, least))
    }

    /// The step of the times from one reply to the next, in ascending order, if each message is sent when the reply before it has
    /// come: a tick stays the same, however late this host sends.
    pub(crate) fn between_replies(gaps: &[Duration], network: Duration) -> Option<Self> {
        let delays: Vec<Duration> = gaps.iter().map(|gap| gap.saturating_sub(network)).collect();
        Self::of_all(&delays, SHORTEST.max(network))
    }

    /// All delays are the same or multiples: there is one mode, and no delay is much shorter.
    fn of_all(delays: &[Duration], least: Duration) -> Option<Self> {
        const FEWEST: usize = 3;
        /// Three of these may be missed.
        const MULTIPLES: u32 = 3;
        let (lowest, median) = (*delays.get(delays.len() / 20)?, *delays.get(delays.len() / 2)?);
        if delays.len() < FEWEST {
            return None;
        }
        if lowest < least {
            return Self::of_most(delays, least);
        }
        let near = |delay: Duration, length: Duration| {
            delay >= length.mul_f64(0.85) && delay <= length.mul_f64(1.15) + Duration::from_micros(500)
        };
        let same = delays.iter().filter(|delay| near(**delay, median)).count();
        if same * 5 >= delays.len() * 3 {
            return Some(Self { delay: median, count: same, is_always: true });
        }
        let base = *delays.get(delays.len() / 10)?;
        let is_multiple = |delay: &&Duration| (1..=MULTIPLES).any(|times| near(**delay, base * times));
        let multiples = delays.iter().filter(is_multiple).count();
        let repeated = delays.iter().filter(|delay| near(**delay, 2 * base)).count();
        let is_grid = multiples * 20 >= delays.len() * 19 && repeated * 20 >= delays.len();
        if is_grid {
            return Some(Self { delay: base, count: multiples, is_always: true });
        }
        Self::of_most(delays, least)
    }

    /// Most delays are about the same, others are longer, as of a busy host, and few are shorter.
    fn of_most(delays: &[Duration], least: Duration) -> Option<Self> {
        const WIDE: f64 = 1.5;
        let before = |end: Duration| delays.partition_point(|delay| *delay < end);
        let step = |shortest: Duration| {
            let (first, end) = (before(shortest), before(shortest.mul_f64(WIDE)));
            let (count, below) = (end - first, first - before(shortest.div_f64(WIDE)));
            // What comes late is above.
            let delay = *delays.get(first + count / 4)?;
            let is_most = count * 5 >= delays.len() * 2 && 3 * below <= count && first * 5 <= delays.len();
            is_most.then_some(Self { delay, count, is_always: true })
        };
        let candidates = delays.iter().filter(|delay| **delay >= least).filter_map(|delay| step(*delay));
        candidates.max_by_key(|step| step.count)
    }

    /// Some delays are about the same, others are much shorter, and few lie between.
    fn of_some(delays: &[Duration], least: Duration) -> Option<Self> {
        let between = |from: Duration, to: Duration| {
            delays.partition_point(|delay| *delay < to) - delays.partition_point(|delay| *delay < from)
        };
        let step = |shortest: Duration| {
            let end = shortest.mul_f64(WIDTH);
            let count = between(shortest, end);
            let is_separate = 3 * between(shortest.div_f64(1.5), shortest) <= count;
            let fast = between(Duration::ZERO, shortest / 2);
            let has_fast_mode = fast > 0 && 50 * fast >= delays.len();
            let is_enough = count >= fewest(shortest) && count as f64 >= delays.len() as f64 * share(shortest);
            let first = delays.partition_point(|delay| *delay < shortest);
            let delay = *delays.get(first + count / 2)?;
            (is_separate && has_fast_mode && is_enough).then_some(Self { delay, count, is_always: false })
        };
        let candidates = delays.iter().filter(|delay| **delay >= least).filter_map(|delay| step(*delay));
        candidates.max_by_key(|step| step.delay.as_micros().saturating_mul(step.count as u128))
    }

    /// Whether the replies of several clients have it at the same moments, and those are few: what happens once on this host or in
    /// the network delays all replies that are under way. `replies` are the times at which they came, with their RTTs.
    pub(crate) fn is_accident(&self, replies: &[(Instant, Duration)], network: Duration) -> bool {
        if self.is_always {
            return false;
        }
        let least = self.delay.div_f64(WIDTH);
        let late = replies.iter().filter(|(_, rtt)| rtt.saturating_sub(network) >= least);
        let mut moments: Vec<Instant> = late.map(|(moment, _)| *moment).collect();
        moments.sort_unstable();
        let is_other = |pair: &[Instant]| matches!(pair, [before, after] if *after - *before > self.delay);
        let events = 1 + moments.windows(2).filter(|pair| is_other(pair)).count();
        events < fewest(self.delay)
    }

    /// Whether it is the time of a retransmission, not of a delayed ACK.
    pub(crate) const fn is_retransmission(&self) -> bool {
        matches!(self.delay.as_millis(), 170..=300 | 900..=1150)
    }

    /// Whether it is the usual time of a delayed ACK.
    pub(crate) const fn is_of_delayed_ack(&self) -> bool {
        matches!(self.delay.as_millis(), 38..=47)
    }

    /// "10 ms", as people name it.
    pub(crate) fn name(&self) -> String {
        match rounded(self.delay).as_millis() {
            milliseconds @ 0..1000 => format!("{milliseconds} ms"),
            milliseconds => format!("{} s", milliseconds as f64 / 1e3),
        }
    }

    /// What to look at.
    pub(crate) fn cause(&self) -> String {
        let name = self.name();
        match (self.delay.as_micros(), self.is_always) {
            (8_000..=12_500, false) => "a delayed ACK of the board's stack (10 ms), or a stack that is polled every 10 ms instead \
                                        of when a frame comes"
                .to_owned(),
            (8_000..=12_500, true) => "a stack or a task that is polled every 10 ms instead of when a frame comes, or replies that \
                                       are delayed by a timer"
                .to_owned(),
            (38_000..=48_000, false) => NAGLE.to_owned(),
            (38_000..=48_000, true) => format!("{NAGLE}; or replies that are delayed by a timer"),
            (170_000..=300_000, false) => "lost segments, retransmitted after 200 ms: the driver drops frames, or the network \
                                           loses them; or a delayed ACK of 200 ms"
                .to_owned(),
            (170_000..=300_000, true) => {
                "replies that are delayed by a timer, or Nagle's algorithm together with a delayed ACK of 200 ms".to_owned()
            }
            (900_000..=1_150_000, false) => {
                "segments that are retransmitted after 1 s: lost ones, or a SYN that was dropped while no socket listened".to_owned()
            }
            (900_000.., true) => "replies that are delayed by a timer".to_owned(),
            (_, true) => format!(
                "a stack or a task that is polled every {name} instead of when a frame comes, or replies that are delayed by a timer"
            ),
            (_, false) => format!(
                "something blocks the server for {name} now and then: another task or interrupt, a flash write, a log line; or a \
                 stack that is polled every {name}"
            ),
        }
    }
}

/// How many delays of about this length are no accident. Other work of this host makes a round trip long now and then, but
/// hardly ever by a second.
fn fewest(delay: Duration) -> usize {
    if is_long(delay) { 2 } else { 3 }
}

/// The share of all delays that makes a step: the longer they are, the fewer are due to this host.
fn share(delay: Duration) -> f64 {
    let ratio = 0.01 / delay.as_secs_f64().max(0.001);
    if is_long(delay) { 0.002 } else { (0.3 * ratio * ratio).clamp(0.006, 0.8) }
}

const fn is_long(delay: Duration) -> bool {
    delay.as_millis() >= 900
}

/// To the nearest length that a timer usually has.
fn rounded(delay: Duration) -> Duration {
    let unit: u64 = match delay.as_millis() {
        0..=14 => 1,
        15..=149 => 5,
        150..=899 => 10,
        _ => 100,
    };
    let microseconds = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    Duration::from_millis(microseconds.saturating_add(unit * 500) / (unit * 1000) * unit)
}

/// Round-trip times far from the others, of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outliers {
    pub(crate) count: usize,
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl Outliers {
    /// Those of these round-trip times, which are in ascending order, if they are one in a hundred or more.
    pub(crate) fn find(rtts: &[Duration], network: Duration) -> Option<Self> {
        const FEWEST: usize = 4;
        let median = *rtts.get(rtts.len() / 2)?;
        let limit = (median * 8).max(median + Duration::from_millis(20)).max(3 * network);
        let first = rtts.partition_point(|rtt| *rtt < limit);
        let far = rtts.get(first..)?;
        let (shortest, longest) = (*far.first()?, *far.last()?);
        let is_share = far.len() >= FEWEST && far.len() * 100 >= rtts.len();
        is_share.then_some(Self { count: far.len(), shortest, longest })
    }
}

/// "2.0 %".
pub(crate) fn percent(count: usize, of: usize) -> String {
    format!("{:.1} %", 100.0 * count as f64 / of.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        let mut rtts: Vec<_> = values.into_iter().map(Duration::from_micros).collect();
        rtts.sort_unstable();
        rtts
    }

    /// 500 round trips of about 90 us, of which every `one_in`th takes `long` us.
    fn some(one_in: u64, long: u64) -> Vec<Duration> {
        sorted((0..500).map(|index| if index % one_in == 0 { long + index % 7 * 50 } else { 80 + index % 20 }))
    }

    fn named(rtts: &[Duration], network: u64) -> Option<String> {
        Step::find(rtts, Duration::from_millis(network)).map(|step| step.name())
    }

    #[test]
    fn a_tick_of_any_length_is_found() {
        for tick in [5_u64, 7, 10, 15, 20, 30, 50, 70, 100, 150, 250, 500] {
            let jitter = |index: u64| index % 11 * 30;
            let all = sorted((0..300).map(|index| tick * 1000 + jitter(index)));
            let step = Step::find(&all, Duration::ZERO).unwrap();
            assert_eq!((step.name(), step.is_always), (format!("{tick} ms"), true));
            // A tick is missed now and then.
            let grid = sorted((0..300).map(|index| (1 + u64::from(index % 6 == 0)) * tick * 1000 + jitter(index)));
            assert!(Step::find(&grid, Duration::ZERO).is_some_and(|step| step.is_always), "{tick}");
        }
    }

    #[test]
    fn a_tick_is_found_although_this_host_sends_late() {
        // The tick is at each multiple of 10 ms, and a message is sent up to 9 ms after the reply before it.
        let late = |number: u64| number * 7919 % 9000;
        let rtts = sorted((0..500).map(|number| 10_000 - late(number)));
        let gaps = sorted((0..500).map(|number| 10_000 + number % 5 * 100));
        assert_eq!(Step::find(&rtts, Duration::ZERO), None);
        assert_eq!(Step::between_replies(&gaps, Duration::ZERO).unwrap().name(), "10 ms");
    }

    #[test]
    fn a_share_of_late_replies_is_a_step() {
        assert_eq!(named(&some(50, 50_000), 0).as_deref(), Some("50 ms"), "2 %");
        assert_eq!(named(&some(10, 41_000), 0).as_deref(), Some("40 ms"));
        assert_eq!(named(&some(50, 205_000), 0).as_deref(), Some("210 ms"));
        assert_eq!(named(&some(100, 1_005_000), 0).as_deref(), Some("1 s"));
        assert_eq!(named(&some(250, 205_000), 0), None, "two slow ones among many are an accident");
        assert_eq!(named(&some(250, 1_001_000), 0).as_deref(), Some("1 s"), "hardly ever by a second");
        assert_eq!(named(&some(20, 9_000), 0), None, "other work of this host");
    }

    #[test]
    fn late_replies_to_all_clients_at_one_moment_are_an_accident() {
        let begin = Instant::now();
        let step = Step { delay: Duration::from_millis(40), count: 8, is_always: false };
        let at = |moments: &[u64]| {
            let late = moments.iter().flat_map(|moment| [0, 1, 2, 3].map(|client| moment + client));
            let late = late.map(|moment| (begin + Duration::from_millis(moment), Duration::from_millis(341)));
            let others =
                (0..100).map(|number| (begin + Duration::from_millis(30 * number), Duration::from_millis(301)));
            step.is_accident(&late.chain(others).collect::<Vec<_>>(), Duration::from_millis(300))
        };
        assert!(at(&[700]) && at(&[700, 1400]));
        assert!(!at(&[700, 1400, 2100]), "again and again");
    }

    #[test]
    fn a_tick_is_found_on_a_busy_host() {
        // Half of the replies come late.
        let busy = sorted((0..500).map(|index| 10_000 + if index % 2 == 0 { index * 60 } else { index % 20 * 100 }));
        let step = Step::find(&busy, Duration::ZERO).unwrap();
        assert!(step.is_always && (10..=12).contains(&step.delay.as_millis()), "{step:?}");
        assert!(step.cause().contains("polled every 10 ms"), "{}", step.cause());
    }

    #[test]
    fn noise_has_no_step() {
        assert_eq!(named(&sorted((0..500).map(|index| 100 + index * 20)), 0), None, "uniform");
        assert_eq!(named(&sorted((0..500).map(|index| 80 + 3_000_000 / (index + 20))), 0), None, "a long tail");
        // Log-normal around 5 ms, as of a busy host.
        let wide = (0..500).map(|index| 0.005 * (1.5 * (f64::from(index) / 250.0 - 1.0)).exp());
        let wide: Vec<_> = wide.map(Duration::from_secs_f64).collect();
        assert_eq!(named(&wide, 0), None);
        assert_eq!(named(&[], 0), None);
    }

    #[test]
    fn the_latency_of_the_network_is_no_step_and_hides_none() {
        for network in [10, 40, 200] {
            let plain = sorted((0..500).map(|_| network * 1000 + 90));
            assert_eq!(named(&plain, network), None, "{network} ms");
            let delayed = sorted((0..500).map(|_| network * 1000 + 41_000));
            assert_eq!(named(&delayed, network).as_deref(), Some("40 ms"), "behind {network} ms");
        }
        // A frame with data on 64 kbit/s takes 3 ms longer than a SYN.
        assert_eq!(named(&sorted((0..300).map(|index| 22_000 + index)), 18), None);
    }

    #[test]
    fn the_cause_is_that_of_the_length() {
        let cause =
            |milliseconds, is_always| Step { delay: Duration::from_millis(milliseconds), count: 9, is_always }.cause();
        assert!(cause(41, false).contains("Nagle") && cause(10, true).contains("polled every 10 ms"));
        assert!(cause(205, false).contains("lost segments") && cause(20, true).contains("polled every 20 ms"));
        assert!(cause(1001, false).contains("retransmitted after 1 s") && cause(50, false).contains("now and then"));
    }

    #[test]
    fn outliers_are_one_in_a_hundred_of_any_length() {
        let far =
            |every: u64| sorted((0..500).map(move |index| if index % every == 0 { 25_000 + index * 900 } else { 90 }));
        let found = Outliers::find(&far(50), Duration::ZERO).unwrap();
        assert_eq!((found.count, found.shortest), (10, Duration::from_millis(25)));
        assert_eq!(Outliers::find(&far(250), Duration::ZERO), None, "two are an accident");
        assert_eq!(Outliers::find(&far(50), Duration::from_secs(1)), None, "less than the network's own latency");
    }
}
