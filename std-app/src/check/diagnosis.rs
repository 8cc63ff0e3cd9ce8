//! One defect, one diagnosis: which failures follow from an earlier one, and the sentences that a check ends with.

use std::collections::BTreeMap;

use super::{
    entry::{Entry, Outcome},
    failure::{Failure, Kind},
    probe::{Group, Level, Probe},
};

/// Probes that depend on others: a failed probe, and the probes that then fail too, independent of their bytes.
const DEPENDENT: [(&str, &[&str]); 13] = [
    ("reach.greeting", &["rules.G1"]),
    ("reach.reply", &["rules.G1"]),
    (
        "connections.half-close",
        &["rules.F2", "rules.R2", "rules.R4", "rules.L1", "rules.L3", "rules.U1", "rules.U2", "rules.E1", "rules.C1"],
    ),
    ("connections.server-closes", &["rules.R3", "rules.C1", "recovery.connections"]),
    ("connections.client-closes", &["connections.half-close", "rules.R4", "rules.C1"]),
    ("rules.F2", &["rules.F4", "stream.splits"]),
    ("rules.F4", &["stream.splits", "stream.slow-writer", "stream.segments", "stream.pipelined", "stream.full-duplex"]),
    ("rules.R2", &["stream.splits"]),
    ("rules.R3", &["rules.C1"]),
    ("rules.R4", &["rules.C1"]),
    ("rules.L1", &["rules.L2", "rules.L3", "rules.E1", "stream.lengths", "time.throughput"]),
    ("rules.L3", &["rules.R3", "rules.R4", "rules.E1", "time.throughput"]),
    ("rules.U1", &["rules.L2", "rules.L3", "rules.R3", "rules.R4", "rules.U2", "rules.E1"]),
];

/// The finding that a new failure follows from, if any.
pub(super) fn follows(earlier: &[Entry], probe: &Probe, failure: &Failure) -> Option<String> {
    let is_dependent =
        |finding: &Entry| DEPENDENT.iter().any(|(id, others)| *id == finding.id && others.contains(&probe.id.as_str()));
    // No connection, or no slot: probes whose failure may take slots come before.
    let has_no_slot = matches!(failure.kind, Kind::Refused | Kind::NoAnswer | Kind::Reset);
    let takes_slots = |finding: &Entry| has_no_slot && finding.may_lose_slots;
    let cause = signature(failure);
    let has_same_cause =
        |finding: &Entry| finding_of(finding).and_then(signature).is_some_and(|other| Some(other) == cause);
    // A stream that ends or stalls does so in every probe that uses it.
    let breaks_stream = |finding: &Entry| {
        finding.group == Group::Stream
            && matches!(probe.group, Group::Stream | Group::Time)
            && finding_of(finding).is_some_and(|other| ends(failure.kind) && ends(other.kind))
    };
    let is_severe = |finding: &&Entry| finding.level == Level::Must || probe.level == Level::Should;
    earlier
        .iter()
        .filter(|entry| entry.follows.is_none() && finding_of(entry).is_some())
        .filter(is_severe)
        .find(|finding| {
            is_dependent(finding) || has_same_cause(finding) || takes_slots(finding) || breaks_stream(finding)
        })
        .map(|finding| finding.id.clone())
}

/// Whether bytes are missing because the connection ended or stood still.
const fn ends(kind: Kind) -> bool {
    matches!(kind, Kind::Reset | Kind::Closed | Kind::Timeout)
}

/// The failure of an entry.
fn finding_of(entry: &Entry) -> Option<&Failure> {
    match &entry.outcome {
        Outcome::Failed(failure) => Some(failure),
        _ => None,
    }
}

/// The first cause without its numbers: equal for failures of one defect.
fn signature(failure: &Failure) -> Option<String> {
    let is_number = |character: &char| character.is_ascii_digit() || *character == ',';
    Some(failure.causes.first()?.chars().filter(|character| !is_number(character)).collect())
}

/// What explains most of a check's failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// The probe.
    pub(crate) finding: String,
    /// The probes whose failures follow from it.
    pub(crate) explains: Vec<String>,
    /// At most three sentences.
    pub(crate) text: String,
}

