//! The line that shows how a run goes on: on a terminal alone, as wide as that, and gone when it is over.

use core::{cell::Cell, time::Duration};
use std::{
    io::{self, IsTerminal},
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::load::{Glance, Phase};
use crate::export::number::{Rate, Time, counted};

/// How often it changes.
const OFTEN: Duration = Duration::from_millis(200);

/// The line.
#[derive(Debug)]
pub(super) struct Live {
    /// `None` where there is no terminal.
    bar: Option<ProgressBar>,
    last: Cell<Option<Instant>>,
    /// How many connections are wanted.
    connections: usize,
}

impl Live {
    pub(super) fn new(connections: usize) -> Self {
        // What is too wide is cut: it would leave rubbish on the line above.
        let style = ProgressStyle::with_template("{wide_msg}").ok().filter(|_| io::stderr().is_terminal());
        let bar = style.map(|style| ProgressBar::new_spinner().with_style(style));
        Self { bar, last: Cell::new(None), connections }
    }

    /// Shows how it goes with the server of this name, if it is time to; without a name there is only one.
    pub(super) fn show(&self, host: Option<&str>, glance: Glance<'_>) {
        if let Some(bar) = &self.bar
            && self.last.get().is_none_or(|last| last.elapsed() >= OFTEN)
        {
            self.last.set(Some(Instant::now()));
            bar.set_message(line(host, &glance, self.connections));
            bar.tick();
        }
    }

    /// Makes room for what is said in its place.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear(); // an error is told on a line of its own
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
        Phase::CatchingUp => format!("sending what was due, {seconds:.1} s"),
        Phase::Awaiting => format!("awaiting the last replies, {seconds:.1} s"),
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
    fn the_line_says_what_goes_on_and_of_two_servers_with_which() {
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
