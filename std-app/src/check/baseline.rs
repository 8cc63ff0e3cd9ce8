//! An earlier check of the same server, to compare with: what got worse, as ratios.

use core::net::SocketAddr;

use serde::Deserialize;

use super::{
    outcome::{Entry, Outcome, Subject},
    probe::{Measure, Unit},
};

/// Noise on a busy machine reaches this far; what got worse by more is said.
const WORSE: f64 = 1.5;
/// A time that was taken once is worse by so many seconds at least, for it depends on what the machine does just then.
const ONCE: f64 = 5e-3;
/// And the median of many.
const MEDIAN: f64 = 0.2e-3;

/// Of what an earlier check came to, what is compared.
#[derive(Debug, Deserialize)]
pub(super) struct Baseline {
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

#[derive(Debug, Deserialize)]
struct Figure {
    name: String,
    value: f64,
}

impl Baseline {
    /// What else it is of, if it is of something else: another server, or another framing.
    pub(super) fn other(&self, subject: &Subject) -> Option<String> {
        let address = self.address.filter(|address| subject.address.is_some_and(|now| now != *address));
        let framing = self.framing.as_deref().filter(|framing| subject.framing.is_some_and(|now| now != *framing));
        address.map(|address| address.to_string()).or_else(|| framing.map(|framing| format!("framing {framing}")))
    }

    /// What got worse, a line each; `None` where they have no probe in common.
    pub(super) fn compare(&self, entries: &[Entry]) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        let mut compared = false;
        for entry in entries {
            let Some(earlier) = self.probes.iter().find(|earlier| earlier.id == entry.id) else { continue };
            compared = true;
            let became = match entry.outcome {
                Outcome::Held(_) => None,
                Outcome::Failed(_) => Some("does not any more"),
                Outcome::Skipped(_) => Some("was skipped now"),
            };
            if let Some(became) = became.filter(|_| earlier.outcome == "held") {
                lines.push(format!("{}: it held, and {became}", entry.id));
            }
            for measure in &entry.measures {
                let figure = earlier.measures.iter().find(|figure| figure.name == measure.name);
                if let Some(figure) = figure.filter(|figure| is_worse(measure, figure.value)) {
                    let ratio = measure.value / figure.value;
                    lines.push(format!("{}: {}: {ratio:.2} times what it was", entry.id, measure.name));
                }
            }
        }
        compared.then_some(lines)
    }
}

fn is_worse(measure: &Measure, earlier: f64) -> bool {
    let now = measure.value;
    if now <= 0.0 || earlier <= 0.0 {
        return false;
    }
    let noise = if measure.of_many { MEDIAN } else { ONCE };
    match measure.unit {
        Unit::Time => now - earlier >= noise && now / earlier >= WORSE,
        Unit::ByteRate | Unit::Rate | Unit::Number => earlier / now >= WORSE,
    }
}
