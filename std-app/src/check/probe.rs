//! A probe: one thing that is to hold, what it came to, and what to look at where it does not hold.

use core::{fmt, time::Duration};
use std::io;

pub(super) use crate::export::html::chart::Unit;
use greet_core::Escaped;

use super::target::Target;

/// How much of what was expected and received is kept and shown.
pub(super) const SHOWN: usize = 160;

/// What belongs together. After each group the server is asked whether it is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Reach,
    Connections,
    Rules,
    Stream,
    Time,
}

impl Group {
    pub(super) const ALL: [Self; 5] = [Self::Reach, Self::Connections, Self::Rules, Self::Stream, Self::Time];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::Connections => "connections",
            Self::Rules => "rules",
            Self::Stream => "stream",
            Self::Time => "time",
        }
    }
}

/// Whether a server may be used that a probe does not hold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Must,
    Should,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        })
    }
}

/// How a probe is run.
pub(super) type Run = Box<dyn Fn(&Target, &mut Notes<'_>) -> Result<String, Stop>>;

/// One thing that is to hold.
pub(super) struct Probe {
    pub(super) id: String,
    pub(super) group: Group,
    pub(super) level: Level,
    /// What it shows, as a sentence.
    pub(super) shows: String,
    /// What to look at where it does not hold.
    pub(super) causes: &'static [&'static str],
    pub(super) run: Run,
}

impl Probe {
    pub(super) fn new(
        group: Group,
        name: &str,
        level: Level,
        shows: &str,
        causes: &'static [&'static str],
        run: impl Fn(&Target, &mut Notes<'_>) -> Result<String, Stop> + 'static,
    ) -> Self {
        let id = format!("{}.{name}", group.name());
        Self { id, group, level, shows: shows.to_owned(), causes, run: Box::new(run) }
    }
}

/// Why a probe did not come to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// What it shows does not hold.
    Failed(Box<Failure>),
    /// It cannot be run on this server, for this reason.
    Skipped(String),
    /// Nor can anything else, for this reason.
    Over(String),
}

/// What kind of thing was found, where it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Other,
    /// A connection was refused.
    Refused,
    /// A connection was not answered.
    Silent,
    /// The connection was reset.
    Reset,
    /// The server ended it.
    Ended,
    /// It was there, but nothing came in time.
    Late,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// In one line.
    pub(super) what: String,
    /// Where the bytes differ, counted from the first byte of the greeting.
    pub(super) offset: Option<u64>,
    /// What was to come from there on.
    pub(super) expected: Option<Vec<u8>>,
    /// What came.
    pub(super) received: Option<Vec<u8>>,
    /// What this very failure points at, before the usual causes.
    pub(super) causes: Vec<String>,
}

impl Failure {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    #[must_use]
    pub(super) fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The most likely cause.
    #[must_use]
    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.insert(0, cause.into());
        self
    }

    /// The same, where that holds.
    #[must_use]
    pub(super) fn because_if(self, holds: bool, cause: impl Into<String>) -> Self {
        if holds { self.because(cause) } else { self }
    }

    /// In what it happened.
    #[must_use]
    pub(super) fn during(mut self, what: impl fmt::Display) -> Self {
        self.what = format!("{what}: {}", self.what);
        self
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// Bytes as they are shown; no control character of a peer reaches a terminal (rule K3).
pub(super) fn shown(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN) {
        Some(beginning) if bytes.len() > SHOWN => format!("`{}`... ({} bytes)", Escaped(beginning), bytes.len()),
        _ if bytes.is_empty() => "nothing".to_owned(),
        _ => format!("`{}`", Escaped(bytes)),
    }
}

/// So many, of as many as there would have been.
pub(super) fn so_many(came: u64, of: u64, what: &str) -> String {
    if came == of { format!("{came} {what}") } else { format!("{came} of {of} {what} within the time") }
}

/// What kind of end an error of a connection is.
pub(super) fn kind_of(error: &io::Error) -> Kind {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, WouldBlock};
    match error.kind() {
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected => Kind::Reset,
        TimedOut | WouldBlock => Kind::Late,
        _ => Kind::Other,
    }
}

/// What an error of a connection means.
pub(super) fn of(error: &io::Error) -> String {
    match kind_of(error) {
        Kind::Reset => "the connection was reset".to_owned(),
        Kind::Late => "nothing came in time".to_owned(),
        _ => error.to_string(),
    }
}

/// A figure, worth comparing with another run's.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    pub(super) name: &'static str,
    /// Times in seconds.
    pub(super) value: f64,
    pub(super) unit: Unit,
    /// It is that of many, and not what was taken once.
    pub(super) of_many: bool,
}

/// What a probe notes beside whether it holds.
pub(super) struct Notes<'a> {
    pub(super) measures: Vec<Measure>,
    /// Round trips.
    pub(super) trips: Vec<Duration>,
    progress: &'a dyn Fn(u64, u64),
}

impl<'a> Notes<'a> {
    pub(super) fn new(progress: &'a dyn Fn(u64, u64)) -> Self {
        Self { measures: Vec::new(), trips: Vec::new(), progress }
    }

    /// A figure of which more is better.
    pub(super) fn measure(&mut self, name: &'static str, value: f64, unit: Unit) {
        self.measures.push(Measure { name, value, unit, of_many: false });
    }

    /// A time that was taken once.
    pub(super) fn time(&mut self, name: &'static str, value: Duration) {
        self.measure(name, value.as_secs_f64(), Unit::Time);
    }

    /// The median of many times.
    pub(super) fn median(&mut self, name: &'static str, value: Duration) {
        self.measures.push(Measure { name, value: value.as_secs_f64(), unit: Unit::Time, of_many: true });
    }

    /// So much of so much is done.
    pub(super) fn progress(&self, done: u64, all: u64) {
        (self.progress)(done, all);
    }
}
