//! Output of the server: the tutorial's lines on standard output, diagnostics on standard error.
//!
//! A slow or closed output must not block a conversation. So each output has a queue and a thread that writes it. Lines
//! that do not fit in the queue are dropped and counted.

use core::{fmt, net::SocketAddr};
use std::io::{self, Write};

use crate::args::Verbosity;
use console::Term;
use greet_core::{Escaped, ServerEvent};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{self, NonBlocking, WorkerGuard};

/// Writes lines to standard output.
#[derive(Clone, Debug)]
pub struct Log {
    lines: NonBlocking,
    /// Omits the lines about connections.
    quiet: bool,
}

/// Writes the queued lines when it is dropped.
#[must_use = "the outputs are closed when it is dropped"]
#[derive(Debug)]
pub struct Guard {
    _output: WorkerGuard,
    _diagnostics: WorkerGuard,
    log: Log,
}

/// Starts the threads that write both outputs.
pub fn start(Verbosity { verbose, quiet }: Verbosity) -> (Log, Guard) {
    let (diagnostics, diagnostics_guard) = non_blocking::NonBlockingBuilder::default().finish(io::stderr());
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let colors = Term::stderr().features().colors_supported(); // not with NO_COLOR, and not on a dumb terminal
    // Fails if the process has a subscriber already; then that one receives the diagnostics.
    let _ = tracing_subscriber::fmt().with_max_level(level).with_ansi(colors).with_writer(diagnostics).try_init();
    let (lines, lines_guard) = non_blocking::NonBlockingBuilder::default().finish(io::stdout());
    let log = Log { lines, quiet };
    (log.clone(), Guard { _output: lines_guard, _diagnostics: diagnostics_guard, log })
}

impl Log {
    /// Writes one line.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        // Never fails: a line that cannot be queued is counted, and write errors mean that standard output is closed.
        let _ = self.lines.clone().write_all(format!("{text}\n").as_bytes());
    }

    /// Writes that a connection was accepted, unless quiet.
    pub fn accepted(&self, peer: SocketAddr) {
        if !self.quiet {
            self.line(format_args!("Accept new connection from {peer}..."));
        }
    }

    /// Writes that a connection was closed, unless quiet.
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
            tracing::warn!("{dropped} lines were dropped because standard output was not read");
        }
    }
}

/// Logs an event of a server's machine.
pub fn trace(peer: SocketAddr, event: ServerEvent<'_>) {
    match event {
        ServerEvent::Name(name) => tracing::trace!(%peer, name = %Escaped(name), "a name"),
        ServerEvent::NotUtf8(name) => tracing::debug!(%peer, name = %Escaped(name), "a name that is not UTF-8"),
        ServerEvent::TooLong => tracing::debug!(%peer, "a name that is too long"),
        ServerEvent::Exit => tracing::trace!(%peer, "exit"),
    }
}
