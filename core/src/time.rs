//! Time as a machine is told it: a point on the driver's clock.

use core::time::Duration;

/// A point in time: microseconds since a moment of the driver's choosing.
///
/// A machine has no clock. Its driver tells it the time at every call, from one clock that never goes back; on a PC that
/// is a monotonic clock, on a board a timer, in a test a variable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The first instant of every clock.
    pub const ZERO: Self = Self(0);

    /// Past every deadline: the end of time.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The instant `micros` microseconds after [`Instant::ZERO`].
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since [`Instant::ZERO`].
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This as a deadline: none where it never comes.
    pub(crate) fn deadline(self) -> Option<Self> {
        (self < Self::NEVER).then_some(self)
    }

    /// How long it is from `earlier` to `self`; nothing where `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The instant `span` later; the last one there is where that would be past the end of time.
    #[must_use]
    pub(crate) const fn after(self, span: Micros) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    /// The instant `span` later, to the microsecond; saturates at the end of time.
    fn add(self, span: Duration) -> Self {
        self.after(Micros::new(span))
    }
}

/// A span as a machine keeps it: half the size of a [`Duration`], in the unit of [`Instant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Micros(u64);

impl Micros {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const FOREVER: Self = Self(u64::MAX);

    /// `span` in whole microseconds; more than 584,000 years is for ever.
    #[inline(never)] // on a board it is long, and wanted in many places, none of them hot
    pub(crate) const fn new(span: Duration) -> Self {
        // Seconds and microseconds apart: 128-bit arithmetic is large and slow on a board.
        let seconds = span.as_secs().saturating_mul(1_000_000);
        Self(seconds.saturating_add(span.subsec_micros() as u64))
    }

    /// A limit as an owner states it; `None` for ever.
    pub(crate) const fn limit(limit: Option<Duration>) -> Self {
        match limit {
            Some(limit) => Self::new(limit),
            None => Self::FOREVER,
        }
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// For how long nothing may move, and since when nothing has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    since: Instant,
    limit: Micros,
}

impl Patience {
    /// A patience that begins at `now`; without a limit it has no end.
    pub(crate) const fn new(limit: Option<Duration>, now: Instant) -> Self {
        Self { since: now, limit: Micros::limit(limit) }
    }

    /// Something has moved: it begins anew.
    pub(crate) const fn moved(&mut self, now: Instant) {
        self.since = now;
    }

    /// When it is over; [`Instant::NEVER`] without a limit.
    pub(crate) const fn due(&self) -> Instant {
        self.since.after(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_moves_by_a_duration_and_stops_at_the_end_of_time() {
        let start = Instant::from_micros(5);
        assert_eq!(start + Duration::from_millis(2), Instant::from_micros(2_005));
        assert_eq!(start + Duration::MAX, Instant::from_micros(u64::MAX));
        assert_eq!((start + Duration::from_secs(3)).since(start), Duration::from_secs(3));
        assert_eq!(start.since(start + Duration::from_secs(3)), Duration::ZERO);
    }

    #[test]
    fn a_patience_counts_from_what_moved_last_and_without_a_limit_it_has_no_end() {
        let start = Instant::from_micros(5);
        let mut patience = Patience::new(Some(Duration::from_secs(1)), start);
        assert_eq!(patience.due().deadline(), Some(start + Duration::from_secs(1)));
        patience.moved(start + Duration::from_secs(3));
        assert_eq!(patience.due().deadline(), Some(start + Duration::from_secs(4)));
        assert_eq!(Patience::new(None, start).due().deadline(), None);
    }
}
