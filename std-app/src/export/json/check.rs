//! The results of a check as JSON. `--baseline` reads them.

use core::net::SocketAddr;
use std::io;

use greet_core::Escaped;
use serde::Serialize;

use super::JsonError;
use crate::check::{
    entry::{Entry, Outcome},
    probe::{Listed, Measure, Value},
    record::Record,
    soak::{self, Soak, Times},
};

/// The name and version of the list's form.
const LIST_FORMAT: &str = "greet check list 1";

/// The list of all probes.
#[derive(Serialize)]
struct ProbeList<'a> {
    format: &'static str,
    probes: Vec<ListedProbe<'a>>,
}

#[derive(Serialize)]
struct ListedProbe<'a> {
    id: &'a str,
    group: &'static str,
    level: String,
    requirement: &'a str,
}

/// Prints all probes, for `--list --json`.
pub(crate) fn print_probes(probes: &[Listed]) -> io::Result<()> {
    let listed = probes.iter().map(|probe| ListedProbe {
        id: &probe.id,
        group: probe.group.name(),
        level: probe.level.to_string(),
        requirement: &probe.requirement,
    });
    let list = ProbeList { format: LIST_FORMAT, probes: listed.collect() };
    super::write(&list, io::stdout().lock()).map_err(|error| match error {
        JsonError::Write(error) => error,
        error => io::Error::other(error),
    })
}

/// The name and version of the document's form.
pub(crate) const FORMAT: &str = "greet check 5";

/// The document.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    format: &'static str,
    program: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<u64>,
    host: &'a str,
    address: Option<SocketAddr>,
    other_addresses: Vec<OtherAddress<'a>>,
    service: Option<&'static str>,
    framing: Option<&'static str>,
    capacity: Option<usize>,
    in_flight: Option<usize>,
    slots: Option<usize>,
    when_full: Option<&'static str>,
    connections: u64,
    bytes: u64,
    passed: bool,
    verdict: &'a str,
    diagnosis: Option<Diagnosed<'a>>,
    probes: Vec<Probe<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soak: Option<Soaked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worse_than_baseline: Option<&'a [String]>,
}

/// What was seen during `--for`. Times are in seconds.
#[derive(Serialize)]
struct Soaked<'a> {
    seconds: f64,
    messages: u64,
    conversations: u64,
    outages: u64,
    outage_seconds: f64,
    first_outages: Vec<Outage<'a>>,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Outage<'a> {
    begin: f64,
    seconds: f64,
    text: &'a str,
}

#[derive(Serialize)]
struct Part {
    begin: f64,
    replies: u64,
    reply_p50: Option<f64>,
    reply_p99: Option<f64>,
    visits: u64,
    visit_p50: Option<f64>,
}

fn soaked(soak: &Soak) -> Soaked<'_> {
    let time = |times: &Times, percent| times.percentile(percent).map(|time| time.as_secs_f64());
    let part = |part: &soak::Part| Part {
        begin: part.begin.as_secs_f64(),
        replies: part.replies.count(),
        reply_p50: time(&part.replies, 50.0),
        reply_p99: time(&part.replies, 99.0),
        visits: part.visits.count(),
        visit_p50: time(&part.visits, 50.0),
    };
    Soaked {
        seconds: soak.took.as_secs_f64(),
        messages: soak.messages,
        conversations: soak.conversations,
        outages: soak.outages.count,
        outage_seconds: soak.outages.time.as_secs_f64(),
        first_outages: soak.outages.first.iter().map(outage).collect(),
        parts: soak.parts.iter().map(part).collect(),
    }
}

fn outage(outage: &soak::Outage) -> Outage<'_> {
    Outage { begin: outage.begin.as_secs_f64(), seconds: outage.length.as_secs_f64(), text: &outage.failure.what }
}

#[derive(Serialize)]
struct Diagnosed<'a> {
    finding: &'a str,
    explains: &'a [String],
    text: &'a str,
}

#[derive(Serialize)]
struct OtherAddress<'a> {
    address: SocketAddr,
    text: &'a str,
}

#[derive(Serialize)]
struct Probe<'a> {
    id: &'a str,
    group: &'static str,
    level: String,
    requirement: &'a str,
    outcome: &'static str,
    text: &'a str,
    follows: Option<&'a str>,
    failure: Option<Failure<'a>>,
    seconds: f64,
    measures: Vec<Figure>,
}

#[derive(Serialize)]
struct Failure<'a> {
    offset: Option<u64>,
    expected: Option<String>,
    received: Option<String>,
    evidence: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    frames: &'a [String],
    causes: &'a [String],
}

#[derive(Serialize)]
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
}

impl<'a> Document<'a> {
    /// `run` is the number of the run, from 1, where there may be more than one.
    pub(crate) fn new(record: &'a Record, run: Option<u64>) -> Self {
        let subject = &record.subject;
        Self {
            format: FORMAT,
            program: concat!("greet ", env!("CARGO_PKG_VERSION")),
            run,
            host: &subject.host,
            address: subject.address,
            other_addresses: subject
                .other_addresses
                .iter()
                .map(|(address, text)| OtherAddress { address: *address, text })
                .collect(),
            service: subject.service,
            framing: subject.framing,
            capacity: subject.capacity,
            in_flight: subject.in_flight,
            slots: subject.slots,
            when_full: subject.when_full,
            connections: subject.connections,
            bytes: subject.bytes,
            passed: record.passed,
            verdict: &record.verdict,
            diagnosis: record.diagnosis.as_ref().map(|diagnosis| Diagnosed {
                finding: &diagnosis.finding,
                explains: &diagnosis.explains,
                text: &diagnosis.text,
            }),
            probes: record.probes.iter().map(probe).collect(),
            soak: record.soak.as_ref().map(soaked),
            worse_than_baseline: record.worse_than_baseline.as_deref(),
        }
    }
}

fn probe(entry: &Entry) -> Probe<'_> {
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| Escaped(bytes).to_string());
    let (text, failure) = match &entry.outcome {
        Outcome::Passed(text) | Outcome::Skipped(text) => (text.as_str(), None),
        Outcome::Failed(failure) => {
            let found = Failure {
                offset: failure.offset,
                expected: bytes(&failure.expected),
                received: bytes(&failure.received),
                evidence: failure.evidence.as_ref().map(|evidence| evidence.text.as_str()),
                frames: &entry.frames,
                causes: &failure.causes,
            };
            (&*failure.what, Some(found))
        }
    };
    Probe {
        id: &entry.id,
        group: entry.group.name(),
        level: entry.level.to_string(),
        requirement: &entry.requirement,
        outcome: entry.outcome.word(),
        text,
        follows: entry.follows.as_deref(),
        failure,
        seconds: entry.took.as_secs_f64(),
        measures: entry.measures.iter().map(figure).collect(),
    }
}

fn figure(measure: &Measure) -> Figure {
    let (value, unit) = match measure.value {
        Value::Time(time) => (time.as_secs_f64(), "s"),
        Value::ByteRate(rate) => (rate, "B/s"),
        Value::Rate(rate) => (rate, "1/s"),
        Value::Count(count) => (count as f64, ""),
    };
    Figure { name: measure.name, value, unit }
}
