//! The uring runtime: a ring and a thread per core, completions instead of readiness.

mod driver;
mod uring;
mod worker;

use core::num::NonZeroUsize;
use std::{
    io::{self, ErrorKind, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
};

use greet_core::ServerMachine;
use greet_host::stop::Stop;
use nix::libc;
use thiserror::Error;

use self::{
    uring::Ring,
    worker::{Inbox, Worker},
};
use super::{
    Service,
    acceptor::{self, Accepted, NotStarted, Starter},
    listen::Listener,
    proxy,
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

/// The workers, which get the connections in turn.
#[derive(Debug)]
struct Workers<S: ServerMachine> {
    service: Arc<Service<S>>,
    workers: Vec<WorkerHandle>,
    /// The worker that gets the next connection.
    next: usize,
}

/// What the acceptor has of a worker: the channel for connections, and the socket that wakes it.
#[derive(Clone, Debug)]
struct WorkerHandle {
    connections: Sender<Accepted>,
    wake: Arc<UnixStream>,
}

impl WorkerHandle {
    fn send(&self, connection: Accepted) {
        if self.connections.send(connection).is_ok() {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails if the worker has not read the earlier bytes yet: they wake it.
        let _ = self.wake.as_ref().write(&[0]);
    }
}

/// Serves until `stop`, then ends the conversations within the grace period.
pub(super) fn serve<S: ServerMachine + Send>(
    listeners: Vec<Listener>,
    service: Service<S>,
    workers: Option<NonZeroUsize>,
    stop: Stop,
) -> Result<(), RingError> {
    let service = Arc::new(service);
    let count = workers.or_else(|| thread::available_parallelism().ok()).map_or(1, Into::into);
    let workers = (0..count).map(|_| start(&service)).collect::<Result<_, _>>()?;
    let workers = Workers { service: Arc::clone(&service), workers, next: 0 };
    Ok(acceptor::serve(listeners, &service, workers, stop)?)
}

/// Starts a worker, and waits until its ring is set up.
fn start<S: ServerMachine + Send>(service: &Arc<Service<S>>) -> Result<WorkerHandle, RingError> {
    let (connections, inbox) = mpsc::channel();
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let (ready, is_ready) = mpsc::channel();
    let service = Arc::clone(service);
    thread::Builder::new().name("uring".into()).spawn(move || {
        // Made in this thread: the kernel lets no other thread use the ring.
        let ring = match Ring::new() {
            Ok(ring) => ring,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _ = ready.send(Ok(()));
        let worker = Worker::new(ring, &service, Inbox { connections: inbox, wake: woken });
        if let Err(error) = worker.run() {
            tracing::error!("a worker of the uring runtime has ended: {error}");
        }
    })?;
    match is_ready.recv().unwrap_or_else(|_| Err(ErrorKind::BrokenPipe.into())) {
        Ok(()) => Ok(WorkerHandle { connections, wake: Arc::new(wake) }),
        Err(error) => Err(match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EINVAL) => RingError::Missing(error),
            Some(libc::EPERM | libc::EACCES) => RingError::Forbidden(error),
            _ => RingError::Other(error),
        }),
    }
}

impl<S: ServerMachine + Send> Starter for Workers<S> {
    fn start(&mut self, connection: Accepted) -> Result<(), NotStarted> {
        let Some(worker) = self.workers.get(self.next) else { return Ok(()) };
        self.next = self.next.saturating_add(1).checked_rem(self.workers.len()).unwrap_or(0);
        if !self.service.is_behind_proxy {
            worker.send(connection);
            return Ok(());
        }
        // A thread reads the header of the proxy, because no machine does it. Usually the header has been received already.
        let (worker, service) = (worker.clone(), Arc::clone(&self.service));
        acceptor::start_thread(thread::Builder::new().name("header".into()), connection, move |mut connection| {
            let header = proxy::read(&connection.stream, || service.closing.has_begun());
            if let Some(client) = service.client(connection.peer, header) {
                connection.peer = client;
                worker.send(connection);
            }
        })
        .map(drop)
    }

    fn remind(&mut self) {
        self.workers.iter().for_each(WorkerHandle::wake);
    }
}
