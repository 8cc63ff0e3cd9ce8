//! The tokio runtime: one task per connection. Accepts connections, runs conversations, and ends them.

use core::{convert::Infallible, future::poll_fn, net::SocketAddr, num::NonZeroUsize, pin::pin, task::Poll};
use std::{io, sync::Arc, thread};

use greet_core::{
    ServerMachine,
    drive::{Turn, asynchronous::Driver},
};
use greet_host::{
    clock::{self, LastWait},
    stop::Stop,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    runtime,
    sync::{Notify, Semaphore, mpsc, watch},
    time,
};

use super::{
    Service, closing, end_reason,
    listen::Listener,
    proxy,
    starved::{self, AcceptWarning},
    task_transport::{Replies, TaskTransport},
};

/// State that the acceptor and the conversations share.
#[derive(Debug)]
struct Shared<S: ServerMachine> {
    service: Service<S>,
    slots: Arc<Semaphore>,
    /// Notified when a conversation has ended and its resources are free.
    ended: Notify,
}

/// Serves until `stop`, then ends the conversations within the grace period.
pub(super) fn serve<S: ServerMachine + Send>(
    listeners: Vec<Listener>,
    service: Service<S>,
    workers: Option<NonZeroUsize>,
    stop: Stop,
) -> io::Result<()> {
    // On one core a second thread has no use.
    let workers = workers.or_else(|| thread::available_parallelism().ok()).map_or(1, Into::into);
    let mut builder = match workers {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(workers).enable_all().build()?;
    let result = runtime.block_on(serve_all(listeners, service, stop));
    // Connections that are still open after the grace period are cut off.
    runtime.shutdown_background();
    result
}

async fn serve_all<S: ServerMachine + Send>(
    listeners: Vec<Listener>,
    service: Service<S>,
    stop: Stop,
) -> io::Result<()> {
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    let slots = Arc::new(Semaphore::new(service.connections.min(Semaphore::MAX_PERMITS)));
    let shared = Arc::new(Shared { service, slots, ended: Notify::new() });
    let (stopping, stopped) = watch::channel(false);
    // Nothing is ever sent: the channel closes when the last conversation drops its sender.
    let (open, mut all_over) = mpsc::channel::<Infallible>(1);

    let sockets = listeners.into_iter().map(|listener| TcpListener::from_std(listener.socket));
    let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
    let signalled = UnixStream::from_std(stop.signalled)?;
    let acceptor = tokio::spawn(Arc::clone(&shared).accept_all(sockets, stopped.clone(), open.clone()));
    drop((open, stopped));
    shared.service.announce(&addresses);
    signalled.readable().await?;

    acceptor.abort(); // no new connections
    shared.service.begin_stop();
    let _ = stopping.send(true); // fails if there are no receivers
    if time::timeout(shared.service.grace, all_over.recv()).await.is_err() {
        closing::cut_off(stopping.receiver_count());
    }
    Ok(())
}

impl<S: ServerMachine + Send> Shared<S> {
    async fn accept_all(
        self: Arc<Self>,
        listeners: Vec<TcpListener>,
        stopped: watch::Receiver<bool>,
        open: mpsc::Sender<Infallible>,
    ) {
        let mut warning = AcceptWarning::default();
        let mut turn = 0_usize;
        loop {
            // Before the accept: at the maximum, further connections wait in the backlog. Never fails: the semaphore is not closed.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
            turn = turn.wrapping_add(1);
            match accept_any(&listeners, turn).await {
                Ok((stream, peer)) => {
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    let (shared, stopped, open) = (Arc::clone(&self), stopped.clone(), open.clone());
                    tokio::spawn(async move {
                        shared.converse(stream, peer, stopped).await;
                        drop((slot, open));
                        shared.ended.notify_waiters();
                    });
                }
                Err(error) if starved::concerns_one_connection(&error) => {}
                Err(error) => {
                    warning.log(&error);
                    let _ = time::timeout(starved::RETRY, self.ended.notified()).await;
                }
            }
        }
    }

    /// One connection, from the greeting to the end.
    async fn converse(&self, mut stream: TcpStream, mut peer: SocketAddr, mut stopped: watch::Receiver<bool>) {
        if self.service.is_behind_proxy {
            let header = proxy::read_async(&mut stream).await;
            let Some(client) = self.service.client(peer, header) else { return };
            peer = client;
        }
        let Some(_admission) = self.service.admit(peer) else { return };
        let mut conversation = self.service.begin(peer);
        let mut limit = self.service.time_limit(&conversation);
        let mut server = self.service.server();
        // An error also means that the service has stopped.
        let ending = pin!(async { _ = stopped.wait_for(|&stopping| stopping).await });
        let time = LastWait::new();
        let mut transport = TaskTransport::new(stream, &time, &self.service.closing, ending);
        transport.set_wait_limit(limit.until());
        let mut output = Replies::default();
        let mut driver = Driver::new(&mut server, &mut transport, || time.time(), &mut output);
        let outcome = loop {
            match driver.turn().await {
                Ok(Turn::Quiet) => {}
                Ok(Turn::Event(event)) => conversation.on_event(event, || time.time()),
                Ok(Turn::Over) => break Ok(()),
                // The service is stopping, and no input is waiting.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => driver.machine().close(time.time()),
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
            transport.deliver().await;
        }
        conversation.end(end_reason(&limit, server.end(), outcome));
    }
}

/// Accepts the next connection of any listener. Each call starts at another listener (`turn`), so that a busy one does not
/// starve the others.
async fn accept_any(listeners: &[TcpListener], turn: usize) -> io::Result<(TcpStream, SocketAddr)> {
    let first = turn.checked_rem(listeners.len()).unwrap_or(0);
    let (later, sooner) = listeners.split_at_checked(first).unwrap_or((listeners, &[]));
    poll_fn(|context| {
        let ready = sooner.iter().chain(later).find_map(|listener| match listener.poll_accept(context) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
