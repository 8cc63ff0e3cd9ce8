//! The machines' clock on a PC: microseconds since its first use.

use core::sync::atomic::{AtomicU64, Ordering};
use std::{sync::LazyLock, time};

use greet_core::Instant;

static START: LazyLock<time::Instant> = LazyLock::new(time::Instant::now);

/// The current time, as machines use it.
pub fn now() -> Instant {
    let elapsed = START.elapsed();
    // Not `as_micros`: its 128-bit division costs more than reading the clock. 584,000 years fit.
    Instant::from_micros(elapsed.as_secs().saturating_mul(1_000_000).saturating_add(elapsed.subsec_micros().into()))
}

/// Converts to the system's monotonic clock. A time that it cannot represent becomes the start of this clock.
pub fn system(instant: Instant) -> time::Instant {
    let start = *START;
    start.checked_add(instant.since(Instant::ZERO)).unwrap_or(start)
}

/// The time at the end of a connection's last wait. Little time passes between two waits, and reading the clock costs as
/// much as answering a name. One task or thread uses it; it is atomic so that a task may move to another thread.
#[derive(Debug)]
pub struct LastWait(AtomicU64);

impl LastWait {
    /// Starts with the current time.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(now().as_micros()))
    }

    /// Call it at the end of each wait.
    pub fn over(&self) {
        self.0.store(now().as_micros(), Ordering::Relaxed);
    }

    /// When the last wait ended.
    pub fn time(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl Default for LastWait {
    fn default() -> Self {
        Self::new()
    }
}
