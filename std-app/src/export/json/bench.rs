//! The JSON documents of `greet bench`: their keys and units. Times are in seconds, latencies in nanoseconds.

use core::{net::IpAddr, num::NonZeroUsize, time::Duration};

use greet_core::Service;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    bench::{
        compare::{Comparison, Ratio},
        figures::{ErrorFigures, Figures, Run, Settings},
        intervals::Interval,
        stalls::Stall,
    },
    latency::{Latency, Point},
};

/// The form of each document; its number grows when a key changes.
const RUN: &str = "greet bench 2";
const COMPARISON: &str = "greet bench --against 2";
const FAILURE: &str = "greet bench error 1";

/// One server.
#[derive(Serialize)]
pub(crate) struct RunDocument<'a> {
    format: &'static str,
    date: &'a str,
    settings: SettingsDocument<'a>,
    ended_early: bool,
    #[serde(flatten)]
    figures: FiguresDocument<'a>,
}

impl<'a> From<&'a Run> for RunDocument<'a> {
    fn from(run: &'a Run) -> Self {
        Self {
            format: RUN,
            date: &run.date,
            settings: (&run.settings).into(),
            ended_early: run.ended_early,
            figures: (&run.figures).into(),
        }
    }
}

/// Two servers.
#[derive(Serialize)]
pub(crate) struct ComparisonDocument<'a> {
    format: &'static str,
    date: &'a str,
    settings: SettingsDocument<'a>,
    turn_s: f64,
    turns: usize,
    ended_early: bool,
    first: FiguresDocument<'a>,
    second: FiguresDocument<'a>,
    ratios: &'a [Ratio],
}

impl<'a> From<&'a Comparison> for ComparisonDocument<'a> {
    fn from(comparison: &'a Comparison) -> Self {
        Self {
            format: COMPARISON,
            date: &comparison.date,
            settings: (&comparison.settings).into(),
            turn_s: comparison.turn.as_secs_f64(),
            turns: comparison.turns,
            ended_early: comparison.ended_early,
            first: (&comparison.first).into(),
            second: (&comparison.second).into(),
            ratios: &comparison.ratios,
        }
    }
}

/// No figures, and the reason.
#[derive(Serialize)]
pub(crate) struct FailureDocument<'a> {
    format: &'static str,
    date: &'a str,
    error: &'a str,
}

impl<'a> FailureDocument<'a> {
    pub(crate) const fn new(date: &'a str, error: &'a str) -> Self {
        Self { format: FAILURE, date, error }
    }
}

#[derive(Serialize)]
struct SettingsDocument<'a> {
    connections: usize,
    pipeline: usize,
    size: usize,
    service: &'static str,
    framing: &'a str,
    rate: Option<f64>,
    names: Option<u64>,
    duration_s: Option<f64>,
    warmup_s: f64,
    timeout_s: Option<f64>,
    mss: Option<u32>,
    window: Option<usize>,
    bind: Option<IpAddr>,
    interface: Option<&'a str>,
}

impl<'a> From<&'a Settings> for SettingsDocument<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self {
            connections: settings.connections,
            pipeline: settings.pipeline,
            size: settings.size,
            service: match settings.service {
                Service::Greet => "greet",
                Service::Echo => "echo",
            },
            framing: settings.framing,
            rate: settings.rate,
            names: settings.names,
            duration_s: seconds(settings.duration),
            warmup_s: settings.warmup.as_secs_f64(),
            timeout_s: seconds(settings.timeout),
            mss: settings.socket.mss,
            window: settings.socket.window.map(NonZeroUsize::get),
            bind: settings.socket.bind,
            interface: settings.socket.interface.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct FiguresDocument<'a> {
    host: &'a str,
    address: &'a str,
    greeted: usize,
    elapsed_s: f64,
    answered: u64,
    names_per_s: f64,
    sent_bytes_per_s: f64,
    received_bytes_per_s: f64,
    latency_ns: LatencyDocument,
    latency_at_least: u64,
    backlog: Option<BacklogDocument>,
    unanswered: u64,
    unanswered_in_warmup: u64,
    interrupted: u64,
    given_up_after_s: Option<f64>,
    errors: Vec<ErrorDocument<'a>>,
    own_cpu: f64,
    distribution: Vec<PointDocument>,
    over_time: &'a [(f64, f64)],
    last_reply: Option<LastReplyDocument>,
    stalls: Vec<StallDocument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intervals: Vec<IntervalDocument>,
}

