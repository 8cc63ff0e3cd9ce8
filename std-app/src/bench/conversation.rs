//! One conversation of a load, without its socket: sends names when they are due, and counts the replies.

use core::{net::SocketAddr, time::Duration};
use std::collections::VecDeque;

use greet_core::{
    Client, ClientEvent, ClientSettings, Escaped, Instant, Machine, Outcome, Received, Service, State, WaitingFor,
    drive::{Pump, Step},
};
use greet_host::client::Departure;

use super::{
    plan::Plan,
    tally::{Kind, Tally},
    work::Work,
};

/// The number of bytes of an error reply that a message shows.
const SHOWN: usize = 64;
/// The maximum length of an error reply. Each byte restarts the timeout, so a server could send one without end.
const LONGEST_ERROR: usize = 4096;

/// Why a conversation failed: the kind, and a message if it says more than the kind.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) example: Option<String>,
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self { kind, example: None }
    }
}

/// A client machine under load, with the times of its names in flight.
#[derive(Debug)]
pub(super) struct Conversation<const N: usize> {
    client: Client<N>,
    pump: Pump,
    /// When each of the names in flight was due, oldest first.
    in_flight: VecDeque<Duration>,
    /// The number of names sent in this schedule, with those on earlier connections.
    sent: u64,
    number: usize,
    pipeline: usize,
    settings: ClientSettings,
    /// The bytes of the error reply that is being received.
    error: Vec<u8>,
    greeted: bool,
    /// A name was answered on this connection.
    answered: bool,
}

/// The time as machines take it.
const fn instant(now: Duration) -> Instant {
    Instant::from_micros(now.as_secs().saturating_mul(1_000_000).saturating_add(now.subsec_micros() as u64))
}

impl<const N: usize> Conversation<N> {
    /// Conversation `number` of the load; its connection is being opened.
    pub(super) fn new(number: usize, plan: &Plan, now: Duration) -> Self {
        let settings = plan.client();
        Self {
            client: Client::new(settings, instant(now)),
            pump: Pump::new(),
            in_flight: VecDeque::with_capacity(plan.pipeline),
            sent: 0,
            number,
            pipeline: plan.pipeline,
            settings,
            error: Vec::new(),
            greeted: false,
            answered: false,
        }
    }

    /// Starts again on a new connection, at the same position of the schedule.
    pub(super) fn renew(&mut self, now: Duration) {
        self.client = Client::new(self.settings, instant(now));
        self.pump = Pump::new();
        self.error.clear();
    }

    /// Starts a new schedule.
    pub(super) const fn restart_schedule(&mut self) {
        self.sent = 0;
    }

