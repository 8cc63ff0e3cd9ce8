//! How a conversation learns that the service is stopping, and when it must close.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use greet_core::Instant;
use greet_host::clock;

/// The time from which conversations are closed even if their clients still send, in microseconds; `NOT_BEGUN` while the
/// service runs.
#[derive(Debug)]
pub(super) struct Closing(AtomicU64);

impl Closing {
    const NOT_BEGUN: u64 = u64::MAX;

    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(Self::NOT_BEGUN))
    }

    /// Begins to stop the service. Clients may still send during the first half of `grace`; the second half is for their FIN.
    pub(super) fn begin(&self, grace: Duration) {
        let at = clock::now() + grace / 2;
        self.0.store(at.as_micros().min(Self::NOT_BEGUN - 1), Ordering::Release);
    }

    /// Whether the service is stopping.
    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) != Self::NOT_BEGUN
    }

    /// Whether to close a conversation now. Called on every turn of every conversation, so it is only a load and a
    /// comparison while the service runs.
    pub(super) fn is_overdue(&self) -> bool {
        let at = self.0.load(Ordering::Relaxed);
        at != Self::NOT_BEGUN && clock::now() >= Instant::from_micros(at)
    }
}

/// Logs how many conversations were still open when the grace period ended.
pub(super) fn cut_off(conversations: usize) {
    match conversations {
        1 => tracing::warn!("1 conversation was cut off when the grace was over"),
        _ => tracing::warn!("{conversations} conversations were cut off when the grace was over"),
    }
}
