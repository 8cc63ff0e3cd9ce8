//! A socket whose waits end when nothing has moved until the deadline.

use core::{cell::Cell, time::Duration};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
};

use greet_core::Instant;
use greet_host::clock;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

/// One connection.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    stream: TcpStream,
    /// Raised when a byte has come or gone. Where what comes is encrypted the machine may not have heard of it yet.
    moved: &'a Cell<bool>,
    deadline: Option<Instant>,
    /// How far the deadline was away when it was set; it moves along with the bytes.
    patience: Option<Duration>,
}

impl<'a> Wire<'a> {
    pub(super) fn new(stream: TcpStream, moved: &'a Cell<bool>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, moved, deadline: None, patience: None })
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
        self.patience = deadline.map(|deadline| deadline.since(clock::now()));
    }

    /// Waits for the deadline alone.
    pub(super) fn sleep_until(deadline: Option<Instant>) -> io::Result<()> {
        wait(&mut [], deadline).map(drop)
    }

    /// Ends this side. A peer that has let go of the connection has no need to hear of it.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            outcome => outcome,
        }
    }

    /// Tries until it need not wait.
    fn attempt(
        &mut self,
        events: PollFlags,
        mut operation: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match operation(&self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
                Ok(count) => {
                    self.moved.set(true);
                    self.deadline = self.patience.map(|patience| clock::now() + patience);
                    return Ok(count);
                }
            }
            if !wait(&mut [PollFd::new(self.stream.as_fd(), events)], self.deadline)? {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Waits until something is there, which is true, or the deadline is over.
fn wait(awaited: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let remaining = deadline.map(|deadline| TimeSpec::from_duration(deadline.since(clock::now())));
        match ppoll(awaited, remaining, None) {
            Err(Errno::EINTR) => {}
            outcome => return Ok(outcome? > 0),
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
