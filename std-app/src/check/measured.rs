//! What earlier probes measured, for later ones to compare with.

use core::time::Duration;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::{delays::Reason, drift::Drift, soak::Soak, standstills::Standstills};

/// Measurements of one check.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// The median RTT with one client.
    pub(crate) idle: OnceLock<Duration>,
    /// The times in which nothing was acknowledged.
    pub(crate) standstills: Standstills,
    /// A client was served after it, and every other one, had been silent for as long.
    pub(crate) silence: OnceLock<Duration>,
    /// What delays each reply, if it was looked for.
    pub(crate) delayed_by: OnceLock<Option<Reason>>,
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

    /// The first exchanges so far: the number of the connection, and the RTT.
    pub(crate) fn visits(&self) -> Vec<(f64, Duration)> {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.iter().map(|(number, rtt)| (*number as f64, *rtt)).collect()
    }

    /// How much a reply on connection `number` takes longer than on the first ones, if that grows from one to the next.
    pub(crate) fn growth_until(&self, number: u64) -> Option<Duration> {
        let visits = self.visits();
        let first = visits.first()?.0;
        let drift = Drift::find(&visits)?;
        Duration::try_from_secs_f64(drift.slope * (number as f64 - first)).ok()
    }
}
