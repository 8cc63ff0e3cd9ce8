//! One connection of a load: moves bytes between a conversation and a non-blocking socket.

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
};

use mio::{Interest, Registry, Token, event::Event, net::TcpStream};

use super::{
    conversation::{Conversation, Failure},
    options::SocketArgs,
    plan::Plan,
    tally::Kind,
    work::Work,
};

/// The buffers for reads and writes, shared by all connections.
#[derive(Debug)]
pub(super) struct Buffers {
    input: Box<[u8]>,
    output: Box<[u8]>,
}

/// The size of each buffer: as much as a socket usually moves at once, and more than the longest name.
const BUFFER: usize = 128 * 1024;

impl Buffers {
    pub(super) fn new() -> Self {
        Self { input: vec![0; BUFFER].into(), output: vec![0; BUFFER].into() }
    }
}

/// A read that does not fill the buffer has emptied the socket, and with epoll and kqueue later bytes cause a new event. Windows
/// reports a socket again only after a read that would have waited.
const READS_ONCE: bool = cfg!(unix);

/// The state of a connection.
#[derive(Debug)]
enum Socket {
    /// Not connected.
    Closed,
    /// Connecting, since this time.
    Opening {
        stream: TcpStream,
        since: Duration,
    },
    Open {
        stream: TcpStream,
    },
    /// The conversation is over, in good order.
    Over,
}

/// The pause before a failed connection is opened again. There is none if a name was answered on it: with `--rate` the pause
/// would count as latency.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// One connection, which is opened again after a failure.
#[derive(Debug)]
pub(super) struct Link<const N: usize> {
    socket: Socket,
    conversation: Conversation<N>,
    /// Bytes that the socket did not take yet.
    unwritten: Vec<u8>,
    number: usize,
}

impl<const N: usize> Link<N> {
    pub(super) fn new(number: usize, plan: &Plan) -> Self {
        Self {
            socket: Socket::Closed,
            conversation: Conversation::new(number, plan, Duration::ZERO),
            unwritten: Vec::new(),
            number,
        }
    }

    pub(super) const fn conversation(&mut self) -> &mut Conversation<N> {
        &mut self.conversation
    }

