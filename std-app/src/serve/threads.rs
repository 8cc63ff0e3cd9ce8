//! The threads runtime: one thread per connection.

use core::net::SocketAddr;
use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    net::TcpStream,
    os::unix::thread::JoinHandleExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
use nix::sys::{
    pthread::{Pthread, pthread_kill},
    signal::Signal,
};

use super::{
    Service,
    acceptor::{self, Accepted, NotStarted, Starter},
    end_reason,
    listen::Listener,
    proxy,
};
use crate::transport::TcpTransport;

/// Maximum stack of a conversation's thread. Only pages that are touched take memory.
const STACK: usize = 128 * 1024;
/// Maximum number of bytes of replies in one write. A long write costs the kernel hardly more than a short one.
const OUTPUT: usize = 16 * 1024;
/// Maximum number of unused reply buffers that are kept.
const SPARES: usize = 64;
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
}

/// The threads of the open conversations.
#[derive(Debug, Default)]
struct Open {
    threads: HashMap<u64, thread::JoinHandle<()>>,
    next: u64,
}

/// Serves until `stop`, then ends the conversations within the grace period.
pub(super) fn serve<S: ServerMachine + Send>(
    listeners: Vec<Listener>,
    service: Service<S>,
    stop: Stop,
) -> io::Result<()> {
    let shared = Arc::new(Shared { service, open: Mutex::default() });
    acceptor::serve(listeners, &shared.service, &shared, stop)
}

impl<S: ServerMachine + Send> Starter for &Arc<Shared<S>> {
    fn start(&mut self, connection: Accepted) -> Result<(), NotStarted> {
        // Some systems let it inherit the listener's non-blocking mode.
        let _ = connection.stream.set_nonblocking(false);
        // Locked until the thread is in the map, so that it finds its entry when it ends.
        let mut open = self.open();
        let number = open.next;
        let shared = Arc::clone(self);
        let thread = acceptor::start_thread(thread::Builder::new().stack_size(STACK), connection, move |connection| {
            shared.converse(&connection.stream, connection.peer);
            shared.open().threads.remove(&number);
            drop(connection);
        })?;
        open.threads.insert(number, thread);
        open.next = number.wrapping_add(1);
        Ok(())
    }

    /// Interrupts the threads that wait for their clients.
    fn remind(&mut self) {
        for thread in self.open().threads.values() {
            #[allow(clippy::unnecessary_cast, reason = "with musl, the two libraries have different types for it")]
            let _ = pthread_kill(thread.as_pthread_t() as Pthread, Signal::SIGURG);
        }
    }
}

impl<S: ServerMachine + Send> Shared<S> {
    /// Locks the open conversations. A panic cannot leave them inconsistent, so a poisoned lock is usable.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
}
