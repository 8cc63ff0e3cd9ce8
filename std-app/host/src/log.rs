//! What the service says: the tutorial's lines on standard output, diagnostics on standard error.
//!
//! Neither may hold up a conversation: whoever reads the output may be slow, or gone. So each is written by a thread of
//! its own behind a queue, and what overflows that is dropped and counted.

use core::{fmt, net::SocketAddr};
use std::io::{self, Write};

use crate::args::Verbosity;
use console::Term;
use greet_core::{Escaped, ServerEvent};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{self, NonBlocking, WorkerGuard};

/// The lines on standard output.
#[derive(Clone, Debug)]
pub struct Log {
    lines: NonBlocking,
    /// Whether connections get lines.
    quiet: bool,
}

/// Writes what is queued when it is dropped.
#[must_use = "the writers end with it"]
#[derive(Debug)]
pub struct Guard {
    _output: WorkerGuard,
    _diagnostics: WorkerGuard,
    log: Log,
}

/// Starts both writers.
pub fn start(Verbosity { verbose, quiet }: Verbosity) -> (Log, Guard) {
    let (diagnostics, diagnostics_guard) = non_blocking::NonBlockingBuilder::default().finish(io::stderr());
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let colors = Term::stderr().features().colors_supported(); // not with NO_COLOR, and not on a dumb terminal
    // Fails where the process has a subscriber already: then that one gets the diagnostics.
    let _ = tracing_subscriber::fmt().with_max_level(level).with_ansi(colors).with_writer(diagnostics).try_init();
    let (lines, lines_guard) = non_blocking::NonBlockingBuilder::default().finish(io::stdout());
    let log = Log { lines, quiet };
    (log.clone(), Guard { _output: lines_guard, _diagnostics: diagnostics_guard, log })
}

impl Log {
    /// Writes one line.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        // Never fails: what cannot be queued is counted, what cannot be written has no reader.
        let _ = self.lines.clone().write_all(format!("{text}\n").as_bytes());
    }

    /// Somebody came.
    pub fn accepted(&self, peer: SocketAddr) {
        if !self.quiet {
            self.line(format_args!("Accept new connection from {peer}..."));
        }
    }

    /// Somebody went.
    pub fn closed(&self, peer: SocketAddr) {
        if !self.quiet {
            self.line(format_args!("Connection from {peer} closed."));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let dropped = self.log.lines.error_counter().dropped_lines();
        if dropped > 0 {
            tracing::warn!("{dropped} lines were dropped because nobody read standard output");
        }
    }
}

/// Tells what a server's machine tells.
pub fn trace(peer: SocketAddr, event: ServerEvent<'_>) {
    match event {
        ServerEvent::Name(name) => tracing::trace!(%peer, name = %Escaped(name), "a name"),
        ServerEvent::NotUtf8(name) => tracing::debug!(%peer, name = %Escaped(name), "a name that is not UTF-8"),
        ServerEvent::TooLong => tracing::debug!(%peer, "a name that is too long"),
        ServerEvent::Exit => tracing::trace!(%peer, "exit"),
    }
}
