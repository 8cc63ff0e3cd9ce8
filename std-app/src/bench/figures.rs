//! The figures of a run, as they are printed, drawn, and written as JSON.

use core::time::Duration;
use std::time::SystemTime;

use greet::report::latency::{Latency, Point};
use greet_core::Framing;
use serde::Serialize;

use super::{
    load::Turn,
    plan::Plan,
    tally::{Errors, Kind, Tally},
};

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Settings {
    pub(super) connections: usize,
    pub(super) pipeline: usize,
    pub(super) size: usize,
    pub(super) framing: &'static str,
    /// Names a second, where that was given.
    pub(super) rate: Option<f64>,
    /// How many names, where that was given.
    pub(super) names: Option<u64>,
    /// For how long, where that was given.
    pub(super) duration_s: Option<f64>,
    pub(super) warmup_s: f64,
    pub(super) timeout_s: Option<f64>,
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
            duration_s: plan.names.is_none().then_some(plan.duration.as_secs_f64()),
            warmup_s: plan.warmup.as_secs_f64(),
            timeout_s: plan.timeout.as_ref().map(Duration::as_secs_f64),
        }
    }
}

/// The figures of one server.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// The server as it was given.
    pub(super) host: String,
    /// The address that it was found at.
    pub(super) address: String,
    /// How many conversations were going on in the end.
    pub(super) greeted: usize,
    /// How long it was measured.
    pub(super) elapsed_s: f64,
    /// Names that were answered, right to the last byte, while it was measured.
    pub(super) answered: u64,
    /// The same a second.
    pub(super) names_per_s: f64,
    /// Bytes of names and of replies a second.
    pub(super) sent_bytes_per_s: f64,
    pub(super) received_bytes_per_s: f64,
    /// Latencies in nanoseconds.
    pub(super) latency_ns: Latency,
    /// Where a rate was given: what was due and not sent in the end.
    pub(super) backlog: Option<BacklogFigures>,
    /// Names that were under way when their connections ended.
    pub(super) unanswered: u64,
    pub(super) errors: Vec<ErrorFigures>,
    /// Which part of a processor this program took itself.
    pub(super) own_processor: f64,
    /// The distribution of the latencies.
    pub(super) distribution: Vec<Point>,
    /// Seconds, and names a second around then.
    pub(super) over_time: Vec<(f64, f64)>,
}

/// What was due and not sent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct BacklogFigures {
    pub(super) names: u64,
    /// How long the oldest of them has been due.
    pub(super) behind_s: f64,
}

/// Errors of one kind.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ErrorFigures {
    pub(super) kind: String,
    pub(super) count: u64,
    /// The first of them in full, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) example: Option<String>,
}

impl ErrorFigures {
    fn new((kind, errors): (&Kind, &Errors)) -> Self {
        Self { kind: kind.to_string(), count: errors.count, example: errors.example.clone() }
    }
}

impl Figures {
    /// Those of a tally.
    pub(super) fn new(plan: &Plan, host: String, address: String, greeted: usize, tally: &Tally, turn: &Turn) -> Self {
        let elapsed = turn.elapsed.as_secs_f64();
        let a_second = |count: f64| if elapsed > 0.0 { count / elapsed } else { 0.0 };
        let (sent, received) = plan.bytes_a_name();
        let answered = tally.in_time as f64;
        let backlog = plan
            .rate
            .map(|_| BacklogFigures { names: turn.backlog.names, behind_s: turn.backlog.behind.as_secs_f64() });
        Self {
            host,
            address,
            greeted,
            elapsed_s: elapsed,
            answered: tally.in_time,
            names_per_s: a_second(answered),
            sent_bytes_per_s: a_second(answered * sent as f64),
            received_bytes_per_s: a_second(answered * received as f64),
            latency_ns: tally.latencies.summary(),
            backlog,
            unanswered: tally.unanswered,
            errors: tally.errors.iter().map(ErrorFigures::new).collect(),
            own_processor: a_second(turn.processor.as_secs_f64()),
            distribution: tally.latencies.curve(),
            over_time: tally.over_time.points(turn.elapsed),
        }
    }

    /// Whether every name was answered, and rightly.
    pub(super) fn are_good(&self) -> bool {
        self.errors.is_empty() && self.unanswered == 0 && self.latency_ns.count > 0
    }

    pub(super) fn error_count(&self) -> u64 {
        self.errors.iter().fold(0, |sum, error| sum.saturating_add(error.count))
    }
}

/// All there is to tell of a run with one server.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    /// What this is, and in which form.
    pub(super) report: &'static str,
    pub(super) date: String,
    pub(super) settings: Settings,
    /// A signal ended it.
    pub(super) ended_early: bool,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// The name of the form of the JSON; another number where a reader would have to know.
pub(super) const REPORT: &str = "greet bench 1";

/// The name of the form with two servers.
pub(super) const COMPARISON: &str = "greet bench --against 1";

/// This moment, to the second.
pub(super) fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
