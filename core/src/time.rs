//! The time of a machine: an instant of the driver's clock.

use core::time::Duration;

/// A point in time, in microseconds since an origin that the driver chooses.
///
/// A machine has no clock. The driver passes the time with every call, from one clock that never goes back: a monotonic clock
/// on a PC, a timer on a board, a variable in a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The first instant of every clock.
    pub const ZERO: Self = Self(0);

    /// Later than every deadline.
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

    /// This instant as a deadline; `None` for [`NEVER`](Self::NEVER).
    pub(crate) fn deadline(self) -> Option<Self> {
        (self < Self::NEVER).then_some(self)
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The instant `span` later; saturates at the last instant.
    #[inline(never)] // as large as `Micros::new`
    #[must_use]
    pub(crate) const fn after(self, span: Micros) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    /// The instant `span` later, to the microsecond; saturates at the last instant.
    #[inline(never)]
    fn add(self, span: Duration) -> Self {
        self.after(Micros::new(span))
    }
}

/// A duration in microseconds, the unit of [`Instant`]. It is half as large as a [`Duration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Micros(u64);

impl Micros {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const FOREVER: Self = Self(u64::MAX);

    /// `span` in whole microseconds; more than 584,000 years count as [`FOREVER`](Self::FOREVER).
    #[inline(never)] // it is large on a board, and called often in the code, but never in a hot loop
    pub(crate) const fn new(span: Duration) -> Self {
        // Seconds and microseconds apart: 128-bit arithmetic is large and slow on a board.
        let seconds = span.as_secs().saturating_mul(1_000_000);
        Self(seconds.saturating_add(span.subsec_micros() as u64))
    }

    /// A limit from the settings; `None` for no limit.
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

/// A timeout that starts again whenever a byte is received or sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    since: Instant,
    limit: Micros,
}

impl Timeout {
    /// A timeout that starts at `now`; without a limit it never expires.
    pub(crate) const fn new(limit: Option<Duration>, now: Instant) -> Self {
        Self { since: now, limit: Micros::limit(limit) }
    }

    /// A byte was received or sent: the timeout starts again.
    pub(crate) const fn moved(&mut self, now: Instant) {
        self.since = now;
    }

    /// When it expires; [`Instant::NEVER`] without a limit.
    pub(crate) const fn due(&self) -> Instant {
        self.since.after(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_a_duration_to_an_instant_saturates() {
        let start = Instant::from_micros(5);
        assert_eq!(start + Duration::from_millis(2), Instant::from_micros(2_005));
        assert_eq!(start + Duration::MAX, Instant::from_micros(u64::MAX));
        assert_eq!((start + Duration::from_secs(3)).since(start), Duration::from_secs(3));
        assert_eq!(start.since(start + Duration::from_secs(3)), Duration::ZERO);
    }

    #[test]
    fn a_timeout_counts_from_the_last_byte_and_never_expires_without_a_limit() {
        let start = Instant::from_micros(5);
        let mut timeout = Timeout::new(Some(Duration::from_secs(1)), start);
        assert_eq!(timeout.due().deadline(), Some(start + Duration::from_secs(1)));
        timeout.moved(start + Duration::from_secs(3));
        assert_eq!(timeout.due().deadline(), Some(start + Duration::from_secs(4)));
        assert_eq!(Timeout::new(None, start).due().deadline(), None);
    }
}
