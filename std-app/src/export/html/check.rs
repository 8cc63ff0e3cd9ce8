//! The results of a check as an HTML report: the verdict, the findings, charts, and all probes.

use super::{
    Html,
    chart::{Bar, Series, Unit, bars, distribution},
    report::{Cell, HtmlReport, Rating, Table},
};
use crate::{
    check::{
        entry::{Entry, Outcome},
        failure::{Failure, shown},
        probe::{Group, Level, Value},
        record::{Record, Subject},
    },
    export::number::{Bytes, Count, Time},
    latency::{Latencies, Point},
};

/// The HTML document.
pub(crate) fn report(record: &Record) -> String {
    let mut report = HtmlReport::new(format_args!("greet check {}", record.subject.host), subject(&record.subject));
    let rating = match (record.passed, record.probes.iter().any(is_failed)) {
        (true, false) => Rating::Good,
        (true, true) => Rating::Doubtful,
        (false, _) => Rating::Bad,
    };
    report.verdict(rating, &record.verdict);
    if let Some(diagnosis) = &record.diagnosis {
        report.section("Diagnosis", |html| {
            html.paragraph(&diagnosis.text);
        });
    }
    let failed: Vec<(&Entry, &Failure)> = record
        .probes
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Failed(failure) if entry.follows.is_none() => Some((entry, &**failure)),
            _ => None,
        })
        .collect();
    if !failed.is_empty() {
        report.section("Findings", |html| failed.iter().for_each(|(entry, failure)| finding(html, entry, failure)));
    }
    charts(&mut report, record);
    // Not those that were skipped because the check ended early.
    let by = record.aborted.as_ref().and_then(|aborted| record.probes.iter().position(|entry| entry.id == aborted.by));
    let run = by.and_then(|last| record.probes.get(..=last)).unwrap_or(&record.probes);
    for group in Group::SERVICE.into_iter().chain(Group::STACK) {
        let entries: Vec<&Entry> = run.iter().filter(|entry| entry.group == group).collect();
        if !entries.is_empty() {
            report.section(title(group), |html| {
                html.table(&table(&entries));
            });
        }
    }
    report.render()
}

fn subject(subject: &Subject) -> String {
    let mut facts = vec![subject.address.map_or_else(|| "no address".to_owned(), |address| address.to_string())];
    facts.extend(subject.other_addresses.iter().map(|(address, text)| format!("{address} {text}")));
    facts.extend(subject.service.map(|service| format!("service {service}")));
    facts.extend(subject.framing.map(|framing| format!("framing {framing}")));
    let what = if subject.framing.is_some() { "names" } else { "messages" };
    facts.extend(subject.capacity.map(|capacity| format!("{what} of up to {} bytes", Count(capacity as u64))));
    facts.extend(subject.in_flight.map(|limit| format!("at most {} bytes in flight", Count(limit as u64))));
    facts.extend(subject.slots.map(|count| match subject.when_full {
        Some(when_full) => format!("{count} slots, the next client is {when_full}"),
        None => format!("{count} slots or more"),
    }));
    format!(
        "{}. The check used {} connections and {}.",
        facts.join(", "),
        Count(subject.connections),
        Bytes(subject.bytes as f64)
    )
}

const fn title(group: Group) -> &'static str {
    match group {
        Group::Reach => "Reach",
        Group::Connections => "Connections",
        Group::Rules => "Rules of the protocol",
        Group::Echo => "Echo",
        Group::Stream => "Byte stream",
        Group::Time => "Time",
        Group::Soak => "Soak",
        Group::Link => "Link",
        Group::Ip => "IP",
        Group::Icmp => "ICMP",
        Group::Tcp => "TCP",
    }
}

fn is_failed(entry: &Entry) -> bool {
    matches!(entry.outcome, Outcome::Failed(_))
}

