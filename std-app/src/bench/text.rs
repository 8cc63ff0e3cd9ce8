//! The figures as text on standard output.

use core::fmt::Display;
use std::io::{self, Write};

use greet::report::number::{ByteRate, Count, Figure, Rate, Time};

use super::{
    compare::{Comparison, FEW_PAIRS},
    figures::{Figures, Run, Settings},
};

/// Prints the figures of one server.
pub(super) fn print_run(run: &Run) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}: {}", run.figures.host, conditions(&run.settings))?;
    print_figures(&mut output, &run.figures, &run.settings)?;
    print_end(&mut output, run.ended_early)
}

/// Prints the figures of two servers, and their ratios.
pub(super) fn print_comparison(comparison: &Comparison) -> io::Result<()> {
    let Comparison { first, second, ratios, turns, turn_s, settings, .. } = comparison;
    let mut output = io::stdout().lock();
    writeln!(output, "{} against {}: {}", first.host, second.host, conditions(settings))?;
    for figures in [first, second] {
        writeln!(output, "\n{}", figures.host)?;
        print_figures(&mut output, figures, settings)?;
    }
    let turn = Time::from_nanos(turn_s * 1e9);
    writeln!(output, "\n{} to {}, in {turns} pairs of turns of {turn}", first.host, second.host)?;
    writeln!(output, "{:<18}{:>8}  middle half of the ratios", "", "median")?;
    for ratio in ratios {
        let (lower, upper) = (Figure(ratio.lower_quartile), Figure(ratio.upper_quartile));
        let pairs = of_pairs(ratio.ratios.len(), *turns);
        writeln!(output, "{:<18}{:>8}  {lower} to {upper}{pairs}", ratio.figure, Figure(ratio.median).to_string())?;
    }
    for caution in comparison.cautions() {
        writeln!(output, "{:<18}{caution}", "note")?;
    }
    print_end(&mut output, comparison.ended_early)
}

/// Of how many pairs of turns a ratio is, where not all of them have one.
pub(super) fn of_pairs(count: usize, turns: usize) -> String {
    if count == turns { String::new() } else { format!(", in {count} of the {turns} pairs") }
}

impl Comparison {
    /// What is to be known before the ratios are trusted.
    pub(super) fn cautions(&self) -> Vec<String> {
        let mut cautions = Vec::new();
        if self.turns < FEW_PAIRS {
            cautions.push(format!("{} are few: the next run may tell otherwise", counted(self.turns as u64, "pair")));
        }
        if self.first.latency_at_least > 0 || self.second.latency_at_least > 0 {
            cautions
                .push("latencies that are only known to be at least so long make ratios that are not exact".to_owned());
        }
        cautions
    }
}

/// What was done, in one line.
pub(super) fn conditions(settings: &Settings) -> String {
    let Settings { connections, pipeline, size, framing, .. } = settings;
    let connections = counted(*connections as u64, "connection");
    let in_flight = counted(*pipeline as u64, "name");
    let bytes = counted(*size as u64, "byte");
    let rate = settings.rate.map_or(String::new(), |rate| format!(", {} wanted", Rate(rate)));
    format!("{connections}, {in_flight} of {bytes} in flight on each, framing {framing}{rate}")
}

/// `1 name`, `2,000 names`.
pub(super) fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", Count(count), if count == 1 { "" } else { "s" })
}

fn print_figures(output: &mut impl Write, figures: &Figures, settings: &Settings) -> io::Result<()> {
    let mut line = |title: &str, text: &dyn Display| writeln!(output, "{title:<18}{text}");
    line("measured", &Time::from_nanos(figures.elapsed_s * 1e9))?;
    line("answered", &counted(figures.answered, "name"))?;
    line("names a second", &Rate(figures.names_per_s))?;
    let (sent, received) = (ByteRate(figures.sent_bytes_per_s), ByteRate(figures.received_bytes_per_s));
    line("sent, received", &format!("{sent}, {received}"))?;
    if figures.latency_ns.count > 0 {
        line("mean latency", &figures.latency(figures.latency_ns.mean))?;
        for (name, value) in figures.latency_ns.named() {
            line(&format!("  {name}"), &figures.latency(value as f64))?;
        }
    }
    if let Some(backlog) = figures.backlog.filter(|backlog| backlog.names > 0) {
        let behind = Time::from_nanos(backlog.behind_s * 1e9);
        line("backlog", &format!("{}, due and not sent, the oldest for {behind}", counted(backlog.names, "name")))?;
    }
    for note in figures.notes(settings.connections) {
        line("note", &note)?;
    }
    if figures.has_no_errors() {
        let but = if figures.is_answered() { "" } else { ", but no name was answered" };
        return line("errors", &format!("none{but}"));
    }
    line("errors", &Count(figures.error_count()))?;
    for error in &figures.errors {
        line(&format!("  {}", Count(error.count)), &error.what())?;
        if let Some(example) = &error.example {
            line("", &example)?;
        }
    }
    line("unanswered", &format!("{}, when their connections ended", counted(figures.unanswered, "name")))?;
    if figures.unanswered_in_warmup > 0 {
        line("", &format!("and {} in the warm-up", Count(figures.unanswered_in_warmup)))?;
    }
    Ok(())
}

/// From this part of a processor on, the load itself may be what limits.
const OWN_LIMIT: f64 = 0.95;

impl Figures {
    /// A latency, in nanoseconds, with a sign where it is only the least that it can be.
    pub(super) fn latency(&self, nanoseconds: f64) -> String {
        let sign = if self.latency_at_least > 0 { "≥ " } else { "" };
        format!("{sign}{}", Time::from_nanos(nanoseconds))
    }

    /// What is to be known before the figures are trusted.
    pub(super) fn notes(&self, connections: usize) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(seconds) = self.given_up_after_s {
            notes.push(format!("given up: no name was answered for {}", Time::from_nanos(seconds * 1e9)));
        }
        if !self.is_answered() && self.unanswered > 0 {
            notes.push("it greets and answers nothing: is --framing what it speaks?".to_owned());
        }
        if self.greeted < connections {
            let (greeted, wanted) = (Count(self.greeted as u64), Count(connections as u64));
            notes.push(format!("connections greeted in the end: {greeted} of {wanted}"));
        }
        if self.latency_ns.count > 0 && self.latency_at_least > 0 {
            let names = counted(self.latency_at_least, "name");
            notes.push(format!("latencies are at least these: of {names} without an answer the time waited counts"));
        }
        if self.interrupted > 0 {
            notes.push(format!("{} under way when a signal ended it", counted(self.interrupted, "name")));
        }
        if self.own_processor > OWN_LIMIT {
            let percent = Figure(self.own_processor * 100.0);
            notes.push(format!("greet bench itself was at work for {percent} % of the time: it may be what limits"));
        }
        notes
    }
}

fn print_end(output: &mut impl Write, ended_early: bool) -> io::Result<()> {
    if ended_early {
        writeln!(output, "Ended early, by a signal.")?;
    }
    output.flush()
}
