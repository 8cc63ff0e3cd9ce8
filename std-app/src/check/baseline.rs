//! An earlier check of the same server, to compare with: what got worse, as ratios.

use std::{fs, io, path::Path};

use serde_json::Value;
use thiserror::Error;

use super::{
    outcome::{Outcome, Record},
    probe::Unit,
};

/// Noise on a busy machine reaches this far; what got worse by more is said.
const WORSE: f64 = 1.5;
/// A time that was taken once is worse by so many seconds at least, for it depends on what the machine does just then.
const ONCE: f64 = 5e-3;
/// And the median of many.
const MEDIAN: f64 = 0.2e-3;

/// Why there is nothing to compare with.
#[derive(Debug, Error)]
pub(crate) enum BaselineError {
    #[error("the baseline `{path}` cannot be read ({error}): give a file that `greet check --json` wrote")]
    Unreadable { path: String, error: io::Error },
    #[error("the baseline `{path}` is no result of `greet check --json` ({reason})")]
    Malformed { path: String, reason: String },
}

/// What an earlier check came to.
#[derive(Debug)]
pub(super) struct Baseline(Vec<Value>);

impl Baseline {
    pub(super) fn read(path: &Path) -> Result<Self, BaselineError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| BaselineError::Unreadable { path: name.clone(), error })?;
        let mut value: Value = serde_json::from_str(&text)
            .map_err(|error| BaselineError::Malformed { path: name.clone(), reason: error.to_string() })?;
        match value.get_mut("probes").map(Value::take) {
            Some(Value::Array(probes)) => Ok(Self(probes)),
            _ => Err(BaselineError::Malformed { path: name, reason: "it has no list of probes".to_owned() }),
        }
    }

    /// What got worse, a line each; `None` where they have no probe in common.
    pub(super) fn compare(&self, record: &Record) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        let mut compared = false;
        for entry in &record.entries {
            let Some(earlier) = self.0.iter().find(|probe| probe.get("id").and_then(Value::as_str) == Some(&entry.id))
            else {
                continue;
            };
            let outcome = earlier.get("outcome").and_then(Value::as_str);
            compared |= outcome.is_some();
            let held = outcome == Some("held");
            if held && matches!(entry.outcome, Outcome::Failed(_)) {
                lines.push(format!("{}: it held, and does not any more", entry.id));
            }
            let measures = earlier.get("measures").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for measure in &entry.measures {
                let value = measures
                    .iter()
                    .find(|earlier| earlier.get("name").and_then(Value::as_str) == Some(measure.name))
                    .and_then(|earlier| earlier.get("value").and_then(Value::as_f64));
                let Some(value) = value.filter(|value| *value > 0.0 && measure.value > 0.0) else { continue };
                let noise = if measure.name.ends_with("median") { MEDIAN } else { ONCE };
                let worse = match measure.unit {
                    Unit::Seconds if measure.value - value < noise => continue,
                    Unit::Seconds => measure.value / value,
                    Unit::BytesPerSecond | Unit::PerSecond | Unit::Count => value / measure.value,
                };
                if worse >= WORSE {
                    let ratio = measure.value / value;
                    lines.push(format!("{}: {}: {ratio:.2} times what it was", entry.id, measure.name));
                }
            }
        }
        compared.then_some(lines)
    }
}
