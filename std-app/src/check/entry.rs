//! The result of a probe.

use core::time::Duration;

use super::{
    failure::Failure,
    probe::{Group, Level, Measure},
};

/// The result of a probe.
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) group: Group,
    pub(crate) level: Level,
    pub(crate) requirement: String,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    pub(crate) measures: Vec<Measure>,
    /// Round-trip times in ascending order.
    pub(crate) rtts: Vec<Duration>,
    /// The last frames, a line each, if the probe sends frames and has failed.
    pub(crate) frames: Vec<String>,
    /// A failure may have left slots taken.
    pub(crate) may_lose_slots: bool,
    /// The finding that this failure follows from.
    pub(crate) follows: Option<String>,
}

/// Whether a requirement is met.
pub(crate) enum Outcome {
    /// It is; what was measured.
    Passed(String),
    /// It is not.
    Failed(Box<Failure>),
    /// The probe was not run, for this reason.
    Skipped(String),
}

impl Outcome {
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }
}
