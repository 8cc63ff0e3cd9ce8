//! Latencies: how they are gathered, and the figures that are told of them.

use core::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

/// The longest latency that is told from longer ones: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// How finely a curve follows: so many points for each halving of what is left above.
const POINTS_A_HALVING: u32 = 4;

/// Any number of latencies in a quarter of a megabyte, each to three digits that count.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// Where a histogram cannot have such bounds.
    pub fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(1, LONGEST, 3).map(Self)
    }

    /// One more.
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST));
    }

    /// So many more of the same length.
    pub fn add_many(&mut self, latency: Duration, count: u64) {
        self.0.saturating_record_n(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST), count);
    }

    /// All of the other's too.
    pub fn add_all(&mut self, other: &Self) {
        // Fails only where the other's bounds are wider.
        let _ = self.0.add(&other.0);
    }

    /// None any more.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that so many percent do not exceed.
    #[must_use]
    pub fn at(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    /// The figures.
    #[must_use]
    pub fn summary(&self) -> Latency {
        let at = |percentile| self.0.value_at_percentile(percentile);
        Latency {
            count: self.0.len(),
            min: self.0.min(),
            mean: self.0.mean(),
            p50: at(50.0),
            p90: at(90.0),
            p95: at(95.0),
            p99: at(99.0),
            p99_9: at(99.9),
            p99_99: at(99.99),
            max: self.0.max(),
        }
    }

    /// The distribution as a curve, from the shortest latency to the longest.
    #[must_use]
    pub fn curve(&self) -> Vec<Point> {
        let values = self.0.iter_quantiles(POINTS_A_HALVING);
        values
            .map(|value| Point { quantile: value.quantile_iterated_to(), latency: value.value_iterated_to() })
            .collect()
    }
}

/// What is told of many latencies, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// Their mean.
    pub mean: f64,
    /// Half were no longer than this.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 95 of a hundred.
    pub p95: u64,
    /// 99 of a hundred.
    pub p99: u64,
    /// 999 of a thousand.
    #[serde(rename = "p99.9")]
    pub p99_9: u64,
    /// 9,999 of ten thousand.
    #[serde(rename = "p99.99")]
    pub p99_99: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    /// The figures by their names, from the shortest on, but for the mean.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("min", self.min),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p95", self.p95),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("p99.99", self.p99_99),
            ("max", self.max),
        ]
    }
}

/// One point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Which part of all latencies, 0 to 1, was no longer.
    pub quantile: f64,
    /// That latency in nanoseconds.
    pub latency: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_what_was_added() {
        let mut latencies = Latencies::new().unwrap();
        for microseconds in 1..=10_000 {
            latencies.add(Duration::from_micros(microseconds));
        }
        let figures = latencies.summary();
        let is_about = |value: u64, microseconds: f64| (value as f64 / 1000.0 / microseconds - 1.0).abs() < 0.002;
        assert_eq!(figures.count, 10_000);
        assert!(is_about(figures.p50, 5_000.0) && is_about(figures.p99_99, 9_999.0), "{figures:?}");
        assert!(is_about(figures.min, 1.0) && is_about(figures.max, 10_000.0), "{figures:?}");
        let curve = latencies.curve();
        assert!(curve.is_sorted_by(|a, b| a.quantile <= b.quantile && a.latency <= b.latency), "{curve:?}");
        assert_eq!(curve.last().map(|point| point.quantile), Some(1.0));
    }

    #[test]
    fn what_is_longer_than_an_hour_counts_as_an_hour_and_nothing_gets_lost() {
        let mut latencies = Latencies::new().unwrap();
        latencies.add(Duration::MAX);
        latencies.add(Duration::ZERO);
        let mut all = Latencies::new().unwrap();
        all.add_all(&latencies);
        assert_eq!((latencies.count(), all.count()), (2, 2));
        latencies.clear();
        assert_eq!(latencies.count(), 0);
    }
}
