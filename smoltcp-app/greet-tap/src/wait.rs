//! Waits for a frame, a signal or a deadline, with microsecond resolution.

use core::time::Duration;
use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use greet_core::Instant;
use greet_host::{clock, stop::Stop};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};
use signal_hook::{consts::SIGUSR1, low_level};

/// Maximum timeout of one wait.
const LONGEST: Duration = Duration::from_secs(3600);

/// Signals that end a wait: those that request a stop, and SIGUSR1, which requests the counters.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: Stop,
    report: UnixStream,
}

/// What ended a wait. Each signal is reported once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signalled {
    /// A stop was requested.
    pub(crate) stop: bool,
    /// The counters were requested.
    pub(crate) report: bool,
    /// The socket that reports link changes is readable.
    pub(crate) link: bool,
}

impl Signals {
    /// Installs the handlers: SIGINT, SIGTERM and SIGHUP request a stop (the second one ends the program), SIGUSR1 requests the
    /// counters.
    ///
    /// # Errors
    /// If they cannot be installed.
    pub(crate) fn register() -> io::Result<Self> {
        let stop = Stop::on_signals()?;
        let (report, sender) = UnixStream::pair()?;
        report.set_nonblocking(true)?;
        low_level::pipe::register(SIGUSR1, sender)?;
        Ok(Self { stop, report })
    }

    /// Waits until `device` or `link` is readable, a signal arrives, or `deadline` passes. Does not block if it has passed.
    ///
    /// # Errors
    /// Those of ppoll(2), except `EINTR`.
    pub(crate) fn wait(
        &mut self,
        device: BorrowedFd<'_>,
        link: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> io::Result<Signalled> {
        let timeout = deadline.map_or(LONGEST, |deadline| deadline.since(clock::now()).min(LONGEST));
        let mut waited_for = [device, link, self.stop.signalled.as_fd(), self.report.as_fd()]
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
        match ppoll(&mut waited_for, Some(TimeSpec::from_duration(timeout)), None) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Signalled::default()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let [_, link, stop, report] = waited_for.map(|descriptor| descriptor.any() != Some(false));
        let (stop, report) = (stop && has_arrived(&mut self.stop.signalled), report && has_arrived(&mut self.report));
        Ok(Signalled { stop, report, link })
    }
}

/// Reads what a signal handler has written. Returns whether there was anything.
fn has_arrived(pipe: &mut UnixStream) -> bool {
    matches!(pipe.read(&mut [0; 64]), Ok(1..))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_wait_ends_by_a_frame_a_signal_or_its_deadline() {
        let mut signals = Signals::register().unwrap();
        let (device, mut peer) = UnixStream::pair().unwrap();
        let (link, mut system) = UnixStream::pair().unwrap();

        // A wait of 300 us is rounded neither to 0 nor to 1 ms.
        let shortest = (0..20).map(|_| {
            let start = clock::now();
            let signalled =
                signals.wait(device.as_fd(), link.as_fd(), Some(start + Duration::from_micros(300))).unwrap();
            assert_eq!(signalled, Signalled::default());
            clock::now().since(start)
        });
        let shortest = shortest.min().unwrap();
        assert!((Duration::from_micros(300)..Duration::from_millis(1)).contains(&shortest), "{shortest:?}");

        low_level::raise(SIGUSR1).unwrap();
        assert_eq!(
            signals.wait(device.as_fd(), link.as_fd(), None).unwrap(),
            Signalled { report: true, ..Signalled::default() }
        );
        low_level::raise(signal_hook::consts::SIGTERM).unwrap();
        assert_eq!(
            signals.wait(device.as_fd(), link.as_fd(), None).unwrap(),
            Signalled { stop: true, ..Signalled::default() }
        );

        system.write_all(b"it is down").unwrap();
        let signalled = signals.wait(device.as_fd(), link.as_fd(), None).unwrap();
        assert_eq!(signalled, Signalled { link: true, ..Signalled::default() });
        (&link).read_exact(&mut [0; 10]).unwrap();

        peer.write_all(b"a frame").unwrap();
        assert_eq!(signals.wait(device.as_fd(), link.as_fd(), None).unwrap(), Signalled::default());
    }
}
