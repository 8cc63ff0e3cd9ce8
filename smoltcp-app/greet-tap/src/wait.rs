//! Waiting: for a frame, for a signal, or until a deadline, to the microsecond.

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

/// Who waits for longer than this looks at its deadline in between.
const LONGEST: Duration = Duration::from_secs(3600);

/// What can be waited for besides frames: the wish to stop, and the wish for the counters.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: Stop,
    report: UnixStream,
}

/// Which signals came, each said once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signalled {
    pub(crate) stop: bool,
    pub(crate) report: bool,
    /// There is something to read where changes of links are told.
    pub(crate) link: bool,
}

impl Signals {
    /// From now on SIGINT and SIGTERM end the program in good order, the second one at once; SIGUSR1 asks for the counters.
    pub(crate) fn register() -> io::Result<Self> {
        let stop = Stop::on_signals()?;
        let (report, sender) = UnixStream::pair()?;
        report.set_nonblocking(true)?;
        low_level::pipe::register(SIGUSR1, sender)?;
        Ok(Self { stop, report })
    }

    /// Waits for something on `device` or `link`, a signal, or `deadline`; where that is over, looks only.
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
        let (stop, report) = (stop && came(&mut self.stop.signalled), report && came(&mut self.report));
        Ok(Signalled { stop, report, link })
    }
}

/// Takes what a signal wrote.
fn came(pipe: &mut UnixStream) -> bool {
    matches!(pipe.read(&mut [0; 64]), Ok(1..))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_wait_ends_by_a_frame_a_signal_or_its_deadline() {
        let mut signals = Signals::register().unwrap();
        let (device, mut wire) = UnixStream::pair().unwrap();
        let (link, mut system) = UnixStream::pair().unwrap();

        // A fraction of a millisecond is neither nothing nor a whole one.
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
        let told = signals.wait(device.as_fd(), link.as_fd(), None).unwrap();
        assert_eq!(told, Signalled { link: true, ..Signalled::default() });
        (&link).read_exact(&mut [0; 10]).unwrap();

        wire.write_all(b"a frame").unwrap();
        assert_eq!(signals.wait(device.as_fd(), link.as_fd(), None).unwrap(), Signalled::default());
    }
}
