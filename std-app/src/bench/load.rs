//! All connections to one server: opens them, sends names for some time, closes them.

mod event_loop;

use core::{net::SocketAddr, time::Duration};
use std::time::Instant;

use greet_host::stop::Stop;
use mio::{Events, Poll, Token};

use super::{
    alarm::Alarm,
    conversation::Failure,
    error::BenchError,
    intervals::Intervals,
    link::{Buffers, Link},
    opening::{LATE, Opening},
    options::SocketArgs,
    pace::{Backlog, Schedule},
    plan::Plan,
    process::cpu_time,
    tally::{Kind, Tally},
    work::Work,
};

const ALARM: Token = Token(usize::MAX - 1);

/// The number of events that are handled between two looks at the clock.
const EVENTS: usize = 256;

/// After a signal, the time limit for the last replies and for closing.
const GRACE: Duration = Duration::from_millis(200);

/// What a load is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    WarmingUp,
    Measuring,
    /// Sending the names that were scheduled before the end and are late.
    CatchingUp,
    /// Waiting for the last replies.
    WaitingForReplies,
    Closing,
}

/// The result of one stretch of sending names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// The measured time.
    pub(super) elapsed: Duration,
    pub(super) backlog: Backlog,
    /// The CPU time of this process during it.
    pub(super) cpu: Duration,
    /// The run was aborted after this time without a reply.
    pub(super) given_up: Option<Duration>,
}

impl Measured {
    /// This stretch and another.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            elapsed: self.elapsed.saturating_add(other.elapsed),
            backlog: self.backlog.and(other.backlog),
            cpu: self.cpu.saturating_add(other.cpu),
            given_up: self.given_up.max(other.given_up),
        }
    }
}

/// The state of a load for the progress line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance<'a> {
    pub(super) phase: Phase,
    /// The time since the phase began.
    pub(super) elapsed: Duration,
    pub(super) greeted: usize,
    pub(super) tally: &'a Tally,
}

/// Why no connection is served.
pub(super) struct Unserved {
    pub(super) reason: String,
    /// No connection was accepted.
    pub(super) is_refused: bool,
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
    pub(super) sockets: &'a SocketArgs,
    alarm: Alarm,
    clock: Instant,
    next_tick: Duration,
    phase: Phase,
    /// When the phase began.
    phase_began: Duration,
    /// No reply was received for this time, and the run is aborted.
    given_up: Option<Duration>,
    signals: &'a Stop,
    /// When a signal was received: everything ends.
    stopped: Option<Duration>,
    watch: &'a dyn Fn(Glance<'_>),
    /// The first failure, for the message if no connection is greeted.
    reason: Option<Failure>,
}