    /// The number of names sent in this schedule.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) const fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Whether it is greeted and no name is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.greeted && self.in_flight.is_empty()
    }

    /// Whether no reply is missing.
    pub(super) fn owes_nothing(&self) -> bool {
        self.client.is_idle()
    }

    /// Gives the machine every name that is due, up to the limit of names in flight.
    pub(super) fn say(&mut self, now: Duration, work: &mut Work) {
        while self.greeted && work.sending && work.remaining > 0 && self.in_flight.len() < self.pipeline {
            let due = match &work.schedule {
                Some(schedule) => schedule.due_on(self.number, self.sent),
                None => Some(now),
            };
            let Some(due) = due.filter(|due| *due <= now) else { return };
            if self.client.say(work.names.next()).is_err() {
                // The machine is full: the name is given to it later.
                return;
            }
            if work.in_flight == 0 && work.schedule.is_some() {
                work.tally.resume(due);
            }
            self.in_flight.push_back(due);
            self.sent = self.sent.saturating_add(1);
            work.in_flight = work.in_flight.saturating_add(1);
            work.remaining = work.remaining.saturating_sub(1);
        }
    }

    /// Writes the next bytes to send to `output`, and returns their number.
    pub(super) fn transmit(&mut self, now: Duration, output: &mut [u8]) -> usize {
        self.pump.fill(&mut self.client, instant(now), output)
    }

    /// Held back bytes were written to the socket.
    pub(super) fn progress(&mut self, now: Duration) {
        self.client.progress(instant(now));
    }

    /// Takes the bytes of one read.
    pub(super) fn receive(
        &mut self,
        now: Duration,
        mut input: &[u8],
        work: &mut Work,
        peer: SocketAddr,
    ) -> Result<(), Failure> {
        while !input.is_empty() {
            let Received { taken, event } = self.pump.offer(&mut self.client, instant(now), input);
            let mut answered = false;
            match event {
                None if taken == 0 => break, // the machine is over and accepts nothing more
                None if self.greeted && !matches!(input, [b'\r' | b'\n', ..]) => work.served_at = now, // part of a reply
                None => {}
                Some(ClientEvent::Greeted) => self.greeted_at(now, work),
                Some(ClientEvent::Reply(_)) => {
                    answered = true;
                    self.answered = true;
                    work.served_at = now;
                    if let Some(&due) = self.in_flight.front() {
                        work.tally.reply(now, due);
                    }
                }
                Some(ClientEvent::Error { text, complete }) => {
                    let room = LONGEST_ERROR.saturating_sub(self.error.len());
                    self.error.extend(text.iter().take(room));
                    answered = complete;
                    work.served_at = now;
                    if complete {
                        let shown = self.error.get(..SHOWN).unwrap_or(&self.error);
                        let kind = Kind::Reply(Escaped(shown).to_string());
                        self.error.clear();
                        if self.in_flight.is_empty() {
                            // It replies to no name: it is the reason for the close that follows (rule T2). One error, not two.
                            return Err(kind.into());
                        }
                        work.tally.answered(now);
                        work.tally.error(kind, None);
                    } else if self.error.len() == LONGEST_ERROR {
                        return Err(Kind::EndlessError.into());
                    }
                }
                Some(ClientEvent::Mismatch(mismatch)) => {
                    return Err(Failure {
                        kind: Kind::Mismatch,
                        example: Some(Departure::new(peer, &mismatch, self.settings).to_string()),
                    });
                }
            }
            if answered && self.in_flight.pop_front().is_some() {
                work.in_flight = work.in_flight.saturating_sub(1);
            }
            input = input.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The connection is established. An echo server sends no greeting.
    pub(super) fn connected(&mut self, now: Duration, work: &mut Work) {
        if self.settings.service == Service::Echo {
            self.greeted_at(now, work);
        }
    }

    /// The server has greeted, or need not: names may be sent.
    fn greeted_at(&mut self, now: Duration, work: &mut Work) {
        self.greeted = true;
        work.greeted = work.greeted.saturating_add(1);
        work.greeted_at = now;
    }

    /// Whether the FIN has to be sent now, after everything from [`transmit`](Self::transmit); it counts as sent then (rule B6).
    pub(super) fn ends_its_side(&mut self, now: Duration) -> bool {
        let ends = self.client.state() == State::Ending && self.pump.next_step(&self.client) == Step::Shutdown;
        if ends {
            self.pump.shut_down(&mut self.client, instant(now));
        }
        ends
    }

    /// The server's FIN was received; an error unless this side has ended the conversation.
    pub(super) fn receive_end(&mut self, now: Duration) -> Result<(), Failure> {
        let _ = self.pump.offer(&mut self.client, instant(now), &[]);
        match self.client.outcome() {
            Some(Outcome::Complete) => Ok(()),
            _ => Err(Kind::EndedEarly.into()),
        }
    }

    /// Handles the timeout of the machine.
    pub(super) fn check_time(&mut self, now: Duration) -> Result<(), Failure> {
        if self.client.deadline().is_some_and(|deadline| deadline <= instant(now)) {
            self.client.handle_timeout(instant(now));
        }
        match self.client.outcome() {
            Some(Outcome::TimedOut(WaitingFor::Greeting)) => Err(Kind::NoGreeting.into()),
            Some(Outcome::TimedOut(WaitingFor::Reply)) => Err(Kind::NoReply.into()),
            Some(Outcome::TimedOut(WaitingFor::End)) => Err(Kind::NoEnd.into()),
            _ => Ok(()),
        }
    }

    /// Sends `exit` once every name is answered; to an echo server the FIN.
    pub(super) fn close(&mut self, now: Duration) {
        self.client.close(instant(now));
    }

    /// The connection is over, and the names in flight are lost. Returns whether any name was answered on it.
    pub(super) fn end(&mut self, now: Duration, work: &mut Work) -> bool {
        self.count_in_flight(now, work, Tally::lost);
        if core::mem::take(&mut self.greeted) {
            work.greeted = work.greeted.saturating_sub(1);
        }
        core::mem::take(&mut self.answered)
    }

    /// The run is over: counts the names in flight as interrupted.
    pub(super) fn interrupt(&mut self, now: Duration, work: &mut Work) {
        self.count_in_flight(now, work, Tally::interrupted);
    }

    /// Counts the names in flight with the time that each has waited, and removes them.
    fn count_in_flight(&mut self, now: Duration, work: &mut Work, count: fn(&mut Tally, Duration)) {
        work.in_flight = work.in_flight.saturating_sub(self.in_flight.len());
        for due in self.in_flight.drain(..) {
            count(&mut work.tally, now.saturating_sub(due));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{pace::Schedule, work::tests::plan};

    const ROOM: usize = 512;
    const PEER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 9999);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A conversation that was greeted, and its work, which began at 0.
    fn greeted(plan: &Plan) -> (Conversation<ROOM>, Work) {
        let mut work = Work::new(plan, Tally::new().unwrap());
        let mut conversation = Conversation::new(0, plan, Duration::ZERO);
        conversation.receive(Duration::ZERO, b"Welcome!\n", &mut work, PEER).unwrap();
        let schedule = plan.rate.map(|rate| Schedule::new(Duration::ZERO, plan.duration, rate, 1, None));
        work.begin(Duration::ZERO, schedule, None);
        work.tally.begin(Duration::ZERO, Duration::from_secs(3600), false);
        (conversation, work)
    }

    /// What a server answers.
    fn replies(names: &[u8]) -> Vec<u8> {
        let names = names.split_inclusive(|&byte| byte == b'\n');
        names.flat_map(|name| [b"Hello, ", &name[..name.len() - 1], b"!\n"].concat()).collect()
    }

    /// One second at 1,000 names/s against a server that answers at once, except for one stall.
    fn second_with_a_stall(pipeline: usize, stall: core::ops::Range<Duration>) -> Work {
        second(1000.0, pipeline, stall)
    }

    /// The same with another number of names/s.
    fn second(rate: f64, pipeline: usize, stall: core::ops::Range<Duration>) -> Work {
        let (mut conversation, mut work) = greeted(&plan(Some(rate), pipeline));
        let mut output = [0; 4096];
        let mut held = Vec::new();
        for microseconds in (0..5_000_000).step_by(100) {
            let now = Duration::from_micros(microseconds);
            let stalled = stall.contains(&now);
            // As often as names become due, and as replies let further ones go.
            loop {
                conversation.say(now, &mut work);
                let count = conversation.transmit(now, &mut output);
                held.extend(&output[..count]);
                if stalled || held.is_empty() {
                    break;
                }
                conversation.receive(now, &replies(&core::mem::take(&mut held)), &mut work, PEER).unwrap();
            }
        }
        assert!(work.is_done());
        work
    }

    #[test]
    fn a_stall_of_100_ms_at_1000_a_second_shows_in_100_latencies_between_0_and_100_ms() {
        for pipeline in [1, 16] {
            let work = second_with_a_stall(pipeline, ms(500)..ms(600));
            let latencies = &work.tally.waits.latencies;
            assert_eq!(latencies.count(), 1000);
            // They are spread evenly, so of all 1,000 nine tenths have none, and then each percent has 10 ms more.
            assert!(latencies.percentile(89.0) < Duration::from_millis(1), "{:?}", latencies.summary());
            for percent in 91_u32..=99 {
                let expected = Duration::from_millis(u64::from(percent - 90) * 10);
                let found = latencies.percentile(percent.into());
                assert!(found.abs_diff(expected) <= ms(1), "{percent} %: {found:?}");
            }
        }
    }

    #[test]
    fn a_stall_that_outlasts_the_second_delays_all_that_were_due_before_its_end() {
        for pipeline in [1, 16] {
            let work = second_with_a_stall(pipeline, ms(500)..ms(2000));
            let latencies = &work.tally.waits.latencies;
            assert_eq!((latencies.count(), work.tally.waits.at_least), (1000, 0));
            // Half are due before it; the others wait for 1.5 s down to 1 s.
            for (percent, expected) in [(49.0, 0), (51.0, 1010), (75.0, 1250), (100.0, 1500)] {
                let found = latencies.percentile(percent);
                assert!(found.abs_diff(ms(expected)) <= ms(2), "{percent} %: {found:?}");
            }
        }
    }

    #[test]
    fn a_time_in_which_no_name_is_due_is_no_stall() {
        for rate in [2.0, 5.0] {
            let mut work = second(rate, 1, Duration::ZERO..Duration::ZERO);
            work.tally.end_at(ms(1000), false);
            assert_eq!(work.tally.stalls.found(Some(ms(1))), [], "{rate} names/s");
        }
    }

    #[test]
    fn in_a_closed_loop_a_stall_delays_only_the_names_in_flight() {
        let (mut conversation, mut work) = greeted(&plan(None, 1));
        let mut output = [0; 64];
        conversation.say(ms(0), &mut work);
        let count = conversation.transmit(ms(0), &mut output);
        conversation.receive(ms(100), &replies(&output[..count]), &mut work, PEER).unwrap();
        conversation.say(ms(100), &mut work);
        let count = conversation.transmit(ms(100), &mut output);
        conversation.receive(ms(101), &replies(&output[..count]), &mut work, PEER).unwrap();
        assert_eq!(work.tally.waits.latencies.count(), 2);
        assert!(work.tally.waits.latencies.percentile(50.0) < ms(2));
    }

    #[test]
    fn no_more_names_are_in_flight_than_the_pipeline_allows_nor_sent_than_remain() {
        let (mut conversation, mut work) = greeted(&plan(None, 4));
        work.remaining = 6;
        let mut output = [0; 512];
        conversation.say(ms(0), &mut work);
        let count = conversation.transmit(ms(0), &mut output);
        assert_eq!(count, 4 * 9);
        conversation.receive(ms(1), &replies(&output[..count]), &mut work, PEER).unwrap();
        assert!(!work.is_done());
        conversation.say(ms(1), &mut work);
        let count = conversation.transmit(ms(1), &mut output);
        assert_eq!(count, 2 * 9);
        conversation.receive(ms(2), &replies(&output[..count]), &mut work, PEER).unwrap();
        assert!(work.is_done());
        assert_eq!(work.tally.in_time, 6);
    }

    #[test]
    fn what_was_in_flight_when_a_conversation_ends_is_counted_as_unanswered() {
        let (mut conversation, mut work) = greeted(&plan(None, 4));
        conversation.say(ms(0), &mut work);
        conversation.transmit(ms(0), &mut [0; 512]);
        assert!(conversation.receive_end(ms(1)).is_err());
        assert!(!conversation.end(ms(1), &mut work)); // nothing was answered
        assert_eq!((work.tally.unanswered, work.in_flight, work.greeted), (4, 0, 0));
        assert_eq!((work.tally.waits.at_least, work.tally.waits.answered()), (4, 0));
    }

    #[test]
    fn a_server_that_refuses_every_name_has_errors_and_no_stall() {
        let (mut conversation, mut work) = greeted(&plan(None, 1));
        for turn in 0..9 {
            conversation.say(ms(50 * turn), &mut work);
            assert!(conversation.transmit(ms(50 * turn), &mut [0; 512]) > 0);
            conversation.receive(ms(50 * turn + 1), b"Error: not today\n", &mut work, PEER).unwrap();
        }
        work.tally.end_at(ms(450), true);
        assert_eq!(work.tally.errors[&Kind::Reply("not today".to_owned())].count, 9);
        assert_eq!(work.tally.stalls.found(None), []);
    }

    #[test]
    fn an_error_that_answers_nothing_is_why_the_conversation_ends() {
        let (mut conversation, mut work) = greeted(&plan(None, 1));
        let failure = conversation.receive(ms(1), b"Error: idle for 1 s\n", &mut work, PEER).unwrap_err();
        assert_eq!(failure.kind, Kind::Reply("idle for 1 s".to_owned()));
        assert_eq!(work.tally.error_count(), 0); // its owner counts it
    }

    #[test]
    fn a_wrong_byte_is_a_mismatch_and_an_error_reply_is_counted_by_its_text() {
        let (mut conversation, mut work) = greeted(&plan(None, 2));
        conversation.say(ms(0), &mut work);
        conversation.transmit(ms(0), &mut [0; 512]);
        conversation.receive(ms(1), b"Error: name longer ", &mut work, PEER).unwrap();
        conversation.receive(ms(1), b"than 4 bytes\n", &mut work, PEER).unwrap();
        assert_eq!((work.in_flight, work.tally.waits.latencies.count()), (1, 0));
        assert_eq!(work.tally.errors[&Kind::Reply("name longer than 4 bytes".to_owned())].count, 1);
        let failure = conversation.receive(ms(2), b"Hello, 00000003!\n", &mut work, PEER).unwrap_err();
        assert_eq!(failure.kind, Kind::Mismatch);
        assert!(failure.example.unwrap().contains("byte 14 of the reply to `00000002`: expected `2!\\n`"));
    }
}
