//! The figures of `greet bench` as text on standard output.

use core::{fmt::Display, time::Duration};
use std::io::{self, Write};

use crate::{
    bench::{
        compare::Comparison,
        figures::{Figures, Run, Settings},
        intervals::Interval,
        summary::{conditions, error_text, of_pairs, stall_text},
    },
    export::number::{ByteRate, Count, Figure, Time, counted},
    latency::Latency,
};

/// Prints the figures of one server.
pub(crate) fn print_run(run: &Run) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}: {}", run.figures.host, conditions(&run.settings))?;
    print_figures(&mut output, &run.figures, &run.settings)?;
    print_end(&mut output, run.ended_early)
}

/// Prints the figures of two servers and their ratios.
pub(crate) fn print_comparison(comparison: &Comparison) -> io::Result<()> {
    let Comparison { first, second, ratios, turns, turn, settings, .. } = comparison;
    let mut output = io::stdout().lock();
    writeln!(output, "{} compared with {}: {}", first.host, second.host, conditions(settings))?;
    for figures in [first, second] {
        writeln!(output, "\n{}", figures.host)?;
        print_figures(&mut output, figures, settings)?;
    }
    let turn = Time::from(*turn);
    writeln!(output, "\nratio of {} to {}, {turns} pairs of turns of {turn}", first.host, second.host)?;
    writeln!(output, "{:<18}{:>8}  IQR", "", "median")?;
    for ratio in ratios {
        let (lower, upper) = (Figure(ratio.lower_quartile), Figure(ratio.upper_quartile));
        let pairs = of_pairs(ratio.ratios.len(), *turns);
        writeln!(output, "{:<18}{:>8}  {lower} to {upper}{pairs}", ratio.figure, Figure(ratio.median).to_string())?;
    }
    for warning in comparison.warnings() {
        writeln!(output, "{:<18}{warning}", "note")?;
    }
    print_end(&mut output, comparison.ended_early)
}

fn print_figures(output: &mut impl Write, figures: &Figures, settings: &Settings) -> io::Result<()> {
    let mut line = |title: &str, text: &dyn Display| writeln!(output, "{title:<18}{text}");
    line("measured", &Time::from(figures.elapsed))?;
    line("answered", &counted(figures.answered, "name"))?;
    line("throughput", &format_args!("{} names/s", Figure(figures.names_per_s)))?;
    let (sent, received) = (ByteRate(figures.sent_bytes_per_s), ByteRate(figures.received_bytes_per_s));
    line("sent, received", &format!("{sent}, {received}"))?;
    if let Some(latency) = &figures.latency {
        line("mean latency", &figures.latency_text(Some(latency.mean)))?;
        for (name, value) in Latency::named(Some(latency)) {
            let samples = latency.percentiles.iter().find(|percentile| percentile.name == name);
            let samples = samples.map_or_else(String::new, |percentile| match percentile.value {
                Some(_) => format!("  {} above", counted(percentile.samples_above, "sample")),
                None => "  too few samples".to_owned(),
            });
            line(&format!("  {name}"), &format!("{:<10}{samples}", figures.latency_text(value)).trim_end())?;
        }
    }
    if let Some(backlog) = figures.backlog.filter(|backlog| backlog.names > 0) {
        let behind = Time::from(backlog.behind);
        line("backlog", &format!("{} late and not sent, the oldest by {behind}", counted(backlog.names, "name")))?;
    }
    for (number, stall) in figures.stalls.iter().enumerate() {
        line(if number == 0 { "stalls" } else { "" }, &stall_text(stall))?;
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
        line(&format!("  {}", Count(error.count)), &error_text(error))?;
        if let Some(example) = &error.example {
            line("", &example)?;
        }
    }
    line("unanswered", &format!("{}, because their connections ended", counted(figures.unanswered, "name")))?;
    if figures.unanswered_in_warmup > 0 {
        line("", &format!("and {} during the warm-up", Count(figures.unanswered_in_warmup)))?;
    }
    Ok(())
}

/// Prints one line for each interval, the first time below the titles of the columns.
pub(crate) fn print_intervals(intervals: &[Interval], with_titles: bool) -> io::Result<()> {
    let mut output = io::stdout().lock();
    if with_titles {
        writeln!(output, "{:<18}{:>10}{:>10}{:>10}{:>10}{:>10}", "seconds", "names/s", "p50", "p99", "max", "errors")?;
    }
    for Interval { begin, end, names_per_s, latency, errors, .. } in intervals {
        let time = |of: &dyn Fn(&Latency) -> Option<Duration>| {
            let value = latency.as_ref().and_then(of);
            value.map_or_else(|| "\u{2013}".to_owned(), |value| Time::from(value).to_string())
        };
        // As many decimal places as an interval below a second needs.
        let is_in_tenths = (*end - *begin).subsec_nanos() % 100_000_000 == 0;
        let places = if is_in_tenths { 1 } else { 3 };
        let seconds = format!("{:.places$} to {:.places$}", begin.as_secs_f64(), end.as_secs_f64());
        let (p50, p99) = (time(&|latency| Some(latency.median)), time(&|latency| latency.percentile("p99")));
        let max = time(&|latency| Some(latency.max));
        let speed = Figure(*names_per_s).to_string();
        writeln!(output, "{seconds:<18}{speed:>10}{p50:>10}{p99:>10}{max:>10}{errors:>10}")?;
    }
    output.flush()
}

fn print_end(output: &mut impl Write, ended_early: bool) -> io::Result<()> {
    if ended_early {
        writeln!(output, "Interrupted by a signal.")?;
    }
    output.flush()
}
