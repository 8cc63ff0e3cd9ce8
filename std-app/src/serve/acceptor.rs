//! Accepts connections for the runtimes threads and uring: up to the maximum number, again when a resource that had run out is
//! free, and until the service stops.

use core::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    io::{self, ErrorKind, Read},
    net::TcpStream,
    os::fd::AsRawFd,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use greet_core::ServerMachine;
use greet_host::{clock, stop::Stop};
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};

use super::{
    Service, closing,
    listen::Listener,
    starved::{self, AcceptWarning},
};

/// Interval at which the runtime is told that the service is stopping.
const REMINDER: Duration = Duration::from_millis(20);

// Tokens of the events that wake the acceptor: the end of a conversation, a signal, and each listener from `LISTENERS` on.
const WAKE: Token = Token(0);
const STOP: Token = Token(1);
const LISTENERS: usize = 2;

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// Released after the socket is closed: then the acceptor may need its descriptor.
    pub(super) slot: Slot,
}

/// One of the maximum number of connections. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Slots>);

/// Why a connection could not be started, and the connection.
pub(super) type NotStarted = (io::Error, Option<Accepted>);

/// The part of a runtime that serves the accepted connections.
pub(super) trait Starter {
    /// Starts to serve a connection.
    ///
    /// # Errors
    /// A resource has run out, for instance threads. The connection is given back, and is passed again later.
    fn start(&mut self, connection: Accepted) -> Result<(), NotStarted>;

    /// The service is stopping: every conversation has to notice that. Called repeatedly, until the last one has ended.
    fn remind(&mut self);
}

/// Accepts connections and passes them to `starter` until `stop`, then waits until the conversations have ended, at most for the
/// grace period.
///
/// # Errors
/// The system offers no way to wait for connections.
pub(super) fn serve<S: ServerMachine>(
    listeners: Vec<Listener>,
    service: &Service<S>,
    mut starter: impl Starter,
    mut stop: Stop,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut SourceFd(&stop.signalled.as_raw_fd()), STOP, Interest::READABLE)?;
    for (index, listener) in listeners.iter().enumerate() {
        let token = Token(LISTENERS.saturating_add(index));
        registry.register(&mut SourceFd(&listener.socket.as_raw_fd()), token, Interest::READABLE)?;
    }
    let slots = Arc::new(Slots {
        max: service.connections,
        open: AtomicUsize::new(0),
        wake_acceptor: AtomicBool::new(false),
        waker: Waker::new(registry, WAKE)?,
    });
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    service.announce(&addresses);
    let mut events = Events::with_capacity(64);
    let mut acceptor = Acceptor { listeners, slots: &slots, pending: None, warning: AcceptWarning::default() };
    while !matches!(stop.signalled.read(&mut [0]), Ok(1..)) {
        // Events are edge-triggered, so each round accepts from every listener until none is left.
        let retry = acceptor.accept_all(&mut starter);
        match poll.poll(&mut events, retry) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    drop(acceptor); // no new connections
    let until = clock::now() + service.grace;
    service.begin_stop();
    loop {
        slots.wake_acceptor.store(true, Ordering::Release);
        let (open, left) = (slots.open.load(Ordering::Acquire), until.since(clock::now()));
        if open == 0 {
            return Ok(());
        }
        if left.is_zero() {
            closing::cut_off(open);
            return Ok(());
        }
        // Repeatedly: what a thread is told before it waits may have no effect.
        starter.remind();
        let _ = poll.poll(&mut events, Some(left.min(REMINDER)));
    }
}

/// Starts a thread that gets a connection. If that fails, the connection is given back.
pub(super) fn start_thread(
    builder: thread::Builder,
    connection: Accepted,
    work: impl FnOnce(Accepted) + Send + 'static,
) -> Result<JoinHandle<()>, NotStarted> {
    fn take(cell: &Mutex<Option<Accepted>>) -> Option<Accepted> {
        cell.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
    let ours = Arc::new(Mutex::new(Some(connection)));
    let theirs = Arc::clone(&ours);
    let started = builder.spawn(move || {
        let connection = take(&theirs);
        drop(theirs);
        connection.map(work);
    });
    started.map_err(|error| (error, take(&ours)))
}

/// The connections that are open, and how many may be.
#[derive(Debug)]
struct Slots {
    max: usize,
    open: AtomicUsize,
    /// Whether to wake the acceptor when a conversation ends.
    wake_acceptor: AtomicBool,
    waker: Waker,
}

impl Slots {
    /// Whether another connection may be served. If not, the acceptor is woken when one ends.
    fn has_free(&self) -> bool {
        let is_free = || self.open.load(Ordering::Acquire) < self.max;
        // Compare again: the last conversation may have ended before the flag was set.
        is_free() || {
            self.wake_acceptor.store(true, Ordering::Release);
            is_free()
        }
    }

    fn take(self: &Arc<Self>) -> Slot {
        self.open.fetch_add(1, Ordering::AcqRel);
        Slot(Arc::clone(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let slots = &self.0;
        slots.open.fetch_sub(1, Ordering::AcqRel);
        if slots.wake_acceptor.swap(false, Ordering::AcqRel) {
            // Fails only if the acceptor has ended.
            let _ = slots.waker.wake();
        }
    }
}

/// Accepts connections up to the maximum number.
struct Acceptor<'a> {
    listeners: Vec<Listener>,
    slots: &'a Arc<Slots>,
    /// An accepted connection that could not be started yet.
    pending: Option<Accepted>,
    warning: AcceptWarning,
}

impl Acceptor<'_> {
    /// Accepts all waiting connections. Returns when to try again if a resource has run out.
    fn accept_all(&mut self, starter: &mut impl Starter) -> Option<Duration> {
        if let Some(connection) = self.pending.take()
            && let Some(retry) = self.start(starter, connection)
        {
            return Some(retry);
        }
        for index in 0..self.listeners.len() {
            while self.slots.has_free() {
                let Some(listener) = self.listeners.get(index) else { break };
                match listener.socket.accept() {
                    Ok((stream, peer)) => {
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        let connection = Accepted { stream, peer, slot: self.slots.take() };
                        if let Some(retry) = self.start(starter, connection) {
                            return Some(retry);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if starved::concerns_one_connection(&error) => {}
                    Err(error) => return Some(self.short_of(&error)),
                }
            }
        }
        None
    }

    /// Starts to serve a connection. If that fails, keeps the connection and returns when to try again.
    fn start(&mut self, starter: &mut impl Starter, connection: Accepted) -> Option<Duration> {
        let error;
        (error, self.pending) = starter.start(connection).err()?;
        Some(self.short_of(&error))
    }

    /// Logs that a resource has run out. Returns when to try again.
    fn short_of(&mut self, error: &io::Error) -> Duration {
        self.warning.log(error);
        self.slots.wake_acceptor.store(true, Ordering::Release);
        starved::RETRY
    }
}
