//! The figures of `greet bench` as an HTML report.

use core::time::Duration;

use super::{
    Html,
    chart::{Series, Unit, distribution, over_time},
    report::{Cell, HtmlReport, Rating, Table},
};
use crate::{
    bench::{
        compare::Comparison,
        figures::{Figures, Run},
        summary::{conditions, error_text, of_pairs, stall_text},
    },
    export::number::{ByteRate, Count, Figure, Time, counted},
    latency::Latency,
};

/// The report of a run with one server.
pub(crate) fn of_run(run: &Run) -> HtmlReport {
    let figures = &run.figures;
    let mut page = HtmlReport::new(
        format!("greet bench {}", figures.host),
        format!("{}; {}{}", run.date, conditions(&run.settings), early(run.ended_early)),
    );
    let (verdict, text) = judge(figures);
    page.verdict(verdict, format!("{} names/s; {text}", Figure(figures.names_per_s)));
    let all = [figures];
    page.section("Figures", |section| figures_table(section, &all, run.settings.connections));
    sections(&mut page, &all);
    page
}

/// The report of a run with two servers.
pub(crate) fn of_comparison(comparison: &Comparison) -> HtmlReport {
    let Comparison { first, second, ratios, turns, turn, .. } = comparison;
    let mut page = HtmlReport::new(
        format!("greet bench {} compared with {}", first.host, second.host),
        format!("{}; {}{}", comparison.date, conditions(&comparison.settings), early(comparison.ended_early)),
    );
    let all = [first, second];
    for figures in all {
        let (verdict, text) = judge(figures);
        page.verdict(verdict, format!("{}: {} names/s; {text}", figures.host, Figure(figures.names_per_s)));
    }
    page.section("Ratios", |section| {
        let turn = Time::from(*turn);
        section.paragraph(format!("Ratio of {} to {}, {turns} pairs of turns of {turn}.", first.host, second.host));
        let mut table = Table::new(&["figure", "median", "IQR"]);
        for ratio in ratios {
            let (lower, upper) = (Figure(ratio.lower_quartile), Figure(ratio.upper_quartile));
            table.row([
                Cell::text(ratio.figure),
                Cell::number(Figure(ratio.median)),
                Cell::number(format!("{lower} to {upper}{}", of_pairs(ratio.ratios.len(), *turns))),
            ]);
        }
        section.table(&table);
        for warning in comparison.warnings() {
            section.paragraph(format!("Note: {warning}."));
        }
    });
    page.section("Figures", |section| figures_table(section, &all, comparison.settings.connections));
    sections(&mut page, &all);
    page
}

const fn early(ended_early: bool) -> &'static str {
    if ended_early { "; interrupted by a signal" } else { "" }
}

fn judge(figures: &Figures) -> (Rating, String) {
    let backlog = figures.backlog.map_or(0, |backlog| backlog.names);
    if figures.are_good() {
        return match backlog {
            0 => (Rating::Good, "every reply was right.".to_owned()),
            names => (
                Rating::Doubtful,
                format!("every reply was right, but there is a backlog of {}.", counted(names, "name")),
            ),
        };
    }
    let (errors, unanswered) = (figures.error_count(), figures.unanswered.saturating_add(figures.unanswered_in_warmup));
    let mut said = Vec::new();
    if !figures.is_answered() {
        said.push("no name was answered".to_owned());
    }
    if !figures.has_no_errors() {
        said.push(format!("{}, {} unanswered", counted(errors, "error"), counted(unanswered, "name")));
    }
    if let Some(time) = figures.given_up_after {
        said.push(format!("aborted after {} without a reply", Time::from(time)));
    }
    (Rating::Bad, format!("{}.", said.join("; ")))
}

fn figures_table(section: &mut Html, all: &[&Figures], connections: usize) {
    let hosts = all.iter().map(|figures| figures.host.as_str());
    let columns: Vec<&str> = core::iter::once("figure").chain(hosts).collect();
    let mut table = Table::new(&columns);
    let mut row = |title: &str, of: &dyn Fn(&Figures) -> String| {
        let numbers = all.iter().map(|figures| Cell::number(of(figures)));
        table.row(core::iter::once(Cell::text(title)).chain(numbers));
    };
    row("throughput", &|figures| format!("{} names/s", Figure(figures.names_per_s)));
    row("sent", &|figures| ByteRate(figures.sent_bytes_per_s).to_string());
    row("received", &|figures| ByteRate(figures.received_bytes_per_s).to_string());
    row("answered", &|figures| Count(figures.answered).to_string());
    row("measured", &|figures| Time::from(figures.elapsed).to_string());
    if all.iter().any(|figures| figures.backlog.is_some()) {
        let backlog = |figures: &Figures| figures.backlog.map_or(0, |backlog| backlog.names);
        row("backlog: names late and not sent", &|figures| Count(backlog(figures)).to_string());
        let behind = |figures: &Figures| figures.backlog.map_or(Duration::ZERO, |backlog| backlog.behind);
        row("backlog: the oldest is late by", &|figures| Time::from(behind(figures)).to_string());
    }
    if all.iter().any(|figures| figures.is_answered()) {
        latency_rows(&mut row);
    }
    section.table(&table);
    for figures in all {
        for stall in &figures.stalls {
            section.paragraph(format!("Stall of {}: {}.", figures.host, stall_text(stall)));
        }
        for note in figures.notes(connections) {
            section.paragraph(format!("Note on {}: {note}.", figures.host));
        }
    }
}

/// Adds a row to a table: its title, and what is in it for each server.
type Row<'a> = &'a mut dyn FnMut(&str, &dyn Fn(&Figures) -> String);

fn latency_rows(row: Row<'_>) {
    row("mean latency", &|figures| figures.latency_text(figures.latency.map(|latency| latency.mean)));
    for (name, _) in Latency::named(None) {
        row(name, &|figures| {
            let value = Latency::named(figures.latency.as_ref()).find(|(other, _)| *other == name);
            figures.latency_text(value.and_then(|(_, value)| value))
        });
    }
}

fn sections(page: &mut HtmlReport, all: &[&Figures]) {
    if all.iter().any(|figures| !figures.errors.is_empty()) {
        page.section("Errors", |section| errors_table(section, all));
    }
    if all.iter().all(|figures| !figures.is_answered()) {
        return; // nothing to draw
    }
    page.section("Latency", |section| {
        let series: Vec<_> =
            all.iter().map(|figures| Series { name: &figures.host, points: &figures.distribution }).collect();
        let chart = distribution("Latency distribution", &series);
        section.figure(&chart, "From the time a name was due to the last byte of its reply, or to the end of the wait. The rare, long latencies are on the \
             right.");
    });
    if all.iter().all(|figures| figures.over_time.is_empty()) {
        return; // the run was too short
    }
    page.section("Over time", |section| {
        let series: Vec<_> =
            all.iter().map(|figures| Series { name: &figures.host, points: &figures.over_time }).collect();
        let chart = over_time("Throughput over time", "names/s", Unit::Rate, &series);
        section.figure(&chart, "Replies received.");
    });
}

fn errors_table(section: &mut Html, all: &[&Figures]) {
    let mut table = Table::new(&["errors", "server", "kind", "first message"]);
    for figures in all {
        for error in &figures.errors {
            table.rated_row(
                Rating::Bad,
                [
                    Cell::number(Count(error.count)),
                    Cell::text(&figures.host),
                    Cell::text(error_text(error)),
                    Cell::text(error.example.as_deref().unwrap_or_default()),
                ],
            );
        }
    }
    section.table(&table);
}
