//! Sentences about the figures that the text and the HTML report share.

use core::time::Duration;

use greet_core::Service;

use super::{
    compare::{Comparison, FEW_PAIRS},
    figures::{ErrorFigures, Figures, Settings},
    stalls::Stall,
};
use crate::export::number::{Count, Figure, Rate, Time, counted};

/// The number of pairs of turns that a ratio is taken from, if some have none.
pub(crate) fn of_pairs(count: usize, turns: usize) -> String {
    if count == turns { String::new() } else { format!(", from {count} of the {turns} pairs") }
}

impl Comparison {
    /// Warnings about the ratios.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.turns < FEW_PAIRS {
            warnings.push(format!(
                "{} are too few for a reliable ratio: use a longer --duration",
                counted(self.turns as u64, "pair")
            ));
        }
        if self.first.latency_at_least > 0 || self.second.latency_at_least > 0 {
            warnings.push(
                "some names had no reply, so the latencies are lower bounds and their ratios are inexact".to_owned(),
            );
        }
        warnings
    }
}

/// The settings of the run, in one line.
pub(crate) fn conditions(settings: &Settings) -> String {
    let Settings { connections, pipeline, size, service, framing, .. } = settings;
    let connections = counted(*connections as u64, "connection");
    let in_flight = counted(*pipeline as u64, "name");
    let bytes = counted(*size as u64, "byte");
    let rate = settings.rate.map_or(String::new(), |rate| format!(", {} scheduled", Rate(rate)));
    let service = match service {
        Service::Greet => "",
        Service::Echo => "service echo, ",
    };
    format!("{connections}, {in_flight} of {bytes} in flight each, {service}framing {framing}{rate}")
}

/// The kind of an error, with the number of times it occurred during the warm-up.
pub(crate) fn error_text(error: &ErrorFigures) -> String {
    match error.in_warmup {
        0 => error.kind.clone(),
        more => format!("{}; also {} during the warm-up", error.kind, counted(more, "time")),
    }
}

/// A stall, in one line.
pub(crate) fn stall_text(stall: &Stall) -> String {
    let (begin, length) = (Time::from(stall.begin), Time::from(stall.length));
    let end = if stall.is_last { ", to the end" } else { "" };
    format!("no reply on any connection for {length}, from {begin} on{end}")
}

/// Above this share of a CPU, `greet bench` itself may limit the throughput.
const OWN_LIMIT: f64 = 0.95;

impl Figures {
    /// A latency, marked where it is only a lower bound; a dash where there are too few samples.
    pub(crate) fn latency_text(&self, latency: Option<Duration>) -> String {
        let sign = if self.latency_at_least > 0 { "≥ " } else { "" };
        latency.map_or_else(|| "\u{2013}".to_owned(), |latency| format!("{sign}{}", Time::from(latency)))
    }

    /// Remarks that the reader needs to judge the figures.
    pub(crate) fn notes(&self, connections: usize) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(time) = self.given_up_after {
            notes.push(format!("aborted after {} without a reply", Time::from(time)));
        }
        if let Some((time, rate)) = self.last_reply() {
            let (time, rate) = (Time::from(time), Figure(rate));
            notes.push(format!("no reply after {time}: the server stopped answering; {rate} names/s until then"));
        }
        if !self.is_answered() && self.unanswered > 0 {
            notes.push("the server sends greetings but no replies: check --framing".to_owned());
        }
        if self.greeted < connections {
            let (greeted, wanted) = (Count(self.greeted as u64), Count(connections as u64));
            notes.push(format!("connections open at the end: {greeted} of {wanted}"));
        }
        if self.is_answered() && self.latency_at_least > 0 {
            let names = counted(self.latency_at_least, "name");
            notes.push(format!("latencies are lower bounds: {names} without a reply count with the time waited"));
        }
        if self.interrupted > 0 {
            notes.push(format!("{} in flight when a signal ended the run", counted(self.interrupted, "name")));
        }
        if self.own_cpu > OWN_LIMIT {
            let percent = Figure(self.own_cpu * 100.0);
            notes.push(format!("greet bench itself used {percent} % of a CPU: it may limit the throughput"));
        }
        notes
    }
}
