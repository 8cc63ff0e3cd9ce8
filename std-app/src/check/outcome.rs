//! What a check came to: one entry a probe, and the verdict. As JSON it is what `--baseline` compares with.

use core::time::Duration;

use greet_core::Escaped;
use serde_json::{Value, json};

use super::{
    probe::{Failure, Group, Level, Measure, Unit},
    rules::framing_name,
    target::{Room, Target},
};

/// What a probe came to.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) group: Group,
    pub(super) level: Level,
    pub(super) shows: String,
    pub(super) outcome: Outcome,
    pub(super) measures: Vec<Measure>,
    /// Round trips, from the shortest on.
    pub(super) trips: Vec<Duration>,
    pub(super) took: Duration,
}

/// Whether what a probe shows holds.
pub(super) enum Outcome {
    /// It does.
    Held(String),
    /// It does not.
    Failed(Box<Failure>),
    /// It was not looked at, for this reason.
    Skipped(String),
}

/// A whole check.
pub(super) struct Record {
    pub(super) entries: Vec<Entry>,
}

impl Record {
    fn failed(&self, level: Level) -> Vec<&str> {
        let failed = |entry: &&Entry| entry.level == level && matches!(entry.outcome, Outcome::Failed(_));
        self.entries.iter().filter(failed).map(|entry| entry.id.as_str()).collect()
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.entries.iter().filter(|entry| wanted(&entry.outcome)).count()
    }

    /// Every MUST holds, of those that were looked at, and some were.
    pub(super) fn passed(&self) -> bool {
        self.failed(Level::Must).is_empty() && self.count(|outcome| matches!(outcome, Outcome::Held(_))) > 0
    }

    /// In one line.
    pub(super) fn verdict(&self) -> String {
        let (must, should) = (self.failed(Level::Must), self.failed(Level::Should));
        let held = self.count(|outcome| matches!(outcome, Outcome::Held(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let mut text = match (must.is_empty(), should.is_empty()) {
            _ if !self.passed() && must.is_empty() => "NOTHING CHECKED".to_owned(),
            (true, true) => "PASSED".to_owned(),
            (true, false) => format!("PASSED, but look at {}", should.join(", ")),
            (false, _) => format!("FAILED: {}", [must, should].concat().join(", ")),
        };
        text += &format!(" ({held} held");
        if skipped > 0 {
            text += &format!(", {skipped} skipped");
        }
        text + ")"
    }

    pub(super) fn to_json(&self, target: &Target) -> Value {
        use core::sync::atomic::Ordering::Relaxed;
        let (at_once, next) = match target.known_room() {
            None => (None, None),
            Some(Room::AtLeast(count)) => (Some(count), None),
            Some(Room::Only(count, next)) => (Some(count), Some(next.text())),
        };
        json!({
            "program": concat!("greet ", env!("CARGO_PKG_VERSION")),
            "host": target.host,
            "address": target.address.to_string(),
            "framing": framing_name(target.framing),
            "capacity": target.capacity,
            "conversations_at_once": at_once,
            "next_client": next,
            "connections": target.connections.load(Relaxed),
            "bytes": target.bytes.load(Relaxed),
            "passed": self.passed(),
            "verdict": self.verdict(),
            "probes": self.entries.iter().map(Entry::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        let (outcome, text, failure) = match &self.outcome {
            Outcome::Held(text) => ("held", text.as_str(), None),
            Outcome::Failed(failure) => ("failed", failure.what.as_str(), Some(failure)),
            Outcome::Skipped(reason) => ("skipped", reason.as_str(), None),
        };
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| Escaped(bytes).to_string());
        json!({
            "id": self.id,
            "group": self.group.name(),
            "level": self.level.to_string(),
            "shows": self.shows,
            "outcome": outcome,
            "text": text,
            "seconds": self.took.as_secs_f64(),
            "failure": failure.map(|failure| json!({
                "offset": failure.offset,
                "expected": bytes(&failure.expected),
                "received": bytes(&failure.received),
                "causes": failure.causes,
            })),
            "measures": self.measures.iter().map(|measure| json!({
                "name": measure.name,
                "value": measure.value,
                "unit": measure.unit.name(),
            })).collect::<Vec<_>>(),
        })
    }
}

impl Unit {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::BytesPerSecond => "B/s",
            Self::PerSecond => "1/s",
            Self::Count => "",
        }
    }
}
