//! How far a body has come: on a terminal alone.

use core::time::Duration;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// Its length is known.
const BAR: &str = "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
/// It is not.
const COUNT: &str = "{spinner} {bytes}, {bytes_per_sec}";

/// How often it is drawn though nothing comes: a speed that was is no speed.
const TICK: Duration = Duration::from_millis(500);

/// A bar on standard error, or none.
#[derive(Debug, Default)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// None where standard error is no terminal.
    pub(super) fn new(length: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let (bar, template) = match length {
            Some(length) => (ProgressBar::new(length), BAR),
            None => (ProgressBar::no_length(), COUNT),
        };
        let bar = ProgressStyle::with_template(template).ok().map(|style| bar.with_style(style));
        if let Some(bar) = &bar {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    pub(super) fn show(&self, came: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(came);
        }
    }

    /// Makes room for what is said in its place.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
