//! A histogram of latencies that many threads add to.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds of the buckets, in microseconds: from 5 us, which a reply takes at least, to 10 s. Another bucket is above.
pub const BOUNDS: [u64; 20] = [
    5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000,
];

/// Numbers of latencies by bucket, and their sum in microseconds.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

/// The values of a histogram at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// How many latencies are at most the bound with the same index, and above the one before. The last is above all.
    pub counts: [u64; BOUNDS.len() + 1],
    /// The sum of all.
    pub sum: Duration,
}

impl Histogram {
    /// Adds `times` latencies of this length.
    pub(super) fn record(&self, latency: Duration, times: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(times, Ordering::Relaxed);
        }
        self.sum.fetch_add(micros.saturating_mul(times), Ordering::Relaxed);
    }

    /// Adds its values to `buckets`.
    pub(super) fn add_to(&self, buckets: &mut Buckets) {
        for (sum, count) in buckets.counts.iter_mut().zip(&self.counts) {
            *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
        }
        buckets.sum = buckets.sum.saturating_add(Duration::from_micros(self.sum.load(Ordering::Relaxed)));
    }
}

impl Buckets {
    /// How many latencies there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for (micros, times) in [(0, 1), (5, 1), (6, 1), (10_000_000, 2), (10_000_001, 3)] {
            histogram.record(Duration::from_micros(micros), times);
        }
        let mut buckets = Buckets::default();
        histogram.add_to(&mut buckets);
        let mut expected = [0; BOUNDS.len() + 1];
        (expected[0], expected[1], expected[19], expected[20]) = (2, 1, 2, 3);
        assert_eq!((buckets.counts, buckets.count()), (expected, 8));
        assert_eq!(buckets.sum, Duration::from_micros(11 + 20_000_000 + 30_000_003));
    }
}
