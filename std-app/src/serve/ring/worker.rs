//! One thread of the uring runtime: a ring, and the conversations of its connections.

use core::{cmp::Reverse, time::Duration};
use std::{
    collections::BinaryHeap,
    io::{self, ErrorKind, Read},
    net::{Shutdown, TcpStream},
    os::fd::AsRawFd,
    sync::mpsc::Receiver,
};

use greet_core::{Instant, ServerMachine, State};
use greet_host::{
    clock,
    conversation::Conversation,
    limits::{Admission, Demand, TimeLimit},
};
use nix::libc;

use super::{
    super::{
        Service,
        acceptor::{Accepted, Slot},
        end_reason,
    },
    driver::{Driver, Want},
    uring::{Completion, Filled, Ring},
};
use crate::delivery::{Delivery, PAUSE};

/// Interval at which all conversations are driven while the service stops.
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// The connections that the acceptor passes on, and the socket that wakes the worker for them.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) connections: Receiver<Accepted>,
    pub(super) wake: std::os::unix::net::UnixStream,
}

/// One connection.
#[derive(Debug)]
struct Connection<'a, S> {
    stream: TcpStream,
    driver: Driver<S>,
    /// `None` once it has ended.
    conversation: Option<Conversation<'a>>,
    limit: TimeLimit,
    _admission: Option<Admission<'a>>,
    _slot: Slot,
    /// A receive operation is active in the kernel.
    receiving: bool,
    /// The cancellation of the receive operation was submitted.
    cancelled: bool,
    /// The peer's FIN is received: no more input follows.
    peer_ended: bool,
    /// This side has sent its FIN.
    fin_sent: bool,
    /// Set once the machine is over.
    delivery: Option<Delivery>,
    /// The earliest entry in the queue of deadlines.
    queued: Option<Instant>,
    /// The machine was asked to close because the service is stopping.
    close_requested: bool,
}

/// A ring and its connections, by token.
#[derive(Debug)]
pub(super) struct Worker<'a, S: ServerMachine> {
    ring: Ring,
    service: &'a Service<S>,
    inbox: Inbox,
    connections: Vec<Option<Connection<'a, S>>>,
    /// Tokens without a connection.
    vacant: Vec<u32>,
    /// When to drive a connection. An entry may be too early: each byte moves the deadline, and the entry stays.
    deadlines: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Connections that the kernel had no receive buffer for.
    without_buffer: Vec<u32>,
    /// Unused buffers for replies.
    spare: Vec<Box<[u8]>>,
    now: Instant,
}

impl<'a, S: ServerMachine + Send> Worker<'a, S> {
    pub(super) fn new(ring: Ring, service: &'a Service<S>, inbox: Inbox) -> Self {
        Self {
            ring,
            service,
            inbox,
            connections: Vec::new(),
            vacant: Vec::new(),
            deadlines: BinaryHeap::new(),
            without_buffer: Vec::new(),
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
            self.now = clock::now(); // read once per wait: what follows takes little time
            while let Some(completion) = self.ring.next_completion() {
                self.complete(completion);
            }
            for token in core::mem::take(&mut self.without_buffer) {
                self.drive(token, None); // receives again
            }
            self.drive_overdue();
            if self.service.closing.has_begun() {
                for token in 0..u32::try_from(self.connections.len()).unwrap_or(u32::MAX) {
                    self.drive(token, None);
                }
            }
        }
    }

    /// How long to wait for a completion; `None` is without limit.
    fn timeout(&self) -> Option<Duration> {
        let next = self.deadlines.peek().map(|Reverse((at, _))| at.since(self.now));
        match next {
            _ if !self.without_buffer.is_empty() => Some(Duration::ZERO),
            _ if !self.service.closing.has_begun() => next,
            next => Some(next.unwrap_or(STOP_INTERVAL).min(STOP_INTERVAL)),
        }
    }

    fn complete(&mut self, completion: Completion) {
        let now = self.now;
        match completion {
            Completion::Received { token, outcome, armed } => {
                let Some(connection) = self.connection(token) else { return };
                connection.receiving = armed;
                match outcome {
                    Ok(Some(filled)) => {
                        if let Some(conversation) = &mut connection.conversation {
                            conversation.moved_more(filled.length(), 0, || now);
                        }
                        self.drive(token, Some(filled));
                    }
                    Ok(None) => {
                        connection.peer_ended = true;
                        connection.driver.receive_end();
                        self.drive(token, None);
                    }
                    Err(error) => match error.raw_os_error() {
                        Some(libc::ENOBUFS) => self.without_buffer.push(token),
                        Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => self.drive(token, None),
                        _ => self.end(token, Err(error)),
                    },
                }
            }
            Completion::Sent { token, buffer, outcome } => {
                let Some(connection) = self.connection(token) else { return };
                let sent = *outcome.as_ref().unwrap_or(&0);
                connection.driver.sent(now, buffer, sent);
                if let Some(conversation) = &mut connection.conversation {
                    conversation.moved_more(0, sent, || now);
                }
                match outcome {
                    Err(error) if error.raw_os_error() != Some(libc::ECANCELED) => self.end(token, Err(error)),
                    _ => self.drive(token, None),
                }
            }
            Completion::Readable => {
                while matches!(self.inbox.wake.read(&mut [0; 64]), Ok(1..)) {}
                self.ring.watch(self.inbox.wake.as_raw_fd());
                while let Ok(connection) = self.inbox.connections.try_recv() {
                    self.begin(connection);
                }
            }
        }
    }

