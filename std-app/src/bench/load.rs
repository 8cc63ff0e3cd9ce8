//! The event loop over all connections of one load: opens them, keeps them at work for a while, ends them.

use core::{net::SocketAddr, time::Duration};
use std::{io, os::fd::AsRawFd, time::Instant};

use greet::stop::Stop;
use hdrhistogram::CreationError;
use mio::{Events, Interest, Poll, Token, unix::SourceFd};

use super::{
    alarm::Alarm,
    conversation::{Failure, Work},
    error::BenchError,
    link::{Buffers, Link},
    pace::Schedule,
    plan::Plan,
    process::processor_time,
    tally::{Kind, Tally},
};

/// How often time limits, the live line and whatever else need not be exact is looked at.
const TICK: Duration = Duration::from_millis(50);

/// At most so many connections are being opened at once. A backlog of 5 is not rare, and where one overflows, a kernel that
/// answers with SYN cookies forgets the connection that its client takes for open: no greeting ever comes of it ...
const OPENING: usize = 4;
/// ... but for those that have waited so long: there may be no room for them at all.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// A name that is due sooner is waited for without sleeping: to be woken takes about as long.
const NOT_WORTH_SLEEPING: Duration = Duration::from_micros(20);

const STOP: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX - 2);

/// How many sockets are looked at before the time is.
const EVENTS: usize = 256;

/// How long a server that serves nobody any more is asked again, where nobody says how long to wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a load is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    WarmingUp,
    Measuring,
    /// For the last replies.
    Awaiting,
    Closing,
}

/// What became of one stretch of sending names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// How long it was measured.
    pub(super) elapsed: Duration,
    pub(super) backlog: Backlog,
    /// Processor time that this program took meanwhile.
    pub(super) processor: Duration,
}

/// What a rate wanted sent by the end, and was not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    pub(super) names: u64,
    /// How long the oldest of them has been due.
    pub(super) behind: Duration,
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

/// Why a stretch of work came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    ByTime,
    ByWork,
}

