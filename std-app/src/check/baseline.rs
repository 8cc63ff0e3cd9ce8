//! The baseline: an earlier check of the same server. What got worse is reported as ratios.

use core::{net::SocketAddr, time::Duration};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::{
    entry::{Entry, Outcome},
    probe::{Measure, Value},
    record::{Record, Subject},
};
use crate::export::{
    json::{self, JsonError, check::FORMAT},
    text::check::List,
};

/// A smaller ratio is the noise of a busy host.
const WORSE: f64 = 1.5;
/// A time that was measured once has to differ by at least this: it depends on what the host does at that moment.
const ONCE: Duration = Duration::from_millis(5);
/// The same, for the median of many.
const MEDIAN: Duration = Duration::from_micros(200);

/// Why there is nothing to compare with.
#[derive(Debug, Error)]
pub(crate) enum BaselineError {
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error(
        "`{}` has the format `{found}`, and this version reads `{FORMAT}`: check the server again with --json",
        path.display()
    )]
    Format { path: PathBuf, found: String },
}

/// The part of an earlier check's JSON that is compared.
#[derive(Debug, Deserialize)]
pub(super) struct Baseline {
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    address: Option<SocketAddr>,
    #[serde(default)]
    framing: Option<String>,
    probes: Vec<Earlier>,
}

#[derive(Debug, Deserialize)]
struct Earlier {
    id: String,
    outcome: String,
    #[serde(default)]
    measures: Vec<Figure>,
}

/// A time in seconds, a rate per second, or a count.
#[derive(Debug, Deserialize)]
struct Figure {
    name: String,
    value: f64,
}

/// Compares a run with the baseline, and reports what got worse.
pub(super) fn report(baseline: &Baseline, record: &mut Record, list: &List) {
    if let Some(other) = baseline.other(&record.subject) {
        list.line(&format!("the baseline is of another server: {other}"));
    }
    let worse = baseline.compare(&record.probes);
    list.line(&match &worse {
        None => "the baseline has none of these probes: nothing was compared".to_owned(),
        Some(lines) if lines.is_empty() => "nothing is worse than the baseline".to_owned(),
        Some(lines) => format!("worse than the baseline:\n     {}", lines.join("\n     ")),
    });
    record.worse_than_baseline = worse;
}

impl Baseline {
    /// Reads what an earlier check has written.
    pub(super) fn read(path: &Path) -> Result<Self, BaselineError> {
        let baseline: Self = json::read(path)?;
        match baseline.format.clone().filter(|format| format != FORMAT) {
            Some(found) => Err(BaselineError::Format { path: path.to_owned(), found }),
            None => Ok(baseline),
        }
    }

    /// The address or framing of the baseline, if it is of another server or framing.
    fn other(&self, subject: &Subject) -> Option<String> {
        let address = self.address.filter(|address| subject.address.is_some_and(|now| now != *address));
        let framing = self.framing.as_deref().filter(|framing| subject.framing.is_some_and(|now| now != *framing));
        address.map(|address| address.to_string()).or_else(|| framing.map(|framing| format!("framing {framing}")))
    }

    /// What got worse, a line each; `None` if no probe is in both.
    fn compare(&self, entries: &[Entry]) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        let mut is_compared = false;
        for entry in entries {
            let Some(earlier) = self.probes.iter().find(|earlier| earlier.id == entry.id) else { continue };
            is_compared = true;
            let now = match entry.outcome {
                Outcome::Passed(_) => None,
                Outcome::Failed(_) => Some("fails now"),
                Outcome::Skipped(_) => Some("is skipped now"),
            };
            if let Some(now) = now.filter(|_| earlier.outcome == "passed") {
                lines.push(format!("{}: passed in the baseline, and {now}", entry.id));
            }
            for measure in &entry.measures {
                let figure = earlier.measures.iter().find(|figure| figure.name == measure.name);
                if let Some(ratio) = figure.and_then(|figure| worse(measure, figure.value)) {
                    lines.push(format!("{}: {}: {ratio:.2} times the baseline", entry.id, measure.name));
                }
            }
        }
        is_compared.then_some(lines)
    }
}

/// The ratio of a measure to the earlier value, if it is worse.
fn worse(measure: &Measure, earlier: f64) -> Option<f64> {
    let (now, is_worse) = match measure.value {
        Value::Time(now) => {
            let earlier = Duration::try_from_secs_f64(earlier).ok()?;
            let noise = if measure.is_median { MEDIAN } else { ONCE };
            let is_worse = now.saturating_sub(earlier) >= noise && now >= earlier.mul_f64(WORSE);
            (now.as_secs_f64(), is_worse)
        }
        Value::ByteRate(now) | Value::Rate(now) => (now, earlier >= now * WORSE),
        Value::Count(now) => (now as f64, earlier >= now as f64 * WORSE),
    };
    (now > 0.0 && earlier > 0.0 && is_worse).then(|| now / earlier)
}