impl Diagnosis {
    /// Of all entries of a check; `None` if nothing failed.
    pub(super) fn of(entries: &[Entry]) -> Option<Self> {
        let mut followers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for entry in entries {
            if let Some(finding) = &entry.follows {
                followers.entry(finding).or_default().push(entry.id.clone());
            }
        }
        let findings: Vec<(&Entry, &Failure)> = entries
            .iter()
            .filter(|entry| entry.follows.is_none())
            .filter_map(|entry| finding_of(entry).map(|failure| (entry, failure)))
            .collect();
        let explained = |entry: &Entry| followers.get(entry.id.as_str()).map_or(0, Vec::len);
        // The last maximum is taken: of equal ones that would be the latest probe.
        let (entry, failure) =
            findings.iter().rev().max_by_key(|(entry, _)| (explained(entry), entry.level == Level::Must))?;
        let explains = followers.remove(entry.id.as_str()).unwrap_or_default();
        Some(Self { finding: entry.id.clone(), text: text(entry, failure, &explains, findings.len() - 1), explains })
    }
}

fn text(entry: &Entry, failure: &Failure, explains: &[String], others: usize) -> String {
    let mut text = format!("{}: {}.", entry.id, failure.what);
    let others = match others {
        0 => String::new(),
        1 => "1 other finding has another cause".to_owned(),
        count => format!("{count} other findings have other causes"),
    };
    match (explains, others.is_empty()) {
        ([], true) => {}
        ([], false) => text += &format!(" It explains no other failure; {others}."),
        (explains, is_all) => {
            text += &format!(" It explains {}, too", listed(explains));
            text += &if is_all { ".".to_owned() } else { format!("; {others}.") };
        }
    }
    if let Some(cause) = failure.causes.first() {
        text += &format!(" Look at: {cause}.");
    }
    text
}

/// The first ones, and how many there are.
fn listed(ids: &[String]) -> String {
    const SHOWN: usize = 5;
    match ids.get(..SHOWN) {
        Some(first) if ids.len() > SHOWN => format!("{} failures ({}, ...)", ids.len(), first.join(", ")),
        _ => ids.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn probe(id: &str, level: Level) -> Probe {
        let mut probe = Probe::new(Group::Stream, "", level, "", &[], &[], |_, _| Ok(String::new()));
        probe.id = id.to_owned();
        probe
    }

    /// The entries of a run in which these probes fail with these first causes.
    fn entries(failed: &[(&str, Level, &str)]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for (id, level, cause) in failed {
            let failure = Failure::new("it fails").because(*cause);
            let follows = follows(&entries, &probe(id, *level), &failure);
            entries.push(Entry {
                id: (*id).to_owned(),
                group: Group::Stream,
                level: *level,
                requirement: String::new(),
                outcome: Outcome::Failed(Box::new(failure)),
                took: Duration::ZERO,
                measures: Vec::new(),
                rtts: Vec::new(),
                frames: Vec::new(),
                may_lose_slots: false,
                follows,
            });
        }
        entries
    }

    #[test]
    fn failures_with_the_same_cause_follow_from_the_first() {
        let entries = entries(&[
            ("rules.F2", Level::Must, "the CR is kept"),
            ("stream.lengths", Level::Must, "the previous 40 bytes come again"),
            ("stream.pipelined", Level::Must, "the previous 1,015 bytes come again"),
            ("time.idle", Level::Should, "the previous 7 bytes come again"),
        ]);
        let diagnosis = Diagnosis::of(&entries).unwrap();
        assert_eq!((diagnosis.finding.as_str(), diagnosis.explains.len()), ("stream.lengths", 2));
        assert_eq!(
            diagnosis.text,
            "stream.lengths: it fails. It explains stream.pipelined, time.idle, too; 1 other finding has another cause. \
             Look at: the previous 40 bytes come again."
        );
    }

    #[test]
    fn a_probe_that_needs_what_failed_follows_and_a_must_never_follows_a_should() {
        let found = entries(&[
            ("connections.half-close", Level::Must, "the server closes both directions"),
            ("rules.R4", Level::Must, "the end of the stream"),
            ("time.greeting", Level::Should, "a timer"),
            ("stream.lengths", Level::Must, "a timer"),
        ]);
        let follows: Vec<_> = found.iter().map(|entry| entry.follows.as_deref()).collect();
        assert_eq!(follows, [None, Some("connections.half-close"), None, None]);
        assert_eq!(Diagnosis::of(&found).unwrap().finding, "connections.half-close");
        assert_eq!(Diagnosis::of(&[]), None);
    }
}
