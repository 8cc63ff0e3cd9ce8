//! Why a probe ends before it has passed.

use core::{fmt, time::Duration};
use std::io;

/// Why a probe has not passed.
#[derive(Debug)]
pub enum Stop {
    /// The requirement is not met: what was found instead.
    Failed(String),
    /// It cannot be decided on this board, for this reason.
    Undecided(String),
    /// The link failed.
    Link(io::Error),
}

impl Stop {
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    pub(crate) fn undecided(why: impl Into<String>) -> Self {
        Self::Undecided(why.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Link(error)
    }
}

/// Fails with this text unless the condition holds.
pub(crate) fn require(condition: bool, what: impl FnOnce() -> String) -> Result<(), Stop> {
    if condition { Ok(()) } else { Err(Stop::Failed(what())) }
}

/// A time as a probe reports it.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 0.1 { write!(formatter, "{:.1} ms", seconds * 1e3) } else { write!(formatter, "{seconds:.2} s") }
    }
}

/// The times between these instants.
pub(crate) fn gaps(times: &[Duration]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
}

/// Times as a probe reports them.
pub(crate) fn listed(gaps: &[Duration]) -> String {
    gaps.iter().map(|gap| Seconds(*gap).to_string()).collect::<Vec<_>>().join(", ")
}