/// One finding: what was wrong, the bytes, and the usual causes.
fn finding(html: &mut Html, entry: &Entry, failure: &Failure) {
    html.text_element("h3", &[], &entry.id).paragraph(&failure.what);
    if failure.expected.is_some() || failure.received.is_some() {
        let mut table = Table::new(&["", "bytes from there on"]);
        let bytes = [("expected", &failure.expected), ("received", &failure.received)];
        for (name, bytes) in bytes {
            if let Some(bytes) = bytes {
                table.row([Cell::text(name), Cell::code(shown(bytes))]);
            }
        }
        html.table(&table);
    }
    if let Some(evidence) = &failure.evidence {
        html.paragraph(format_args!("TCP: {}", evidence.text));
    }
    if !entry.frames.is_empty() {
        let mut table = Table::new(&["frames"]);
        for frame in &entry.frames {
            table.row([Cell::code(frame)]);
        }
        html.table(&table);
    }
    html.element("ul", &[], |list| {
        for cause in &failure.causes {
            list.text_element("li", &[], cause);
        }
    });
}

/// The failure that this one follows from, if any.
fn follows(entry: &Entry) -> String {
    entry.follows.as_ref().map_or_else(String::new, |finding| format!("follows from {finding}: "))
}

fn table(entries: &[&Entry]) -> Table {
    let mut table = Table::new(&["probe", "", "requirement", "result"]);
    for entry in entries {
        let (verdict, text) = match &entry.outcome {
            Outcome::Passed(text) => (Rating::Good, text.as_str()),
            Outcome::Failed(failure) if entry.level != Level::Must => (Rating::Doubtful, &*failure.what),
            Outcome::Failed(failure) => (Rating::Bad, &*failure.what),
            Outcome::Skipped(reason) => (Rating::None, reason.as_str()),
        };
        table.rated_row(
            verdict,
            [
                Cell::code(&entry.id),
                Cell::verdict(verdict, entry.outcome.word()),
                Cell::text(format_args!("{} {}", entry.level, entry.requirement)),
                Cell::text(format_args!("{}{text} ({})", follows(entry), Time::from(entry.took))),
            ],
        );
    }
    table
}

/// RTTs, throughput, rates, and the times of connections.
fn charts(report: &mut HtmlReport, record: &Record) {
    let curves: Vec<(&str, Vec<Point>)> = record
        .probes
        .iter()
        .filter(|entry| !entry.rtts.is_empty())
        .filter_map(|entry| {
            let mut latencies = Latencies::new().ok()?;
            entry.rtts.iter().for_each(|rtt| latencies.add(*rtt));
            Some((entry.id.as_str(), latencies.curve()))
        })
        .collect();
    if !curves.is_empty() {
        let series: Vec<Series<'_, Point>> =
            curves.iter().map(|(name, points)| Series { name, points: points.as_slice() }).collect();
        report.section("Round-trip times", |html| {
            html.figure(
                &distribution("round-trip times", &series),
                "Round-trip times by percentile: the rare, long ones are on the right.",
            );
        });
    }
    for (unit, heading, caption) in [
        (Unit::ByteRate, "Throughput", "Every byte was compared."),
        (Unit::Rate, "Rates", "Conversations and names per second."),
        (Unit::Time, "Times", "Connecting, and until slots are free again."),
    ] {
        let found: Vec<Bar> = record
            .probes
            .iter()
            .filter(|entry| unit != Unit::Time || entry.group != Group::Time)
            .flat_map(|entry| entry.measures.iter().map(move |measure| (entry, measure)))
            .filter_map(|(entry, measure)| {
                let (value, measure_unit) = charted(measure.value);
                let label = format!("{}: {}", entry.id, measure.name);
                (measure_unit == unit).then_some(Bar { label, value })
            })
            .collect();
        if !found.is_empty() {
            report.section(heading, |html| {
                html.figure(&bars(heading, unit, &found), caption);
            });
        }
    }
}

/// A value as charts take it.
fn charted(value: Value) -> (f64, Unit) {
    match value {
        Value::Time(time) => (time.as_secs_f64(), Unit::Time),
        Value::ByteRate(rate) => (rate, Unit::ByteRate),
        Value::Rate(rate) => (rate, Unit::Rate),
        Value::Count(count) => (count as f64, Unit::Number),
    }
}
