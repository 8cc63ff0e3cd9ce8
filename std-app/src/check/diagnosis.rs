//! One defect, one diagnosis: which failures follow from an earlier one, and the sentences that a check ends with.

use std::collections::BTreeMap;

use super::{
    difference::{self, Damage},
    entry::{Entry, Outcome},
    failure::{Failure, Kind},
    probe::{Group, Level, Probe},
};

/// Probes that use what others test: a failed probe, and those that then fail with the same symptom.
const DEPENDENT: [(&str, &[&str]); 14] = [
    ("reach.greeting", &["rules.G1"]),
    ("reach.reply", &["rules.G1"]),
    (
        "connections.half-close",
        &["rules.F2", "rules.R2", "rules.R4", "rules.L1", "rules.L3", "rules.U1", "rules.U2", "rules.E1", "rules.C1"],
    ),
    ("connections.half-close", &["echo.half-close"]),
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
    let is_severe = |finding: &&Entry| finding.level == Level::Must || probe.level == Level::Should;
    earlier
        .iter()
        .filter(|entry| entry.follows.is_none())
        .filter(is_severe)
        .find(|finding| finding_of(finding).is_some_and(|found| explains(finding, found, probe, failure)))
        .map(|finding| finding.id.clone())
}

/// Whether the defect that `finding` found is that of a later failure, too: its own evidence has to fit.
fn explains(finding: &Entry, found: &Failure, probe: &Probe, failure: &Failure) -> bool {
    let symptom = Symptom::of(failure);
    let has_same_symptom = symptom != Symptom::Other && Symptom::of(found).is_like(symptom);
    let is_dependent = DEPENDENT.iter().any(|(id, others)| *id == finding.id && others.contains(&probe.id.as_str()));
    // No connection, or no slot: probes whose failure may take slots come before.
    let is_not_served = failure.offset.is_none_or(|offset| offset == 0)
        && matches!(failure.kind, Kind::Refused | Kind::NoAnswer | Kind::Reset);
    let is_damaged = matches!(symptom, Symptom::Damaged(_) | Symptom::Additional);
    let both = |is: fn(&str) -> bool| {
        [found, failure].iter().all(|failure| failure.causes.first().is_some_and(|cause| is(cause)))
    };
    // A probe may see only that bytes are wrong, of a defect whose cause another one sees.
    let is_vague = || {
        [found, failure].iter().any(|failure| failure.causes.first().is_none_or(|cause| difference::is_general(cause)))
    };
    // What is wrong at the end of a plain conversation is so in each. (Bytes that come there are the same ones.)
    let first_byte = |failure: &Failure| failure.received.as_ref().and_then(|received| received.first().copied());
    let ends_wrong = finding.group == Group::Reach
        && matches!(symptom, Symptom::WrongEnd | Symptom::Additional)
        && first_byte(found) == first_byte(failure);
    // Where bytes are missing in the middle of an answer, the last ones never come.
    let is_never_complete = failure.kind == Kind::Timeout
        && symptom == Symptom::Unanswered
        && Symptom::of(found) == Symptom::Damaged(Damage::Missing);
    // A stream that ends or stalls does so in every probe that uses it.
    let breaks_stream = finding.group == Group::Stream && matches!(probe.group, Group::Stream | Group::Time);
    let ends = |failure: &Failure| matches!(failure.kind, Kind::Reset | Kind::Closed | Kind::Timeout);
    ((is_dependent || ends_wrong) && has_same_symptom)
        || signature(found).is_some_and(|cause| Some(cause) == signature(failure))
        || (is_not_served && finding.may_lose_slots)
        || (is_damaged && has_same_symptom && is_vague())
        || both(difference::is_about_old_bytes)
        || is_never_complete
        || (breaks_stream && ends(found) && ends(failure))
}

/// Earlier failures that the last entry explains: when segments of certain sizes to the server are lost, it acknowledged some of
/// them never before. (An answer that is missing after an acknowledgement may have another cause.)
pub(super) fn attribute(earlier: &mut [Entry], last: &Entry) {
    let Some(found) = finding_of(last) else { return };
    let is_of_size = last.id == "stream.sizes" && found.what.contains("to the server");
    if !is_of_size || found.kind != Kind::Timeout || last.follows.is_some() {
        return;
    }
    let is_explained = |entry: &Entry| {
        finding_of(entry).is_some_and(|failure| {
            failure.kind == Kind::Timeout
                && Symptom::of(failure) == Symptom::Unanswered
                && failure.evidence.as_ref().is_some_and(|evidence| evidence.is_unacknowledged)
        })
    };
    let explained: Vec<String> = earlier
        .iter()
        .filter(|entry| entry.follows.is_none() && is_explained(entry))
        .map(|entry| entry.id.clone())
        .collect();
    for entry in earlier {
        if explained.contains(&entry.id) || entry.follows.as_ref().is_some_and(|finding| explained.contains(finding)) {
            entry.follows = Some(last.id.clone());
        }
    }
}

