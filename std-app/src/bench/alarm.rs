//! A timer that wakes the event loop with microsecond accuracy; the timeout of the poll is in milliseconds.

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

/// A timer of the kernel (timerfd).
#[derive(Debug)]
pub(super) struct Alarm(TimerFd);

impl Alarm {
    /// An unset timer that wakes the poll of `registry`.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Sets the timer to `remaining` from now, instead of its earlier time. It need not be read: setting it resets the event.
    pub(super) fn set(&self, remaining: Duration) -> io::Result<()> {
        let expiration = Expiration::OneShot(TimeSpec::from_duration(remaining));
        Ok(self.0.set(expiration, TimerSetTimeFlags::empty())?)
    }
}
