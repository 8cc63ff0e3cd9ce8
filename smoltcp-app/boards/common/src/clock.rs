//! Microseconds from a hardware counter that wraps.

use greet_core::Instant;

/// A clock on top of a counter that counts up and starts again at 0 after its highest value.
///
/// It needs a reading before seven eighths of the counter's range have passed since the previous one; a board's loop
/// wakes in time for that ([`CounterClock::ticks`] keeps sleeps below it). Nothing is counted by interrupts, so none can
/// be lost.
#[derive(Debug)]
pub struct CounterClock {
    /// The counter's highest value, 2^n - 1.
    mask: u32,
    /// This number of ticks takes `micros_per_unit` microseconds: the frequency as a reduced fraction.
    ticks_per_unit: u32,
    micros_per_unit: u32,
    /// The counter at the previous reading.
    previous: u32,
    /// Ticks since the last whole unit.
    remainder: u32,
    /// Microseconds in all whole units.
    micros: u64,
}

impl CounterClock {
    /// A clock that starts at 0 now. `bits` is the width of the counter, `frequency` its ticks per second (at least 1 MHz),
    /// `count` its value.
    #[must_use]
    pub const fn new(bits: u32, frequency: u32, count: u32) -> Self {
        let common = greatest_common_divisor(frequency, 1_000_000);
        Self {
            mask: u32::MAX >> (32 - bits),
            ticks_per_unit: frequency / common,
            micros_per_unit: 1_000_000 / common,
            previous: count,
            remainder: 0,
            micros: 0,
        }
    }

    /// The time when the counter reads `count`.
    pub fn read(&mut self, count: u32) -> Instant {
        let passed = count.wrapping_sub(self.previous) & self.mask;
        // A counter that seems to have passed nearly all its range was read slightly too early: the time does not advance.
        if passed <= self.mask - self.mask / 8 {
            self.previous = count;
            let ticks = self.remainder.saturating_add(passed);
            self.remainder = ticks % self.ticks_per_unit;
            let micros = (ticks / self.ticks_per_unit).saturating_mul(self.micros_per_unit);
            self.micros = self.micros.saturating_add(u64::from(micros));
        }
        Instant::from_micros(self.micros)
    }

    /// The ticks in `micros` microseconds, rounded up, but at least 1 and at most three quarters of the counter's range.
    #[must_use]
    pub fn ticks(&self, micros: u64) -> u32 {
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        let units = micros.div_ceil(self.micros_per_unit);
        units.saturating_mul(self.ticks_per_unit).clamp(1, self.mask - self.mask / 4)
    }
}

const fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_microseconds() {
        let mut clock = CounterClock::new(24, 25_000_000, 100);
        assert_eq!(clock.read(100), Instant::ZERO);
        assert_eq!(clock.read(124), Instant::ZERO);
        assert_eq!(clock.read(125), Instant::from_micros(1));
        assert_eq!(clock.read(100 + 250_010), Instant::from_micros(10_000));
    }

    #[test]
    fn fractions_of_a_microsecond_are_not_lost() {
        let mut clock = CounterClock::new(32, 12_500_000, 0);
        let mut count = 0_u32;
        for _ in 0..12_500_000 / 7 {
            count = count.wrapping_add(7);
            clock.read(count);
        }
        assert_eq!(clock.read(12_500_000), Instant::from_micros(1_000_000));
    }

    #[test]
    fn the_clock_continues_when_the_counter_wraps() {
        let mut clock = CounterClock::new(24, 12_500_000, 0);
        let step = 10_000_000_u32; // 0.8 s
        for number in 1..=1000_u32 {
            let count = number.wrapping_mul(step) & 0xFF_FFFF;
            assert_eq!(clock.read(count), Instant::from_micros(u64::from(number) * 800_000));
        }
    }

    #[test]
    fn the_clock_stops_while_the_counter_seems_to_go_back() {
        let mut clock = CounterClock::new(24, 1_000_000, 0);
        assert_eq!(clock.read(500), Instant::from_micros(500));
        assert_eq!(clock.read(499), Instant::from_micros(500));
        assert_eq!(clock.read(501), Instant::from_micros(501));
    }

    #[test]
    fn a_sleep_is_never_shorter_than_requested_nor_longer_than_the_counter_can_measure() {
        let clock = CounterClock::new(24, 12_500_000, 0);
        assert_eq!(clock.ticks(0), 1);
        assert_eq!(clock.ticks(1), 25);
        assert_eq!(clock.ticks(1_000_000), 12_500_000);
        assert_eq!(clock.ticks(2_000_000), 12_582_912);
        assert_eq!(clock.ticks(u64::MAX), 12_582_912);
        assert_eq!(CounterClock::new(32, 25_000_000, 0).ticks(1_000_000), 25_000_000);
    }
}
