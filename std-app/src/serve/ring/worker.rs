//! One thread of the uring runtime: a ring, and the conversations of its connections.

use core::{cmp::Reverse, net::SocketAddr, time::Duration};
use std::{
    collections::BinaryHeap,
    io::{self, ErrorKind, Read},
    net::TcpStream,
    os::fd::AsRawFd,
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
};

use greet_core::{Instant, Machine, NAME_CAPACITY, Server, State};
use greet_host::{clock, log};
use nix::libc;

use super::{
    Shared,
    conversation::{Conversation, Want},
    uring::{Completion, Filled, Ring},
};
use crate::delivery::{Delivery, PAUSE};

/// Interval at which all conversations are looked at while the service stops.
const REMINDER: Duration = Duration::from_millis(20);

/// The connections that the acceptor hands over, and the socket that wakes the worker for them.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) connections: Receiver<(TcpStream, SocketAddr)>,
    pub(super) wake: std::os::unix::net::UnixStream,
}

/// One connection.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    conversation: Conversation<Server<NAME_CAPACITY>>,
    /// The kernel receives for it.
    receiving: bool,
    /// It has been told to stop receiving.
    cancelled: bool,
    /// The peer's FIN is received: no more input follows.
    peer_ended: bool,
    /// This side has sent its FIN.
    fin_sent: bool,
    /// Set once the machine is over.
    delivery: Option<Delivery>,
    /// The earliest entry in the queue of deadlines.
    queued: Option<Instant>,
    /// The machine knows that the service is stopping.
    told: bool,
    /// The conversation has ended; the kernel may still use the socket.
    over: bool,
}

/// A ring and its connections, by token.
#[derive(Debug)]
pub(super) struct Worker {
    ring: Ring,
    shared: Arc<Shared>,
    inbox: Inbox,
    connections: Vec<Option<Connection>>,
    /// Tokens without a connection.
    vacant: Vec<u32>,
    /// When to look at a connection. An entry may be too early: each byte moves the deadline, and the entry stays.
    deadlines: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Connections that the kernel had no receive buffer for.
    starved: Vec<u32>,
    /// Unused buffers for replies.
    spare: Vec<Box<[u8]>>,
    now: Instant,
}

impl Worker {
    pub(super) fn new(ring: Ring, shared: Arc<Shared>, inbox: Inbox) -> Self {
        Self {
            ring,
            shared,
            inbox,
            connections: Vec::new(),
            vacant: Vec::new(),
            deadlines: BinaryHeap::new(),
            starved: Vec::new(),
            spare: Vec::new(),
            now: clock::now(),
        }
    }

    /// Serves until the service has stopped and the last conversation has ended.
    ///
    /// # Errors
    /// The ring cannot be used.
    pub(super) fn run(mut self) -> io::Result<()> {
        self.ring.watch(self.inbox.wake.as_raw_fd());
        loop {
            self.ring.wait(self.timeout())?;
            self.now = clock::now(); // once: hardly any time passes until the next wait
            while let Some(completion) = self.ring.next_completion() {
                self.complete(completion);
            }
            for token in core::mem::take(&mut self.starved) {
                self.drive(token, None); // receives again
            }
            self.look_at_the_overdue();
            if self.shared.service.closing.has_begun() {
                for token in 0..u32::try_from(self.connections.len()).unwrap_or(u32::MAX) {
                    self.drive(token, None);
                }
            }
        }
    }

