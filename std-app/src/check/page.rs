//! The result as a page: the verdict, what every probe came to, and pictures of what was measured.

use crate::{
    export::{
        html::{
            Html,
            chart::{Bar, Series, bars, distribution},
            report::{Cell, HtmlReport, Rating, Table},
        },
        number::{Bytes, Count, Time},
    },
    latency::{Latencies, Point},
};

use super::{
    outcome::{Entry, Outcome, Record, Subject},
    probe::{Failure, Group, Level, Unit, shown},
};

/// The page's text.
pub(super) fn page(record: &Record) -> String {
    let mut page = HtmlReport::new(format_args!("greet check {}", record.subject.host), subject(&record.subject));
    let verdict = match (record.passed, record.probes.iter().any(is_failed)) {
        (true, false) => Rating::Good,
        (true, true) => Rating::Doubtful,
        (false, _) => Rating::Bad,
    };
    page.verdict(verdict, &record.verdict);
    let failed: Vec<(&Entry, &Failure)> = record
        .probes
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Failed(failure) => Some((entry, &**failure)),
            _ => None,
        })
        .collect();
    if !failed.is_empty() {
        page.section("What was found", |html| failed.iter().for_each(|(entry, failure)| finding(html, entry, failure)));
    }
    pictures(&mut page, record);
    for group in Group::ALL {
        let entries: Vec<&Entry> = record.probes.iter().filter(|entry| entry.group == group).collect();
        if !entries.is_empty() {
            page.section(title(group), |html| {
                html.table(&table(&entries));
            });
        }
    }
    page.render()
}

fn subject(subject: &Subject) -> String {
    let mut facts = vec![subject.address.map_or_else(|| "no address".to_owned(), |address| address.to_string())];
    facts.extend(subject.framing.map(|framing| format!("framing {framing}")));
    facts.extend(subject.capacity.map(|capacity| format!("names of at most {} bytes", Count(capacity as u64))));
    facts.extend(subject.conversations_at_once.map(|count| match subject.next_client {
        Some(next) => format!("{count} conversations at once, the next is {next}"),
        None => format!("{count} conversations at once or more"),
    }));
    format!(
        "{}. The check took {} connections and moved {}.",
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
        Group::Stream => "Stream of bytes",
        Group::Time => "Time",
    }
}

fn is_failed(entry: &Entry) -> bool {
    matches!(entry.outcome, Outcome::Failed(_))
}

/// One finding: what, the bytes, and where to look.
fn finding(html: &mut Html, entry: &Entry, failure: &Failure) {
    html.text_element("h3", &[], &entry.id).paragraph(&failure.what);
    if failure.expected.is_some() || failure.received.is_some() {
        let mut table = Table::new(&["", "from there on"]);
        let bytes = [("expected", &failure.expected), ("received", &failure.received)];
        for (name, bytes) in bytes {
            if let Some(bytes) = bytes {
                table.row([Cell::text(name), Cell::code(shown(bytes))]);
            }
        }
        html.table(&table);
    }
    html.element("ul", &[], |list| {
        for cause in &failure.causes {
            list.text_element("li", &[], cause);
        }
    });
}

fn table(entries: &[&Entry]) -> Table {
    let mut table = Table::new(&["probe", "", "what it shows", "what came of it"]);
    for entry in entries {
        let (verdict, text) = match &entry.outcome {
            Outcome::Held(text) => (Rating::Good, text),
            Outcome::Failed(failure) if entry.level == Level::Should => (Rating::Doubtful, &failure.what),
            Outcome::Failed(failure) => (Rating::Bad, &failure.what),
            Outcome::Skipped(reason) => (Rating::None, reason),
        };
        table.rated_row(
            verdict,
            [
                Cell::code(&entry.id),
                Cell::verdict(verdict, entry.outcome.word()),
                Cell::text(format_args!("{} {}", entry.level, entry.shows)),
                Cell::text(format_args!("{text} (took {})", Time::from(entry.took))),
            ],
        );
    }
    table
}

/// Latencies, throughput, and how long connections took.
fn pictures(page: &mut HtmlReport, record: &Record) {
    let curves: Vec<(&str, Vec<Point>)> = record
        .probes
        .iter()
        .filter(|entry| !entry.trips.is_empty())
        .filter_map(|entry| {
            let mut latencies = Latencies::new().ok()?;
            entry.trips.iter().for_each(|trip| latencies.add(*trip));
            Some((entry.id.as_str(), latencies.curve()))
        })
        .collect();
    if !curves.is_empty() {
        let series: Vec<Series<'_, Point>> =
            curves.iter().map(|(name, points)| Series { name, points: points.as_slice() }).collect();
        page.section("Round trips", |html| {
            html.figure(
                &distribution("round trips", &series),
                "How long round trips took; to the right the rare and long ones.",
            );
        });
    }
    for (unit, heading, caption) in [
        (Unit::ByteRate, "Throughput", "Every byte of it was compared."),
        (Unit::Rate, "How many a second", "Conversations and names a second."),
        (Unit::Time, "How long", "Connecting, and until places are free again."),
    ] {
        let found: Vec<Bar> = record
            .probes
            .iter()
            .flat_map(|entry| entry.measures.iter().map(move |measure| (entry, measure)))
            .filter(|(entry, measure)| measure.unit == unit && (unit != Unit::Time || entry.group != Group::Time))
            .map(|(entry, measure)| Bar { label: format!("{}: {}", entry.id, measure.name), value: measure.value })
            .collect();
        if !found.is_empty() {
            page.section(heading, |html| {
                html.figure(&bars(heading, unit, &found), caption);
            });
        }
    }
}