impl<'a> From<&'a Figures> for FiguresDocument<'a> {
    fn from(figures: &'a Figures) -> Self {
        Self {
            host: &figures.host,
            address: &figures.address,
            greeted: figures.greeted,
            elapsed_s: figures.elapsed.as_secs_f64(),
            answered: figures.answered,
            names_per_s: figures.names_per_s,
            sent_bytes_per_s: figures.sent_bytes_per_s,
            received_bytes_per_s: figures.received_bytes_per_s,
            latency_ns: LatencyDocument(figures.latency),
            latency_at_least: figures.latency_at_least,
            backlog: figures
                .backlog
                .map(|backlog| BacklogDocument { names: backlog.names, behind_s: backlog.behind.as_secs_f64() }),
            unanswered: figures.unanswered,
            unanswered_in_warmup: figures.unanswered_in_warmup,
            interrupted: figures.interrupted,
            given_up_after_s: seconds(figures.given_up_after),
            errors: figures.errors.iter().map(ErrorDocument::from).collect(),
            own_cpu: figures.own_cpu,
            distribution: figures.distribution.iter().map(PointDocument::from).collect(),
            over_time: &figures.over_time,
            last_reply: figures
                .last_reply()
                .map(|(time, rate)| LastReplyDocument { at_s: time.as_secs_f64(), names_per_s_until_then: rate }),
            stalls: figures.stalls.iter().map(StallDocument::from).collect(),
            intervals: figures.intervals.iter().map(IntervalDocument::from).collect(),
        }
    }
}

/// The last reply, if replies are missing at the end.
#[derive(Serialize)]
struct LastReplyDocument {
    at_s: f64,
    names_per_s_until_then: f64,
}

#[derive(Serialize)]
struct StallDocument {
    begin_s: f64,
    length_s: f64,
}

impl From<&Stall> for StallDocument {
    fn from(stall: &Stall) -> Self {
        Self { begin_s: stall.begin.as_secs_f64(), length_s: stall.length.as_secs_f64() }
    }
}

#[derive(Serialize)]
struct IntervalDocument {
    begin_s: f64,
    end_s: f64,
    names: u64,
    names_per_s: f64,
    latency_ns: LatencyDocument,
    errors: u64,
}

impl From<&Interval> for IntervalDocument {
    fn from(interval: &Interval) -> Self {
        let &Interval { begin, end, names, names_per_s, latency, errors } = interval;
        Self {
            begin_s: begin.as_secs_f64(),
            end_s: end.as_secs_f64(),
            names,
            names_per_s,
            latency_ns: LatencyDocument(latency),
            errors,
        }
    }
}

#[derive(Serialize)]
struct BacklogDocument {
    names: u64,
    behind_s: f64,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    kind: &'a str,
    count: u64,
    in_warmup: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<&'a str>,
}

impl<'a> From<&'a ErrorFigures> for ErrorDocument<'a> {
    fn from(error: &'a ErrorFigures) -> Self {
        let ErrorFigures { kind, count, in_warmup, example } = error;
        Self { kind, count: *count, in_warmup: *in_warmup, example: example.as_deref() }
    }
}

/// Latencies in nanoseconds. Without any name answered all but the count are null: 0 would be the best of all.
struct LatencyDocument(Option<Latency>);

impl Serialize for LatencyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(latency) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", &latency.map_or(0, |latency| latency.count))?;
        map.serialize_entry("mean", &latency.map(|latency| nanoseconds(latency.mean)))?;
        for (name, value) in Latency::named(latency.as_ref()) {
            map.serialize_entry(name, &value.map(nanoseconds))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct PointDocument {
    quantile: f64,
    latency_ns: u64,
}

impl From<&Point> for PointDocument {
    fn from(point: &Point) -> Self {
        Self { quantile: point.quantile, latency_ns: nanoseconds(point.latency) }
    }
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.as_ref().map(Duration::as_secs_f64)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
