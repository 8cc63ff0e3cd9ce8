//! The threads runtime: one thread per connection. Accepts connections, runs conversations, and ends them.

use core::{net::SocketAddr, time::Duration};
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read},
    net::TcpStream,
    os::{fd::AsRawFd, unix::thread::JoinHandleExt},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use greet_core::{
    ServerMachine,
    drive::{Output, Turn, blocking::Driver},
};
use greet_host::{
    clock::{self, LastWait},
    stop::Stop,
};
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use nix::sys::{
    pthread::{Pthread, pthread_kill},
    signal::Signal,
};

use super::{
    Service, closing, end_reason,
    listen::Listener,
    proxy,
    starved::{self, AcceptWarning},
};
use crate::transport::TcpTransport;

/// Maximum stack of a conversation's thread. Only pages that are touched take memory.
const STACK: usize = 128 * 1024;
/// Maximum number of bytes of replies in one write. A long write costs the kernel hardly more than a short one.
const OUTPUT: usize = 16 * 1024;
/// Maximum number of unused reply buffers that are kept.
const SPARES: usize = 64;
/// Interval at which waiting threads are interrupted while the service stops.
const REMINDER: Duration = Duration::from_millis(20);

// Tokens of the events that wake the acceptor: the end of a conversation, a signal, and each listener from `LISTENERS` on.
const WAKE: Token = Token(0);
const STOP: Token = Token(1);
const LISTENERS: usize = 2;

/// Unused buffers for replies.
static SPARE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// The output buffer of a driver, allocated only while there are replies to send.
#[derive(Debug, Default)]
struct Replies(Option<Box<[u8]>>);

impl Replies {
    fn spare() -> MutexGuard<'static, Vec<Box<[u8]>>> {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output for Replies {
    fn lend(&mut self) -> &mut [u8] {
        self.0.get_or_insert_with(|| Self::spare().pop().unwrap_or_else(|| vec![0; OUTPUT].into()))
    }

    fn give_back(&mut self) {
        let mut spare = Self::spare();
        if spare.len() < SPARES {
            spare.extend(self.0.take());
        }
        self.0 = None;
    }
}

/// State that the acceptor and the conversations share.
#[derive(Debug)]
struct Shared<S: ServerMachine> {
    service: Service<S>,
    open: Mutex<Open>,
    /// Notified when a conversation has ended.
    ended: Condvar,
    waker: Waker,
}

/// The open conversations.
#[derive(Debug, Default)]
struct Open {
    threads: HashMap<u64, thread::JoinHandle<()>>,
    next: u64,
    /// Whether to wake the acceptor when one of them ends.
    wake_acceptor: bool,
}

/// Serves until `stop`, then ends the conversations within the grace period.
pub(super) fn serve<S: ServerMachine + Send>(
    listeners: Vec<Listener>,
    service: Service<S>,
    mut stop: Stop,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut SourceFd(&stop.signalled.as_raw_fd()), STOP, Interest::READABLE)?;
    for (index, listener) in listeners.iter().enumerate() {
        let token = Token(LISTENERS.saturating_add(index));
        registry.register(&mut SourceFd(&listener.socket.as_raw_fd()), token, Interest::READABLE)?;
    }
    let shared =
        Arc::new(Shared { service, open: Mutex::default(), ended: Condvar::new(), waker: Waker::new(registry, WAKE)? });

    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    shared.service.announce(&addresses);
    let mut acceptor =
        Acceptor { listeners, shared: Arc::clone(&shared), pending: None, warning: AcceptWarning::default() };
    let mut events = Events::with_capacity(64);
    while !stopped(&mut stop) {
        // Events are edge-triggered, so each round accepts from every listener until none is left.
        let retry = acceptor.accept_all();
        match poll.poll(&mut events, retry) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    drop(acceptor); // no new connections
    shared.end_all();
    Ok(())
}

fn stopped(stop: &mut Stop) -> bool {
    matches!(stop.signalled.read(&mut [0]), Ok(1..))
}

/// Accepts connections up to the maximum number.
struct Acceptor<S: ServerMachine> {
    listeners: Vec<Listener>,
    shared: Arc<Shared<S>>,
    /// An accepted connection for which no thread could be started yet.
    pending: Option<(Arc<TcpStream>, SocketAddr)>,
    warning: AcceptWarning,
}

