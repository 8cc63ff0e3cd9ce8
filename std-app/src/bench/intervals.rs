//! The figures of each interval of a run, for `--interval`.

use core::time::Duration;

use hdrhistogram::CreationError;

use crate::latency::{Latencies, Latency};

/// The figures of one interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    /// Counted from the start of the measurement.
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
    pub(crate) names: u64,
    pub(crate) names_per_s: f64,
    /// `None` without a reply.
    pub(crate) latency: Option<Latency>,
    pub(crate) errors: u64,
}

/// Collects them. Times are counted from the start of the measurement.
#[derive(Clone, Debug)]
pub(super) struct Intervals {
    length: Duration,
    begin: Duration,
    latencies: Latencies,
    errors: u64,
    finished: Vec<Interval>,
}

impl Intervals {
    pub(super) fn new(length: Duration) -> Result<Self, CreationError> {
        let latencies = Latencies::new()?;
        Ok(Self { length, begin: Duration::ZERO, latencies, errors: 0, finished: Vec::new() })
    }

    pub(super) fn reply(&mut self, now: Duration, latency: Duration) {
        self.pass(now);
        self.latencies.add(latency);
    }

    pub(super) const fn error(&mut self) {
        self.errors = self.errors.saturating_add(1);
    }

    /// The measurement begins: earlier errors do not count.
    pub(super) const fn start(&mut self) {
        self.errors = 0;
    }

    /// Time has passed: finishes the intervals that are over.
    pub(super) fn pass(&mut self, now: Duration) {
        while let end = self.begin.saturating_add(self.length)
            && end <= now
            && end > self.begin
        {
            self.finish(end);
        }
    }

    /// The measured time is over: finishes the last interval, which may be shorter.
    pub(super) fn end(&mut self, now: Duration) {
        self.pass(now);
        if now > self.begin {
            self.finish(now);
        }
    }

    fn finish(&mut self, end: Duration) {
        let names = self.latencies.count();
        let seconds = end.saturating_sub(self.begin).as_secs_f64();
        self.finished.push(Interval {
            begin: self.begin,
            end,
            names,
            names_per_s: names as f64 / seconds,
            latency: self.latencies.summary(),
            errors: self.errors,
        });
        self.latencies.clear();
        self.errors = 0;
        self.begin = end;
    }

    /// The intervals that are over.
    pub(super) fn finished(&self) -> &[Interval] {
        &self.finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn each_reply_counts_in_its_interval_and_an_interval_without_one_has_no_latency() {
        let mut intervals = Intervals::new(ms(100)).unwrap();
        (0..50).for_each(|number| intervals.reply(ms(number), ms(1)));
        intervals.error();
        intervals.reply(ms(230), ms(7));
        intervals.end(ms(250));
        let found: Vec<_> = intervals
            .finished()
            .iter()
            .map(|each| (each.begin, each.end, each.names, each.names_per_s, each.latency.is_some(), each.errors))
            .collect();
        assert_eq!(
            found,
            [
                (ms(0), ms(100), 50, 500.0, true, 1),
                (ms(100), ms(200), 0, 0.0, false, 0),
                (ms(200), ms(250), 1, 20.0, true, 0),
            ]
        );
    }
}
