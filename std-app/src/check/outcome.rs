//! What a check came to: one entry a probe, and the verdict. As JSON it is what `--baseline` compares with.

use core::{net::SocketAddr, time::Duration};

use greet_core::Escaped;
use serde::{Serialize, Serializer};

use super::{
    probe::{Failure, Group, Level, Measure, Unit},
    rules::framing_name,
    target::Target,
};

/// A whole check.
#[derive(Serialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) subject: Subject,
    pub(super) passed: bool,
    pub(super) verdict: String,
    pub(super) probes: Vec<Entry>,
    /// What got worse, where there was something to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worse_than_baseline: Option<Vec<String>>,
}

/// What was checked, and what that took.
#[derive(Serialize)]
pub(super) struct Subject {
    /// What this JSON is, and which version of it.
    format: &'static str,
    program: &'static str,
    /// As it was typed.
    pub(super) host: String,
    pub(super) address: Option<SocketAddr>,
    pub(super) framing: Option<&'static str>,
    pub(super) capacity: Option<usize>,
    pub(super) conversations_at_once: Option<usize>,
    /// What the next client meets where there is no room.
    pub(super) next_client: Option<&'static str>,
    pub(super) connections: u64,
    pub(super) bytes: u64,
}

impl Subject {
    pub(super) fn new(host: String, target: Option<&Target>) -> Self {
        use core::sync::atomic::Ordering::Relaxed;
        let known = target.and_then(Target::known);
        let room = target.and_then(Target::known_room);
        Self {
            format: "greet check 2",
            program: concat!("greet ", env!("CARGO_PKG_VERSION")),
            host,
            address: target.map(|target| target.address),
            framing: known.map(|known| framing_name(known.framing)),
            capacity: known.map(|known| known.capacity),
            conversations_at_once: room.map(|room| room.count()),
            next_client: room.and_then(|room| room.next()).map(|next| next.text()),
            connections: target.map_or(0, |target| target.connections.load(Relaxed)),
            bytes: target.map_or(0, |target| target.bytes.load(Relaxed)),
        }
    }
}

/// What a probe came to.
#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) group: Group,
    pub(super) level: Level,
    pub(super) shows: String,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(super) took: Duration,
    pub(super) measures: Vec<Measure>,
    /// Round trips, from the shortest on.
    #[serde(skip)]
    pub(super) trips: Vec<Duration>,
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

impl Outcome {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Held(_) => "held",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }
}

impl Record {
    /// `over` is why nothing more could be found out, if that is so.
    pub(super) fn new(subject: Subject, probes: Vec<Entry>, over: Option<String>) -> Self {
        let failed = |level| {
            let failed = |entry: &&Entry| entry.level == level && matches!(entry.outcome, Outcome::Failed(_));
            probes.iter().filter(failed).map(|entry| entry.id.as_str()).collect::<Vec<_>>()
        };
        let count = |word| probes.iter().filter(|entry| entry.outcome.word() == word).count();
        let (must, should) = (failed(Level::Must), failed(Level::Should));
        let (held, skipped) = (count("held"), count("skipped"));
        // Every MUST holds, of those that were looked at; and some were, and nothing kept others from being looked at.
        let passed = must.is_empty() && over.is_none() && held > 0;
        let found = [must, should].concat().join(", ");
        let verdict = match (passed, found.is_empty(), &over) {
            (true, true, _) => "PASSED".to_owned(),
            (true, false, _) => format!("PASSED, but look at {found}"),
            (false, true, None) => "NOTHING CHECKED".to_owned(),
            (false, true, Some(over)) => format!("FAILED: {over}"),
            (false, false, None) => format!("FAILED: {found}"),
            (false, false, Some(over)) => format!("FAILED: {found}; {over}"),
        };
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        Self {
            subject,
            passed,
            verdict: format!("{verdict} ({held} held{skipped})"),
            probes,
            worse_than_baseline: None,
        }
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What came of a probe in words, and of one that failed what was found.
impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            outcome: &'static str,
            text: &'a str,
            failure: Option<Found<'a>>,
        }
        #[derive(Serialize)]
        struct Found<'a> {
            offset: Option<u64>,
            expected: Option<String>,
            received: Option<String>,
            causes: &'a [String],
        }
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| Escaped(bytes).to_string());
        let (text, failure) = match self {
            Self::Held(text) | Self::Skipped(text) => (text, None),
            Self::Failed(failure) => {
                let found = Found {
                    offset: failure.offset,
                    expected: bytes(&failure.expected),
                    received: bytes(&failure.received),
                    causes: &failure.causes,
                };
                (&failure.what, Some(found))
            }
        };
        Shown { outcome: self.word(), text, failure }.serialize(serializer)
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            name: &'static str,
            value: f64,
            unit: &'static str,
        }
        let unit = match self.unit {
            Unit::Time => "s",
            Unit::ByteRate => "B/s",
            Unit::Rate => "1/s",
            Unit::Number => "",
        };
        Shown { name: self.name, value: self.value, unit }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, level: Level, outcome: Outcome) -> Entry {
        let (measures, trips) = (Vec::new(), Vec::new());
        Entry {
            id: id.into(),
            group: Group::Time,
            level,
            shows: "".into(),
            outcome,
            took: Duration::ZERO,
            measures,
            trips,
        }
    }

    fn held() -> Entry {
        entry("held", Level::Must, Outcome::Held("it does".into()))
    }

    fn failed(level: Level) -> Entry {
        entry("failed", level, Outcome::Failed(Box::new(Failure::new("it does not"))))
    }

    fn skipped() -> Entry {
        entry("skipped", Level::Must, Outcome::Skipped("for a reason".into()))
    }

    fn verdict(probes: Vec<Entry>, over: Option<&str>) -> (bool, String) {
        let host = "host".into();
        let record = Record::new(Subject::new(host, None), probes, over.map(Into::into));
        (record.passed, record.verdict)
    }

    #[test]
    fn it_is_passed_where_every_must_holds_of_those_that_were_looked_at() {
        assert_eq!(verdict(vec![held(), skipped()], None), (true, "PASSED (1 held, 1 skipped)".into()));
        let look = "PASSED, but look at failed (1 held)".into();
        assert_eq!(verdict(vec![held(), failed(Level::Should)], None), (true, look));
        assert_eq!(verdict(vec![held(), failed(Level::Must)], None), (false, "FAILED: failed (1 held)".into()));
        assert_eq!(verdict(vec![skipped()], None), (false, "NOTHING CHECKED (0 held, 1 skipped)".into()));
    }

    #[test]
    fn a_server_that_is_gone_in_the_midst_has_not_passed_whatever_held_before() {
        let probes = vec![held(), failed(Level::Should), skipped()];
        let text = "FAILED: failed; it is gone (1 held, 1 skipped)".into();
        assert_eq!(verdict(probes, Some("it is gone")), (false, text));
    }
}
