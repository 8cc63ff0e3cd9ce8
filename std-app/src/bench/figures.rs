//! The figures of a run, as they are printed, drawn, and written as JSON.

use core::time::Duration;
use std::time::SystemTime;

use greet_core::Framing;

use super::{
    load::Measured,
    pace::Backlog,
    plan::Plan,
    tally::{Errors, Kind, Tally},
};
use crate::latency::{Latency, Point};

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    pub(crate) size: usize,
    pub(crate) framing: &'static str,
    /// Names a second, where that was given.
    pub(crate) rate: Option<f64>,
    /// How many names, where that was given.
    pub(crate) names: Option<u64>,
    /// For how long, where that was given.
    pub(crate) duration: Option<Duration>,
    pub(crate) warmup: Duration,
    pub(crate) timeout: Option<Duration>,
}

impl Settings {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            connections: plan.connections,
            pipeline: plan.pipeline,
            size: plan.size,
            framing: if plan.framing == Framing::Line { "line" } else { "chunk" },
            rate: plan.rate,
            names: plan.names,
            duration: plan.names.is_none().then_some(plan.duration),
            warmup: plan.warmup,
            timeout: plan.timeout,
        }
    }
}

/// The figures of one server.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// The server as it was given.
    pub(crate) host: String,
    /// The address that it was found at.
    pub(crate) address: String,
    /// How many conversations were going on in the end.
    pub(crate) greeted: usize,
    /// How long it was measured.
    pub(crate) elapsed: Duration,
    /// Names that were answered, right to the last byte, while it was measured.
    pub(crate) answered: u64,
    /// The same a second.
    pub(crate) names_per_s: f64,
    /// Bytes of names and of replies a second.
    pub(crate) sent_bytes_per_s: f64,
    pub(crate) received_bytes_per_s: f64,
    /// `None` if no name was answered.
    pub(crate) latency: Option<Latency>,
    /// So many of them are names that had no answer, and may have waited for longer: if there are any, each figure of the
    /// latencies is the least that it can be.
    pub(crate) latency_at_least: u64,
    /// Where a rate was given: what was due and not sent in the end.
    pub(crate) backlog: Option<Backlog>,
    /// Names that were under way when their connections ended.
    pub(crate) unanswered: u64,
    /// So many more while nothing was measured yet.
    pub(crate) unanswered_in_warmup: u64,
    /// Names that were under way when a signal ended the run.
    pub(crate) interrupted: u64,
    /// It was given up, as no name had been answered for so long.
    pub(crate) given_up_after: Option<Duration>,
    pub(crate) errors: Vec<ErrorFigures>,
    /// Which part of a processor this program took itself.
    pub(crate) own_cpu: f64,
    /// The distribution of the latencies.
    pub(crate) distribution: Vec<Point>,
    /// Seconds, and names a second around then.
    pub(crate) over_time: Vec<(f64, f64)>,
}

/// Errors of one kind.
#[derive(Clone, Debug)]
pub(crate) struct ErrorFigures {
    pub(crate) kind: String,
    pub(crate) count: u64,
    /// So many more while nothing was measured yet.
    pub(crate) in_warmup: u64,
    /// The first of them in full, where there is more to say.
    pub(crate) example: Option<String>,
}

impl ErrorFigures {
    fn new((kind, errors): (&Kind, &Errors)) -> Self {
        let Errors { count, in_warmup, ref example } = *errors;
        Self { kind: kind.to_string(), count, in_warmup, example: example.clone() }
    }
}

