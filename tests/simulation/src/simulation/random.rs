//! The random number generator. All choices of a simulation come from it, so that the seed determines them.

use core::{ops::RangeInclusive, time::Duration};

/// A seeded random number generator (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A uniformly distributed number.
    pub(super) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in this range, which must not be empty.
    #[allow(clippy::cast_possible_truncation, reason = "less than `count`, which is a usize")]
    pub(super) fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        let count = (range.end() - range.start()) as u64 + 1;
        range.start() + (self.number() % count) as usize
    }

    /// True with a probability of `percent` in 100.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.within(0..=99) < percent
    }

    /// One of `choices`, which must not be empty.
    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.within(0..=choices.len() - 1)].clone()
    }

    /// A duration in this range of milliseconds, plus up to 999 us.
    pub(super) fn millis(&mut self, range: RangeInclusive<usize>) -> Duration {
        Duration::from_micros((self.within(range) * 1000 + self.within(0..=999)) as u64)
    }

    /// A second generator, seeded by this one.
    pub(super) const fn another(&mut self) -> Self {
        Self(self.number())
    }
}
