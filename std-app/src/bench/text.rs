//! The figures as text on standard output.

use core::fmt::Display;
use std::io::{self, Write};

use greet::report::number::{ByteRate, Count, Figure, Rate, Time};

use super::{
    compare::Comparison,
    figures::{Figures, Run, Settings},
};

/// Prints the figures of one server.
pub(super) fn print_run(run: &Run) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}: {}", run.figures.host, conditions(&run.settings))?;
    print_figures(&mut output, &run.figures)?;
    print_end(&mut output, run.ended_early)
}

/// Prints the figures of two servers, and their ratios.
pub(super) fn print_comparison(comparison: &Comparison) -> io::Result<()> {
    let Comparison { first, second, ratios, turns, turn_s, .. } = comparison;
    let mut output = io::stdout().lock();
    writeln!(output, "{} against {}: {}", first.host, second.host, conditions(&comparison.settings))?;
    for figures in [first, second] {
        writeln!(output, "\n{}", figures.host)?;
        print_figures(&mut output, figures)?;
    }
    let turn = Time::from_nanos(turn_s * 1e9);
    writeln!(output, "\n{} to {}, in {turns} pairs of turns of {turn}", first.host, second.host)?;
    writeln!(output, "{:<18}{:>8}  half of the ratios", "", "median")?;
    for ratio in ratios {
        let (lower, upper) = (Figure(ratio.lower_quartile), Figure(ratio.upper_quartile));
        writeln!(output, "{:<18}{:>8}  {lower} to {upper}", ratio.figure, Figure(ratio.median).to_string())?;
    }
    print_end(&mut output, comparison.ended_early)
}

/// What was done, in one line.
pub(super) fn conditions(settings: &Settings) -> String {
    let Settings { connections, pipeline, size, framing, .. } = settings;
    let plural = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let connections = plural(*connections, "connection", "connections");
    let in_flight = plural(*pipeline, "name", "names");
    let bytes = plural(*size, "byte", "bytes");
    let rate = settings.rate.map_or(String::new(), |rate| format!(", {} wanted", Rate(rate)));
    format!("{connections}, {in_flight} of {bytes} in flight on each, framing {framing}{rate}")
}

fn print_figures(output: &mut impl Write, figures: &Figures) -> io::Result<()> {
    let mut line = |title: &str, text: &dyn Display| writeln!(output, "{title:<18}{text}");
    line("measured", &Time::from_nanos(figures.elapsed_s * 1e9))?;
    line("answered", &format!("{} names", Count(figures.answered)))?;
    line("names a second", &Rate(figures.names_per_s))?;
    let (sent, received) = (ByteRate(figures.sent_bytes_per_s), ByteRate(figures.received_bytes_per_s));
    line("sent, received", &format!("{sent}, {received}"))?;
    let latency = &figures.latency_ns;
    if latency.count > 0 {
        line("mean latency", &Time::from_nanos(latency.mean))?;
        for (name, value) in latency.named() {
            line(&format!("  {name}"), &Time::from_nanos(value as f64))?;
        }
    }
    if let Some(backlog) = figures.backlog.filter(|backlog| backlog.names > 0) {
        let behind = Time::from_nanos(backlog.behind_s * 1e9);
        line("backlog", &format!("{} names were due and not sent, the oldest for {behind}", Count(backlog.names)))?;
    }
    if figures.own_processor > OWN_LIMIT {
        let percent = Figure(figures.own_processor * 100.0);
        line("note", &format!("greet bench itself was at work for {percent} % of the time: it may be what limits"))?;
    }
    let errors = figures.error_count();
    if errors == 0 && figures.unanswered == 0 {
        return line("errors", &"none");
    }
    line("errors", &Count(errors))?;
    for error in &figures.errors {
        line(&format!("  {}", Count(error.count)), &error.kind)?;
        if let Some(example) = &error.example {
            line("", &example)?;
        }
    }
    line("unanswered", &format!("{} names, when their connections ended", Count(figures.unanswered)))
}

/// From this part of a processor on, the load itself may be what limits.
pub(super) const OWN_LIMIT: f64 = 0.95;

fn print_end(output: &mut impl Write, ended_early: bool) -> io::Result<()> {
    if ended_early {
        writeln!(output, "Ended early, by a signal.")?;
    }
    output.flush()
}
