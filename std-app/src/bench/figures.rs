//! The figures of a run, as plain data for the exporters.

use core::time::Duration;
use std::time::SystemTime;

use greet_core::{Framing, Service};

use super::{
    intervals::Interval,
    load::Measured,
    options::SocketArgs,
    pace::Backlog,
    plan::Plan,
    stalls::{Stall, USUAL_PERCENTILE},
    tally::{Errors, Kind, Tally},
};
use crate::latency::{Latency, Point};

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    pub(crate) size: usize,
    pub(crate) service: Service,
    pub(crate) framing: &'static str,
    /// Names per second, with `--rate`.
    pub(crate) rate: Option<f64>,
    /// The number of names, with `-n`.
    pub(crate) names: Option<u64>,
    /// The measured time, without `-n`.
    pub(crate) duration: Option<Duration>,
    pub(crate) warmup: Duration,
    pub(crate) timeout: Option<Duration>,
    pub(crate) socket: SocketArgs,
}

impl Settings {
    pub(super) fn new(plan: &Plan, socket: &SocketArgs) -> Self {
        Self {
            connections: plan.connections,
            pipeline: plan.pipeline,
            size: plan.size,
            service: plan.service,
            framing: if plan.framing == Framing::Line { "line" } else { "chunk" },
            rate: plan.rate,
            names: plan.names,
            duration: plan.names.is_none().then_some(plan.duration),
            warmup: plan.warmup,
            timeout: plan.timeout,
            socket: socket.clone(),
        }
    }
}

/// The figures of one server.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// The server as it was given.
    pub(crate) host: String,
    /// The address that was used.
    pub(crate) address: String,
    /// The number of connections that were open at the end.
    pub(crate) greeted: usize,
    /// The measured time.
    pub(crate) elapsed: Duration,
    /// The number of names with the right reply during the measured time.
    pub(crate) answered: u64,
    /// The same per second.
    pub(crate) names_per_s: f64,
    /// Bytes of names and of replies per second.
    pub(crate) sent_bytes_per_s: f64,
    pub(crate) received_bytes_per_s: f64,
    /// `None` if no name was answered.
    pub(crate) latency: Option<Latency>,
    /// The number of names without a reply, which count with the time that they waited: with any, all latencies are lower
    /// bounds.
    pub(crate) latency_at_least: u64,
    /// With `--rate`: the names that were due and not sent at the end.
    pub(crate) backlog: Option<Backlog>,
    /// The number of names in flight when their connections ended.
    pub(crate) unanswered: u64,
    /// The same during the warm-up.
    pub(crate) unanswered_in_warmup: u64,
    /// The number of names in flight when a signal ended the run.
    pub(crate) interrupted: u64,
    /// The run was aborted after this time without a reply.
    pub(crate) given_up_after: Option<Duration>,
    pub(crate) errors: Vec<ErrorFigures>,
    /// The share of a CPU that this program used itself.
    pub(crate) own_cpu: f64,
    /// The distribution of the latencies.
    pub(crate) distribution: Vec<Point>,
    /// Points of seconds and names per second.
    pub(crate) over_time: Vec<(f64, f64)>,
    /// The longest times without any reply, in the order of time.
    pub(crate) stalls: Vec<Stall>,
    /// With `--interval`.
    pub(crate) intervals: Vec<Interval>,
}

/// Errors of one kind.
#[derive(Clone, Debug)]
pub(crate) struct ErrorFigures {
    pub(crate) kind: String,
    pub(crate) count: u64,
    /// The number during the warm-up.
    pub(crate) in_warmup: u64,
    /// The message of the first of them, if it says more than the kind.
    pub(crate) example: Option<String>,
}

impl ErrorFigures {
    fn new((kind, errors): (&Kind, &Errors)) -> Self {
        let Errors { count, in_warmup, ref example } = *errors;
        Self { kind: kind.to_string(), count, in_warmup, example: example.clone() }
    }
}

impl Figures {
    /// Computes the figures from the counters of a run.
    pub(super) fn new(
        plan: &Plan,
        host: String,
        address: String,
        greeted: usize,
        tally: &Tally,
        measured: &Measured,
    ) -> Self {
        let elapsed = measured.elapsed.as_secs_f64();
        let per_second = |count: f64| if elapsed > 0.0 { count / elapsed } else { 0.0 };
        let (sent, received) = plan.bytes_a_name();
        let answered = tally.in_time as f64;
        // Without any reply the times waited say nothing about the server's latency.
        let waits = Some(&tally.waits).filter(|waits| waits.answered() > 0);
        let latency = waits.and_then(|waits| waits.latencies.summary());
        Self {
            host,
            address,
            greeted,
            elapsed: measured.elapsed,
            answered: tally.in_time,
            names_per_s: per_second(answered),
            sent_bytes_per_s: per_second(answered * sent as f64),
            received_bytes_per_s: per_second(answered * received as f64),
            latency,
            latency_at_least: waits.map_or(0, |waits| waits.at_least),
            backlog: plan.rate.map(|_| measured.backlog),
            unanswered: tally.unanswered,
            unanswered_in_warmup: tally.unanswered_in_warmup,
            interrupted: tally.interrupted,
            given_up_after: measured.given_up,
            errors: tally.errors.iter().map(ErrorFigures::new).collect(),
            own_cpu: per_second(measured.cpu.as_secs_f64()),
            distribution: waits.map_or_else(Vec::new, |waits| waits.latencies.curve()),
            over_time: tally.over_time.points(measured.elapsed),
            stalls: tally.stalls.found(latency.map(|_| tally.waits.latencies.percentile(USUAL_PERCENTILE))),
            intervals: tally.intervals.as_ref().map_or_else(Vec::new, |intervals| intervals.finished().to_vec()),
        }
    }

    /// If the last replies are missing: when the last reply was received, and the names per second until then.
    pub(crate) fn last_reply(&self) -> Option<(Duration, f64)> {
        let begin = self.stalls.iter().find(|stall| stall.is_last)?.begin;
        Some((begin, self.answered as f64 / begin.as_secs_f64())).filter(|(_, rate)| rate.is_finite())
    }

    /// Whether every name that was sent got the right reply. A backlog does not matter here.
    pub(crate) fn are_good(&self) -> bool {
        self.has_no_errors() && self.is_answered() && self.given_up_after.is_none()
    }

    pub(crate) fn has_no_errors(&self) -> bool {
        self.errors.is_empty() && self.unanswered == 0 && self.unanswered_in_warmup == 0
    }

    /// Whether any name was answered during the measured time.
    pub(crate) const fn is_answered(&self) -> bool {
        self.latency.is_some()
    }

    /// The number of errors, with those of the warm-up.
    pub(crate) fn error_count(&self) -> u64 {
        let counts = self.errors.iter().flat_map(|error| [error.count, error.in_warmup]);
        counts.fold(0, u64::saturating_add)
    }
}

/// The result of a run with one server.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) date: String,
    pub(crate) settings: Settings,
    /// A signal ended the run.
    pub(crate) ended_early: bool,
    pub(crate) figures: Figures,
}

/// The current date and time in UTC (RFC 3339).
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
    fn the_figures_are_good_only_if_every_name_got_the_right_reply() {
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
