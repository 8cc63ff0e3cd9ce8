//! The results of a check: the entries of its probes, and the verdict.

use core::net::SocketAddr;

use super::{
    diagnosis::Diagnosis,
    entry::{Entry, Outcome},
    facts::{Facts, framing_name},
    probe::Level,
    service::Service,
    soak::Soak,
    target::Target,
};

/// A whole check.
pub(crate) struct Record {
    pub(crate) subject: Subject,
    pub(crate) passed: bool,
    pub(crate) verdict: String,
    /// What explains most failures; `None` if there is none.
    pub(crate) diagnosis: Option<Diagnosis>,
    pub(crate) probes: Vec<Entry>,
    pub(crate) aborted: Option<Aborted>,
    /// What was seen during `--for`.
    pub(crate) soak: Option<Soak>,
    /// What got worse since the baseline, if there was one to compare with.
    pub(crate) worse_than_baseline: Option<Vec<String>>,
}

/// Why the remaining probes were skipped.
#[derive(Clone, Debug)]
pub(crate) struct Aborted {
    pub(crate) reason: String,
    /// The probe that found it out.
    pub(crate) by: String,
}

/// The server that was checked, and the load it was put under.
pub(crate) struct Subject {
    /// As the user typed it.
    pub(crate) host: String,
    pub(crate) address: Option<SocketAddr>,
    /// The other addresses of the name, and what happens to a client there.
    pub(crate) other_addresses: Vec<(SocketAddr, String)>,
    /// The name of the service.
    pub(crate) service: Option<&'static str>,
    /// Of a greeting server.
    pub(crate) framing: Option<&'static str>,
    /// Maximum length of a name or message in bytes.
    pub(crate) capacity: Option<usize>,
    /// Maximum number of unanswered bytes, if there is a limit.
    pub(crate) in_flight: Option<usize>,
    pub(crate) slots: Option<usize>,
    /// What a client sees when all slots are taken.
    pub(crate) when_full: Option<&'static str>,
    pub(crate) connections: u64,
    pub(crate) bytes: u64,
}

impl Subject {
    /// `target` is `None` if the host has no address.
    pub(crate) fn new(host: String, target: Option<&Target>, facts: &Facts) -> Self {
        Self {
            host,
            address: target.map(|target| target.address),
            other_addresses: facts.other_addresses.clone(),
            service: facts.service.map(Service::name),
            framing: facts
                .protocol
                .filter(|_| facts.service() == Service::Greet)
                .map(|protocol| framing_name(protocol.framing)),
            capacity: facts.protocol.map(|_| facts.capacity()),
            in_flight: Some(facts.in_flight()).filter(|limit| *limit < usize::MAX),
            slots: facts.slots.map(|slots| slots.count()),
            when_full: facts.slots.and_then(|slots| slots.when_full()).map(|when_full| when_full.text()),
            connections: target.map_or(0, Target::connections),
            bytes: target.map_or(0, Target::bytes),
        }
    }
}

impl Record {
    /// `aborted` is why the check ended early, if it did.
    pub(crate) fn new(subject: Subject, probes: Vec<Entry>, aborted: Option<Aborted>) -> Self {
        let failed = |level| {
            let failed = |entry: &&Entry| {
                entry.level == level && entry.follows.is_none() && matches!(entry.outcome, Outcome::Failed(_))
            };
            probes.iter().filter(failed).map(|entry| entry.id.as_str()).collect::<Vec<_>>()
        };
        let count = |word| probes.iter().filter(|entry| entry.outcome.word() == word).count();
        let (must, should) = (failed(Level::Must), failed(Level::Should));
        let (passes, skips) = (count("passed"), count("skipped"));
        let follow = probes.iter().filter(|entry| entry.follows.is_some()).count();
        // No MUST failed, at least one probe passed, and the check was not aborted.
        let passed = must.is_empty() && aborted.is_none() && passes > 0;
        let findings = [must, should].concat().join(", ");
        let verdict = match (passed, findings.is_empty(), aborted.as_ref().map(|aborted| &aborted.reason)) {
            (true, true, _) => "PASSED".to_owned(),
            (true, false, _) => format!("PASSED with warnings: {findings}"),
            (false, true, None) => "NOTHING CHECKED".to_owned(),
            (false, true, Some(reason)) => format!("FAILED: {reason}"),
            (false, false, None) => format!("FAILED: {findings}"),
            (false, false, Some(reason)) => format!("FAILED: {findings}; {reason}"),
        };
        let counted = |count, word| if count > 0 { format!(", {count} {word}") } else { String::new() };
        let (follow, skipped) = (counted(follow, "follow"), counted(skips, "skipped"));
        Self {
            subject,
            passed,
            verdict: format!("{verdict} ({passes} passed{follow}{skipped})"),
            diagnosis: Diagnosis::of(&probes),
            probes,
            aborted,
            soak: None,
            worse_than_baseline: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::check::{failure::Failure, probe::Group};

    fn entry(id: &str, level: Level, outcome: Outcome) -> Entry {
        Entry {
            id: id.into(),
            group: Group::Time,
            level,
            requirement: "".into(),
            outcome,
            took: Duration::ZERO,
            measures: Vec::new(),
            rtts: Vec::new(),
            may_lose_slots: false,
            follows: None,
            frames: Vec::new(),
        }
    }

    fn passed() -> Entry {
        entry("good", Level::Must, Outcome::Passed("it is met".into()))
    }

    fn failed(level: Level) -> Entry {
        entry("bad", level, Outcome::Failed(Box::new(Failure::new("it is not met"))))
    }

    fn skipped() -> Entry {
        entry("not-run", Level::Must, Outcome::Skipped("for a reason".into()))
    }

    fn verdict(probes: Vec<Entry>, aborted: Option<&str>) -> (bool, String) {
        let subject = Subject::new("host".into(), None, &Facts::default());
        let record =
            Record::new(subject, probes, aborted.map(|reason| Aborted { reason: reason.into(), by: "bad".into() }));
        (record.passed, record.verdict)
    }

    #[test]
    fn a_check_passes_if_no_must_fails_of_those_that_were_run() {
        assert_eq!(verdict(vec![passed(), skipped()], None), (true, "PASSED (1 passed, 1 skipped)".into()));
        let warning = "PASSED with warnings: bad (1 passed)".into();
        assert_eq!(verdict(vec![passed(), failed(Level::Should)], None), (true, warning));
        assert_eq!(verdict(vec![passed(), failed(Level::Must)], None), (false, "FAILED: bad (1 passed)".into()));
        assert_eq!(verdict(vec![skipped()], None), (false, "NOTHING CHECKED (0 passed, 1 skipped)".into()));
    }

    #[test]
    fn a_check_of_a_server_that_disappears_does_not_pass() {
        let probes = vec![passed(), failed(Level::Should), skipped()];
        let text = "FAILED: bad; no server answers (1 passed, 1 skipped)".into();
        assert_eq!(verdict(probes, Some("no server answers")), (false, text));
    }
}
