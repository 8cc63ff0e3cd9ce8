//! All connections to one server: opens them, keeps them at work for a while, ends them.

mod event_loop;

use core::{net::SocketAddr, time::Duration};
use std::{os::fd::AsRawFd, time::Instant};

use greet_host::stop::Stop;
use mio::{Events, Interest, Poll, Token, unix::SourceFd};

use super::{
    alarm::Alarm,
    conversation::Failure,
    error::BenchError,
    link::{Buffers, Link},
    opening::{IMPATIENCE, Opening},
    pace::{Backlog, Schedule},
    plan::Plan,
    process::processor_time,
    tally::{Kind, Tally},
    work::Work,
};

const STOP: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX - 2);

/// How many sockets are looked at before the time is.
const EVENTS: usize = 256;

/// How long replies and ends are waited for after a signal.
const GRACE: Duration = Duration::from_millis(200);

/// What a load is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    WarmingUp,
    Measuring,
    /// Sending what was due before the end.
    CatchingUp,
    /// For the last replies.
    Awaiting,
    Closing,
}

/// What became of one stretch of sending names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// How long it was measured.
    pub(super) elapsed: Duration,
    pub(super) backlog: Backlog,
    /// Processor time that this program took meanwhile.
    pub(super) processor: Duration,
    /// It was given up, as nobody had been served for so long.
    pub(super) given_up: Option<Duration>,
}

impl Measured {
    /// This stretch and another.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            elapsed: self.elapsed.saturating_add(other.elapsed),
            backlog: self.backlog.and(other.backlog),
            processor: self.processor.saturating_add(other.processor),
            given_up: self.given_up.max(other.given_up),
        }
    }
}

/// What a load says of itself while it goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance<'a> {
    pub(super) phase: Phase,
    /// For how long.
    pub(super) elapsed: Duration,
    pub(super) greeted: usize,
    pub(super) tally: &'a Tally,
}

/// All connections to one server.
pub(super) struct Load<'a, const N: usize> {
    plan: Plan,
    poll: Poll,
    events: Events,
    links: Vec<Link<N>>,
    opening: Opening,
    pub(super) work: Work,
    buffers: Buffers,
    alarm: Alarm,
    clock: Instant,
    next_tick: Duration,
    phase: Phase,
    /// Since when it goes on.
    phase_began: Duration,
    /// Nobody is served any more, for so long.
    deserted: Option<Duration>,
    /// When a signal came: everything ends.
    stopped: Option<Duration>,
    watch: &'a dyn Fn(Glance<'_>),
    /// Why the first connection was not to be had, if that is all there is to say.
    reason: Option<Failure>,
}

