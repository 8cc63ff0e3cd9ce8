//! The counters of a load: replies and latencies, errors by kind, throughput over time.

use core::{fmt, time::Duration};
use std::{collections::BTreeMap, io};

use greet_core::Service;
use hdrhistogram::CreationError;

use super::{intervals::Intervals, stalls::Stalls};
use crate::latency::Latencies;

/// The kinds of errors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Connecting failed, for this reason.
    NoConnection(String),
    /// Connected, and no greeting within the timeout.
    NoGreeting,
    /// No complete reply within the timeout.
    NoReply,
    /// No FIN within the timeout after this side has ended the conversation.
    NoEnd,
    /// The server's FIN was received before this side has ended the conversation.
    EndedEarly,
    /// The connection broke, for this reason.
    Broken(String),
    /// A reply had a wrong byte.
    Mismatch,
    /// An error reply, with its text.
    Reply(String),
    /// An error reply that exceeded its maximum length.
    EndlessError,
    /// Errors beyond the maximum number of kinds.
    Other,
}

impl Kind {
    /// The kind of an error while connecting.
    pub(super) fn of_connecting(error: &io::Error) -> Self {
        Self::NoConnection(match error.kind() {
            io::ErrorKind::ConnectionRefused => REFUSED.to_owned(),
            io::ErrorKind::TimedOut => NO_ANSWER.to_owned(),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "unreachable".to_owned(),
            io::ErrorKind::ConnectionReset => "reset".to_owned(),
            _ => error.to_string(),
        })
    }

    /// The kind of an error on an open connection.
    pub(super) fn of_connection(error: &io::Error) -> Self {
        Self::Broken(match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset".to_owned(),
            io::ErrorKind::TimedOut => "timed out by the kernel".to_owned(),
            _ => error.to_string(),
        })
    }
}

impl Kind {
    /// Advice for the message if no connection could be opened.
    pub(super) fn advice(&self, service: Service) -> &'static str {
        match self {
            Self::NoConnection(reason) if reason == REFUSED => "is the server running, and on this port?",
            Self::NoConnection(reason) if reason == NO_ANSWER => {
                "check the address and firewalls in between, or raise --timeout"
            }
            Self::NoConnection(_) => "check the address and this host's network",
            Self::NoGreeting => "is it a greeting server? It may be full; --timeout sets a longer limit",
            _ if service == Service::Echo => "is it an echo server? Check its log",
            _ => "is it a greeting server? Check its log",
        }
    }
}

/// Reasons that have advice of their own.
const REFUSED: &str = "refused";
const NO_ANSWER: &str = "no answer in time";

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(reason) => write!(formatter, "no connection: {reason}"),
            Self::NoGreeting => formatter.write_str("no greeting in time"),
            Self::NoReply => formatter.write_str("no complete reply in time"),
            Self::NoEnd => formatter.write_str("no FIN in time at the end of the conversation"),
            Self::EndedEarly => {
                formatter.write_str("connection closed by the server before the end of the conversation")
            }
            Self::Broken(reason) => write!(formatter, "connection broken: {reason}"),
            Self::Mismatch => formatter.write_str("wrong bytes"),
            Self::Reply(text) => write!(formatter, "error reply: {text}"),
            Self::EndlessError => formatter.write_str("error reply longer than 4096 bytes"),
            Self::Other => formatter.write_str("other errors"),
        }
    }
}

/// The maximum number of kinds: a peer chooses the texts of its error replies.
const KINDS: usize = 32;

/// The errors of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    pub(super) count: u64,
    /// The number during the warm-up.
    pub(super) in_warmup: u64,
    /// The message of the first of them, if it says more than the kind.
    pub(super) example: Option<String>,
}

/// The latencies of names, with those of unanswered names.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    pub(super) latencies: Latencies,
    /// The number of these without a reply: they would have taken longer.
    pub(super) at_least: u64,
}

impl Waits {
    pub(super) fn new() -> Result<Self, CreationError> {
        Ok(Self { latencies: Latencies::new()?, at_least: 0 })
    }

    /// Records names without a reply after this time.
    ///
    /// Without them the latencies would look too good; with them every figure is a lower bound.
    pub(super) fn add_at_least(&mut self, wait: Duration, names: u64) {
        self.latencies.add_many(wait, names);
        self.at_least = self.at_least.saturating_add(names);
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        self.latencies.add_all(&other.latencies);
        self.at_least = self.at_least.saturating_add(other.at_least);
    }

    /// The number of answered names.
    pub(super) fn answered(&self) -> u64 {
        self.latencies.count().saturating_sub(self.at_least)
    }

    fn clear(&mut self) {
        self.latencies.clear();
        self.at_least = 0;
    }
}

