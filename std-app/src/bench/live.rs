//! The line that shows how a run goes on: on a terminal alone, and gone when it is over.

use core::{cell::Cell, time::Duration};
use std::{
    io::{self, IsTerminal, Write},
    time::Instant,
};

use greet::report::number::{Count, Rate, Time};

use super::load::{Glance, Phase};

/// How often it changes.
const OFTEN: Duration = Duration::from_millis(200);

/// The line.
#[derive(Debug)]
pub(super) struct Live {
    /// How many characters it has now; `None` where there is no terminal.
    shown: Option<Cell<usize>>,
    last: Cell<Option<Instant>>,
    /// How many connections are wanted.
    connections: usize,
}

impl Live {
    pub(super) fn new(connections: usize) -> Self {
        let shown = io::stderr().is_terminal().then(Cell::default);
        Self { shown, last: Cell::new(None), connections }
    }

    /// Shows how it goes, if it is time to.
    pub(super) fn show(&self, glance: Glance<'_>) {
        if self.shown.is_some() && self.last.get().is_none_or(|last| last.elapsed() >= OFTEN) {
            self.last.set(Some(Instant::now()));
            self.write(&line(&glance, self.connections));
        }
    }

    /// Makes room for what is said in its place.
    pub(super) fn clear(&self) {
        self.write("");
    }

    fn write(&self, text: &str) {
        let Some(shown) = &self.shown else { return };
        let length = text.chars().count();
        // Blanks over what is left of the line before: every terminal understands those.
        let blanks = shown.get().saturating_sub(length);
        let back = if text.is_empty() { "\r" } else { "" };
        // Whoever closed it does not want to know.
        let _ = write!(io::stderr(), "\r{text}{:blanks$}{back}", "");
        let _ = io::stderr().flush();
        shown.set(length);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear(); // an error is told on a line of its own
    }
}

fn line(glance: &Glance<'_>, connections: usize) -> String {
    let Glance { phase, elapsed, greeted, tally } = glance;
    let errors = match tally.error_count() {
        0 => String::new(),
        count => format!(", {} errors", Count(count)),
    };
    let seconds = elapsed.as_secs_f64();
    match phase {
        Phase::Opening => format!("opening: {greeted} of {connections} connections greeted{errors}"),
        Phase::WarmingUp => format!("warming up, {seconds:.1} s{errors}"),
        Phase::Measuring => {
            let rate = Rate(tally.in_time as f64 / seconds.max(0.001));
            let p99 = Time::from(tally.latencies.at(99.0));
            format!("{seconds:.1} s: {rate}, p99 {p99}{errors}")
        }
        Phase::Awaiting => format!("awaiting the last replies, {seconds:.1} s{errors}"),
        Phase::Closing => format!("closing, {seconds:.1} s{errors}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tally::{Kind, Tally};

    #[test]
    fn the_line_says_what_goes_on() {
        let mut tally = Tally::new().unwrap();
        tally.measure(Duration::ZERO, Duration::MAX);
        for _ in 0..5000 {
            tally.reply(Duration::from_millis(2), Duration::from_millis(1));
        }
        tally.error(Kind::NoReply, None);
        let show = |phase| line(&Glance { phase, elapsed: Duration::from_secs(2), greeted: 3, tally: &tally }, 4);
        assert_eq!(show(Phase::Opening), "opening: 3 of 4 connections greeted, 1 errors");
        assert_eq!(show(Phase::Measuring), "2.0 s: 2,500/s, p99 1.00 ms, 1 errors");
    }
}