impl<'a, const N: usize> Load<'a, N> {
    /// A load on the server at one of these addresses: no connection is open yet.
    pub(super) fn new(
        plan: Plan,
        addresses: Vec<SocketAddr>,
        stop: &Stop,
        watch: &'a dyn Fn(Glance<'_>),
    ) -> Result<Self, BenchError> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&stop.signalled.as_raw_fd()), STOP, Interest::READABLE)?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        Ok(Self {
            plan,
            poll,
            events: Events::with_capacity(EVENTS),
            links: (0..plan.connections).map(|number| Link::new(number, &plan)).collect(),
            opening: Opening::new(addresses, plan.connections),
            work: Work::new(&plan, Tally::new()?),
            buffers: Buffers::new(),
            alarm,
            clock: Instant::now(),
            next_tick: Duration::ZERO,
            phase: Phase::Opening,
            phase_began: Duration::ZERO,
            deserted: None,
            stopped: None,
            watch,
            reason: None,
        })
    }

    /// The address that is used.
    pub(super) fn peer(&self) -> SocketAddr {
        self.opening.peer()
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Everything ends, because of a signal.
    pub(super) fn stop(&mut self) {
        let now = self.now();
        self.stopped.get_or_insert(now);
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Opens all connections, and waits until each is greeted or has failed; but no longer than a time limit after the last
    /// greeting: what is not open then may be opened later, and one that is full does not keep the others from their work.
    ///
    /// Answers with why there is none, if so.
    pub(super) fn open(&mut self) -> Result<Result<(), String>, BenchError> {
        self.open_all(self.plan.timeout)?;
        if self.work.greeted == 0 && !self.is_stopped() {
            let Failure { kind, example } = self.reason.take().unwrap_or(Kind::NoGreeting.into());
            let advice = kind.advice();
            return Ok(Err(format!("{}; {advice}", example.unwrap_or_else(|| kind.to_string()))));
        }
        Ok(Ok(()))
    }

    fn open_all(&mut self, patience: Option<Duration>) -> Result<(), BenchError> {
        self.begin_phase(Phase::Opening);
        self.work.greeted_at = self.phase_began;
        self.run(Duration::MAX, |load| {
            let is_waiting = |index: usize| load.links.get(index).is_some_and(Link::is_opening);
            let waited = load.now().saturating_sub(load.work.greeted_at);
            load.opening.is_over(load.phase_began, is_waiting)
                || patience.is_some_and(|patience| waited >= patience)
                || load.is_stopped()
        })
    }

    /// Sends names: first for a while that is not measured, then for `time` or until all are sent. Waits for all replies.
    pub(super) fn work(&mut self, warmup: Duration, time: Duration) -> Result<Measured, BenchError> {
        self.wake()?;
        self.open_all(Some(IMPATIENCE))?;
        if !warmup.is_zero() {
            let given_up = self.stretch(Phase::WarmingUp, warmup, None)?.given_up;
            if given_up.is_some() {
                return Ok(Measured { given_up, ..Measured::default() });
            }
        }
        self.stretch(Phase::Measuring, time, self.plan.names)
    }

    /// Takes notice of what has happened while another server had its turn.
    fn wake(&mut self) -> Result<(), BenchError> {
        self.work.resting = true;
        self.read_all()?;
        self.work.resting = false;
        Ok(())
    }

    /// One stretch of sending names, for `time` or so many, up to the last reply.
    fn stretch(&mut self, phase: Phase, time: Duration, names: Option<u64>) -> Result<Measured, BenchError> {
        if self.is_stopped() {
            return Ok(Measured::default());
        }
        let warming_up = phase == Phase::WarmingUp;
        let start = self.now();
        let end = start.saturating_add(time);
        let schedule = self.plan.rate.map(|rate| Schedule::new(start, end, rate, self.plan.connections, names));
        for link in &mut self.links {
            link.conversation().restart_schedule();
        }
        self.work.begin(start, schedule, names);
        self.work.tally.begin(start, end, warming_up);
        self.deserted = None;
        self.begin_phase(phase);
        let processor = processor_time()?;
        self.write_all();
        // What was due before the end is what users wait for: it is sent as long as an answer would be waited for.
        let last = schedule.map_or(end, |schedule| schedule.last_due()).min(end);
        let patience = self.plan.timeout.unwrap_or(Duration::MAX);
        let caught_up = if schedule.is_some() && !warming_up { last.saturating_add(patience) } else { end };
        self.run(end.min(caught_up), Self::is_over)?;
        let elapsed = self.work.tally.end_at(self.now());
        let processor = processor_time()?.saturating_sub(processor);
        if caught_up > end && !self.is_over() {
            self.begin_phase(Phase::CatchingUp);
            self.run(caught_up, Self::is_over)?;
        }
        self.work.sending = false;
        let backlog = if warming_up { Backlog::default() } else { self.count_backlog() };
        self.begin_phase(Phase::Awaiting);
        self.run(Duration::MAX, |load| load.work.is_done() || load.is_out_of_patience())?;
        let now = self.now();
        for link in &mut self.links {
            link.conversation().interrupt(now, &mut self.work);
        }
        self.work.tally.finish();
        Ok(Measured { elapsed, backlog, processor, given_up: self.deserted })
    }

    /// Whether there is nothing left to do, or no sense in doing it.
    const fn is_over(&self) -> bool {
        self.work.is_done() || self.deserted.is_some() || self.is_stopped()
    }

    /// Whether a signal came, and the time is over that was left to the others since.
    fn is_out_of_patience(&self) -> bool {
        self.stopped.is_some_and(|stopped| self.now().saturating_sub(stopped) >= GRACE)
    }

    /// Ends all conversations in good order.
    pub(super) fn close(&mut self) -> Result<(), BenchError> {
        self.wake()?;
        let now = self.now();
        let patient = !self.is_stopped();
        for index in 0..self.links.len() {
            let outcome = match self.links.get_mut(index) {
                Some(link) => link.close(now, patient, &mut self.work, &mut self.buffers),
                None => continue,
            };
            self.judge(index, now, outcome);
        }
        self.begin_phase(Phase::Closing);
        self.run(Duration::MAX, |load| load.links.iter().all(Link::is_over) || load.is_out_of_patience())
    }

    /// What is due by now and is not sent: it counts among the latencies with how long it has waited at least.
    fn count_backlog(&mut self) -> Backlog {
        let Some(schedule) = self.work.schedule else { return Backlog::default() };
        let now = self.now();
        let mut backlog = Backlog::default();
        for (index, link) in self.links.iter_mut().enumerate() {
            let sent = link.conversation().sent();
            backlog = backlog.and(schedule.backlog(index, sent, now));
            for (wait, names) in schedule.waits(index, sent, now) {
                self.work.tally.waits.add_at_least(wait, names);
            }
        }
        backlog
    }

    fn begin_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_began = self.now();
    }
}
