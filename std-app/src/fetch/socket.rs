//! A socket whose waits end if no byte is sent or received until a deadline, or at the end of the download's time.

use core::{cell::Cell, time::Duration};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use greet_core::Instant;
use greet_host::clock;

use crate::socket::{self, Readiness};

/// The longest single wait; a longer one is repeated.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// One connection.
#[derive(Debug)]
pub(super) struct TimedSocket<'a> {
    stream: TcpStream,
    /// Set when a byte is sent or received. Over TLS the state machine may not have seen it yet.
    moved: &'a Cell<bool>,
    deadline: Option<Instant>,
    /// The time to the deadline when it was set; each byte starts it again.
    timeout: Option<Duration>,
    /// The deadline of the whole download, which bytes do not move.
    end: Option<Instant>,
}

impl<'a> TimedSocket<'a> {
    pub(super) fn new(stream: TcpStream, moved: &'a Cell<bool>, end: Option<Instant>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, moved, deadline: None, timeout: None, end })
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
        self.timeout = deadline.map(|deadline| deadline.since(clock::now()));
    }

    /// Waits until the deadline.
    pub(super) fn sleep_until(deadline: Option<Instant>) {
        loop {
            match deadline.map(|deadline| deadline.since(clock::now())) {
                Some(Duration::ZERO) => return,
                remaining => thread::sleep(remaining.unwrap_or(LONGEST_WAIT)),
            }
        }
    }

    /// Sends the FIN. A connection that the peer has reset needs none.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            outcome => outcome,
        }
    }

    /// Repeats the operation until it succeeds or fails, and waits where it would block.
    fn attempt(
        &mut self,
        readiness: Readiness,
        mut operation: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match operation(&self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
                Ok(count) => {
                    self.moved.set(true);
                    self.deadline = self.timeout.map(|timeout| clock::now() + timeout);
                    return Ok(count);
                }
            }
            if !wait(&self.stream, readiness, self.deadline.into_iter().chain(self.end).min())? {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Waits for an event, which gives true, or until the deadline.
fn wait(stream: &TcpStream, readiness: Readiness, deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let remaining = deadline.map_or(LONGEST_WAIT, |deadline| deadline.since(clock::now()));
        match socket::wait(stream, readiness, remaining.min(LONGEST_WAIT)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(false) if remaining > LONGEST_WAIT || deadline.is_none() => {}
            outcome => return outcome,
        }
    }
}

impl Read for TimedSocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(Readiness::Read, |mut stream| stream.read(buffer))
    }
}

impl Write for TimedSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(Readiness::Write, |mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is buffered
    }
}