    /// Serves a new connection.
    fn begin(&mut self, Accepted { stream, peer, slot }: Accepted) {
        let service = self.service;
        let Some(admission) = service.admit(peer) else { return drop((stream, slot)) };
        let conversation = service.begin(peer);
        let connection = Connection {
            stream,
            driver: Driver::new(service.server()),
            limit: service.time_limit(&conversation),
            conversation: Some(conversation),
            _admission: admission,
            _slot: slot,
            receiving: false,
            cancelled: false,
            peer_ended: false,
            fin_sent: false,
            delivery: None,
            queued: None,
            close_requested: false,
        };
        let token = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            u32::try_from(self.connections.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        if let Some(entry) = self.connections.get_mut(index(token)) {
            *entry = Some(connection);
        }
        self.drive(token, None);
    }

    /// Continues a conversation as far as it goes without waiting. `filled` is a new read.
    fn drive(&mut self, token: u32, mut filled: Option<Filled>) {
        let ended = self.advance(token, &mut filled);
        if let Some(filled) = filled {
            self.ring.give_back(filled);
        }
        match ended {
            Some(outcome) => self.end(token, outcome),
            None => self.wait_for(token),
        }
    }

    /// Does the work of [`drive`](Self::drive). Returns how the conversation has ended, if it has.
    fn advance(&mut self, token: u32, filled: &mut Option<Filled>) -> Option<io::Result<()>> {
        let (now, closing) = (self.now, &self.service.closing);
        let Connection { stream, driver, conversation, limit, delivery, fin_sent, close_requested, .. } =
            self.connections.get_mut(index(token))?.as_mut()?;
        let conversation = conversation.as_mut()?;
        match limit.check(|| now) {
            Demand::Nothing => {}
            Demand::Close => driver.machine().close(now),
            Demand::CutOff => return Some(Ok(())),
        }
        loop {
            if closing.is_overdue() {
                driver.machine().close(now);
            }
            let read = filled.as_ref().map_or(&[][..], |filled| self.ring.bytes(filled));
            let want = driver.advance(now, read, &mut self.spare, |event| conversation.on_event(event, || now));
            if let Some(filled) = filled.take() {
                self.ring.give_back(filled);
            }
            match want {
                Want::Send { buffer, begin, end } => {
                    self.ring.send(token, stream.as_raw_fd(), buffer, begin, end);
                    return None;
                }
                Want::Shutdown => {
                    match stream.shutdown(Shutdown::Write) {
                        Ok(()) => *fin_sent = true,
                        Err(error) if error.kind() == ErrorKind::NotConnected => {} // the peer has reset it
                        Err(error) => return Some(Err(error)),
                    }
                    driver.shut_down(now);
                }
                Want::Wait if !*close_requested && driver.is_idle() && closing.has_begun() => {
                    *close_requested = true;
                    driver.machine().close(now);
                }
                Want::Wait => return None,
                Want::Over => {
                    if delivery.is_none() && *fin_sent {
                        *delivery = Some(Delivery::begin(stream));
                    }
                    let is_unfinished = delivery.as_mut().is_some_and(|delivery| delivery.is_under_way(stream));
                    return (!is_unfinished).then_some(Ok(()));
                }
            }
        }
    }

    /// Arranges that a conversation continues when input is received, or at its deadline.
    fn wait_for(&mut self, token: u32) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(index(token)).and_then(Option::as_mut) else { return };
        if connection.conversation.is_none() {
            return self.release(token);
        }
        let (driver, is_over) = (&mut connection.driver, connection.delivery.is_some());
        if !connection.receiving {
            connection.cancelled = false;
            if !connection.peer_ended && !is_over && driver.takes_input() {
                connection.receiving = true;
                self.ring.receive(token, connection.stream.as_raw_fd());
            }
        } else if !connection.cancelled && (is_over || driver.is_full()) {
            connection.cancelled = true;
            self.ring.stop_receiving(token);
        }
        let deadline = match driver.machine().state() {
            State::Over => Some(now + PAUSE), // its delivery is not finished
            _ => driver.deadline(),
        };
        let deadline = deadline.into_iter().chain(connection.limit.until()).min();
        if let Some(deadline) = deadline
            && connection.queued.is_none_or(|queued| deadline < queued)
        {
            connection.queued = Some(deadline);
            self.deadlines.push(Reverse((deadline, token)));
        }
    }

    /// Drives the connections whose entry in the queue of deadlines is due.
    fn drive_overdue(&mut self) {
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

    /// Ends a conversation, and cancels the operations of its connection in the kernel.
    fn end(&mut self, token: u32, outcome: io::Result<()>) {
        let Some(connection) = self.connections.get_mut(index(token)).and_then(Option::as_mut) else { return };
        if let Some(conversation) = connection.conversation.take() {
            let end = connection.driver.machine().end();
            conversation.end(end_reason(&connection.limit, end, outcome));
            if connection.receiving && !connection.cancelled {
                self.ring.stop_receiving(token);
            }
            if connection.driver.is_sending() {
                self.ring.stop_sending(token);
            }
        }
        self.release(token);
    }

    /// Closes the socket of an ended conversation as soon as the kernel does not use it.
    fn release(&mut self, token: u32) {
        let Some(entry) = self.connections.get_mut(index(token)) else { return };
        let is_unused = |connection: &mut Connection<'_, S>| {
            connection.conversation.is_none() && !connection.receiving && !connection.driver.is_sending()
        };
        if entry.take_if(is_unused).is_some() {
            self.vacant.push(token);
        }
    }

    fn connection(&mut self, token: u32) -> Option<&mut Connection<'a, S>> {
        self.connections.get_mut(index(token))?.as_mut()
    }
}

fn index(token: u32) -> usize {
    usize::try_from(token).unwrap_or(usize::MAX)
}