/// The counters of a load.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// When the current stretch began.
    begin: Duration,
    /// Replies before this time count for the throughput.
    end: Duration,
    /// During the warm-up only errors are counted, separately.
    warming_up: bool,
    /// The measured time of earlier turns.
    before: Duration,
    pub(super) waits: Waits,
    /// The number of replies between begin and end.
    pub(super) in_time: u64,
    pub(super) errors: BTreeMap<Kind, Errors>,
    /// The number of names in flight when their connections ended.
    pub(super) unanswered: u64,
    /// The same during the warm-up.
    pub(super) unanswered_in_warmup: u64,
    /// The number of names in flight when a signal ended the run.
    pub(super) interrupted: u64,
    pub(super) over_time: OverTime,
    pub(super) stalls: Stalls,
    /// With `--interval`.
    pub(super) intervals: Option<Intervals>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, CreationError> {
        Ok(Self {
            begin: Duration::MAX,
            end: Duration::MAX,
            warming_up: false,
            before: Duration::ZERO,
            waits: Waits::new()?,
            in_time: 0,
            errors: BTreeMap::new(),
            unanswered: 0,
            unanswered_in_warmup: 0,
            interrupted: 0,
            over_time: OverTime::default(),
            stalls: Stalls::default(),
            intervals: None,
        })
    }

    /// Starts a new stretch from `begin` to `end`. Errors and the throughput over time are kept.
    pub(super) fn begin(&mut self, begin: Duration, end: Duration, warming_up: bool) {
        (self.begin, self.end, self.warming_up) = (begin, end, warming_up);
        self.waits.clear();
        self.in_time = 0;
        self.stalls.resume(self.measured_time(begin));
        if let Some(intervals) = &mut self.intervals {
            intervals.start();
        }
    }

    /// The measured time up to `now`, with that of earlier turns.
    fn measured_time(&self, now: Duration) -> Duration {
        now.saturating_sub(self.begin).saturating_add(self.before)
    }

    /// Time has passed.
    pub(super) fn pass(&mut self, now: Duration) {
        if self.is_measuring(now) {
            let time = self.measured_time(now);
            if let Some(intervals) = &mut self.intervals {
                intervals.pass(time);
            }
        }
    }

    /// Whether `now` is within the measured time.
    fn is_measuring(&self, now: Duration) -> bool {
        !self.warming_up && self.begin <= now && now < self.end
    }

    /// The next name was scheduled for this time, and nothing was in flight: until then there was nothing to reply to.
    pub(super) fn resume(&mut self, due: Duration) {
        if !self.warming_up {
            self.stalls.resume(self.measured_time(due));
        }
    }

    /// Ends the measured time, maybe earlier than planned, and returns its length. Replies may still follow.
    ///
    /// `is_waiting` says whether names are in flight or due.
    pub(super) fn end_at(&mut self, end: Duration, is_waiting: bool) -> Duration {
        self.end = self.end.min(end);
        let elapsed = self.end.saturating_sub(self.begin);
        if !self.warming_up {
            let time = self.measured_time(self.end);
            if is_waiting {
                self.stalls.end(time);
            }
            if let Some(intervals) = &mut self.intervals {
                intervals.end(time);
            }
            self.before = self.before.saturating_add(elapsed);
        }
        elapsed
    }

    /// The stretch is over, with its last reply.
    pub(super) const fn finish(&mut self) {
        self.warming_up = false;
    }

    /// A reply was received, to a name that was due at `due`.
    pub(super) fn reply(&mut self, now: Duration, due: Duration) {
        if self.warming_up {
            return;
        }
        self.answered(now);
        if now < self.end {
            self.in_time = self.in_time.saturating_add(1);
            let time = self.measured_time(now);
            self.over_time.add(time);
            if let Some(intervals) = &mut self.intervals {
                intervals.reply(time, now.saturating_sub(due));
            }
        }
        // Also replies after the end: without the slowest the latencies would look too good.
        self.waits.latencies.add(now.saturating_sub(due));
    }

    /// A name was answered, by a reply or an error: the server does not stall.
    pub(super) fn answered(&mut self, now: Duration) {
        if self.is_measuring(now) {
            let time = self.measured_time(now);
            self.stalls.reply(time);
        }
    }

    /// A name is lost because its connection ended, after this wait.
    pub(super) fn lost(&mut self, wait: Duration) {
        if self.warming_up {
            self.unanswered_in_warmup = self.unanswered_in_warmup.saturating_add(1);
        } else {
            self.unanswered = self.unanswered.saturating_add(1);
            self.waits.add_at_least(wait, 1);
        }
    }

    /// A name is in flight at the end of the run, after this wait.
    pub(super) fn interrupted(&mut self, wait: Duration) {
        self.interrupted = self.interrupted.saturating_add(1);
        self.waits.add_at_least(wait, 1);
    }

    pub(super) fn error(&mut self, kind: Kind, example: Option<String>) {
        let known = self.errors.len() < KINDS || self.errors.contains_key(&kind);
        let errors = self.errors.entry(if known { kind } else { Kind::Other }).or_default();
        let count = if self.warming_up { &mut errors.in_warmup } else { &mut errors.count };
        *count = count.saturating_add(1);
        errors.example = errors.example.take().or(example);
        if let Some(intervals) = &mut self.intervals {
            intervals.error();
        }
    }

    /// The number of errors of all kinds, with those of the warm-up.
    pub(super) fn error_count(&self) -> u64 {
        let counts = self.errors.values().flat_map(|errors| [errors.count, errors.in_warmup]);
        counts.fold(0, u64::saturating_add)
    }
}

