//! The figures as text on standard output.

use core::fmt::Display;
use std::io::{self, Write};

use crate::{
    bench::{
        compare::Comparison,
        figures::{Figures, Run, Settings},
        summary::{conditions, error_text, of_pairs},
    },
    export::number::{ByteRate, Count, Figure, Rate, Time, counted},
    latency::Latency,
};

/// Prints the figures of one server.
pub(crate) fn print_run(run: &Run) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}: {}", run.figures.host, conditions(&run.settings))?;
    print_figures(&mut output, &run.figures, &run.settings)?;
    print_end(&mut output, run.ended_early)
}

/// Prints the figures of two servers, and their ratios.
pub(crate) fn print_comparison(comparison: &Comparison) -> io::Result<()> {
    let Comparison { first, second, ratios, turns, turn, settings, .. } = comparison;
    let mut output = io::stdout().lock();
    writeln!(output, "{} against {}: {}", first.host, second.host, conditions(settings))?;
    for figures in [first, second] {
        writeln!(output, "\n{}", figures.host)?;
        print_figures(&mut output, figures, settings)?;
    }
    let turn = Time::from(*turn);
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

fn print_figures(output: &mut impl Write, figures: &Figures, settings: &Settings) -> io::Result<()> {
    let mut line = |title: &str, text: &dyn Display| writeln!(output, "{title:<18}{text}");
    line("measured", &Time::from(figures.elapsed))?;
    line("answered", &counted(figures.answered, "name"))?;
    line("names a second", &Rate(figures.names_per_s))?;
    let (sent, received) = (ByteRate(figures.sent_bytes_per_s), ByteRate(figures.received_bytes_per_s));
    line("sent, received", &format!("{sent}, {received}"))?;
    if let Some(latency) = &figures.latency {
        line("mean latency", &figures.latency_text(Some(latency.mean)))?;
        for (name, value) in Latency::named(Some(latency)) {
            line(&format!("  {name}"), &figures.latency_text(value))?;
        }
    }
    if let Some(backlog) = figures.backlog.filter(|backlog| backlog.names > 0) {
        let behind = Time::from(backlog.behind);
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
        line(&format!("  {}", Count(error.count)), &error_text(error))?;
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

fn print_end(output: &mut impl Write, ended_early: bool) -> io::Result<()> {
    if ended_early {
        writeln!(output, "Ended early, by a signal.")?;
    }
    output.flush()
}