impl Figures {
    /// Those of a tally.
    pub(super) fn new(
        plan: &Plan,
        host: String,
        address: String,
        greeted: usize,
        tally: &Tally,
        measured: &Measured,
    ) -> Self {
        let elapsed = measured.elapsed.as_secs_f64();
        let a_second = |count: f64| if elapsed > 0.0 { count / elapsed } else { 0.0 };
        let (sent, received) = plan.bytes_a_name();
        let answered = tally.in_time as f64;
        // Of names that were only waited for in vain there is nothing to learn of the server's latencies.
        let waits = Some(&tally.waits).filter(|waits| waits.answered() > 0);
        Self {
            host,
            address,
            greeted,
            elapsed: measured.elapsed,
            answered: tally.in_time,
            names_per_s: a_second(answered),
            sent_bytes_per_s: a_second(answered * sent as f64),
            received_bytes_per_s: a_second(answered * received as f64),
            latency: waits.and_then(|waits| waits.latencies.summary()),
            latency_at_least: waits.map_or(0, |waits| waits.at_least),
            backlog: plan.rate.map(|_| measured.backlog),
            unanswered: tally.unanswered,
            unanswered_in_warmup: tally.unanswered_in_warmup,
            interrupted: tally.interrupted,
            given_up_after: measured.given_up,
            errors: tally.errors.iter().map(ErrorFigures::new).collect(),
            own_cpu: a_second(measured.processor.as_secs_f64()),
            distribution: waits.map_or_else(Vec::new, |waits| waits.latencies.curve()),
            over_time: tally.over_time.points(measured.elapsed),
        }
    }

    /// Whether every name that was sent was answered, and rightly. What was due and not sent is no fault of an answer.
    pub(crate) fn are_good(&self) -> bool {
        self.has_no_errors() && self.is_answered() && self.given_up_after.is_none()
    }

    pub(crate) fn has_no_errors(&self) -> bool {
        self.errors.is_empty() && self.unanswered == 0 && self.unanswered_in_warmup == 0
    }

    /// Whether any name was answered that was measured.
    pub(crate) const fn is_answered(&self) -> bool {
        self.latency.is_some()
    }

    /// How many errors there were while it was measured, and before.
    pub(crate) fn error_count(&self) -> u64 {
        let counts = self.errors.iter().flat_map(|error| [error.count, error.in_warmup]);
        counts.fold(0, u64::saturating_add)
    }
}

/// All there is to tell of a run with one server.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) date: String,
    pub(crate) settings: Settings,
    /// A signal ended it.
    pub(crate) ended_early: bool,
    pub(crate) figures: Figures,
}

/// This moment, to the second.
pub(crate) fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::work::tests::plan;

    fn figures(tally: &Tally) -> Figures {
        let measured = Measured { elapsed: Duration::from_secs(1), ..Measured::default() };
        Figures::new(&plan(None, 1), "host".to_owned(), "address".to_owned(), 1, tally, &measured)
    }

    #[test]
    fn without_an_answer_there_are_no_latencies() {
        let mut tally = Tally::new().unwrap();
        tally.begin(Duration::ZERO, Duration::MAX, false);
        tally.lost(Duration::from_micros(50));
        assert_eq!(figures(&tally).latency, None);
        tally.reply(Duration::from_secs(2), Duration::from_secs(1));
        let figures = figures(&tally);
        assert_eq!((figures.latency.unwrap().count, figures.latency_at_least), (2, 1));
        assert!(figures.latency.unwrap().max > Duration::from_millis(900));
    }

    #[test]
    fn only_if_all_that_was_sent_is_answered_rightly_the_figures_are_good() {
        let mut tally = Tally::new().unwrap();
        assert!(!figures(&tally).are_good()); // nothing was answered
        tally.begin(Duration::ZERO, Duration::MAX, false);
        tally.reply(Duration::from_secs(2), Duration::from_secs(1));
        assert!(figures(&tally).are_good());
        for spoil in [
            (|tally: &mut Tally| tally.lost(Duration::ZERO)) as fn(&mut Tally),
            |tally| tally.error(Kind::NoReply, None),
            |tally| {
                tally.begin(Duration::ZERO, Duration::MAX, true);
                tally.error(Kind::NoReply, None);
            },
        ] {
            let mut spoilt = tally.clone();
            spoil(&mut spoilt);
            assert!(!figures(&spoilt).are_good());
        }
    }
}
