//! A timer that wakes the event loop to the microsecond, where the loop's own time limit is in milliseconds.

use core::time::Duration;
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use mio::{Interest, Registry, Token, unix::SourceFd};
use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

/// The timer.
#[derive(Debug)]
pub(super) struct Alarm(TimerFd);

impl Alarm {
    /// A timer that is not set, and that will wake `registry`'s owner.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Wakes in so long, and not at what was set before. (It need not be read: setting it is what makes it quiet.)
    pub(super) fn set(&self, remaining: Duration) -> io::Result<()> {
        let expiration = Expiration::OneShot(TimeSpec::from_duration(remaining));
        Ok(self.0.set(expiration, TimerSetTimeFlags::empty())?)
    }
}
