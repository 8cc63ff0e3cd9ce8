//! The machines' clock on a PC: microseconds since it was first looked at.

use core::cell::Cell;
use std::{sync::LazyLock, time};

use greet_core::Instant;

static START: LazyLock<time::Instant> = LazyLock::new(time::Instant::now);

/// The time as machines are told it.
pub fn now() -> Instant {
    let elapsed = START.elapsed();
    // Not `as_micros`: its 128 bits cost more than the look at the clock. 584,000 years fit.
    Instant::from_micros(elapsed.as_secs().saturating_mul(1_000_000).saturating_add(elapsed.subsec_micros().into()))
}

/// That time on the system's clock; the soonest there is for what lies before the clock began.
pub fn system(instant: Instant) -> time::Instant {
    let start = *START;
    start.checked_add(instant.since(Instant::ZERO)).unwrap_or(start)
}

/// The time as of a connection's last wait: between two waits hardly any passes, and a look at the clock costs as much as
/// answering a name.
#[derive(Debug)]
pub struct LastWait(Cell<Instant>);

impl LastWait {
    /// As of now.
    #[must_use]
    pub fn new() -> Self {
        Self(Cell::new(now()))
    }

    /// A wait is over.
    pub fn over(&self) {
        self.0.set(now());
    }

    /// When the last wait was over.
    pub fn time(&self) -> Instant {
        self.0.get()
    }
}

impl Default for LastWait {
    fn default() -> Self {
        Self::new()
    }
}
