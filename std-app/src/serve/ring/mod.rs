//! The uring runtime: a ring and a thread per core, completions instead of readiness. Accepts connections, and passes them to
//! the workers in turn.

mod driver;
mod uring;
mod worker;

use core::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
};

use greet_core::ServerMachine;
use greet_host::{clock, stop::Stop};
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use nix::libc;
use thiserror::Error;

use self::{
    uring::Ring,
    worker::{Inbox, Worker},
};
use super::{
    Service, closing,
    listen::Listener,
    proxy,
    starved::{self, AcceptWarning},
};

/// Why the runtime cannot start.
#[derive(Debug, Error)]
pub(crate) enum RingError {
    #[error(
        "this system does not offer io_uring with multishot receive, which needs Linux 6.0 ({0}); take --runtime tokio"
    )]
    Missing(#[source] io::Error),
    #[error(
        "io_uring is forbidden here, by /proc/sys/kernel/io_uring_disabled or a seccomp filter ({0}); take --runtime tokio"
    )]
    Forbidden(#[source] io::Error),
    #[error("cannot start the uring runtime: {0}")]
    Other(#[from] io::Error),
}

// Tokens of the events that wake the acceptor: the end of a conversation, a signal, and each listener from `LISTENERS` on.
const WAKE: Token = Token(0);
const STOP: Token = Token(1);
const LISTENERS: usize = 2;

/// State that the acceptor and the workers share.
#[derive(Debug)]
struct Shared<S: ServerMachine> {
    service: Service<S>,
    /// The number of open connections.
    open: AtomicUsize,
    /// Whether to wake the acceptor when a conversation ends.
    wake_acceptor: AtomicBool,
    waker: Waker,
}

impl<S: ServerMachine + Send> Shared<S> {
    /// A conversation has ended, and its socket is closed.
    fn has_ended(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        if self.wake_acceptor.swap(false, Ordering::AcqRel) {
            // Fails only if the acceptor has ended.
            let _ = self.waker.wake();
        }
    }

    /// Whether another connection may be served. If not, the acceptor is woken when one ends.
    fn has_free_slot(&self) -> bool {
        let is_free = || self.open.load(Ordering::Acquire) < self.service.connections;
        // Compare again: the last conversation may have ended before the flag was set.
        is_free() || {
            self.wake_acceptor.store(true, Ordering::Release);
            is_free()
        }
    }
}

/// What the acceptor has of a worker: the channel for connections, and the socket that wakes it.
#[derive(Debug)]
struct WorkerHandle {
    connections: Sender<(TcpStream, SocketAddr)>,
    wake: UnixStream,
}

impl WorkerHandle {
    fn send(&self, stream: TcpStream, peer: SocketAddr) {
        if self.connections.send((stream, peer)).is_ok() {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails if the worker has not read the earlier bytes yet: they wake it.
        let _ = (&self.wake).write(&[0]);
    }
}

/// Serves until `stop`, then ends the conversations within the grace period.
pub(super) fn serve<S: ServerMachine + Send>(
    listeners: Vec<Listener>,
    service: Service<S>,
    workers: Option<NonZeroUsize>,
    mut stop: Stop,
) -> Result<(), RingError> {
    let mut poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut SourceFd(&stop.signalled.as_raw_fd()), STOP, Interest::READABLE)?;
    for (index, listener) in listeners.iter().enumerate() {
        let token = Token(LISTENERS.saturating_add(index));
        registry.register(&mut SourceFd(&listener.socket.as_raw_fd()), token, Interest::READABLE)?;
    }
    let shared = Arc::new(Shared {
        service,
        open: AtomicUsize::new(0),
        wake_acceptor: AtomicBool::new(false),
        waker: Waker::new(registry, WAKE)?,
    });
    let workers = workers.or_else(|| thread::available_parallelism().ok()).map_or(1, Into::into);
    let workers = (0..workers).map(|_| start(&shared).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;

    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    shared.service.announce(&addresses);
    let mut acceptor =
        Acceptor { listeners, shared: Arc::clone(&shared), workers, next: 0, warning: AcceptWarning::default() };
    let mut events = Events::with_capacity(64);
    while !matches!(stop.signalled.read(&mut [0]), Ok(1..)) {
        let retry = acceptor.accept_all();
        match poll.poll(&mut events, retry) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
    }
    let Acceptor { workers, .. } = acceptor; // no new connections
    shared.end_all(&workers, &mut poll, &mut events);
    Ok(())
}

/// Starts a worker, and waits until its ring is set up.
fn start<S: ServerMachine + Send>(shared: &Arc<Shared<S>>) -> Result<WorkerHandle, RingError> {
    let (connections, inbox) = mpsc::channel();
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let (ready, is_ready) = mpsc::channel();
    let shared = Arc::clone(shared);
    thread::Builder::new().name("uring".into()).spawn(move || {
        // Made in this thread: the kernel lets no other thread use the ring.
        let ring = match Ring::new() {
            Ok(ring) => ring,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _ = ready.send(Ok(()));
        let worker = Worker::new(ring, &shared, Inbox { connections: inbox, wake: woken });
        if let Err(error) = worker.run() {
            tracing::error!("a worker of the uring runtime has ended: {error}");
        }
    })?;
    match is_ready.recv().unwrap_or_else(|_| Err(ErrorKind::BrokenPipe.into())) {
        Ok(()) => Ok(WorkerHandle { connections, wake }),
        Err(error) => Err(match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EINVAL) => RingError::Missing(error),
            Some(libc::EPERM | libc::EACCES) => RingError::Forbidden(error),
            _ => RingError::Other(error),
        }),
    }
}

/// Accepts connections up to the maximum number.
#[derive(Debug)]
struct Acceptor<S: ServerMachine> {
    listeners: Vec<Listener>,
    shared: Arc<Shared<S>>,
    workers: Vec<Arc<WorkerHandle>>,
    /// The worker that gets the next connection.
    next: usize,
    warning: AcceptWarning,
}

impl<S: ServerMachine + Send> Acceptor<S> {
    /// Accepts all waiting connections. Returns when to try again if a resource has run out.
    fn accept_all(&mut self) -> Option<Duration> {
        for index in 0..self.listeners.len() {
            while self.shared.has_free_slot() {
                let Some(listener) = self.listeners.get(index) else { break };
                match listener.socket.accept() {
                    Ok((stream, peer)) => {
                        self.pass_on(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if starved::concerns_one_connection(&error) => {}
                    Err(error) => {
                        self.warning.log(&error);
                        self.shared.wake_acceptor.store(true, Ordering::Release);
                        return Some(starved::RETRY);
                    }
                }
            }
        }
        None
    }

    fn pass_on(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.shared.open.fetch_add(1, Ordering::AcqRel);
        let Some(worker) = self.workers.get(self.next) else { return };
        self.next = self.next.saturating_add(1).checked_rem(self.workers.len()).unwrap_or(0);
        if !self.shared.service.is_behind_proxy {
            return worker.send(stream, peer);
        }
        // A thread reads the header of the proxy, because no machine does it. Usually the header has been received already.
        let (worker, shared) = (Arc::clone(worker), Arc::clone(&self.shared));
        let reading = thread::Builder::new().name("header".into()).spawn(move || {
            let header = proxy::read(&stream, || shared.service.closing.has_begun());
            match shared.service.client(peer, header) {
                Some(client) => worker.send(stream, client),
                None => {
                    drop(stream); // close the descriptor before the acceptor is woken
                    shared.has_ended();
                }
            }
        });
        if let Err(error) = reading {
            self.warning.log(&error);
            self.shared.has_ended();
        }
    }
}

impl<S: ServerMachine + Send> Shared<S> {
    /// Lets every conversation send its outstanding replies and end, within the grace period.
    fn end_all(&self, workers: &[Arc<WorkerHandle>], poll: &mut Poll, events: &mut Events) {
        let until = clock::now() + self.service.grace;
        self.service.begin_stop();
        workers.iter().for_each(|worker| worker.wake());
        loop {
            self.wake_acceptor.store(true, Ordering::Release);
            let (open, left) = (self.open.load(Ordering::Acquire), until.since(clock::now()));
            if open == 0 {
                return;
            }
            if left.is_zero() {
                return closing::cut_off(open);
            }
            let _ = poll.poll(events, Some(left));
        }
    }
}
