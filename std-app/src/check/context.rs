//! What a probe works with: the server, the facts about it, the settings, and the time that is left.

use core::time::Duration;
use std::time::Instant;

use crate::export::number::{Count, Time};

use super::{facts::Facts, settings::Settings, target::Target};

/// Handed to each probe, and to everything it calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) target: &'a Target,
    pub(crate) facts: &'a Facts,
    pub(crate) settings: &'a Settings,
    begin: Instant,
}

impl<'a> Context<'a> {
    /// The time of a probe begins now.
    pub(crate) fn new(target: &'a Target, facts: &'a Facts, settings: &'a Settings) -> Self {
        Self { target, facts, settings, begin: Instant::now() }
    }

    /// The same, with the whole time left: for a probe whose preparations may take long.
    pub(crate) fn restarted(self) -> Self {
        Self { begin: Instant::now(), ..self }
    }

    /// How long one answer may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.settings.timeout_for(self.facts.rtt().max(self.target.handshake()))
    }

    /// How long one answer may take if nothing can have been lost.
    pub(crate) fn timeout_without_loss(&self, timeout: Duration) -> Duration {
        const LEAST: Duration = Duration::from_secs(3);
        const SHARE: f64 = 0.3;
        timeout.min(LEAST.max(timeout.mul_f64(SHARE)) + 10 * self.facts.rtt())
    }

    /// How long the probe has run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Whether the probe may start something new. A slow server or a lossy network has shown enough by then.
    pub(crate) fn has_time(&self) -> bool {
        self.elapsed() < self.settings.probe_budget() && !self.settings.is_interrupted()
    }

    /// The same, for a probe that sends one message at a time and uses what it has.
    pub(crate) fn has_time_for_messages(&self) -> bool {
        self.elapsed() < self.time_for_messages() && !self.settings.is_interrupted()
    }

    fn time_for_messages(&self) -> Duration {
        self.settings.probe_budget().mul_f64(0.75)
    }

    /// `wanted` messages sent one at a time, or as many as a slow server answers within most of the budget.
    pub(crate) fn affordable(&self, wanted: u64) -> u64 {
        self.messages_in(self.time_for_messages()).max(4).min(wanted)
    }

    /// The number of messages that the server answers one at a time within `time`.
    pub(crate) fn messages_in(&self, time: Duration) -> u64 {
        let each = self.facts.rtt().max(Duration::from_micros(1));
        u64::try_from(time.as_nanos() / each.as_nanos()).unwrap_or(u64::MAX)
    }

    /// "33 clients", or how many of them there was time for.
    pub(crate) fn counted(&self, done: u64, planned: u64, what: &str) -> String {
        let (done_text, planned_text) = (Count(done), Count(planned));
        if done == planned {
            return format!("{done_text} {what}");
        }
        if self.settings.is_interrupted() {
            return format!("{done_text} of {planned_text} {what} (interrupted)");
        }
        let budget = Time::from(self.settings.probe_budget());
        format!("{done_text} of {planned_text} {what} (stopped at its budget of {budget})")
    }
}
