//! The event loop of a load: sends due names, handles events, counts failures and reconnects.

use core::time::Duration;
use std::io;

use mio::{Events, Token};

use super::{ALARM, EVENTS, Glance, Load, Phase};
use crate::bench::{conversation::Failure, error::BenchError, link::Link, tally::Kind};

/// The interval of everything that need not be exact: timeouts, and the progress line.
const TICK: Duration = Duration::from_millis(50);

/// A shorter wait for the next name spins: waking up takes about as long.
const SPIN_BELOW: Duration = Duration::from_micros(20);

impl<const N: usize> Load<'_, N> {
    /// Runs until a time, or until it is done.
    pub(super) fn run(&mut self, until: Duration, is_done: impl Fn(&Self) -> bool) -> Result<(), BenchError> {
        loop {
            let mut now = self.now();
            if now >= self.next_tick {
                // Read first: bytes that have arrived are in time, even if this process was not scheduled.
                self.read_all()?;
                now = self.now();
                self.tick(now);
            }
            self.open_next(now);
            let next_due = self.send_due(now);
            if now >= until || is_done(self) {
                return Ok(());
            }
            self.wait(now, until, next_due)?;
        }
    }

    /// Sends the names that are due, and returns when the next one is.
    fn send_due(&mut self, now: Duration) -> Option<Duration> {
        let schedule = self.work.schedule.as_mut().filter(|_| self.work.sending)?;
        let connections = schedule.take_due(now);
        let next_due = schedule.next_due();
        for connection in connections {
            self.write(connection, now);
        }
        next_due
    }

    /// Waits for the next event and handles it.
    fn wait(&mut self, now: Duration, until: Duration, next_due: Option<Duration>) -> Result<(), BenchError> {
        let latest = until.min(self.next_tick).saturating_sub(now);
        let mut timeout = latest;
        if let Some(due) = next_due {
            let remaining = due.saturating_sub(now);
            if remaining < SPIN_BELOW {
                timeout = Duration::ZERO;
            } else if remaining < latest {
                // The timeout of the poll is in milliseconds.
                timeout = self.alarm.set(remaining, latest)?;
            }
        }
        self.poll(timeout).map(|_| ())
    }

    /// Handles all pending events.
    pub(super) fn read_all(&mut self) -> Result<(), BenchError> {
        // Bounded: a server may always send more.
        for _ in (0..=self.links.len()).step_by(EVENTS) {
            if self.poll(Duration::ZERO)? < EVENTS {
                break;
            }
        }
        Ok(())
    }

    /// Waits for events up to `timeout` and handles them; returns their number.
    fn poll(&mut self, timeout: Duration) -> Result<usize, BenchError> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            polled => polled?,
        }
        let clock = self.clock;
        let peer = self.peer();
        let events = core::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut count = 0_usize;
        for event in &events {
            count = count.saturating_add(1);
            match event.token() {
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
        Ok(count)
    }

    fn write(&mut self, index: usize, now: Duration) {
        if let Some(link) = self.links.get_mut(index) {
            let outcome = link.write(now, &mut self.work, &mut self.buffers);
            self.judge(index, now, outcome);
        }
    }

    pub(super) fn write_all(&mut self) {
        for index in 0..self.links.len() {
            self.write(index, self.now());
        }
    }

    /// A connection that failed is counted, and opened again before long.
    pub(super) fn judge(&mut self, index: usize, now: Duration, outcome: Result<(), Failure>) {
        let (Err(failure), Some(link)) = (outcome, self.links.get_mut(index)) else { return };
        let is_excused = self.work.resting && link.conversation().is_quiet();
        let again = link.fail(now, &mut self.work);
        if is_excused {
            // It closed an idle connection during the other server's turn.
            self.opening.closed(index, now);
        } else if matches!(failure.kind, Kind::NoConnection(_)) && self.opening.move_on() {
            self.opening.closed(index, Duration::ZERO);
            self.work.greeted_at = now;
        } else {
            self.opening.settle();
            self.opening.closed(index, again);
            self.work.tally.error(failure.kind.clone(), failure.example.clone());
            self.reason.get_or_insert(failure);
        }
    }

    /// Everything that need not be exact.
    fn tick(&mut self, now: Duration) {
        self.next_tick = now.saturating_add(TICK);
        if self.signals.is_wished() {
            self.stop();
        }
        for index in 0..self.links.len() {
            let outcome = self.links.get_mut(index).map_or(Ok(()), |link| link.check_time(now, self.plan.timeout));
            if outcome.is_err() {
                self.judge(index, now, outcome);
            }
        }
        if self.work.sending {
            self.given_up = self.work.silent_for(now, self.plan.timeout);
        }
        self.work.tally.pass(now);
        self.report();
    }

    /// Shows the state of the load.
    pub(super) fn report(&self) {
        (self.watch)(Glance {
            phase: self.phase,
            elapsed: self.now().saturating_sub(self.phase_began),
            greeted: self.work.greeted,
            tally: &self.work.tally,
        });
    }

    /// Opens closed connections, a few at a time, while there is work for them.
    fn open_next(&mut self, now: Duration) {
        let by = match self.phase {
            Phase::Opening => self.phase_began,
            _ if self.work.sending && self.work.remaining > 0 => now,
            _ => return,
        };
        if self.work.greeted > 0 {
            self.opening.settle();
        }
        while self.opening.is_wanted(by) {
            let is_waiting = |index: usize| self.links.get(index).is_some_and(Link::is_opening);
            let Some(index) = self.opening.next(now, by, is_waiting) else { return };
            let peer = self.peer();
            if let Some(link) = self.links.get_mut(index) {
                let outcome = link.open(now, peer, self.sockets, self.poll.registry());
                self.judge(index, now, outcome);
            }
        }
    }
}
