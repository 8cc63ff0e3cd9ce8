//! The list on the terminal.

use core::cell::RefCell;
use std::{
    env,
    ffi::OsStr,
    io::{self, IsTerminal, Write},
};

use greet_core::Escaped;

use super::{
    outcome::{Entry, Outcome, Record},
    probe::shown,
};

/// The list as it grows: results on standard output, what is under way on a terminal's standard error.
pub(super) struct List {
    bar: Option<indicatif::ProgressBar>,
    colours: bool,
    quiet: bool,
    /// Why a line could not be printed.
    error: RefCell<Option<io::Error>>,
}

impl List {
    pub(super) fn new(quiet: bool) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = indicatif::ProgressStyle::with_template("     {msg} {wide_bar} {percent}%");
            let bar = indicatif::ProgressBar::new(0);
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        let is_set = |name, wanted: fn(&OsStr) -> bool| env::var_os(name).is_some_and(|value| wanted(&value));
        let unwanted = is_set("NO_COLOR", |value| !value.is_empty()) || is_set("TERM", |value| value == "dumb");
        Self { bar, colours: !unwanted && io::stdout().is_terminal(), quiet, error: RefCell::new(None) }
    }

    pub(super) fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        let print = || {
            if let Err(error) = writeln!(io::stdout(), "{text}") {
                self.error.borrow_mut().get_or_insert(error);
            }
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Whether all lines could be printed.
    pub(super) fn written(&self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// This one is under way.
    pub(super) fn begin(&self, id: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(id.to_owned());
            bar.set_length(1);
            bar.set_position(0);
        }
    }

    pub(super) fn progress(&self, done: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all.max(1));
            bar.set_position(done);
        }
    }

    pub(super) fn entry(&self, entry: &Entry) {
        let Entry { id, level, shows, outcome, .. } = entry;
        let (word, colour, text) = match outcome {
            Outcome::Held(text) => ("ok", "32", text.as_str()),
            Outcome::Failed(_) => ("FAIL", "31", shows.as_str()),
            Outcome::Skipped(reason) => ("skip", "33", reason.as_str()),
        };
        let word = format!("{word:<4}");
        let word = if self.colours { format!("\x1B[{colour}m{word}\x1B[0m") } else { word };
        self.line(&format!("{word} {id:<26} {level:<6} {text}"));
        if let Outcome::Failed(failure) = outcome {
            self.line(&format!("     found:    {}", Escaped(failure.what.as_bytes())));
            if let Some(expected) = &failure.expected {
                self.line(&format!("     expected: {}", shown(expected)));
            }
            if let Some(received) = &failure.received {
                self.line(&format!("     received: {}", shown(received)));
            }
            for (index, cause) in failure.causes.iter().enumerate() {
                self.line(&format!("     {}{cause}", if index == 0 { "look at:  " } else { "          " }));
            }
        }
    }

    pub(super) fn end(&self, record: &Record) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.line(&record.verdict);
    }
}
