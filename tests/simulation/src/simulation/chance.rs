//! Chance: everything in a simulation is drawn from it, so that one number determines it all.

use core::{ops::RangeInclusive, time::Duration};

/// A source of chance; two of the same seed give the same.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number: SplitMix64.
    pub(super) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in this range, which is not empty.
    #[allow(clippy::cast_possible_truncation, reason = "smaller than a number that is a usize")]
    pub(super) fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        let count = (range.end() - range.start()) as u64 + 1;
        range.start() + (self.number() % count) as usize
    }

    /// Whether something happens that happens so often of a hundred times.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.within(0..=99) < percent
    }

    /// One of these.
    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.within(0..=choices.len() - 1)].clone()
    }

    /// A span of so many milliseconds; the microseconds vary too.
    pub(super) fn millis(&mut self, range: RangeInclusive<usize>) -> Duration {
        Duration::from_micros((self.within(range) * 1000 + self.within(0..=999)) as u64)
    }

    /// Another source, which goes its own way.
    pub(super) const fn another(&mut self) -> Self {
        Self(self.number())
    }
}
