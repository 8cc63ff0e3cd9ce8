//! What is counted: replies and their latencies, errors by kind, and the pace over time.

use core::{fmt, time::Duration};
use std::{collections::BTreeMap, io};

use greet::report::latency::Latencies;
use hdrhistogram::CreationError;

/// What can go wrong, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The connection was not to be had.
    NoConnection(String),
    /// It was there, and no greeting came in time.
    NoGreeting,
    /// No whole reply came in time.
    NoReply,
    /// The server did not end its side in time after `exit`.
    NoEnd,
    /// The server ended its side before that was due.
    EndedEarly,
    /// The connection was lost.
    Broken(String),
    /// A byte was wrong.
    Mismatch,
    /// The protocol's own error reply, and its text.
    Reply(String),
    /// Such a reply that went on and on.
    EndlessError,
    /// More kinds than are kept apart.
    Other,
}

impl Kind {
    /// That a connection was not to be had.
    pub(super) fn of_connecting(error: &io::Error) -> Self {
        Self::NoConnection(match error.kind() {
            io::ErrorKind::ConnectionRefused => REFUSED.to_owned(),
            io::ErrorKind::TimedOut => NO_ANSWER.to_owned(),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "unreachable".to_owned(),
            io::ErrorKind::ConnectionReset => "reset".to_owned(),
            _ => error.to_string(),
        })
    }

    /// That a connection was lost.
    pub(super) fn of_connection(error: &io::Error) -> Self {
        Self::Broken(match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset".to_owned(),
            io::ErrorKind::TimedOut => "the network gave up".to_owned(),
            _ => error.to_string(),
        })
    }
}

impl Kind {
    /// What to do about it, where it keeps a run from beginning.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::NoConnection(reason) if reason == REFUSED => "is the server running, and on this port?",
            Self::NoConnection(reason) if reason == NO_ANSWER => {
                "check the address and the firewalls on the way, or raise --timeout"
            }
            Self::NoConnection(_) => "check the address and this machine's network",
            Self::NoGreeting => "is it a greeting server? It may be full; --timeout gives it longer",
            _ => "is it a greeting server? See what it says",
        }
    }
}

/// Why there is no connection, in words that are told from others.
const REFUSED: &str = "refused";
const NO_ANSWER: &str = "no answer in time";

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(reason) => write!(formatter, "no connection: {reason}"),
            Self::NoGreeting => formatter.write_str("no greeting in time"),
            Self::NoReply => formatter.write_str("no whole reply in time"),
            Self::NoEnd => formatter.write_str("no end after `exit` in time"),
            Self::EndedEarly => formatter.write_str("ended by the server before it was asked to"),
            Self::Broken(reason) => write!(formatter, "connection lost: {reason}"),
            Self::Mismatch => formatter.write_str("wrong bytes"),
            Self::Reply(text) => write!(formatter, "error reply: {text}"),
            Self::EndlessError => formatter.write_str("error reply without an end"),
            Self::Other => formatter.write_str("other errors"),
        }
    }
}

/// How many kinds are kept apart: a peer chooses the texts of its error replies.
const KINDS: usize = 32;

/// What was counted of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    pub(super) count: u64,
    /// The first of them in full, if there is more to say.
    pub(super) example: Option<String>,
}

/// What is counted.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Replies count that come at this time or later ...
    begin: Duration,
    /// ... for the pace if they come before this time, for the latencies if their names were due before.
    end: Duration,
    /// How long was measured before that, in earlier turns.
    before: Duration,
    pub(super) latencies: Latencies,
    /// Replies between begin and end, whenever their names were due.
    pub(super) in_time: u64,
    pub(super) errors: BTreeMap<Kind, Errors>,
    /// Names that were under way when their connections ended.
    pub(super) unanswered: u64,
    pub(super) over_time: OverTime,
}

impl Tally {
    pub(super) fn new() -> Result<Self, CreationError> {
        Ok(Self {
            begin: Duration::MAX,
            end: Duration::MAX,
            before: Duration::ZERO,
            latencies: Latencies::new()?,
            in_time: 0,
            errors: BTreeMap::new(),
            unanswered: 0,
            over_time: OverTime::default(),
        })
    }

    /// Measures anew, from `begin` to `end`. Errors stay, and the pace over time goes on.
    pub(super) fn measure(&mut self, begin: Duration, end: Duration) {
        self.before = self.before.saturating_add(self.end.saturating_sub(self.begin));
        (self.begin, self.end) = (begin, end);
        self.latencies.clear();
        self.in_time = 0;
    }

    /// The end has come, earlier than was thought.
    pub(super) fn end_at(&mut self, end: Duration) {
        self.end = self.end.min(end);
    }

    /// How long was measured, as of `now`.
    pub(super) fn elapsed(&self, now: Duration) -> Duration {
        self.end.min(now).saturating_sub(self.begin)
    }

