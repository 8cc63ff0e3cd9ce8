//! What the figures mean, in words that the text and the HTML report share.

use core::time::Duration;

use super::{
    compare::{Comparison, FEW_PAIRS},
    figures::{ErrorFigures, Figures, Settings},
};
use crate::export::number::{Count, Figure, Rate, Time, counted};

/// Of how many pairs of turns a ratio is, where not all of them have one.
pub(crate) fn of_pairs(count: usize, turns: usize) -> String {
    if count == turns { String::new() } else { format!(", in {count} of the {turns} pairs") }
}

impl Comparison {
    /// What is to be known before the ratios are trusted.
    pub(crate) fn cautions(&self) -> Vec<String> {
        let mut cautions = Vec::new();
        if self.turns < FEW_PAIRS {
            cautions.push(format!("{} are few: the next run may tell otherwise", counted(self.turns as u64, "pair")));
        }
        if self.first.latency_at_least > 0 || self.second.latency_at_least > 0 {
            cautions
                .push("latencies that are only known to be at least so long make ratios that are not exact".to_owned());
        }
        cautions
    }
}

/// What was done, in one line.
pub(crate) fn conditions(settings: &Settings) -> String {
    let Settings { connections, pipeline, size, framing, .. } = settings;
    let connections = counted(*connections as u64, "connection");
    let in_flight = counted(*pipeline as u64, "name");
    let bytes = counted(*size as u64, "byte");
    let rate = settings.rate.map_or(String::new(), |rate| format!(", {} wanted", Rate(rate)));
    format!("{connections}, {in_flight} of {bytes} in flight on each, framing {framing}{rate}")
}

/// The kind of an error, with the number of times it occurred during the warm-up.
pub(crate) fn error_text(error: &ErrorFigures) -> String {
    match error.in_warmup {
        0 => error.kind.clone(),
        more => format!("{}; and {} in the warm-up", error.kind, counted(more, "time")),
    }
}

/// From this part of a processor on, the load itself may be what limits.
const OWN_LIMIT: f64 = 0.95;

impl Figures {
    /// A latency, marked where it is only a lower bound; a dash where there are too few samples.
    pub(crate) fn latency_text(&self, latency: Option<Duration>) -> String {
        let sign = if self.latency_at_least > 0 { "≥ " } else { "" };
        latency.map_or_else(|| "\u{2013}".to_owned(), |latency| format!("{sign}{}", Time::from(latency)))
    }

    /// What is to be known before the figures are trusted.
    pub(crate) fn notes(&self, connections: usize) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(time) = self.given_up_after {
            notes.push(format!("given up: no name was answered for {}", Time::from(time)));
        }
        if !self.is_answered() && self.unanswered > 0 {
            notes.push("it greets and answers nothing: is --framing what it speaks?".to_owned());
        }
        if self.greeted < connections {
            let (greeted, wanted) = (Count(self.greeted as u64), Count(connections as u64));
            notes.push(format!("connections greeted in the end: {greeted} of {wanted}"));
        }
        if self.is_answered() && self.latency_at_least > 0 {
            let names = counted(self.latency_at_least, "name");
            notes.push(format!("latencies are at least these: of {names} without an answer the time waited counts"));
        }
        if self.interrupted > 0 {
            notes.push(format!("{} under way when a signal ended it", counted(self.interrupted, "name")));
        }
        if self.own_cpu > OWN_LIMIT {
            let percent = Figure(self.own_cpu * 100.0);
            notes.push(format!("greet bench itself was at work for {percent} % of the time: it may be what limits"));
        }
        notes
    }
}