impl<'a, const N: usize> Load<'a, N> {
    /// A load for the server at one of these addresses. No connection is open yet.
    pub(super) fn new(
        plan: Plan,
        addresses: Vec<SocketAddr>,
        sockets: &'a SocketArgs,
        stop: &'a Stop,
        watch: &'a dyn Fn(Glance<'_>),
    ) -> Result<Self, BenchError> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let mut tally = Tally::new()?;
        tally.intervals = plan.interval.map(Intervals::new).transpose()?;
        Ok(Self {
            plan,
            poll,
            events: Events::with_capacity(EVENTS),
            links: (0..plan.connections).map(|number| Link::new(number, &plan)).collect(),
            opening: Opening::new(addresses, plan.connections),
            work: Work::new(&plan, tally),
            buffers: Buffers::new(),
            sockets,
            alarm,
            clock: Instant::now(),
            next_tick: Duration::ZERO,
            phase: Phase::Opening,
            phase_began: Duration::ZERO,
            given_up: None,
            signals: stop,
            stopped: None,
            watch,
            reason: None,
        })
    }

    /// The address that the load connects to.
    pub(super) fn peer(&self) -> SocketAddr {
        self.opening.peer()
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Ends everything because of a signal.
    pub(super) fn stop(&mut self) {
        let now = self.now();
        self.stopped.get_or_insert(now);
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Opens all connections, and waits until each is greeted or has failed, but at most the timeout after the last greeting.
    /// The others may open later: a server that is full does not hold up the run.
    ///
    /// The inner error says why no connection is open.
    pub(super) fn open(&mut self) -> Result<Result<(), Unserved>, BenchError> {
        self.open_all(self.plan.timeout)?;
        if self.work.greeted == 0 && !self.is_stopped() {
            let Failure { kind, example } = self.reason.take().unwrap_or(Kind::NoGreeting.into());
            let advice = kind.advice(self.plan.service);
            return Ok(Err(Unserved {
                is_refused: matches!(kind, Kind::NoConnection(_)),
                reason: format!("{}; {advice}", example.unwrap_or_else(|| kind.to_string())),
            }));
        }
        Ok(Ok(()))
    }

    fn open_all(&mut self, timeout: Option<Duration>) -> Result<(), BenchError> {
        self.begin_phase(Phase::Opening);
        self.work.greeted_at = self.phase_began;
        self.run(Duration::MAX, |load| {
            let is_waiting = |index: usize| load.links.get(index).is_some_and(Link::is_opening);
            let waited = load.now().saturating_sub(load.work.greeted_at);
            load.opening.is_over(load.phase_began, is_waiting)
                || timeout.is_some_and(|timeout| waited >= timeout)
                || load.is_stopped()
        })
    }

    /// Sends names: first for the warm-up, then for `time` or until all are sent. Waits for the last replies.
    pub(super) fn work(&mut self, warmup: Duration, time: Duration) -> Result<Measured, BenchError> {
        self.wake()?;
        self.open_all(Some(LATE))?;
        if !warmup.is_zero() {
            let given_up = self.stretch(Phase::WarmingUp, warmup, None)?.given_up;
            if given_up.is_some() {
                return Ok(Measured { given_up, ..Measured::default() });
            }
        }
        self.stretch(Phase::Measuring, time, self.plan.names)
    }

    /// Handles the events that occurred during another server's turn.
    fn wake(&mut self) -> Result<(), BenchError> {
        self.work.resting = true;
        self.read_all()?;
        self.work.resting = false;
        Ok(())
    }

    /// Sends names for `time`, or this number of names, and waits for the last reply.
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
        self.given_up = None;
        self.begin_phase(phase);
        let cpu = cpu_time()?;
        self.write_all();
        // A schedule takes its whole time, however soon its last name is answered.
        let schedule_end = schedule.map_or(start, |schedule| schedule.end()).min(end);
        // Users wait for names that are late: they are still sent until the timeout.
        let timeout = self.plan.timeout.unwrap_or(Duration::MAX);
        let caught_up = if schedule.is_some() && !warming_up { schedule_end.saturating_add(timeout) } else { end };
        self.run(schedule_end, Self::is_aborted)?;
        self.run(end.min(caught_up), Self::is_over)?;
        let is_waiting = self.is_waiting();
        let elapsed = self.work.tally.end_at(self.now(), is_waiting);
        self.report();
        let cpu = cpu_time()?.saturating_sub(cpu);
        if caught_up > end && !self.is_over() {
            self.begin_phase(Phase::CatchingUp);
            self.run(caught_up, Self::is_over)?;
        }
        self.work.sending = false;
        let backlog = if warming_up { Backlog::default() } else { self.count_backlog() };
        self.begin_phase(Phase::WaitingForReplies);
        self.run(Duration::MAX, |load| load.work.is_done() || load.is_grace_over())?;
        let now = self.now();
        for link in &mut self.links {
            link.conversation().interrupt(now, &mut self.work);
        }
        self.work.tally.finish();
        Ok(Measured { elapsed, backlog, cpu, given_up: self.given_up })
    }

    /// Whether all names are answered, or the run is aborted.
    const fn is_over(&self) -> bool {
        self.work.is_done() || self.is_aborted()
    }

    /// Whether the server gave no reply for too long, or a signal was received.
    const fn is_aborted(&self) -> bool {
        self.given_up.is_some() || self.is_stopped()
    }

    /// Whether names are in flight or due.
    fn is_waiting(&mut self) -> bool {
        let Some(schedule) = self.work.schedule else { return !self.work.is_done() };
        let now = self.now();
        let is_late =
            |(index, link): (usize, &mut Link<N>)| schedule.backlog(index, link.conversation().sent(), now).names > 0;
        self.work.in_flight > 0 || self.links.iter_mut().enumerate().any(is_late)
    }

    /// Whether the time limit after a signal is over.
    fn is_grace_over(&self) -> bool {
        self.stopped.is_some_and(|stopped| self.now().saturating_sub(stopped) >= GRACE)
    }

    /// Closes all conversations: `exit`, and the server's FIN.
    pub(super) fn close(&mut self) -> Result<(), BenchError> {
        self.wake()?;
        let now = self.now();
        let may_wait = !self.is_stopped();
        for index in 0..self.links.len() {
            let outcome = match self.links.get_mut(index) {
                Some(link) => link.close(now, may_wait, &mut self.work, &mut self.buffers),
                None => continue,
            };
            self.judge(index, now, outcome);
        }
        self.begin_phase(Phase::Closing);
        self.run(Duration::MAX, |load| load.links.iter().all(Link::is_over) || load.is_grace_over())
    }

    /// The names that are due and not sent. They count among the latencies with the time that they have waited.
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
