//! The blocking driver's transport over a TCP socket: buffered reads, and waits that end at a deadline.

use core::time::Duration;
use std::{
    io::{self, ErrorKind, Read},
    net::{Shutdown, TcpStream},
    thread,
};

use greet_core::{Instant, drive::blocking::Transport};
use greet_host::clock::LastWait;

use crate::socket::{self, Readiness};

/// Maximum number of bytes per read. The runtimes tokio and uring, whose connections share buffers, read more. Under framing `auto`
/// the first read decides: without an LF in it the framing is `chunk` (rule F3). Small enough for thousands of connections, and
/// the longest name with its LF fits (rule L1).
pub(crate) const READ: usize = 4096;

/// The same where a few buffers serve all connections.
#[cfg(target_os = "linux")]
pub(crate) const SHARED_READ: usize = 16 * 1024;

/// A socket's timeout is set this much longer than necessary. The deadline of the next wait is usually the same span from
/// now, give or take a few microseconds, and then the timeout need not be set again: a round trip costs one read and one
/// write.
const SLACK: Duration = Duration::from_millis(5);

/// The longest wait, also used without a deadline. On Linux a socket call with a timeout is not restarted after a signal
/// handler but fails with `Interrupted`, so a signal can wake the thread.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest wait, for a deadline in the past: a socket timeout of zero means none.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// The longest single sleep. The standard library resumes a sleep after a signal, and the caller must check for a stop.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// One connection, read and written by one thread.
#[derive(Debug)]
pub(crate) struct TcpTransport<'a> {
    stream: &'a TcpStream,
    time: &'a LastWait,
    /// `start..end` is input that is not consumed yet.
    input: [u8; READ],
    start: usize,
    end: usize,
    deadline: Option<Instant>,
    /// The end of every wait, even if the deadline is later.
    wait_limit: Option<Instant>,
    read_limit: Limit,
    /// Set once this side has sent its FIN.
    fin_sent: bool,
    moved: Moved,
}

/// How many bytes a transport has received and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// The read timeout that this transport has set on the socket, if any.
#[derive(Clone, Copy, Debug, Default)]
struct Limit(Option<Duration>);

impl<'a> TcpTransport<'a> {
    /// Creates a transport over `stream`, which must be blocking, and whose timeouts must not be set elsewhere. It updates
    /// `time` after each wait, and uses it as its clock.
    pub(crate) const fn new(stream: &'a TcpStream, time: &'a LastWait) -> Self {
        Self {
            stream,
            time,
            input: [0; READ],
            start: 0,
            end: 0,
            deadline: None,
            wait_limit: None,
            read_limit: Limit(None),
            fin_sent: false,
            moved: Moved { received: 0, sent: 0 },
        }
    }
}

impl TcpTransport<'_> {
    /// Call it before the socket is closed. If this side has sent its FIN, waits until the peer has acknowledged all
    /// output, as long as it makes progress.
    #[cfg(target_os = "linux")]
    pub(crate) fn deliver(&mut self) {
        use crate::delivery::{Delivery, PAUSE};
        use greet_host::clock;
        if self.fin_sent {
            let mut delivery = Delivery::begin(self.stream);
            while self.wait_limit.is_none_or(|limit| clock::now() < limit) && delivery.is_under_way(self.stream) {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Ends each later wait at this time at the latest, as if the deadline had passed.
    pub(crate) const fn set_wait_limit(&mut self, limit: Option<Instant>) {
        self.wait_limit = limit;
    }

    /// How many bytes were received and sent so far.
    pub(crate) const fn moved(&self) -> Moved {
        self.moved
    }

    /// Waits until the socket is writable, or the deadline passes.
    fn wait_until_writable(&self) -> io::Result<()> {
        let remaining =
            self.deadline.map_or(LONGEST_WAIT, |deadline| deadline.since(self.time.time())).min(LONGEST_WAIT);
        let ready = socket::wait(self.stream, Readiness::Write, remaining);
        self.time.over();
        if ready? { Ok(()) } else { Err(ErrorKind::TimedOut.into()) }
    }
}

impl Limit {
    /// The timeout to set on the socket for a wait until `deadline`, or `None` if the current one is close enough.
    fn renew(&mut self, now: Instant, deadline: Option<Instant>) -> Option<Duration> {
        let remaining = match deadline {
            Some(deadline) => deadline.since(now).clamp(SHORTEST_WAIT, LONGEST_WAIT),
            None => LONGEST_WAIT,
        };
        let span = new_limit(remaining, self.0)?;
        self.0 = Some(span);
        Some(span)
    }
}

/// The timeout to set on a socket for a wait of `remaining`, or `None` if its current `limit` is close enough.
fn new_limit(remaining: Duration, limit: Option<Duration>) -> Option<Duration> {
    let near = remaining..=remaining.saturating_add(2 * SLACK);
    (!limit.is_some_and(|limit| near.contains(&limit))).then(|| remaining.saturating_add(SLACK))
}

/// The earlier of two times, if there is any.
pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

/// Maps `WouldBlock`, which a socket returns when its timeout expires, to `TimedOut`.
fn in_time(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

impl embedded_io::ErrorType for TcpTransport<'_> {
    type Error = io::Error;
}

impl embedded_io::BufRead for TcpTransport<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start >= self.end {
            if let Some(span) = self.read_limit.renew(self.time.time(), self.deadline) {
                self.stream.set_read_timeout(Some(span))?;
            }
            let mut stream = self.stream;
            let outcome = stream.read(&mut self.input);
            self.time.over();
            self.end = outcome.map_err(in_time)?;
            self.start = 0;
            self.moved.received = self.moved.received.saturating_add(self.end as u64);
        }
        Ok(self.input.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }
}

impl embedded_io::ReadReady for TcpTransport<'_> {
    fn read_ready(&mut self) -> io::Result<bool> {
        // A read that did not fill the buffer has taken all input, so no system call is needed.
        Ok(self.start < self.end || (self.end == READ && socket::wait(self.stream, Readiness::Read, Duration::ZERO)?))
    }
}