    /// Whether it waits for the connection or the greeting.
    pub(super) const fn is_opening(&self) -> bool {
        matches!(self.socket, Socket::Opening { .. } | Socket::Open { .. }) && !self.conversation.is_greeted()
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.socket, Socket::Over | Socket::Closed)
    }

    /// Starts to connect.
    pub(super) fn open(
        &mut self,
        now: Duration,
        peer: SocketAddr,
        sockets: &SocketArgs,
        registry: &Registry,
    ) -> Result<(), Failure> {
        let open = || {
            let mut stream = sockets.connect(peer)?;
            registry.register(&mut stream, Token(self.number), Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        };
        let stream = open().map_err(|error| Kind::of_connecting(&error))?;
        self.conversation.renew(now);
        self.unwritten.clear();
        self.socket = Socket::Opening { stream, since: now };
        Ok(())
    }

    /// The connection failed; returns when it may be opened again.
    pub(super) fn fail(&mut self, now: Duration, work: &mut Work) -> Duration {
        self.socket = Socket::Closed;
        let answered = self.conversation.end(now, work);
        if answered { now } else { now.saturating_add(RECONNECT_PAUSE) }
    }

    /// Handles an event of the socket.
    pub(super) fn handle(
        &mut self,
        event: &Event,
        now: impl Fn() -> Duration,
        work: &mut Work,
        buffers: &mut Buffers,
        peer: SocketAddr,
    ) -> Result<(), Failure> {
        if let Socket::Opening { stream, .. } = &self.socket {
            if let Ok(Some(error)) | Err(error) = stream.take_error() {
                return Err(Kind::of_connecting(&error).into());
            }
            if stream.peer_addr().is_err_and(|error| error.kind() == ErrorKind::NotConnected) {
                return Ok(()); // not yet
            }
            let _ = stream.set_nodelay(true); // without it names may be late, which is no failure
            if let Socket::Opening { stream, .. } = core::mem::replace(&mut self.socket, Socket::Closed) {
                self.socket = Socket::Open { stream };
                self.conversation.connected(now(), work);
            }
        }
        let mut time = None;
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            time = self.read(event.is_read_closed() || event.is_error(), &now, work, buffers, peer)?;
        }
        let time = time.unwrap_or_else(now);
        self.write(time, work, buffers)
    }

    /// Reads all available bytes; returns the time of the last read.
    fn read(
        &mut self,
        to_the_end: bool,
        now: impl Fn() -> Duration,
        work: &mut Work,
        buffers: &mut Buffers,
        peer: SocketAddr,
    ) -> Result<Option<Duration>, Failure> {
        let mut time = None;
        while let Socket::Open { stream } = &mut self.socket {
            match stream.read(&mut buffers.input) {
                Ok(0) => {
                    let ended_at = now();
                    self.conversation.receive_end(ended_at)?;
                    self.conversation.end(ended_at, work);
                    self.socket = Socket::Over;
                }
                Ok(count) => {
                    let read_at = now();
                    time = Some(read_at);
                    let input = buffers.input.get(..count).unwrap_or_default();
                    self.conversation.receive(read_at, input, work, peer)?;
                    if READS_ONCE && count < buffers.input.len() && !to_the_end {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Kind::of_connection(&error).into()),
            }
        }
        Ok(time)
    }

    /// Sends due names as far as the socket takes them.
    pub(super) fn write(&mut self, now: Duration, work: &mut Work, buffers: &mut Buffers) -> Result<(), Failure> {
        let Socket::Open { stream } = &mut self.socket else { return Ok(()) };
        if !self.unwritten.is_empty() {
            let written = write(stream, &self.unwritten)?;
            if written > 0 {
                self.conversation.progress(now);
                self.unwritten.drain(..written);
            }
            if !self.unwritten.is_empty() {
                return Ok(());
            }
        }
        loop {
            self.conversation.say(now, work);
            let filled = self.conversation.transmit(now, &mut buffers.output);
            let output = buffers.output.get(..filled).unwrap_or_default();
            if output.is_empty() {
                break;
            }
            let written = write(stream, output)?;
            if written < filled {
                self.unwritten.extend_from_slice(output.get(written..).unwrap_or_default());
                return Ok(());
            }
            if filled < buffers.output.len() {
                break;
            }
        }
        if self.conversation.ends_its_side(now) {
            stream.shutdown(Shutdown::Write).map_err(|error| Kind::of_connection(&error))?;
        }
        Ok(())
    }

    /// Handles the timeouts of connecting and of the conversation.
    pub(super) fn check_time(&mut self, now: Duration, timeout: Option<Duration>) -> Result<(), Failure> {
        match &self.socket {
            Socket::Closed | Socket::Over => Ok(()),
            Socket::Opening { since, .. } => match timeout {
                Some(timeout) if now.saturating_sub(*since) >= timeout => {
                    Err(Kind::of_connecting(&ErrorKind::TimedOut.into()).into())
                }
                _ => Ok(()),
            },
            Socket::Open { .. } => self.conversation.check_time(now),
        }
    }

    /// Closes the conversation with `exit` or a FIN; at once if it is not greeted, or if replies are missing and `may_wait` is false.
    pub(super) fn close(
        &mut self,
        now: Duration,
        may_wait: bool,
        work: &mut Work,
        buffers: &mut Buffers,
    ) -> Result<(), Failure> {
        if self.conversation.is_greeted() && (may_wait || self.conversation.owes_nothing()) {
            self.conversation.close(now);
            self.write(now, work, buffers)
        } else {
            self.conversation.end(now, work);
            self.socket = Socket::Over;
            Ok(())
        }
    }
}

/// Writes as much as the socket takes without waiting. If that is not everything, the last write would have waited, so that
/// every system reports when there is room again.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize, Failure> {
    let mut written = 0_usize;
    while let Some(rest @ [_, ..]) = bytes.get(written..) {
        match stream.write(rest) {
            Ok(count) => written = written.saturating_add(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Kind::of_connection(&error).into()),
        }
    }
    Ok(written)
}
