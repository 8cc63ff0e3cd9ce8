//! A thread a connection: the acceptor, the conversations, and how they are ended.

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
    Machine,
    drive::{Output, Turn, blocking::Driver},
};
use greet_host::{
    clock::{self, LastWait},
    log,
    stop::Stop,
};
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use nix::sys::{pthread::pthread_kill, signal::Signal};

use super::{
    Service, closing,
    listen::Listener,
    starved::{self, Complaint},
};
use crate::transport::TcpTransport;

/// What a conversation's stack may grow to. Only what is touched takes memory.
const STACK: usize = 128 * 1024;
/// How many bytes of replies leave in one write at the most: to the kernel a long write costs hardly more than a short one.
const OUTPUT: usize = 16 * 1024;
/// How many buffers for replies are kept while nobody needs them: as many as have been needed at once, up to this.
const SPARES: usize = 64;
/// How often the threads are reminded that the service ends.
const REMINDER: Duration = Duration::from_millis(20);

/// What a signal and an ending conversation wake the acceptor by.
const WAKE: Token = Token(0);
const STOP: Token = Token(1);
const LISTENERS: usize = 2;

/// Buffers for replies that nobody uses now.
static SPARE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer for replies while there are some: a thread that waits for its client holds none.
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

/// What the acceptor and the conversations share.
#[derive(Debug)]
struct Shared {
    service: Service,
    open: Mutex<Open>,
    /// Somebody left `open`.
    left: Condvar,
    waker: Waker,
}

/// The conversations that are going on.
#[derive(Debug, Default)]
struct Open {
    threads: HashMap<u64, thread::JoinHandle<()>>,
    next: u64,
    /// The acceptor waits for one of them to end.
    awaited: bool,
}

/// Serves until `stop`, then ends the conversations within the grace.
pub(super) fn serve(listeners: Vec<Listener>, service: Service, mut stop: Stop) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut SourceFd(&stop.signalled.as_raw_fd()), STOP, Interest::READABLE)?;
    for (index, listener) in listeners.iter().enumerate() {
        let token = Token(LISTENERS.saturating_add(index));
        registry.register(&mut SourceFd(&listener.socket.as_raw_fd()), token, Interest::READABLE)?;
    }
    let shared =
        Arc::new(Shared { service, open: Mutex::default(), left: Condvar::new(), waker: Waker::new(registry, WAKE)? });

    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    shared.service.announce(&addresses);
    let mut acceptor =
        Acceptor { listeners, shared: Arc::clone(&shared), homeless: None, complaint: Complaint::default() };
    let mut events = Events::with_capacity(64);
    while !stopped(&mut stop) {
        // Edge-triggered: so every round asks every listener, until it has no more.
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

/// Accepts connections while there is room for them.
struct Acceptor {
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    /// A connection that no thread could be had for yet.
    homeless: Option<(Arc<TcpStream>, SocketAddr)>,
    complaint: Complaint,
}

impl Acceptor {
    /// Takes all that wait; when to try again by itself, if something was short.
    fn accept_all(&mut self) -> Option<Duration> {
        if let Some((stream, peer)) = self.homeless.take()
            && let Some(retry) = self.start(stream, peer)
        {
            return Some(retry);
        }
        for index in 0..self.listeners.len() {
            while self.shared.has_room() {
                let Some(listener) = self.listeners.get(index) else { break };
                match listener.socket.accept() {
                    Ok((stream, peer)) => {
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        // Inherited from the listening socket on some systems.
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

    /// Gives a connection its thread.
    fn start(&mut self, stream: Arc<TcpStream>, peer: SocketAddr) -> Option<Duration> {
        match self.shared.start(Arc::clone(&stream), peer) {
            Ok(()) => None,
            Err(error) => {
                self.homeless = Some((stream, peer));
                Some(self.short_of(&error))
            }
        }
    }

    fn short_of(&mut self, error: &io::Error) -> Duration {
        self.complaint.say(error);
        self.shared.open().awaited = true;
        starved::RETRY
    }
}

impl Shared {
    /// No state is left half-changed under this lock, so a panic elsewhere does not spoil it.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more connection may be served; if not, the acceptor is woken when it may.
    fn has_room(&self) -> bool {
        let mut open = self.open();
        let room = open.threads.len() < self.service.connections;
        open.awaited |= !room;
        room
    }

    fn start(self: &Arc<Self>, stream: Arc<TcpStream>, peer: SocketAddr) -> io::Result<()> {
        // Held until the thread is entered, so that it finds itself when it leaves.
        let mut open = self.open();
        let number = open.next;
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || {
            shared.converse(&stream, peer);
            drop(stream); // the descriptor is free before the acceptor hears of it
            shared.leave(number);
        })?;
        open.threads.insert(number, thread);
        open.next = number.wrapping_add(1);
        Ok(())
    }

    fn leave(&self, number: u64) {
        let mut open = self.open();
        open.threads.remove(&number);
        let awaited = core::mem::take(&mut open.awaited);
        drop(open);
        self.left.notify_all();
        if awaited {
            // Fails only where the acceptor is gone.
            let _ = self.waker.wake();
        }
    }

    /// One connection, from the greeting to the end.
    fn converse(&self, stream: &TcpStream, peer: SocketAddr) {
        self.service.log.accepted(peer);
        let mut server = self.service.server();
        let time = LastWait::new();
        let mut transport = TcpTransport::new(stream, &time);
        let mut output = Replies::default();
        let mut driver = Driver::new(&mut server, &mut transport, || time.time(), &mut output);
        let error = loop {
            match driver.turn() {
                Ok(Turn::Quiet) => {}
                Ok(Turn::Event(event)) => log::trace(peer, event),
                Ok(Turn::Over) => {
                    transport.deliver();
                    break None;
                }
                // The client has nothing more to say just now: in a service that ends, this is the end.
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    if self.service.closing.has_begun() {
                        driver.machine().close(time.time());
                    }
                }
                Err(error) => break Some(error),
            }
            if self.service.closing.is_overdue() {
                driver.machine().close(time.time());
            }
        };
        match error {
            Some(error) => tracing::debug!(%peer, %error, "the connection failed"), // C2
            None => tracing::debug!(%peer, end = ?server.end(), "the conversation is over"),
        }
        self.service.log.closed(peer);
    }

    /// Has every conversation deliver what it owes and end, within the grace.
    fn end_all(&self) {
        let until = clock::now() + self.service.grace;
        self.service.closing.begin(self.service.grace);
        let mut open = self.open();
        while !open.threads.is_empty() && clock::now() < until {
            // Again and again: one that comes between a thread's look at `closing` and its wait is lost.
            for thread in open.threads.values() {
                let _ = pthread_kill(thread.as_pthread_t(), Signal::SIGUSR1);
            }
            open = self.left.wait_timeout(open, REMINDER).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !open.threads.is_empty() {
            closing::cut_off(open.threads.len());
        }
    }
}