/// What a client sees of a failure. One defect has the same symptom in each probe that depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symptom {
    /// The connection cannot be opened.
    NoConnection,
    /// Bytes do not come, with or without the end of the connection.
    Unanswered,
    /// The server does not end the connection, or not in an orderly way.
    WrongEnd,
    /// Bytes come where none are expected.
    Additional,
    /// Bytes are wrong in this way.
    Damaged(Damage),
    /// Bytes are others altogether, or none are known.
    Other,
}

impl Symptom {
    /// Whether one defect can have both.
    fn is_like(self, other: Self) -> bool {
        const ADDED: [Symptom; 2] = [Symptom::Additional, Symptom::Damaged(Damage::Added)];
        self == other || [self, other].iter().all(|symptom| ADDED.contains(symptom))
    }

    fn of(failure: &Failure) -> Self {
        let kind = match failure.kind {
            Kind::Refused | Kind::NoAnswer => Self::NoConnection,
            Kind::Reset | Kind::Closed | Kind::Timeout if failure.offset.is_none() => Self::WrongEnd,
            Kind::Reset | Kind::Closed | Kind::Timeout => Self::Unanswered,
            Kind::Other | Kind::OtherProtocol => Self::Other,
        };
        match (failure.expected.as_deref(), failure.received.as_deref()) {
            (None, _) | (_, None) => kind,
            (Some([]), Some([])) => Self::WrongEnd,
            (Some([]), Some(_)) => Self::Additional,
            (Some(_), Some([])) => Self::Unanswered,
            (Some(expected), Some(received)) => {
                difference::damage(expected, received).map_or(Self::Other, Self::Damaged)
            }
        }
    }
}

/// The failure of an entry.
fn finding_of(entry: &Entry) -> Option<&Failure> {
    match &entry.outcome {
        Outcome::Failed(failure) => Some(failure),
        _ => None,
    }
}

/// The first cause without its numbers and explanation: equal for failures of one defect.
fn signature(failure: &Failure) -> Option<String> {
    let cause = failure.causes.first()?;
    let mut depth = 0_usize;
    let mut signature = String::new();
    for character in cause.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ':' | '.' if depth == 0 => break,
            ',' | '0'..='9' => {}
            _ if depth == 0 => signature.push(character),
            _ => {}
        }
    }
    Some(signature.split_whitespace().collect::<Vec<_>>().join(" "))
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
        let cause = cause(failure, entries.iter().filter(|entry| explains.contains(&entry.id)).filter_map(finding_of));
        let text = text(entry, failure, cause, &explains, findings.len() - 1);
        Some(Self { finding: entry.id.clone(), text, explains })
    }
}

/// The cause of a finding; or if it only describes the bytes, the one that most of its followers name.
fn cause<'a>(failure: &'a Failure, followers: impl Iterator<Item = &'a Failure>) -> Option<&'a String> {
    const FEWEST: usize = 2;
    let own = failure.causes.first();
    if own.is_some_and(|cause| !difference::is_general(cause)) {
        return own;
    }
    let mut named: BTreeMap<String, (usize, &String)> = BTreeMap::new();
    for follower in followers {
        let first = follower.causes.first().filter(|cause| !difference::is_general(cause));
        if let (Some(cause), Some(signature)) = (first, signature(follower)) {
            named.entry(signature).or_insert((0, cause)).0 += 1;
        }
    }
    named
        .into_values()
        .filter(|(count, _)| *count >= FEWEST)
        .max_by_key(|(count, _)| *count)
        .map(|(_, cause)| cause)
        .or(own)
}

