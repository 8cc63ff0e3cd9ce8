//! The machines' clock and smoltcp's: both count microseconds, in types of their own.

use greet_core::Instant;
use smoltcp::time;

/// This instant, as smoltcp counts it; its last one where that is past the end of its time.
#[must_use]
pub fn to_smoltcp(instant: Instant) -> time::Instant {
    time::Instant::from_micros(i64::try_from(instant.as_micros()).unwrap_or(i64::MAX))
}

/// This instant, as machines count it; the first one where it lies before that.
#[must_use]
pub fn from_smoltcp(instant: time::Instant) -> Instant {
    Instant::from_micros(u64::try_from(instant.total_micros()).unwrap_or(0))
}

/// The earlier of two deadlines; no deadline is never the earlier one.
#[inline(never)] // called often in the code, but never in a hot loop
#[must_use]
pub fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_the_same_on_both_clocks() {
        for micros in [0, 1, 999_999, 1_000_000, 123_456_789_012] {
            let instant = Instant::from_micros(micros);
            assert_eq!(from_smoltcp(to_smoltcp(instant)), instant);
        }
        assert_eq!(from_smoltcp(time::Instant::from_micros(-1_i64)), Instant::ZERO);
        assert_eq!(to_smoltcp(Instant::from_micros(u64::MAX)), time::Instant::from_micros(i64::MAX));
    }

    #[test]
    fn none_is_never_the_earliest_deadline() {
        let (one, two) = (Some(Instant::from_micros(1)), Some(Instant::from_micros(2)));
        assert_eq!(earliest(one, two), one);
        assert_eq!(earliest(two, one), one);
        assert_eq!(earliest(None, two), two);
        assert_eq!(earliest(one, None), one);
        assert_eq!(earliest(None, None), None);
    }
}