impl embedded_io::Read for TcpTransport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut input = embedded_io::BufRead::fill_buf(self)?;
        let count = Read::read(&mut input, buffer)?;
        embedded_io::BufRead::consume(self, count);
        Ok(count)
    }
}

impl embedded_io::Write for TcpTransport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Non-blocking, with a separate wait: a partial write returns at once, so the driver knows when bytes were sent.
        loop {
            match socket::write_now(self.stream, bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_until_writable()?,
                Err(error) => return Err(error),
                Ok(count) => {
                    self.moved.sent = self.moved.sent.saturating_add(count as u64);
                    return Ok(count);
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is buffered
    }
}

impl Transport for TcpTransport<'_> {
    fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.deadline = earliest(deadline, self.wait_limit); // set on the socket only when a read has to wait
        Ok(())
    }

    fn sleep_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let deadline = earliest(deadline, self.wait_limit);
        let span = deadline.map_or(LONGEST_SLEEP, |deadline| deadline.since(self.time.time()));
        thread::sleep(span.min(LONGEST_SLEEP));
        self.time.over();
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()), // the peer has reset it
            Ok(()) => {
                self.fin_sent = true;
                Ok(())
            }
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::TcpListener};

    use embedded_io::{BufRead, ReadReady as _, Write as _};
    use greet_host::clock;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn a_deadline_that_moves_with_the_time_needs_no_new_limit() {
        let idle = Duration::from_secs(300);
        let limit = new_limit(idle, None);
        assert_eq!(limit, Some(idle + SLACK));
        for micros in [0, 1, 4_000, 5_000] {
            assert_eq!(new_limit(idle - Duration::from_micros(micros), limit), None);
            assert_eq!(new_limit(idle + Duration::from_micros(micros), limit), None);
        }
        let linger = Duration::from_secs(2);
        assert_eq!(new_limit(linger, limit), Some(linger + SLACK));
        assert_eq!(new_limit(idle + Duration::from_millis(6), limit), Some(idle + Duration::from_millis(6) + SLACK));
    }

    #[test]
    fn a_read_ends_at_its_deadline_or_at_once_if_that_is_past() {
        let (near, _far) = pair();
        let time = LastWait::new();
        let mut transport = TcpTransport::new(&near, &time);
        for wait in [Duration::from_millis(50), Duration::ZERO] {
            let begin = clock::now();
            transport.set_deadline(Some(begin + wait)).unwrap();
            assert_eq!(transport.fill_buf().unwrap_err().kind(), ErrorKind::TimedOut);
            let took = clock::now().since(begin);
            assert!(wait <= took && took < wait + Duration::from_secs(1), "{took:?}");
        }
    }

    #[test]
    fn a_later_deadline_that_is_nearer_in_time_shortens_the_wait() {
        let mut limit = Limit::default();
        let idle = limit.renew(clock::now(), Some(clock::now() + Duration::from_secs(2))).unwrap();
        assert!(idle > Duration::from_secs(1));
        thread::sleep(Duration::from_millis(100));
        // As after an `exit` that arrived shortly before the idle timeout.
        let linger = limit.renew(clock::now(), Some(clock::now() + Duration::from_millis(1_950))).unwrap();
        assert!(linger < Duration::from_millis(1_960));
    }

    #[test]
    fn after_a_read_that_filled_the_buffer_it_is_known_whether_there_is_more() {
        let (near, mut far) = pair();
        let time = LastWait::new();
        let mut transport = TcpTransport::new(&near, &time);
        assert!(!transport.read_ready().unwrap());
        for (sent, pieces) in [(READ, &[READ][..]), (READ + 1, &[READ, 1]), (7, &[7])] {
            far.write_all(&vec![b'a'; sent]).unwrap();
            // Wait until all of it has arrived; otherwise the first read may return less.
            while near.peek(&mut [0; 2 * READ]).unwrap() < sent {}
            for (number, &piece) in pieces.iter().enumerate() {
                assert_eq!(transport.fill_buf().unwrap().len(), piece);
                assert!(transport.read_ready().unwrap(), "it is not consumed yet");
                transport.consume(piece);
                assert_eq!(transport.read_ready().unwrap(), number + 1 < pieces.len(), "{sent}: {number}");
            }
        }
    }

    #[test]
    fn a_write_that_the_peer_does_not_read_times_out_at_its_deadline() {
        let (near, _far) = pair();
        let time = LastWait::new();
        let mut transport = TcpTransport::new(&near, &time);
        transport.set_deadline(Some(clock::now() + Duration::from_millis(50))).unwrap();
        let error = loop {
            match transport.write(&[0; 65536]) {
                Ok(count) => assert!(count > 0),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn read_bytes_are_kept_until_consumed_and_the_end_follows() {
        let (near, mut far) = pair();
        far.write_all(b"Welcome!").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let time = LastWait::new();
        let mut transport = TcpTransport::new(&near, &time);
        let mut received = Vec::new();
        loop {
            let input = transport.fill_buf().unwrap().to_vec();
            assert_eq!(transport.fill_buf().unwrap(), input);
            let Some(&first) = input.first() else { break };
            received.push(first);
            transport.consume(1);
        }
        assert_eq!(received, b"Welcome!");
        Transport::shutdown(&mut transport).unwrap();
        drop(far);
        Transport::shutdown(&mut transport).unwrap();
    }
}
