//! The figures of a run, as they are printed, drawn, and written as JSON.

use core::time::Duration;
use std::time::SystemTime;

use greet::report::latency::{Latency, Point};
use greet_core::Framing;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    load::Measured,
    plan::Plan,
    tally::{Errors, Kind, Tally},
    text::counted,
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
    /// Latencies in nanoseconds; all but their count are null where no name was answered.
    #[serde(serialize_with = "null_if_none")]
    pub(super) latency_ns: Latency,
    /// So many of them are names that had no answer, and may have waited for longer: if there are any, each figure of the
    /// latencies is the least that it can be.
    pub(super) latency_at_least: u64,
    /// Where a rate was given: what was due and not sent in the end.
    pub(super) backlog: Option<BacklogFigures>,
    /// Names that were under way when their connections ended.
    pub(super) unanswered: u64,
    /// So many more while nothing was measured yet.
    pub(super) unanswered_in_warmup: u64,
    /// Names that were under way when a signal ended the run.
    pub(super) interrupted: u64,
    /// It was given up, as no name had been answered for so long.
    pub(super) given_up_after_s: Option<f64>,
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
    /// So many more while nothing was measured yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) in_warmup: u64,
    /// The first of them in full, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) example: Option<String>,
}

impl ErrorFigures {
    fn new((kind, errors): (&Kind, &Errors)) -> Self {
        let Errors { count, in_warmup, ref example } = *errors;
        Self { kind: kind.to_string(), count, in_warmup, example: example.clone() }
    }

    /// The kind, and how many more there were before it was measured.
    pub(super) fn what(&self) -> String {
        match self.in_warmup {
            0 => self.kind.clone(),
            more => format!("{}; and {} in the warm-up", self.kind, counted(more, "time")),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A figure of nothing is no figure, and 0 would be the best of all.
fn null_if_none<S: Serializer>(latency: &Latency, serializer: S) -> Result<S::Ok, S::Error> {
    if latency.count > 0 {
        return latency.serialize(serializer);
    }
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("count", &0)?;
    for (name, _) in [("mean", 0)].into_iter().chain(latency.named()) {
        map.serialize_entry(name, &())?;
    }
    map.end()
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
        let backlog = measured.backlog;
        // Of names that were only waited for in vain there is nothing to learn of the server's latencies.
        let waits = Some(&tally.waits).filter(|waits| waits.answered() > 0);
        Self {
            host,
            address,
            greeted,
            elapsed_s: elapsed,
            answered: tally.in_time,
            names_per_s: a_second(answered),
            sent_bytes_per_s: a_second(answered * sent as f64),
            received_bytes_per_s: a_second(answered * received as f64),
            latency_ns: waits.map_or(NOTHING, |waits| waits.latencies.summary()),
            latency_at_least: waits.map_or(0, |waits| waits.at_least),
            backlog: plan.rate.map(|_| BacklogFigures { names: backlog.names, behind_s: backlog.behind.as_secs_f64() }),
            unanswered: tally.unanswered,
            unanswered_in_warmup: tally.unanswered_in_warmup,
            interrupted: tally.interrupted,
            given_up_after_s: measured.given_up.as_ref().map(Duration::as_secs_f64),
            errors: tally.errors.iter().map(ErrorFigures::new).collect(),
            own_processor: a_second(measured.processor.as_secs_f64()),
            distribution: waits.map_or_else(Vec::new, |waits| waits.latencies.curve()),
            over_time: tally.over_time.points(measured.elapsed),
        }
    }

    /// Whether every name that was sent was answered, and rightly. What was due and not sent is no fault of an answer.
    pub(super) fn are_good(&self) -> bool {
        self.has_no_errors() && self.is_answered() && self.given_up_after_s.is_none()
    }

    pub(super) fn has_no_errors(&self) -> bool {
        self.errors.is_empty() && self.unanswered == 0 && self.unanswered_in_warmup == 0
    }

    /// Whether any name was answered that was measured.
    pub(super) const fn is_answered(&self) -> bool {
        self.latency_ns.count > 0
    }

    /// How many errors there were while it was measured, and before.
    pub(super) fn error_count(&self) -> u64 {
        let counts = self.errors.iter().flat_map(|error| [error.count, error.in_warmup]);
        counts.fold(0, u64::saturating_add)
    }
}

/// The latencies of no names.
const NOTHING: Latency =
    Latency { count: 0, min: 0, mean: 0.0, p50: 0, p90: 0, p95: 0, p99: 0, p99_9: 0, p99_99: 0, max: 0 };

/// All there is to tell of a run with one server.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    /// What this is, and in which form.
    pub(super) format: &'static str,
    pub(super) date: String,
    pub(super) settings: Settings,
    /// A signal ended it.
    pub(super) ended_early: bool,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// The name of the form of the JSON; another number where a reader would have to know.
pub(super) const REPORT: &str = "greet bench 1";

/// That there are no figures, and why.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failed {
    pub(super) format: &'static str,
    pub(super) date: String,
    pub(super) error: String,
}

/// The name of the form without figures.
pub(super) const FAILURE: &str = "greet bench error 1";

/// The name of the form with two servers.
pub(super) const COMPARISON: &str = "greet bench --against 1";

/// This moment, to the second.
pub(super) fn date() -> String {
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
    fn latencies_of_nothing_are_null_and_not_the_best_there_are() {
        let mut tally = Tally::new().unwrap();
        tally.begin(Duration::ZERO, Duration::MAX, false);
        tally.lost(Duration::from_micros(50));
        let json = serde_json::to_value(figures(&tally)).unwrap();
        assert_eq!(json["latency_ns"]["count"], 0);
        for name in ["min", "mean", "p50", "p99.99", "max"] {
            assert!(json["latency_ns"].as_object().unwrap()[name].is_null(), "{json:#}");
        }
        tally.reply(Duration::from_secs(2), Duration::from_secs(1));
        let json = serde_json::to_value(figures(&tally)).unwrap();
        assert_eq!((&json["latency_ns"]["count"], &json["latency_at_least"]), (&2.into(), &1.into()));
        assert!(json["latency_ns"]["max"].as_u64() > Some(900_000_000));
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
