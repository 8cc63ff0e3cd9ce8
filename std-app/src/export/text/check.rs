//! The results of a check as a list on the terminal.

use core::cell::RefCell;
use std::io::{self, IsTerminal, Write};

use console::Term;
use greet_core::Escaped;

use crate::check::{
    entry::{Entry, Outcome},
    failure::{Failure, shown},
    probe::{Level, Listed},
    record::Record,
    service::Service,
};

/// Where the lines of a list go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// To standard output at once.
    Now,
    /// Into memory, for [`List::later`].
    Later,
    /// Nowhere: only progress is shown.
    Progress,
}

/// The list as it grows: results on standard output, progress on standard error if that is a terminal.
pub(crate) struct List {
    bar: Option<indicatif::ProgressBar>,
    colors: bool,
    show: Show,
    /// The lines of [`Show::Later`].
    kept: RefCell<String>,
    /// Why a line could not be printed.
    error: RefCell<Option<io::Error>>,
}

impl List {
    /// A list with or without progress.
    pub(crate) fn new(show: Show, has_progress: bool) -> Self {
        let bar = (has_progress && io::stderr().is_terminal()).then(|| {
            let style = indicatif::ProgressStyle::with_template("     {msg} {wide_bar} {percent}%");
            let bar = indicatif::ProgressBar::new(0);
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        let colors = Term::stdout().features().colors_supported(); // not with NO_COLOR, and not on a dumb terminal
        Self { bar, colors, show, kept: RefCell::default(), error: RefCell::new(None) }
    }

    pub(crate) fn line(&self, text: &str) {
        match self.show {
            Show::Now => {}
            Show::Later => {
                self.kept.borrow_mut().extend([text, "\n"]);
                return;
            }
            Show::Progress => return,
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

    /// The lines that were not printed.
    pub(crate) fn later(&self) -> String {
        self.kept.take()
    }

    /// The first error of printing.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Shows that this probe is running.
    pub(crate) fn begin(&self, id: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(id.to_owned());
            bar.set_length(1);
            bar.set_position(0);
        }
    }

    pub(crate) fn progress(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.max(1));
            bar.set_position(done);
        }
    }

    pub(crate) fn entry(&self, entry: &Entry) {
        let Entry { id, level, requirement, outcome, .. } = entry;
        if let (Outcome::Failed(failure), Some(finding)) = (outcome, &entry.follows) {
            let what = Escaped(failure.what.as_bytes());
            self.line(&format!("also {id:<26} {level:<6} follows from {finding}: {what}"));
            return;
        }
        let (word, color, text) = match (outcome, level) {
            (Outcome::Passed(text), _) => ("ok", "32", text.as_str()),
            (Outcome::Failed(_), Level::Must) => ("FAIL", "31", requirement.as_str()),
            (Outcome::Failed(_), Level::Should) => ("WARN", "33", requirement.as_str()),
            (Outcome::Failed(_), Level::May) => ("note", "36", requirement.as_str()),
            (Outcome::Skipped(reason), _) => ("skip", "2", reason.as_str()),
        };
        let word = format!("{word:<4}");
        let word = if self.colors { format!("\x1B[{color}m{word}\x1B[0m") } else { word };
        self.line(&format!("{word} {id:<26} {level:<6} {text}"));
        if let Outcome::Failed(failure) = outcome {
            for (index, frame) in entry.frames.iter().enumerate() {
                let label = if index == 0 { "frames:   " } else { "          " };
                self.line(&format!("     {label}{}", Escaped(frame.as_bytes())));
            }
            for line in finding(failure) {
                self.line(&format!("     {line}"));
            }
        }
    }

    /// One line for all probes that were not run after `probe` had failed.
    pub(crate) fn skipped(&self, count: usize, probe: &str) {
        self.line(&format!(
            "skip {} after {probe}",
            if count == 1 { "1 probe".to_owned() } else { format!("{count} probes") }
        ));
    }

    pub(crate) fn end(&self, record: &Record) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if let Some(diagnosis) = &record.diagnosis {
            self.line(&format!("diagnosis: {}", Escaped(diagnosis.text.as_bytes())));
        }
        self.line(&record.verdict);
    }
}

/// The finding, the expected and received bytes, and the usual causes: one line each.
pub(crate) fn finding(failure: &Failure) -> Vec<String> {
    let mut lines = vec![format!("found:    {}", Escaped(failure.what.as_bytes()))];
    lines.extend(failure.expected.as_deref().map(|bytes| format!("expected: {}", shown(bytes))));
    lines.extend(failure.received.as_deref().map(|bytes| format!("received: {}", shown(bytes))));
    lines.extend(failure.evidence.as_ref().map(|evidence| format!("TCP:      {}", evidence.text)));
    for (index, cause) in failure.causes.iter().enumerate() {
        lines.push(format!("{}{cause}", if index == 0 { "look at:  " } else { "          " }));
    }
    lines
}

/// Prints the id, level and requirement of all probes, for `--list`.
pub(crate) fn print_probes(probes: &[Listed]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for Listed { id, level, service, requirement, .. } in probes {
        let service = service.map_or("any", Service::name);
        writeln!(output, "{id:<26} {level:<6} {service:<5} {requirement}")?;
    }
    Ok(())
}
