//! Microseconds out of ticks that are counted and a counter that tells how far the current one is, never going back.

use greet_core::Instant;

/// A clock that is told, at each reading, how many ticks have passed and how far the current one is.
///
/// The number of ticks may wrap; what is needed is a reading before it has wrapped by half. And it never goes back: where
/// a reading is older than the one before, because a tick was over and not counted yet, the time stands still.
#[derive(Debug)]
pub struct Monotonic {
    micros_a_tick: u32,
    /// The reading before: its ticks, and the microseconds at the begin of that tick.
    ticks: u32,
    micros: u64,
    last: Instant,
}

impl Monotonic {
    /// A clock at its first instant.
    #[must_use]
    pub const fn new(micros_a_tick: u32) -> Self {
        Self { micros_a_tick, ticks: 0, micros: 0, last: Instant::ZERO }
    }

    /// The time `micros` after the begin of the tick with this number.
    pub fn read(&mut self, ticks: u32, micros: u32) -> Instant {
        let passed = ticks.wrapping_sub(self.ticks);
        if passed <= u32::MAX / 2 {
            self.ticks = ticks;
            self.micros = self.micros.saturating_add(u64::from(passed).saturating_mul(u64::from(self.micros_a_tick)));
            let instant = Instant::from_micros(self.micros.saturating_add(u64::from(micros)));
            self.last = self.last.max(instant);
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_microseconds_across_ticks() {
        let mut clock = Monotonic::new(1000);
        assert_eq!(clock.read(0, 0), Instant::ZERO);
        assert_eq!(clock.read(0, 999), Instant::from_micros(999));
        assert_eq!(clock.read(3, 7), Instant::from_micros(3007));
    }

    #[test]
    fn it_stands_still_where_a_tick_was_over_and_not_counted() {
        let mut clock = Monotonic::new(1000);
        assert_eq!(clock.read(5, 998), Instant::from_micros(5998));
        assert_eq!(clock.read(5, 2), Instant::from_micros(5998));
        assert_eq!(clock.read(6, 3), Instant::from_micros(6003));
        // One that was said to be over, and then was not.
        assert_eq!(clock.read(5, 999), Instant::from_micros(6003));
    }

    #[test]
    fn it_goes_on_where_the_number_of_ticks_wraps() {
        let mut clock = Monotonic::new(1000);
        let step = 1 << 30;
        for number in 1..=16_u32 {
            let ticks = number.wrapping_mul(step);
            assert_eq!(clock.read(ticks, 0), Instant::from_micros(u64::from(number) * u64::from(step) * 1000));
        }
    }
}
