//! A socket whose waits end at a deadline, and when the wish to stop comes.

use core::{error, fmt};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
};

use greet::{clock, stop::Stop};
use greet_core::Instant;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

/// The wish to stop came.
#[derive(Debug)]
struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a signal came")
    }
}

impl error::Error for Stopped {}

/// Whether this error is the wish to stop. (It is not of kind `Interrupted`: behind that everybody tries again.)
pub(super) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

/// Waits for what is `awaited`, the wish to stop, or `deadline`, of which the last two are errors.
pub(super) fn wait(stop: &Stop, awaited: PollFd<'_>, deadline: Option<Instant>) -> io::Result<()> {
    let mut all = [PollFd::new(stop.signalled.as_fd(), PollFlags::POLLIN), awaited];
    loop {
        let remaining = deadline.map(|deadline| TimeSpec::from_duration(deadline.since(clock::now())));
        match ppoll(&mut all, remaining, None) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) if all[0].any() != Some(false) => return Err(io::Error::other(Stopped)),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {} // what the signal wrote can be read now
            Err(error) => return Err(error.into()),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    stream: TcpStream,
    stop: &'a Stop,
    /// When waiting ends.
    pub(super) deadline: Option<Instant>,
}

impl<'a> Wire<'a> {
    pub(super) fn new(stream: TcpStream, stop: &'a Stop) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, stop, deadline: None })
    }

    /// Waits for the deadline alone.
    pub(super) fn sleep_until(&self, deadline: Option<Instant>) -> io::Result<()> {
        match wait(self.stop, PollFd::new(self.stop.signalled.as_fd(), PollFlags::empty()), deadline) {
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(()),
            outcome => outcome,
        }
    }

    /// Ends this side. A peer that has let go of the connection has no need to hear of it.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            outcome => outcome,
        }
    }

    /// Tries until it need not wait. Every time the wish to stop is looked at first: where there is always something to
    /// read, nobody ever waits.
    fn attempt(
        &mut self,
        events: PollFlags,
        mut operation: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            wait(self.stop, PollFd::new(self.stream.as_fd(), events), self.deadline)?;
            match operation(&self.stream) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                outcome => return outcome,
            }
        }
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(PollFlags::POLLIN, |mut stream| stream.read(buffer))
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(PollFlags::POLLOUT, |mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is held back
    }
}
