//! What is shown during a run: a progress line on a terminal, and with `--interval` one line of figures per interval.

use core::{cell::Cell, time::Duration};
use std::{
    io::{self, IsTerminal},
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::load::{Glance, Phase};
use crate::export::{
    number::{Rate, Time, counted},
    text,
};

/// The time between two updates of the progress line.
const REFRESH: Duration = Duration::from_millis(200);

/// The progress line and the intervals.
#[derive(Debug)]
pub(super) struct Live {
    /// `None` without a terminal.
    bar: Option<ProgressBar>,
    last: Cell<Option<Instant>>,
    /// The number of connections that were asked for.
    connections: usize,
    /// The number of intervals that are printed; `None` if none are to be printed.
    intervals: Cell<Option<usize>>,
}

impl Live {
    pub(super) fn new(connections: usize, prints_intervals: bool) -> Self {
        // `wide_msg` cuts what is too wide: it would leave remains on the screen.
        let style = ProgressStyle::with_template("{wide_msg}").ok().filter(|_| io::stderr().is_terminal());
        let bar = style.map(|style| ProgressBar::new_spinner().with_style(style));
        Self { bar, last: Cell::new(None), connections, intervals: Cell::new(prints_intervals.then_some(0)) }
    }

    /// Shows the state of the load; `host` names the server if there are two.
    pub(super) fn show(&self, host: Option<&str>, glance: Glance<'_>) {
        self.print_intervals(&glance);
        if let Some(bar) = &self.bar
            && self.last.get().is_none_or(|last| last.elapsed() >= REFRESH)
        {
            self.last.set(Some(Instant::now()));
            bar.set_message(line(host, &glance, self.connections));
            bar.tick();
        }
    }

    /// Prints the intervals that have ended since the last call.
    fn print_intervals(&self, glance: &Glance<'_>) {
        let (Some(printed), Some(intervals)) = (self.intervals.get(), &glance.tally.intervals) else { return };
        let new = intervals.finished().get(printed..).unwrap_or_default();
        if new.is_empty() {
            return;
        }
        let print = || text::bench::print_intervals(new, printed == 0);
        let result = self.bar.as_ref().map_or_else(print, |bar| bar.suspend(print));
        // A closed standard output needs no more lines; the figures at the end report other errors.
        self.intervals.set(result.is_ok().then_some(printed.saturating_add(new.len())));
    }

    /// Removes the progress line.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear(); // an error message needs a line of its own
    }
}

fn line(host: Option<&str>, glance: &Glance<'_>, connections: usize) -> String {
    let Glance { phase, elapsed, greeted, tally } = glance;
    let errors = match tally.error_count() {
        0 => String::new(),
        count => format!(", {}", counted(count, "error")),
    };
    let seconds = elapsed.as_secs_f64();
    let what = match phase {
        Phase::Opening => format!("opening: {greeted} of {} greeted", counted(connections as u64, "connection")),
        Phase::WarmingUp => format!("warming up, {seconds:.1} s"),
        Phase::Measuring => {
            let rate = Rate(tally.in_time as f64 / seconds.max(0.001));
            let p99 = Time::from(tally.waits.latencies.percentile(99.0));
            format!("{seconds:.1} s: {rate}, p99 {p99}")
        }
        Phase::CatchingUp => format!("sending late names, {seconds:.1} s"),
        Phase::WaitingForReplies => format!("waiting for the last replies, {seconds:.1} s"),
        Phase::Closing => format!("closing, {seconds:.1} s"),
    };
    let host = host.map(|host| format!("{host}: ")).unwrap_or_default();
    format!("{host}{what}{errors}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tally::{Kind, Tally};

    #[test]
    fn the_progress_line_shows_the_phase_and_with_two_servers_the_host() {
        let mut tally = Tally::new().unwrap();
        tally.begin(Duration::ZERO, Duration::MAX, false);
        for _ in 0..5000 {
            tally.reply(Duration::from_millis(2), Duration::from_millis(1));
        }
        tally.error(Kind::NoReply, None);
        let show =
            |host, phase| line(host, &Glance { phase, elapsed: Duration::from_secs(2), greeted: 3, tally: &tally }, 4);
        assert_eq!(show(None, Phase::Opening), "opening: 3 of 4 connections greeted, 1 error");
        assert_eq!(show(Some("a:1"), Phase::Measuring), "a:1: 2.0 s: 2,500/s, p99 1.00 ms, 1 error");
    }
}
