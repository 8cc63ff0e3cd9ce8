//! A timer that wakes the event loop with microsecond accuracy; the timeout of the poll is in milliseconds. Only Linux has it
//! (timerfd): elsewhere the poll's timeout is used, rounded up.

#[cfg(not(target_os = "linux"))]
pub(super) use self::elsewhere::Alarm;
#[cfg(target_os = "linux")]
pub(super) use self::linux::Alarm;

#[cfg(target_os = "linux")]
mod linux {
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
    pub(in crate::bench) struct Alarm(TimerFd);

    impl Alarm {
        /// An unset timer that wakes the poll of `registry`.
        pub(in crate::bench) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
            registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(timer))
        }

        /// Sets the timer to `remaining` from now, instead of its earlier time, and returns the timeout for the poll, at most
        /// `latest`. The timer need not be read: setting it resets the event.
        pub(in crate::bench) fn set(&self, remaining: Duration, latest: Duration) -> io::Result<Duration> {
            let expiration = Expiration::OneShot(TimeSpec::from_duration(remaining));
            self.0.set(expiration, TimerSetTimeFlags::empty())?;
            Ok(latest)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use core::time::Duration;
    use std::io;

    use mio::{Registry, Token};

    #[derive(Debug)]
    pub(in crate::bench) struct Alarm;

    impl Alarm {
        pub(in crate::bench) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::bench) fn set(&self, remaining: Duration, latest: Duration) -> io::Result<Duration> {
            Ok(remaining.min(latest))
        }
    }
}
