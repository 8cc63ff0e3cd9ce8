//! The end of the service, as conversations see it.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use greet_core::Instant;
use greet_host::clock;

/// Whether the service ends, and from when on conversations are closed even if their clients never pause.
#[derive(Debug)]
pub(super) struct Closing(AtomicU64);

impl Closing {
    const NOT_BEGUN: u64 = u64::MAX;

    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(Self::NOT_BEGUN))
    }

    /// The service ends. Half of the grace is for what clients still say, the other half for their FIN.
    pub(super) fn begin(&self, grace: Duration) {
        let at = clock::now() + grace / 2;
        self.0.store(at.as_micros().min(Self::NOT_BEGUN - 1), Ordering::Release);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) != Self::NOT_BEGUN
    }

    /// Looked at on every turn of every conversation: a load and a comparison until the service ends.
    pub(super) fn is_overdue(&self) -> bool {
        let at = self.0.load(Ordering::Relaxed);
        at != Self::NOT_BEGUN && clock::now() >= Instant::from_micros(at)
    }
}

/// Says that so many conversations had no good end.
pub(super) fn cut_off(conversations: usize) {
    match conversations {
        1 => tracing::warn!("1 conversation was cut off when the grace was over"),
        _ => tracing::warn!("{conversations} conversations were cut off when the grace was over"),
    }
}