fn text(entry: &Entry, failure: &Failure, cause: Option<&String>, explains: &[String], others: usize) -> String {
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
    if let Some(cause) = cause {
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

    /// The entries of a run in which these probes fail.
    fn entries(failed: Vec<(&str, Level, Failure)>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for (id, level, failure) in failed {
            let follows = follows(&entries, &probe(id, level), &failure);
            entries.push(Entry {
                id: id.to_owned(),
                group: Group::Stream,
                level,
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

    /// A failure with this first cause.
    fn because(cause: &str) -> Failure {
        Failure::new("it fails").because(cause)
    }

    /// The same, with bytes.
    fn wrong(cause: &str, expected: &[u8], received: &[u8]) -> Failure {
        let [expected, received] = [expected, received].map(|bytes| Some(bytes.to_vec()));
        Failure { offset: Some(20), expected, received, ..because(cause) }
    }

    fn findings(failed: Vec<(&str, Level, Failure)>) -> Vec<Option<String>> {
        entries(failed).into_iter().map(|entry| entry.follows).collect()
    }

    #[test]
    fn failures_with_the_same_cause_follow_from_the_first() {
        let entries = entries(vec![
            ("rules.F2", Level::Must, because("the CR is kept")),
            ("stream.lengths", Level::Must, because("the previous 40 bytes come again: twice (1)")),
            ("stream.pipelined", Level::Must, because("the previous 1,015 bytes come again: twice (2)")),
            ("time.idle", Level::Should, because("the previous 7 bytes come again. Twice")),
        ]);
        let diagnosis = Diagnosis::of(&entries).unwrap();
        assert_eq!((diagnosis.finding.as_str(), diagnosis.explains.len()), ("stream.lengths", 2));
        assert_eq!(
            diagnosis.text,
            "stream.lengths: it fails. It explains stream.pipelined, time.idle, too; 1 other finding has another cause. \
             Look at: the previous 40 bytes come again: twice (1)."
        );
    }

    #[test]
    fn a_probe_that_needs_what_failed_follows_if_its_symptom_is_the_same() {
        let half_close = || wrong("the server closes both directions", b"Hello, one!\n", b"");
        for (failure, follows) in [
            (wrong("the end of the stream", b"Hello, last!\n", b""), Some("connections.half-close".to_owned())),
            (wrong("the end of the stream", b"", b"Hello, exit!\n"), None),
            (wrong("the end of the stream", b"Hello, last!\n", b"Hello, lost!\n"), None),
        ] {
            let found = vec![
                ("connections.half-close", Level::Must, half_close()),
                ("rules.R4", Level::Must, failure),
                ("stream.lengths", Level::Must, because("another")),
            ];
            assert_eq!(findings(found), [None, follows, None]);
        }
    }

    #[test]
    fn an_answer_that_was_missing_before_follows_from_the_size_of_its_segment() {
        use crate::check::evidence::Evidence;
        let lost = |is_up| {
            let evidence = Evidence { text: String::new(), cause: None, is_unacknowledged: is_up };
            wrong("the link is down", b"Hello, one!\n", b"").with_kind(Kind::Timeout).with_evidence(evidence)
        };
        for (is_up, follows) in [(true, Some("stream.sizes".to_owned())), (false, None)] {
            let mut entries = entries(vec![
                ("rules.L1", Level::Must, lost(is_up)),
                ("rules.L2", Level::Must, lost(is_up)),
                (
                    "stream.sizes",
                    Level::Must,
                    Failure::new("segments to the server with exactly 512 bytes").with_kind(Kind::Timeout),
                ),
            ]);
            let last = Entry { follows: None, ..entries.pop().unwrap() }; // it is of another group
            attribute(&mut entries, &last);
            assert_eq!(entries[0].follows, follows);
        }
    }

    #[test]
    fn a_must_never_follows_a_should() {
        let timer = || because("a timer");
        let found = vec![("time.greeting", Level::Should, timer()), ("stream.lengths", Level::Must, timer())];
        assert_eq!(findings(found), [None, None]);
        assert_eq!(Diagnosis::of(&[]), None);
    }

    #[test]
    fn bytes_that_are_wrong_in_the_same_way_follow_unless_both_causes_are_known() {
        let one = || wrong("one byte is wrong, and the following bytes are correct", b"abcdefghijkl", b"abcXefghijkl");
        let missing =
            || wrong("2 bytes are missing, and the following bytes are correct", b"abcdefghijkl", b"cdefghijkl");
        let bit = || wrong("the highest bit is cleared", b"abcdefghijkl", b"abcDefghijkl");
        let stale = || wrong("stale data", b"abcdefghijkl", b"abcaefghijkl");
        for (first, second, is_same) in
            [(one(), bit(), true), (bit(), one(), true), (bit(), stale(), false), (one(), missing(), false)]
        {
            let found = findings(vec![("stream.lengths", Level::Must, first), ("stream.splits", Level::Must, second)]);
            assert_eq!(found[1].is_some(), is_same, "{found:?}");
        }
    }
}
