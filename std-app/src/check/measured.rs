//! What earlier probes measured, for later ones to compare with.

use core::time::Duration;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::soak::Soak;

/// Measurements of one check.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// The median RTT with one client.
    pub(crate) idle: OnceLock<Duration>,
    /// What was seen during `--for`.
    pub(crate) soak: OnceLock<Soak>,
    /// The first exchange on each of many connections, one after the other: the number of the connection, and the RTT.
    visits: Mutex<Vec<(u64, Duration)>>,
}

impl Measured {
    /// Notes the first exchange on a connection.
    pub(crate) fn visit(&self, number: u64, rtt: Duration) {
        /// 160 KiB.
        const MOST: usize = 10_000;
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        if visits.len() < MOST {
            visits.push((number, rtt));
        }
    }

    /// The first exchanges so far.
    pub(crate) fn visits(&self) -> Vec<(u64, Duration)> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