/// Replies over time, in at most `STRETCHES` stretches of equal length, which doubles when they are used up.
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
        let mut index = self.index(at);
        while index >= STRETCHES {
            self.double();
            index = self.index(at);
        }
        if self.counts.len() <= index {
            self.counts.resize(index.saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_add(1);
        }
    }

    fn index(&self, at: Duration) -> usize {
        // Not `as_nanos`: a division of 128 bits for each reply would cost more than the rest. 584 years fit.
        let nanoseconds =
            |span: Duration| span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos().into());
        let index = nanoseconds(at).checked_div(nanoseconds(self.stretch)).unwrap_or(0);
        usize::try_from(index).unwrap_or(usize::MAX)
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

    /// For each complete stretch: its middle in seconds, and its replies per second.
    pub(super) fn points(&self, elapsed: Duration) -> Vec<(f64, f64)> {
        let stretch = self.stretch.as_secs_f64();
        let whole = self.index(elapsed);
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
    fn replies_after_the_end_count_for_the_latencies_and_not_for_the_throughput() {
        let mut tally = Tally::new().unwrap();
        tally.begin(at(100), at(200), false);
        tally.reply(at(101), at(99));
        tally.reply(at(150), at(149));
        assert_eq!(tally.end_at(at(201), false), at(100));
        tally.reply(at(900), at(199));
        assert_eq!((tally.in_time, tally.waits.answered()), (2, 3));
        assert!(tally.waits.latencies.summary().unwrap().max >= at(700));
    }

    #[test]
    fn names_without_a_reply_count_with_the_time_waited() {
        let mut tally = Tally::new().unwrap();
        tally.begin(at(0), at(100), false);
        tally.reply(at(1), at(0));
        tally.lost(at(50));
        tally.interrupted(at(60));
        tally.waits.add_at_least(at(70), 7);
        assert_eq!((tally.unanswered, tally.interrupted, tally.waits.answered()), (1, 1, 1));
        assert_eq!((tally.waits.latencies.count(), tally.waits.at_least), (10, 9));
        assert!(tally.waits.latencies.percentile(50.0) >= at(69));
    }

    #[test]
    fn during_the_warm_up_only_errors_are_counted_and_separately() {
        let mut tally = Tally::new().unwrap();
        tally.error(Kind::NoGreeting, None);
        tally.begin(at(0), at(100), true);
        tally.reply(at(1), at(0));
        tally.lost(at(1));
        tally.error(Kind::NoReply, None);
        tally.end_at(at(100), false);
        tally.finish();
        assert_eq!((tally.in_time, tally.waits.latencies.count()), (0, 0));
        tally.begin(at(100), at(200), false);
        tally.error(Kind::NoReply, None);
        tally.reply(at(105), at(101));
        assert_eq!((tally.unanswered, tally.unanswered_in_warmup, tally.error_count()), (0, 1, 3));
        let no_reply = &tally.errors[&Kind::NoReply];
        assert_eq!((no_reply.count, no_reply.in_warmup), (1, 1));
        assert_eq!(tally.over_time.points(at(10)), [(0.005, 100.0)]);
    }

    #[test]
    fn the_throughput_over_time_has_bounded_memory() {
        let mut over_time = OverTime::default();
        for millisecond in 0..100_000 {
            over_time.add(at(millisecond));
        }
        let points = over_time.points(at(100_000));
        assert!(points.len() <= STRETCHES && points.len() > STRETCHES / 2, "{}", points.len());
        assert!(points.iter().all(|(_, rate)| (rate - 1000.0).abs() < 1.0), "{points:?}");
    }

    #[test]
    fn a_stretch_without_a_reply_has_a_throughput_of_zero() {
        let mut over_time = OverTime::default();
        over_time.add(at(5));
        over_time.add(at(25));
        assert_eq!(over_time.points(at(40)), [(0.005, 100.0), (0.015, 0.0), (0.025, 100.0), (0.035, 0.0)]);
    }

    #[test]
    fn the_number_of_error_kinds_is_bounded() {
        let mut tally = Tally::new().unwrap();
        for number in 0..1000 {
            tally.error(Kind::Reply(number.to_string()), None);
        }
        assert_eq!((tally.errors.len(), tally.error_count()), (KINDS + 1, 1000));
    }
}
