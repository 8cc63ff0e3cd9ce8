//! What a soak sees, and when, in memory that does not grow.

use core::time::Duration;

use hdrhistogram::Histogram;

use super::{drift::Drift, failure::Failure};
use crate::export::number::{Count, Time};

/// What was seen.
#[derive(Debug)]
pub(crate) struct Soak {
    pub(crate) took: Duration,
    pub(crate) messages: u64,
    pub(crate) conversations: u64,
    pub(crate) outages: Outages,
    /// The figures of equal parts of the time.
    pub(crate) parts: Vec<Part>,
    /// The number of clients that vanished at the beginning.
    pub(crate) vanished: usize,
    /// Of these, the number of those that the server still knew in the end.
    pub(crate) still_known: usize,
}

/// Times in which the server did not serve.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    pub(crate) count: u64,
    pub(crate) time: Duration,
    /// The first ones.
    pub(crate) first: Vec<Outage>,
}

/// One of them, from the first message without its reply to the first one with it.
#[derive(Debug)]
pub(crate) struct Outage {
    /// Since the soak began.
    pub(crate) begin: Duration,
    pub(crate) length: Duration,
    /// How it began.
    pub(crate) failure: Failure,
}

/// The figures of a part of the time.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) begin: Duration,
    /// The replies on the connection that stays open.
    pub(crate) replies: Times,
    /// The first replies on new connections.
    pub(crate) visits: Times,
    /// The number of connections of this check at its end.
    pub(crate) connections: u64,
}

/// Times of any number, in a few kilobytes.
#[derive(Debug)]
pub(crate) struct Times(Option<Histogram<u32>>);

impl Times {
    fn new() -> Self {
        /// Microseconds: one hour.
        const LONGEST: u64 = 3_600_000_000;
        // Fails only if it does not accept its bounds.
        Self(Histogram::new_with_bounds(1, LONGEST, 2).ok())
    }

    fn add(&mut self, time: Duration) {
        if let Some(times) = &mut self.0 {
            times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// A percentile, given as 0 to 100; `None` without any time.
    pub(crate) fn percentile(&self, percent: f64) -> Option<Duration> {
        let times = self.0.as_ref().filter(|times| !times.is_empty())?;
        Some(Duration::from_micros(times.value_at_percentile(percent)))
    }
}

/// Outages that are kept.
const KEPT: usize = 20;

impl Soak {
    /// Nothing was seen yet; the figures are those of `count` parts of this length.
    pub(crate) fn new(each: Duration, count: u32) -> Self {
        let part = |number| Part { begin: each * number, replies: Times::new(), visits: Times::new(), connections: 0 };
        Self {
            took: Duration::ZERO,
            messages: 0,
            conversations: 0,
            outages: Outages::default(),
            parts: (0..count).map(part).collect(),
            vanished: 0,
            still_known: 0,
        }
    }

    /// A reply came.
    pub(crate) fn add(&mut self, now: Duration, rtt: Duration, is_visit: bool, each: Duration, connections: u64) {
        self.messages += 1;
        self.conversations += u64::from(is_visit);
        let number = usize::try_from(now.as_nanos() / each.as_nanos().max(1)).unwrap_or(usize::MAX);
        let last = self.parts.len().saturating_sub(1);
        if let Some(part) = self.parts.get_mut(number.min(last)) {
            if is_visit { &mut part.visits } else { &mut part.replies }.add(rtt);
            part.connections = connections;
        }
    }

    /// The rise of the reply time with the uptime, in seconds for each second.
    pub(crate) fn drift(&self) -> Option<Drift> {
        let medians =
            self.parts.iter().filter_map(|part| Some((part.begin.as_secs_f64(), part.replies.percentile(50.0)?)));
        Drift::find(&medians.collect::<Vec<_>>())
    }

    /// The rise with the number of connections, in seconds for each connection.
    pub(crate) fn aging(&self) -> Option<Drift> {
        let medians =
            self.parts.iter().filter_map(|part| Some((part.connections as f64, part.visits.percentile(50.0)?)));
        Drift::find(&medians.collect::<Vec<_>>())
    }

    /// The medians in the first and in the last quarter of the time, of replies and of visits.
    pub(crate) fn early_and_late(&self) -> String {
        let quarter = self.parts.len() / 4;
        let median = |parts: &[Part], of: fn(&Part) -> &Times| {
            let mut medians: Vec<_> = parts.iter().filter_map(|part| of(part).percentile(50.0)).collect();
            medians.sort_unstable();
            medians.get(medians.len() / 2).copied()
        };
        let (early, late) = (
            self.parts.get(..quarter).unwrap_or_default(),
            self.parts.get(self.parts.len() - quarter..).unwrap_or_default(),
        );
        let text = |what: &str, of: fn(&Part) -> &Times| {
            let (early, late) = (median(early, of)?, median(late, of)?);
            Some(format!("{what} take {} early and {} late", Time::from(early), Time::from(late)))
        };
        let texts =
            [text("replies", |part| &part.replies), text("first replies on new connections", |part| &part.visits)];
        texts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// "18,000 messages and 1,800 connections in 360 s".
    pub(crate) fn summary(&self) -> String {
        let Self { messages, conversations, .. } = self;
        format!(
            "{} messages, {} of them on new connections, in {}",
            Count(*messages),
            Count(*conversations),
            Time::from(self.took)
        )
    }
}

impl Outages {
    pub(crate) fn add(&mut self, outage: Outage) {
        self.count += 1;
        self.time += outage.length;
        if self.first.len() < KEPT {
            self.first.push(outage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soak(reply: impl Fn(u64) -> u64) -> Soak {
        let mut soak = Soak::new(Duration::from_secs(1), 60);
        for number in 0..60_000 {
            let (now, rtt) = (Duration::from_millis(number), Duration::from_micros(reply(number)));
            soak.add(now, rtt, number % 10 == 0, Duration::from_secs(1), number / 10);
        }
        soak
    }

    #[test]
    fn a_reply_time_that_rises_with_the_uptime_is_found() {
        let soak = soak(|milliseconds| 100 + milliseconds / 10);
        assert!(soak.drift().is_some_and(|drift| drift.each() > Duration::from_micros(90)), "{:?}", soak.drift());
        assert!(soak.aging().is_some(), "and with the connections");
        assert_eq!((soak.messages, soak.conversations), (60_000, 6_000));
    }

    #[test]
    fn a_steady_server_has_no_drift() {
        let soak = soak(|milliseconds| 100 + milliseconds % 7);
        assert_eq!((soak.drift(), soak.aging()), (None, None));
        assert!(
            soak.early_and_late().contains("replies take 103 µs early and 103 µs late"),
            "{}",
            soak.early_and_late()
        );
    }

    #[test]
    fn outages_are_counted_and_the_first_are_kept() {
        let mut outages = Outages::default();
        for number in 0..100 {
            let length = Duration::from_millis(10);
            outages.add(Outage { begin: Duration::from_secs(number), length, failure: Failure::new("gone") });
        }
        assert_eq!((outages.count, outages.first.len(), outages.time), (100, KEPT, Duration::from_secs(1)));
    }
}