    /// How long to wait for a completion; `None` for as long as it takes.
    fn timeout(&self) -> Option<Duration> {
        let next = self.deadlines.peek().map(|Reverse((at, _))| at.since(self.now));
        match next {
            _ if !self.starved.is_empty() => Some(Duration::ZERO),
            _ if !self.shared.service.closing.has_begun() => next,
            next => Some(next.unwrap_or(REMINDER).min(REMINDER)),
        }
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Received { token, outcome, armed } => {
                let Some(connection) = self.connection(token) else { return };
                connection.receiving = armed;
                match outcome {
                    Ok(Some(filled)) => self.drive(token, Some(filled)),
                    Ok(None) => {
                        connection.peer_ended = true;
                        connection.conversation.receive_end();
                        self.drive(token, None);
                    }
                    Err(error) => match error.raw_os_error() {
                        Some(libc::ENOBUFS) => self.starved.push(token),
                        Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => self.drive(token, None),
                        _ => self.end(token, Some(&error)),
                    },
                }
            }
            Completion::Sent { token, buffer, outcome } => {
                let now = self.now;
                let Some(connection) = self.connection(token) else { return };
                let sent = *outcome.as_ref().unwrap_or(&0);
                connection.conversation.sent(now, buffer, sent);
                match outcome {
                    Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => self.drive(token, None),
                    Err(error) => self.end(token, Some(&error)),
                    Ok(_) => self.drive(token, None),
                }
            }
            Completion::Readable => {
                while matches!(self.inbox.wake.read(&mut [0; 64]), Ok(1..)) {}
                self.ring.watch(self.inbox.wake.as_raw_fd());
                self.take_connections();
            }
        }
    }

    fn take_connections(&mut self) {
        loop {
            let (stream, peer) = match self.inbox.connections.try_recv() {
                Ok(connection) => connection,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            };
            self.shared.service.log.accepted(peer);
            let conversation = Conversation::new(self.shared.service.server());
            let connection = Connection {
                stream,
                peer,
                conversation,
                receiving: false,
                cancelled: false,
                peer_ended: false,
                fin_sent: false,
                delivery: None,
                queued: None,
                told: false,
                over: false,
            };
            let token = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(None);
                u32::try_from(self.connections.len().saturating_sub(1)).unwrap_or(u32::MAX)
            });
            if let Some(place) = self.connections.get_mut(index(token)) {
                *place = Some(connection);
            }
            self.drive(token, None);
        }
    }

    /// Continues a conversation as far as it goes without waiting.
    fn drive(&mut self, token: u32, filled: Option<Filled>) {
        let now = self.now;
        let closing = &self.shared.service.closing;
        let (mut filled, mut failure) = (filled, None);
        let Some(connection) = self.connections.get_mut(index(token)).and_then(Option::as_mut) else { return };
        while !connection.over {
            if closing.is_overdue() {
                connection.conversation.machine().close(now);
            }
            let read = filled.as_ref().map_or(&[][..], |filled| self.ring.bytes(filled));
            let peer = connection.peer;
            let want = connection.conversation.advance(now, read, &mut self.spare, |event| log::trace(peer, event));
            if let Some(filled) = filled.take() {
                self.ring.give_back(filled);
            }
            match want {
                Want::Send { buffer, begin, end } => {
                    self.ring.send(token, connection.stream.as_raw_fd(), buffer, begin, end);
                }
                Want::Shutdown => match shut_down(&connection.stream) {
                    Ok(fin_sent) => {
                        connection.fin_sent = fin_sent;
                        connection.conversation.shut_down(now);
                        continue;
                    }
                    Err(error) => failure = Some(error),
                },
                Want::Wait => {
                    if !connection.told && closing.has_begun() && connection.conversation.is_idle() {
                        connection.told = true;
                        connection.conversation.machine().close(now);
                        continue;
                    }
                }
                Want::Over => {
                    let stream = &connection.stream;
                    let mut delivery =
                        connection.delivery.take().or_else(|| connection.fin_sent.then(|| Delivery::begin(stream)));
                    if !delivery.as_mut().is_some_and(|delivery| delivery.is_under_way(stream)) {
                        self.end(token, None);
                        return;
                    }
                    connection.delivery = delivery;
                }
            }
            break;
        }
        if let Some(filled) = filled {
            self.ring.give_back(filled);
        }
        match failure {
            Some(error) => self.end(token, Some(&error)),
            None => self.wait_for(token),
        }
    }

    /// Arranges that a conversation continues: when input comes, or at its deadline.
    fn wait_for(&mut self, token: u32) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(index(token)).and_then(Option::as_mut) else { return };
        if connection.over {
            self.release(token);
            return;
        }
        if !connection.receiving {
            connection.cancelled = false;
            if !connection.peer_ended && connection.delivery.is_none() && connection.conversation.takes_input() {
                connection.receiving = true;
                self.ring.receive(token, connection.stream.as_raw_fd());
            }
        } else if !connection.cancelled && (connection.conversation.is_full() || connection.delivery.is_some()) {
            connection.cancelled = true;
            self.ring.stop_receiving(token);
        }
        let deadline = match connection.conversation.machine().state() {
            State::Over => Some(now + PAUSE), // its delivery is under way
            _ => connection.conversation.deadline(),
        };
        if let Some(deadline) = deadline
            && connection.queued.is_none_or(|queued| deadline < queued)
        {
            connection.queued = Some(deadline);
            self.deadlines.push(Reverse((deadline, token)));
        }
    }

    /// Drives the connections whose entry in the queue of deadlines is due.
    fn look_at_the_overdue(&mut self) {
        while let Some(&Reverse((at, token))) = self.deadlines.peek()
            && at <= self.now
        {
            self.deadlines.pop();
            let Some(connection) = self.connection(token) else { continue };
            if connection.queued == Some(at) {
                connection.queued = None;
                self.drive(token, None);
            }
        }
    }

    /// Logs the end of a conversation, and lets the kernel stop what it does for the connection.
    fn end(&mut self, token: u32, error: Option<&io::Error>) {
        let Some(connection) = self.connections.get_mut(index(token)).and_then(Option::as_mut) else { return };
        if !connection.over {
            connection.over = true;
            let peer = connection.peer;
            match error {
                Some(error) => tracing::debug!(%peer, %error, "the connection failed"), // C2
                None => {
                    let end = connection.conversation.machine().end();
                    tracing::debug!(%peer, ?end, "the conversation has ended");
                }
            }
            self.shared.service.log.closed(peer);
            if connection.receiving {
                self.ring.stop_receiving(token);
            }
            if connection.conversation.is_sending() {
                self.ring.stop_sending(token);
            }
        }
        self.release(token);
    }

    /// Closes the socket of an ended conversation as soon as the kernel does not use it.
    fn release(&mut self, token: u32) {
        let Some(place) = self.connections.get_mut(index(token)) else { return };
        let is_unused = |connection: &mut Connection| {
            connection.over && !connection.receiving && !connection.conversation.is_sending()
        };
        if place.take_if(is_unused).is_some() {
            self.vacant.push(token);
            self.shared.has_ended();
        }
    }

    fn connection(&mut self, token: u32) -> Option<&mut Connection> {
        self.connections.get_mut(index(token))?.as_mut()
    }
}

/// Sends the FIN. False where the peer has reset the connection.
fn shut_down(stream: &TcpStream) -> io::Result<bool> {
    match stream.shutdown(std::net::Shutdown::Write) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

fn index(token: u32) -> usize {
    usize::try_from(token).unwrap_or(usize::MAX)
}
