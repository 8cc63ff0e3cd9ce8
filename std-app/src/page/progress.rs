//! How far a body has come: on a terminal alone.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// Its length is known.
const BAR: &str = "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
/// It is not.
const COUNT: &str = "{spinner} {bytes}, {bytes_per_sec}";

/// A bar on standard error.
#[derive(Debug)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn new(length: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self::none();
        }
        let (bar, template) = match length {
            Some(length) => (ProgressBar::new(length), BAR),
            None => (ProgressBar::no_length(), COUNT),
        };
        Self(ProgressStyle::with_template(template).ok().map(|style| bar.with_style(style)))
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
