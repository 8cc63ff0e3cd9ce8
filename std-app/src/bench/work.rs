//! What all conversations of a load share: names, schedule, tally, and counters.

use core::time::Duration;

use super::{names::Names, pace::Schedule, plan::Plan, tally::Tally};

/// The time without a greeted connection after which a run without a timeout is aborted.
const NO_GREETING: Duration = Duration::from_secs(10);

/// What all conversations of a load share.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) names: Names,
    pub(super) tally: Tally,
    /// Whether names are sent now.
    pub(super) sending: bool,
    /// The number of names that are still to be sent.
    pub(super) remaining: u64,
    /// When names are due; `None` for as soon as a reply is received (closed loop).
    pub(super) schedule: Option<Schedule>,
    /// The number of names in flight.
    pub(super) in_flight: usize,
    /// The number of connections that are greeted and open.
    pub(super) greeted: usize,
    /// When the last greeting was received.
    pub(super) greeted_at: Duration,
    /// When the last byte of a reply was received, or when no reply was expected.
    pub(super) served_at: Duration,
    /// Another server has its turn: a connection that is closed meanwhile is no error.
    pub(super) resting: bool,
}

impl Work {
    pub(super) fn new(plan: &Plan, tally: Tally) -> Self {
        Self {
            names: Names::new(plan.size),
            tally,
            sending: false,
            remaining: u64::MAX,
            schedule: None,
            in_flight: 0,
            greeted: 0,
            greeted_at: Duration::ZERO,
            served_at: Duration::ZERO,
            resting: false,
        }
    }

    /// Starts to send names: by the schedule, or in a closed loop, `names` in total if given.
    pub(super) fn begin(&mut self, now: Duration, schedule: Option<Schedule>, names: Option<u64>) {
        self.remaining = schedule.map_or(names.unwrap_or(u64::MAX), |schedule| schedule.total());
        self.schedule = schedule;
        self.served_at = now;
        self.sending = true;
    }

    /// Whether all names are sent and answered.
    pub(super) const fn is_done(&self) -> bool {
        self.in_flight == 0 && (self.remaining == 0 || !self.sending)
    }

    /// The time without a reply, if it is so long that the run should be aborted: twice the timeout.
    ///
    /// Only replies count: a server may close each connection after its reply, or send greetings and never a reply.
    pub(super) fn silent_for(&mut self, now: Duration, timeout: Option<Duration>) -> Option<Duration> {
        if self.greeted > 0 && self.in_flight == 0 {
            self.served_at = now; // no reply is expected
        }
        let unserved = now.saturating_sub(self.served_at);
        let is_silent = match timeout {
            Some(timeout) => unserved > timeout.saturating_mul(2),
            // Without a timeout a reply may take any time, a greeting may not.
            None => unserved > NO_GREETING && self.greeted == 0,
        };
        is_silent.then_some(unserved)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use greet_core::{Framing, Service};

    /// One connection with names of 8 bytes as lines.
    pub(in crate::bench) fn plan(rate: Option<f64>, pipeline: usize) -> Plan {
        Plan {
            connections: 1,
            size: 8,
            pipeline,
            service: Service::Greet,
            framing: Framing::Line,
            rate,
            names: None,
            duration: Duration::from_secs(1),
            warmup: Duration::ZERO,
            timeout: None,
            turns: 0,
            turn: Duration::ZERO,
            interval: None,
        }
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn the_run_is_aborted_after_twice_the_timeout_without_a_reply() {
        let timeout = Some(seconds(10));
        let mut work = Work::new(&plan(None, 1), Tally::new().unwrap());
        // It closes each connection after its reply.
        work.served_at = seconds(100);
        assert_eq!(work.silent_for(seconds(120), timeout), None);
        assert_eq!(work.silent_for(seconds(121), timeout), Some(seconds(21)));
        // It sends greetings and no reply.
        (work.greeted, work.in_flight, work.greeted_at) = (1, 1, seconds(120));
        assert_eq!(work.silent_for(seconds(121), timeout), Some(seconds(21)));
        // No reply is expected.
        work.in_flight = 0;
        assert_eq!(work.silent_for(seconds(121), timeout), None);
        assert_eq!(work.served_at, seconds(121));
        // The time of another server's turn does not count.
        work.greeted = 0;
        work.begin(seconds(500), None, None);
        assert_eq!(work.silent_for(seconds(501), timeout), None);
    }

    #[test]
    fn without_a_timeout_a_reply_may_take_any_time() {
        let mut work = Work::new(&plan(None, 1), Tally::new().unwrap());
        (work.greeted, work.in_flight) = (1, 1);
        assert_eq!(work.silent_for(seconds(1000), None), None);
        work.greeted = 0;
        assert!(work.silent_for(seconds(1000), None).is_some());
    }
}