impl<S: ServerMachine + Send> Acceptor<S> {
    /// Accepts all waiting connections. Returns when to try again if a resource has run out.
    fn accept_all(&mut self) -> Option<Duration> {
        if let Some((stream, peer)) = self.pending.take()
            && let Some(retry) = self.start(stream, peer)
        {
            return Some(retry);
        }
        for index in 0..self.listeners.len() {
            while self.shared.has_free_slot() {
                let Some(listener) = self.listeners.get(index) else { break };
                match listener.socket.accept() {
                    Ok((stream, peer)) => {
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        // Some systems let it inherit the listener's non-blocking mode.
                        let _ = stream.set_nonblocking(false);
                        if let Some(retry) = self.start(Arc::new(stream), peer) {
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

    /// Starts a connection's thread. If that fails, keeps the connection and returns when to try again.
    fn start(&mut self, stream: Arc<TcpStream>, peer: SocketAddr) -> Option<Duration> {
        match self.shared.start(Arc::clone(&stream), peer) {
            Ok(()) => None,
            Err(error) => {
                self.pending = Some((stream, peer));
                Some(self.short_of(&error))
            }
        }
    }

    /// Logs that a resource has run out. Returns when to try again.
    fn short_of(&mut self, error: &io::Error) -> Duration {
        self.warning.log(error);
        self.shared.open().wake_acceptor = true;
        starved::RETRY
    }
}

impl<S: ServerMachine + Send> Shared<S> {
    /// Locks the open conversations. A panic cannot leave them inconsistent, so a poisoned lock is usable.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another connection may be served. If not, the acceptor is woken when one ends.
    fn has_free_slot(&self) -> bool {
        let mut open = self.open();
        let is_free = open.threads.len() < self.service.connections;
        open.wake_acceptor |= !is_free;
        is_free
    }

    /// Starts a thread for a connection.
    fn start(self: &Arc<Self>, stream: Arc<TcpStream>, peer: SocketAddr) -> io::Result<()> {
        // Locked until the thread is in the map, so that it finds its entry when it ends.
        let mut open = self.open();
        let number = open.next;
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || {
            shared.converse(&stream, peer);
            drop(stream); // close the descriptor before the acceptor is woken
            shared.remove(number);
        })?;
        open.threads.insert(number, thread);
        open.next = number.wrapping_add(1);
        Ok(())
    }

    /// Removes a conversation that has ended, and wakes the acceptor if it waits for that.
    fn remove(&self, number: u64) {
        let mut open = self.open();
        open.threads.remove(&number);
        let wake = core::mem::take(&mut open.wake_acceptor);
        drop(open);
        self.ended.notify_all();
        if wake {
            // Fails only if the acceptor has ended.
            let _ = self.waker.wake();
        }
    }

    /// One connection, from the greeting to the end.
    fn converse(&self, stream: &TcpStream, mut peer: SocketAddr) {
        if self.service.is_behind_proxy {
            let header = proxy::read(stream, || self.service.closing.has_begun());
            let Some(client) = self.service.client(peer, header) else { return };
            peer = client;
        }
        let Some(_admission) = self.service.admit(peer) else { return };
        let mut conversation = self.service.begin(peer);
        let mut limit = self.service.time_limit(&conversation);
        let mut server = self.service.server();
        let time = LastWait::new();
        let mut transport = TcpTransport::new(stream, &time);
        transport.set_wait_limit(limit.until());
        let mut output = Replies::default();
        let mut driver = Driver::new(&mut server, &mut transport, || time.time(), &mut output);
        let outcome = loop {
            match driver.turn() {
                Ok(Turn::Quiet) => {}
                Ok(Turn::Event(event)) => conversation.on_event(event, || time.time()),
                Ok(Turn::Over) => break Ok(()),
                // A signal has interrupted the wait for input. If the service is stopping, the conversation ends here.
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    if self.service.closing.has_begun() {
                        driver.machine().close(time.time());
                    }
                }
                Err(error) => break Err(error),
            }
            let moved = driver.transport().moved();
            conversation.moved(moved.received, moved.sent, clock::now);
            if !self.service.may_continue(driver.machine(), &mut limit, || time.time()) {
                break Ok(());
            }
            driver.transport().set_wait_limit(limit.until());
        };
        if outcome.is_ok() {
            transport.deliver();
        }
        conversation.end(end_reason(&limit, server.end(), outcome));
    }

    /// Lets every conversation send its outstanding replies and end, within the grace period.
    fn end_all(&self) {
        let until = clock::now() + self.service.grace;
        self.service.begin_stop();
        let mut open = self.open();
        while !open.threads.is_empty() && clock::now() < until {
            // Repeatedly: a signal that arrives after a thread has checked `closing` and before it waits has no effect.
            for thread in open.threads.values() {
                #[allow(clippy::unnecessary_cast, reason = "with musl, the two libraries have different types for it")]
                let _ = pthread_kill(thread.as_pthread_t() as Pthread, Signal::SIGURG);
            }
            open = self.ended.wait_timeout(open, REMINDER).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !open.threads.is_empty() {
            closing::cut_off(open.threads.len());
        }
    }
}