/// All connections to one server.
pub(super) struct Load<'a, const N: usize> {
    plan: Plan,
    addresses: Vec<SocketAddr>,
    /// Which of them is used.
    address: usize,
    poll: Poll,
    events: Events,
    links: Vec<Link<N>>,
    pub(super) work: Work,
    buffers: Buffers,
    alarm: Alarm,
    clock: Instant,
    next_tick: Duration,
    phase: Phase,
    /// Since when it goes on.
    phase_began: Duration,
    /// When a conversation was last going on.
    last_greeted: Duration,
    /// A signal came: everything ends.
    pub(super) stopped: bool,
    watch: &'a dyn Fn(Glance<'_>),
    /// Why the first connection was not to be had, if that is all there is to say.
    reason: Option<Failure>,
    /// The connections that wait for their first greeting, and since when.
    opening: Vec<(usize, Duration)>,
    /// The first connection that has never been opened.
    next_new: usize,
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
        let tally: Result<Tally, CreationError> = Tally::new();
        let work = Work::new(&plan, tally?);
        Ok(Self {
            plan,
            addresses,
            address: 0,
            poll,
            events: Events::with_capacity(EVENTS),
            links: (0..plan.connections).map(|number| Link::new(number, &plan)).collect(),
            work,
            buffers: Buffers::new(),
            alarm,
            clock: Instant::now(),
            next_tick: Duration::ZERO,
            phase: Phase::Opening,
            phase_began: Duration::ZERO,
            last_greeted: Duration::ZERO,
            stopped: false,
            watch,
            reason: None,
            opening: Vec::new(),
            next_new: 0,
        })
    }

    /// The address that is used.
    pub(super) fn peer(&self) -> SocketAddr {
        self.addresses.get(self.address).copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Opens all connections, and waits until each is greeted or has failed.
    ///
    /// Answers with why there is none, if so.
    pub(super) fn open(&mut self) -> Result<Result<(), String>, BenchError> {
        self.begin_phase(Phase::Opening);
        self.run(None, |load| load.next_new >= load.links.len() && load.opening.is_empty())?;
        if self.work.greeted == 0 && !self.stopped {
            return Ok(Err(match self.reason.take() {
                Some(Failure { example: Some(example), .. }) => example,
                Some(Failure { kind, .. }) => format!("{kind}; {}", kind.advice()),
                None => "no greeting came; is it a greeting server?".to_owned(),
            }));
        }
        Ok(Ok(()))
    }

    /// Sends names: first for a while that is not measured, then for `time` or until all are sent. Waits for all replies.
    pub(super) fn work(&mut self, warmup: Duration, time: Duration) -> Result<Turn, BenchError> {
        let start = self.now();
        self.work.schedule = self.plan.rate.map(|rate| Schedule::new(start, rate, self.plan.connections));
        for link in &mut self.links {
            link.conversation().restart_schedule();
        }
        let begin = start.saturating_add(warmup);
        let end = begin.saturating_add(time);
        self.work.tally.measure(begin, end);
        self.work.sending = true;
        self.begin_phase(if warmup.is_zero() { Phase::Measuring } else { Phase::WarmingUp });
        self.work.remaining = u64::MAX;
        if warmup > Duration::ZERO {
            self.write_all();
            self.run(Some(begin), Self::is_deserted)?;
            self.begin_phase(Phase::Measuring);
        }
        self.work.remaining = self.plan.names.unwrap_or(u64::MAX);
        let processor = processor_time()?;
        self.write_all();
        if self.run(Some(end), |load| load.work.is_done() || load.is_deserted())? == Ended::ByWork {
            self.work.tally.end_at(self.now());
        }
        let processor = processor_time()?.saturating_sub(processor);
        self.work.sending = false;
        let backlog = self.backlog(begin.saturating_add(self.work.tally.elapsed(self.now())));
        if !self.stopped {
            self.begin_phase(Phase::Awaiting);
            self.run(None, |load| load.work.is_done())?;
        }
        Ok(Turn { elapsed: self.work.tally.elapsed(self.now()), backlog, processor })
    }

    /// Ends all conversations in good order.
    pub(super) fn close(&mut self) -> Result<(), BenchError> {
        let now = self.now();
        self.work.sending = false;
        for index in 0..self.links.len() {
            let outcome = match self.links.get_mut(index) {
                Some(link) => link.close(now, &mut self.work, &mut self.buffers),
                None => continue,
            };
            self.judge(index, now, outcome);
        }
        self.begin_phase(Phase::Closing);
        let patience = if self.stopped { Some(now.saturating_add(TICK)) } else { None };
        self.run(patience, |load| load.links.iter().all(Link::is_over))?;
        Ok(())
    }

    /// What was due before the end and is not sent.
    fn backlog(&mut self, end: Duration) -> Backlog {
        let Some(schedule) = self.work.schedule else { return Backlog::default() };
        let sent = self.links.iter_mut().fold(0_u64, |sum, link| sum.saturating_add(link.conversation().sent()));
        let oldest = self.links.iter_mut().map(|link| link.conversation().next_due(&schedule)).min();
        let behind = oldest.map_or(Duration::ZERO, |oldest| end.saturating_sub(oldest));
        let wanted = schedule.due_before(end).min(self.plan.names.unwrap_or(u64::MAX));
        match wanted.saturating_sub(sent) {
            0 => Backlog::default(),
            names => Backlog { names, behind },
        }
    }

    /// Whether nobody has been served for so long that nobody will be.
    fn is_deserted(&self) -> bool {
        let patience = self.plan.timeout.unwrap_or(PATIENCE);
        self.work.greeted == 0 && self.now().saturating_sub(self.last_greeted) > patience
    }

    fn begin_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_began = self.now();
    }

    /// The loop: until a time, until it is done, or until a signal.
    fn run(&mut self, until: Option<Duration>, is_done: impl Fn(&Self) -> bool) -> Result<Ended, BenchError> {
        loop {
            let now = self.now();
            if now >= self.next_tick {
                self.tick(now);
            }
            if self.phase == Phase::Opening {
                self.open_new(now);
            }
            let next_due = self.send_due(now, until);
            if until.is_some_and(|until| now >= until) {
                return Ok(Ended::ByTime);
            }
            if is_done(self) || self.stopped {
                return Ok(Ended::ByWork);
            }
            self.wait(now, until, next_due)?;
        }
    }

    /// Sends what the schedule wants by now, and also at the very end what was due before; when it wants the next.
    fn send_due(&mut self, now: Duration, until: Option<Duration>) -> Option<Duration> {
        let due = until.map_or(now, |until| until.min(now));
        while self.work.sending
            && let Some(connection) = self.work.schedule.as_mut()?.next_connection(due)
        {
            self.write(connection, now);
        }
        self.work.schedule.as_ref().filter(|_| self.work.sending).map(Schedule::next_due)
    }

    /// Waits for what happens first, and handles it.
    fn wait(&mut self, now: Duration, until: Option<Duration>, next_due: Option<Duration>) -> Result<(), BenchError> {
        let latest = until.map_or(self.next_tick, |until| until.min(self.next_tick)).saturating_sub(now);
        let mut timeout = latest;
        if let Some(due) = next_due {
            let remaining = due.saturating_sub(now);
            if remaining < NOT_WORTH_SLEEPING {
                timeout = Duration::ZERO;
            } else if remaining < latest {
                // The poll's own time limit is in milliseconds.
                self.alarm.set(remaining)?;
            }
        }
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let clock = self.clock;
        let peer = self.peer();
        let events = core::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            match event.token() {
                STOP => self.stopped = true,
                ALARM => {}
                Token(index) => {
                    let Some(link) = self.links.get_mut(index) else { continue };
                    let outcome = link.handle(event, || clock.elapsed(), &mut self.work, &mut self.buffers, peer);
                    if outcome.is_err() {
                        self.judge(index, clock.elapsed(), outcome);
                    }
                }
            }
        }
        self.events = events;
        Ok(())
    }

    fn write(&mut self, index: usize, now: Duration) {
        if let Some(link) = self.links.get_mut(index) {
            let outcome = link.write(now, &mut self.work, &mut self.buffers);
            self.judge(index, now, outcome);
        }
    }

    fn write_all(&mut self) {
        for index in 0..self.links.len() {
            self.write(index, self.now());
        }
    }

    /// A connection that failed is counted, and opened again before long.
    fn judge(&mut self, index: usize, now: Duration, outcome: Result<(), Failure>) {
        let (Err(failure), Some(link)) = (outcome, self.links.get_mut(index)) else { return };
        link.fail(now, &mut self.work);
        // Of a host with several addresses one may not be served, like ::1 beside 127.0.0.1.
        let more = self.address.saturating_add(1) < self.addresses.len();
        if matches!(failure.kind, Kind::NoConnection(_)) && self.next_new == 1 && more {
            self.address = self.address.saturating_add(1);
            self.opening.clear();
            self.next_new = 0;
            return;
        }
        self.work.tally.error(failure.kind.clone(), failure.example.clone());
        self.reason.get_or_insert(failure);
    }

    /// What need not be exact.
    fn tick(&mut self, now: Duration) {
        self.next_tick = now.saturating_add(TICK);
        for index in 0..self.links.len() {
            let outcome = self.links.get_mut(index).map_or(Ok(()), |link| link.check_time(now, self.plan.timeout));
            if outcome.is_err() {
                self.judge(index, now, outcome);
            }
        }
        if self.work.greeted > 0 {
            self.last_greeted = now;
        }
        if self.work.sending {
            for index in 0..self.links.len() {
                if self.links.get(index).is_some_and(|link| link.is_wanted(now)) {
                    self.open_one(index, now);
                }
            }
        }
        (self.watch)(Glance {
            phase: self.phase,
            elapsed: now.saturating_sub(self.phase_began),
            greeted: self.work.greeted,
            tally: &self.work.tally,
        });
    }

    /// Opens connections that never were, some at a time.
    fn open_new(&mut self, now: Duration) {
        let links = &self.links;
        self.opening.retain(|(index, _)| links.get(*index).is_some_and(Link::is_opening));
        while self.next_new < self.links.len() {
            let counted = self.opening.iter().filter(|(_, since)| now.saturating_sub(*since) < IMPATIENCE).count();
            // The first shows which of several addresses is served.
            let alone = self.next_new == 1 && self.addresses.len() > 1 && !self.opening.is_empty();
            if counted >= OPENING || alone {
                return;
            }
            let index = self.next_new;
            self.next_new = index.saturating_add(1);
            self.opening.push((index, now));
            self.open_one(index, now);
        }
    }

    fn open_one(&mut self, index: usize, now: Duration) {
        let peer = self.peer();
        if let Some(link) = self.links.get_mut(index) {
            let outcome = link.open(now, peer, self.poll.registry());
            self.judge(index, now, outcome);
        }
    }
}
