//! Latencies: how they are recorded, and the figures taken from them.

use core::time::Duration;

use hdrhistogram::{CreationError, Histogram};

/// The longest latency that is recorded exactly, in nanoseconds: one hour. Longer ones count as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Resolution of a distribution curve: the number of points each time the remaining share is halved.
const POINTS_PER_HALVING: u32 = 4;

/// A percentile is only given if at least this many samples lie above it; with fewer it is chance.
const SAMPLES_ABOVE: u64 = 10;

/// The percentiles that are given beside the median, each with its share of samples above it, as one in N.
const PERCENTILES: [(&str, f64, u64); 5] =
    [("p90", 90.0, 10), ("p95", 95.0, 20), ("p99", 99.0, 100), ("p99.9", 99.9, 1_000), ("p99.99", 99.99, 10_000)];

/// Any number of latencies, each to three significant digits, in a quarter of a megabyte (HdrHistogram).
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty histogram. Fails only if the histogram does not accept its bounds.
    pub(crate) fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(1, LONGEST, 3).map(Self)
    }

    /// Records one latency.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.saturating_record(nanoseconds(latency));
    }

    /// Records the same latency `count` times.
    pub(crate) fn add_many(&mut self, latency: Duration, count: u64) {
        self.0.saturating_record_n(nanoseconds(latency), count);
    }

    /// Records all latencies of another histogram.
    pub(crate) fn add_all(&mut self, other: &Self) {
        // Fails only if the bounds of the other are wider.
        let _ = self.0.add(&other.0);
    }

    /// Removes all latencies.
    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// The number of latencies.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// A percentile, given as 0 to 100.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    /// The figures; `None` without any latency.
    pub(crate) fn summary(&self) -> Option<Latency> {
        let count = self.count();
        (count > 0).then(|| Latency {
            count,
            min: Duration::from_nanos(self.0.min()),
            mean: Duration::from_secs_f64(self.0.mean() / 1e9),
            median: self.percentile(50.0),
            percentiles: PERCENTILES.map(|(name, percent, one_in)| {
                let samples_above = count.checked_div(one_in).unwrap_or(0);
                let value = (samples_above >= SAMPLES_ABOVE).then(|| self.percentile(percent));
                Percentile { name, value, samples_above }
            }),
            max: Duration::from_nanos(self.0.max()),
        })
    }

    /// The distribution as a curve, from the shortest latency to the longest.
    pub(crate) fn curve(&self) -> Vec<Point> {
        let values = self.0.iter_quantiles(POINTS_PER_HALVING);
        values
            .map(|value| Point {
                quantile: value.quantile_iterated_to(),
                latency: Duration::from_nanos(value.value_iterated_to()),
            })
            .collect()
    }
}

/// The figures of many latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) min: Duration,
    pub(crate) mean: Duration,
    pub(crate) median: Duration,
    pub(crate) percentiles: [Percentile; PERCENTILES.len()],
    pub(crate) max: Duration,
}

/// One percentile above the median.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percentile {
    /// `p99`, for example.
    pub(crate) name: &'static str,
    /// `None` if too few samples lie above it.
    pub(crate) value: Option<Duration>,
    /// The number of samples above it.
    pub(crate) samples_above: u64,
}

impl Latency {
    /// A percentile by its name; `None` if there are too few samples.
    pub(crate) fn percentile(&self, name: &str) -> Option<Duration> {
        self.percentiles.iter().find(|percentile| percentile.name == name)?.value
    }

    /// All figures but the mean by name, in ascending order; the same names without any latency.
    pub(crate) fn named(latency: Option<&Self>) -> impl Iterator<Item = (&'static str, Option<Duration>)> {
        let of = |figure: fn(&Self) -> Duration| latency.map(figure);
        let percentiles = PERCENTILES.map(|(name, _, _)| (name, latency.and_then(|latency| latency.percentile(name))));
        [("min", of(|latency| latency.min)), ("p50", of(|latency| latency.median))]
            .into_iter()
            .chain(percentiles)
            .chain([("max", of(|latency| latency.max))])
    }
}

/// One point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The share of latencies that are no longer, 0 to 1.
    pub(crate) quantile: f64,
    pub(crate) latency: Duration,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_microseconds(count: u64) -> Latencies {
        let mut latencies = Latencies::new().unwrap();
        (1..=count).for_each(|microseconds| latencies.add(Duration::from_micros(microseconds)));
        latencies
    }

    #[test]
    fn the_figures_are_those_of_the_recorded_latencies() {
        let latencies = of_microseconds(100_000);
        let figures = latencies.summary().unwrap();
        let is_about =
            |value: Duration, microseconds: f64| (value.as_secs_f64() * 1e6 / microseconds - 1.0).abs() < 0.002;
        assert_eq!(figures.count, 100_000);
        assert!(is_about(figures.median, 50_000.0) && is_about(figures.mean, 50_000.0), "{figures:?}");
        assert!(is_about(figures.percentile("p99.99").unwrap(), 99_990.0), "{figures:?}");
        assert!(is_about(figures.min, 1.0) && is_about(figures.max, 100_000.0), "{figures:?}");
        let curve = latencies.curve();
        assert!(curve.is_sorted_by(|a, b| a.quantile <= b.quantile && a.latency <= b.latency), "{curve:?}");
        assert_eq!(curve.last().map(|point| point.quantile), Some(1.0));
    }

    #[test]
    fn a_percentile_is_reported_only_with_ten_samples_above_it() {
        for (count, name, samples_above, is_given) in
            [(99_999, "p99.99", 9, false), (100_000, "p99.99", 10, true), (100, "p90", 10, true), (99, "p90", 9, false)]
        {
            let figures = of_microseconds(count).summary().unwrap();
            let percentile = figures.percentiles.iter().find(|percentile| percentile.name == name).unwrap();
            assert_eq!(
                (percentile.samples_above, percentile.value.is_some()),
                (samples_above, is_given),
                "{count} {name}"
            );
        }
        let two = of_microseconds(2).summary().unwrap();
        let given: Vec<_> =
            Latency::named(Some(&two)).filter(|(_, value)| value.is_some()).map(|(name, _)| name).collect();
        assert_eq!(given, ["min", "p50", "max"]);
        assert_eq!(Latency::named(None).count(), 8);
    }

    #[test]
    fn latencies_longer_than_an_hour_count_as_an_hour() {
        let mut latencies = Latencies::new().unwrap();
        latencies.add(Duration::MAX);
        latencies.add(Duration::ZERO);
        let mut all = Latencies::new().unwrap();
        all.add_all(&latencies);
        assert_eq!((latencies.count(), all.count()), (2, 2));
        latencies.clear();
        assert_eq!((latencies.count(), latencies.summary()), (0, None));
    }
}