    /// A reply came, to a name that was due at `due`.
    pub(super) fn reply(&mut self, now: Duration, due: Duration) {
        if self.begin <= now && now < self.end {
            self.in_time = self.in_time.saturating_add(1);
            self.over_time.add(now.saturating_sub(self.begin).saturating_add(self.before));
        }
        // Also what is answered behind the end, or was due before the beginning: without the slowest the rest would look
        // too good, and at a rate that cannot be kept up there would be nothing else.
        if self.begin <= now && due < self.end {
            self.latencies.add(now.saturating_sub(due));
        }
    }

    pub(super) fn error(&mut self, kind: Kind, example: Option<String>) {
        let known = self.errors.len() < KINDS || self.errors.contains_key(&kind);
        let errors = self.errors.entry(if known { kind } else { Kind::Other }).or_default();
        errors.count = errors.count.saturating_add(1);
        errors.example = errors.example.take().or(example);
    }

    pub(super) fn error_count(&self) -> u64 {
        self.errors.values().fold(0, |sum, errors| sum.saturating_add(errors.count))
    }
}

/// Replies over time, in no more than so many stretches of the same length; they double when time goes on.
#[derive(Clone, Debug)]
pub(super) struct OverTime {
    stretch: Duration,
    counts: Vec<u64>,
}

const STRETCHES: usize = 200;

impl Default for OverTime {
    fn default() -> Self {
        Self { stretch: Duration::from_millis(10), counts: Vec::with_capacity(STRETCHES) }
    }
}

impl OverTime {
    fn add(&mut self, at: Duration) {
        let mut place = self.place(at);
        while place >= STRETCHES {
            self.double();
            place = self.place(at);
        }
        if self.counts.len() <= place {
            self.counts.resize(place.saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
    }

    fn place(&self, at: Duration) -> usize {
        // Not `as_nanos`: for each reply a division of 128 bits would cost more than the rest. 584 years fit.
        let nanoseconds =
            |span: Duration| span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos().into());
        let place = nanoseconds(at).checked_div(nanoseconds(self.stretch)).unwrap_or(0);
        usize::try_from(place).unwrap_or(usize::MAX)
    }

    fn double(&mut self) {
        self.stretch = self.stretch.saturating_mul(2);
        self.counts = self
            .counts
            .chunks(2)
            .map(|pair| pair.iter().fold(0_u64, |sum, &count| sum.saturating_add(count)))
            .collect();
        self.counts.reserve(STRETCHES.saturating_sub(self.counts.len()));
    }

    /// The middle of each stretch in seconds, and replies a second in it; of whole stretches alone.
    pub(super) fn points(&self, elapsed: Duration) -> Vec<(f64, f64)> {
        let stretch = self.stretch.as_secs_f64();
        let whole = self.place(elapsed);
        let mut middle = -stretch / 2.0;
        let counts = self.counts.iter().chain(core::iter::repeat(&0)).take(whole.min(STRETCHES));
        counts
            .map(|&count| {
                middle += stretch;
                (middle, count as f64 / stretch)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn only_what_is_between_begin_and_end_counts_but_the_slowest_reply_does() {
        let mut tally = Tally::new().unwrap();
        tally.reply(at(1), at(0));
        tally.measure(at(100), at(200));
        tally.reply(at(99), at(98)); // too early
        tally.reply(at(101), at(99));
        tally.reply(at(150), at(149));
        tally.reply(at(900), at(199)); // for the latencies alone
        tally.reply(at(901), at(200)); // too late
        assert_eq!((tally.in_time, tally.latencies.count()), (2, 3));
        assert!(tally.latencies.summary().max >= 700_000_000);
    }

    #[test]
    fn the_pace_over_time_takes_the_same_memory_however_long_it_is() {
        let mut over_time = OverTime::default();
        for millisecond in 0..100_000 {
            over_time.add(at(millisecond));
        }
        let points = over_time.points(at(100_000));
        assert!(points.len() <= STRETCHES && points.len() > STRETCHES / 2, "{}", points.len());
        assert!(points.iter().all(|(_, rate)| (rate - 1000.0).abs() < 1.0), "{points:?}");
    }

    #[test]
    fn a_stretch_without_a_reply_shows_as_nothing() {
        let mut over_time = OverTime::default();
        over_time.add(at(5));
        over_time.add(at(25));
        assert_eq!(over_time.points(at(40)), [(0.005, 100.0), (0.015, 0.0), (0.025, 100.0), (0.035, 0.0)]);
    }

    #[test]
    fn a_peer_that_invents_errors_does_not_fill_the_memory() {
        let mut tally = Tally::new().unwrap();
        for number in 0..1000 {
            tally.error(Kind::Reply(number.to_string()), None);
        }
        assert_eq!((tally.errors.len(), tally.error_count()), (KINDS + 1, 1000));
    }
}
