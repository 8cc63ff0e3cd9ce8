//! The results of a check as JUnit XML, as Jenkins, GitLab and pytest show it.
//!
//! A server is a test suite, and a probe is a test case. JUnit has no warnings: a SHOULD that fails is a test that passed, with
//! the finding as its output, so that a job fails exactly if the check does.

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::text::check::finding;
use crate::check::{
    entry::{Entry, Outcome},
    probe::Level,
    series::Runs,
};

/// The document: of each server the first run that failed, or else the last one.
pub(crate) fn report(all: &[Runs]) -> Result<String, SerializeError> {
    let mut report = Report::new("greet check");
    for runs in all {
        report.add_test_suite(suite(runs));
    }
    report.set_time(all.iter().map(|runs| runs.took).sum());
    report.to_string()
}

fn suite(runs: &Runs) -> TestSuite {
    let mut suite = TestSuite::new(runs.host.as_str());
    suite.set_time(runs.took);
    suite.add_property(Property::new("runs", runs.count.to_string()));
    suite.add_property(Property::new("failed runs", runs.failed.to_string()));
    if let Some(first) = runs.first_failure {
        suite.add_property(Property::new("first failed run", first.to_string()));
    }
    let Some(record) = &runs.record else {
        suite.add_test_case(error("not checked"));
        return suite;
    };
    if let Some(address) = record.subject.address {
        suite.add_property(Property::new("address", address.to_string()));
    }
    suite.add_test_cases(record.probes.iter().map(case));
    if !record.passed && suite.failures == 0 {
        suite.add_test_case(error(&record.verdict));
    }
    let diagnosis = record.diagnosis.as_ref().map_or_else(String::new, |diagnosis| format!("{}\n", diagnosis.text));
    suite.set_system_out(format!("{diagnosis}{}", record.verdict));
    suite
}

fn case(entry: &Entry) -> TestCase {
    let mut output = None;
    let status = match (&entry.outcome, &entry.follows) {
        // The test case of that finding fails.
        (Outcome::Failed(failure), Some(finding)) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("follows from {finding}: {}", failure.what));
            status
        }
        (Outcome::Passed(text), _) => {
            output = Some(text.clone());
            TestCaseStatus::success()
        }
        (Outcome::Skipped(reason), _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
        (Outcome::Failed(failure), None) if entry.level == Level::Must => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type("MUST").set_message(&*failure.what);
            status.set_description(described(entry));
            status
        }
        (Outcome::Failed(_), None) => {
            output = Some(format!("WARN {}", described(entry)));
            TestCaseStatus::success()
        }
    };
    let mut case = TestCase::new(entry.id.as_str(), status);
    case.set_classname(format!("greet.check.{}", entry.group.name()));
    case.set_time(entry.took);
    if let Some(text) = output {
        case.set_system_out(text);
    }
    case
}

/// The requirement, what was found, and what to look at.
fn described(entry: &Entry) -> String {
    let lines = match &entry.outcome {
        Outcome::Failed(failure) => finding(failure),
        _ => Vec::new(),
    };
    format!("{}\n{}", entry.requirement, lines.join("\n"))
}

/// A test case for a check that failed without a probe that failed.
fn error(reason: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("check").set_message(reason);
    let mut case = TestCase::new("verdict", status);
    case.set_classname("greet.check");
    case
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::{
        facts::Facts,
        failure::Failure,
        probe::Group,
        record::{Record, Subject},
    };

    fn entry(id: &str, level: Level, outcome: Outcome) -> Entry {
        Entry {
            id: id.into(),
            group: Group::Stream,
            level,
            requirement: "bytes are echoed".into(),
            outcome,
            took: Duration::from_millis(1500),
            measures: Vec::new(),
            rtts: Vec::new(),
            may_lose_slots: false,
            follows: None,
            frames: Vec::new(),
        }
    }

    fn failed() -> Outcome {
        let failure = Failure { received: Some(b"\x1B<!".to_vec()), ..Failure::new("byte 7 is <wrong>") };
        Outcome::Failed(Box::new(failure.because("a buffer & its length")))
    }

    fn document(entries: Vec<Entry>) -> String {
        let record = Record::new(Subject::new("host".into(), None, &Facts::default()), entries, None);
        let failed = u64::from(!record.passed);
        let runs = Runs {
            host: "host:9999".into(),
            count: 1,
            failed,
            first_failure: (failed > 0).then_some(1),
            failures: BTreeMap::new(),
            took: Duration::from_secs(2),
            record: Some(record),
        };
        report(&[runs]).unwrap()
    }

    #[test]
    fn a_must_that_fails_is_a_failure_and_a_should_is_not() {
        let xml = document(vec![
            entry("stream.good", Level::Must, Outcome::Passed("all 1,024 lengths".into())),
            entry("stream.bad", Level::Must, failed()),
            entry("stream.slow", Level::Should, failed()),
            entry("stream.skipped", Level::Must, Outcome::Skipped("no lines".into())),
        ]);
        for part in [
            r#"<testsuite name="host:9999" tests="4" skipped="1" errors="0" failures="1" time="2.000">"#,
            r#"<testcase name="stream.bad" classname="greet.check.stream" time="1.500">"#,
            r#"<failure message="byte 7 is &lt;wrong&gt;" type="MUST">"#,
            "look at:  a buffer &amp; its length",
            "received: `\\u{1b}&lt;!`",
            "<system-out>WARN bytes are echoed",
            r#"<skipped message="no lines"/>"#,
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
    }

    #[test]
    fn a_check_that_fails_without_a_failed_probe_is_an_error() {
        let xml = document(vec![entry("stream.skipped", Level::Must, Outcome::Skipped("no lines".into()))]);
        assert!(xml.contains(r#"errors="1" failures="0""#) && xml.contains("NOTHING CHECKED"), "{xml}");
    }
}
