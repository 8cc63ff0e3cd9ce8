//! What all conversations of a load have in common: the names, the schedule, the tally, and how it goes.

use core::time::Duration;

use super::{names::Names, pace::Schedule, plan::Plan, tally::Tally};

/// How long nobody may be greeted, where nobody says how long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all conversations of a load have in common.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) names: Names,
    pub(super) tally: Tally,
    /// Names are sent now.
    pub(super) sending: bool,
    /// So many names may still be sent.
    pub(super) remaining: u64,
    /// When names are due; `None` for as soon as an answer is there.
    pub(super) schedule: Option<Schedule>,
    /// How many names are under way.
    pub(super) under_way: usize,
    /// How many conversations have been greeted and are not over.
    pub(super) greeted: usize,
    /// When one was greeted last.
    pub(super) greeted_at: Duration,
    /// When an answer last came, or a part of one; or when none was awaited.
    pub(super) served_at: Duration,
    /// Nobody has listened for a while, because another server had its turn: what ended meanwhile is no error.
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
            under_way: 0,
            greeted: 0,
            greeted_at: Duration::ZERO,
            served_at: Duration::ZERO,
            resting: false,
        }
    }

    /// From now on names are sent, as a schedule wants or as answers let them; so many, if that is said.
    pub(super) fn begin(&mut self, now: Duration, schedule: Option<Schedule>, names: Option<u64>) {
        self.remaining = schedule.map_or(names.unwrap_or(u64::MAX), |schedule| schedule.total());
        self.schedule = schedule;
        self.served_at = now;
        self.sending = true;
    }

    /// Whether everything that was to be sent is sent and answered.
    pub(super) const fn is_done(&self) -> bool {
        self.under_way == 0 && (self.remaining == 0 || !self.sending)
    }

    /// For how long nobody has been served, if that is so long that nobody will be.
    ///
    /// An answer is what counts: a server may end each conversation and still serve, or greet each and answer none. Where
    /// one name was waited for in vain, the next has as long.
    pub(super) fn deserted(&mut self, now: Duration, timeout: Option<Duration>) -> Option<Duration> {
        if self.greeted > 0 && self.under_way == 0 {
            self.served_at = now; // nobody is asked, so nobody has to answer
        }
        let unserved = now.saturating_sub(self.served_at);
        let is_deserted = match timeout {
            Some(timeout) => unserved > timeout.saturating_mul(2),
            // An answer may take for ever, a greeting may not.
            None => unserved > PATIENCE && self.greeted == 0,
        };
        is_deserted.then_some(unserved)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use greet_core::Framing;

    /// One connection with names of 8 bytes as lines.
    pub(in crate::bench) fn plan(rate: Option<f64>, pipeline: usize) -> Plan {
        Plan {
            connections: 1,
            size: 8,
            pipeline,
            framing: Framing::Line,
            rate,
            names: None,
            duration: Duration::from_secs(1),
            warmup: Duration::ZERO,
            timeout: None,
            turns: 0,
            turn: Duration::ZERO,
        }
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn a_server_is_deserted_when_it_has_answered_nobody_for_twice_the_timeout() {
        let timeout = Some(seconds(10));
        let mut work = Work::new(&plan(None, 1), Tally::new().unwrap());
        // It ends each conversation, and nobody is greeted whenever one looks; but it answers.
        work.served_at = seconds(100);
        assert_eq!(work.deserted(seconds(120), timeout), None);
        assert_eq!(work.deserted(seconds(121), timeout), Some(seconds(21)));
        // It greets each connection, and answers none.
        (work.greeted, work.under_way, work.greeted_at) = (1, 1, seconds(120));
        assert_eq!(work.deserted(seconds(121), timeout), Some(seconds(21)));
        // It has nothing to answer.
        work.under_way = 0;
        assert_eq!(work.deserted(seconds(121), timeout), None);
        assert_eq!(work.served_at, seconds(121));
        // What another server's turn took does not count.
        work.greeted = 0;
        work.begin(seconds(500), None, None);
        assert_eq!(work.deserted(seconds(501), timeout), None);
    }

    #[test]
    fn an_answer_that_may_take_for_ever_is_waited_for() {
        let mut work = Work::new(&plan(None, 1), Tally::new().unwrap());
        (work.greeted, work.under_way) = (1, 1);
        assert_eq!(work.deserted(seconds(1000), None), None);
        work.greeted = 0;
        assert!(work.deserted(seconds(1000), None).is_some());
    }
}
