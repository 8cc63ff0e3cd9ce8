//! Output of the server: lines about connections on standard output, diagnostics on standard error.
//!
//! A slow or closed output must not block a conversation. So each output has a queue and a thread that writes it. Lines
//! that do not fit in the queue are dropped and counted.

mod record;

use core::{fmt, net::SocketAddr, time::Duration};
use std::io::{self, Write};

use console::Term;
use greet_core::{Quoted, ServerEvent};
use tracing::{Level, level_filters::LevelFilter};
use tracing_appender::non_blocking::{self, NonBlocking, WorkerGuard};

pub use self::record::LogFormat;
use self::record::{Record, Summary};
use crate::{
    args::Verbosity,
    counters::{EndReason, Refusal, Traffic},
};

/// Writes lines to standard output.
#[derive(Clone, Debug)]
pub struct Log {
    lines: NonBlocking,
    /// Lines of fields; without it the lines of the tutorial.
    format: Option<LogFormat>,
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

/// Starts the threads that write both outputs. `format` is that of the lines about connections; without it they are the
/// tutorial's.
pub fn start(Verbosity { verbose, quiet }: Verbosity, format: Option<LogFormat>) -> (Log, Guard) {
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
    let log = Log { lines, format, quiet };
    (log.clone(), Guard { _output: lines_guard, _diagnostics: diagnostics_guard, log })
}

impl Log {
    /// The server listens on this address.
    pub fn listening(&self, address: SocketAddr) {
        match self.format {
            Some(format) => self.record(format, &Record { address: Some(address), ..Record::new("listening") }),
            None => self.line(format_args!("Waiting for connection on {address}...")),
        }
    }

    /// A connection was accepted. Nothing is written if quiet.
    pub fn accepted(&self, peer: SocketAddr) {
        match self.format {
            _ if self.quiet => {}
            Some(format) => self.record(format, &Record { peer: Some(peer), ..Record::new("accepted") }),
            None => self.line(format_args!("Accept new connection from {peer}...")),
        }
    }

    /// A connection was closed. Nothing is written if quiet.
    pub fn closed(&self, peer: SocketAddr, duration: Duration, traffic: &Traffic, reason: EndReason) {
        let reason = reason.name();
        tracing::debug!(%peer, reason, "the conversation has ended");
        match self.format {
            _ if self.quiet => {}
            Some(format) => {
                let summary = Some(Summary::new(duration, traffic));
                self.record(
                    format,
                    &Record { peer: Some(peer), summary, reason: Some(reason), ..Record::new("closed") },
                );
            }
            None => self.line(format_args!("Connection from {peer} closed.")),
        }
    }

    /// A connection was refused. Nothing is written if quiet.
    pub fn refused(&self, peer: SocketAddr, reason: Refusal) {
        match self.format {
            _ if self.quiet => {}
            Some(format) => {
                let reason = Some(reason.name());
                self.record(format, &Record { peer: Some(peer), reason, ..Record::new("refused") });
            }
            None => tracing::warn!("refused the connection from {peer}: {}", reason.explanation()),
        }
    }

    /// The machine of a conversation reports an event. Written with `-v` or `-vv` only.
    pub fn on_event(&self, peer: SocketAddr, event: ServerEvent<'_>) {
        if let Some(format) = self.format
            && tracing::enabled!(Level::TRACE)
        {
            let (event, name) = match event {
                ServerEvent::Name(name) => ("name", Some(name)),
                ServerEvent::NotUtf8(name) => ("not-utf8", Some(name)),
                ServerEvent::TooLong => ("too-long", None),
                ServerEvent::Exit => ("exit", None),
            };
            return self.record(format, &Record { peer: Some(peer), name, ..Record::new(event) });
        }
        match event {
            ServerEvent::Name(name) => tracing::trace!(%peer, name = %Quoted(name), "a name"),
            ServerEvent::NotUtf8(name) => tracing::debug!(%peer, name = %Quoted(name), "a name that is not UTF-8"),
            ServerEvent::TooLong => tracing::debug!(%peer, "a name that is too long"),
            ServerEvent::Exit => tracing::trace!(%peer, "exit"),
        }
    }

    fn record(&self, format: LogFormat, record: &Record<'_>) {
        self.line(format_args!("{}", record.line(format)));
    }

    fn line(&self, text: fmt::Arguments<'_>) {
        // Never fails: a line that cannot be queued is counted, and write errors mean that standard output is closed.
        let _ = self.lines.clone().write_all(format!("{text}\n").as_bytes());
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
