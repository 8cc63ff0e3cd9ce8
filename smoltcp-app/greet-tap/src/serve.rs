//! `greet-tap serve`: a pool of sockets on the stack, until a signal ends it.

use core::{net::SocketAddr, slice::ChunksExactMut};
use std::{process::ExitCode, sync::Arc};

use greet_core::{Echo, Instant, NAME_CAPACITY, Server, ServerMachine};
use greet_host::{
    args::ServiceSettings,
    clock,
    counters::{Counters, Refusal},
    limits::Peers,
    log::{self, Log},
    metrics,
};
use greet_smoltcp::{
    pool::{Limits, Pool, Settings, Slot},
    time::earliest,
};
use smoltcp::{
    iface::SocketSet,
    socket::{Socket, tcp::SocketBuffer},
    wire::IpCidr,
};

use crate::{conversations::Conversations, error::Error, network::Network, options::ServeOptions};

/// Bytes of each socket buffer. Linux sends no segments longer than half of the window, also with segmentation offload.
const BUFFER: usize = 64 * 1024 - 1;

/// How many sockets listen, as long as there may be so many more connections. Each socket costs time in every poll. More are not
/// needed: the stack lets the pool serve after each SYN.
const LISTENING: usize = 16;

/// Bytes of the read buffer. At least the longest name must fit.
const READ: usize = 16 * 1024;

/// Serves until a signal ends it.
pub(crate) fn run(options: &ServeOptions) -> Result<ExitCode, Error> {
    match options.service.settings()? {
        ServiceSettings::Greet(settings) => serve::<Server<NAME_CAPACITY>>(options, settings),
        ServiceSettings::Echo(settings) => serve::<Echo<NAME_CAPACITY>>(options, settings),
    }
}

/// Serves each connection by one machine with these settings.
fn serve<S: ServerMachine>(options: &ServeOptions, settings: S::Settings) -> Result<ExitCode, Error> {
    let (log, _written_at_the_end) = log::start(options.verbosity, options.observation.log);
    let counters = Arc::new(Counters::new(options.observation.metrics.is_some()));
    if let Some(address) = options.observation.metrics {
        metrics::serve(address, Arc::clone(&counters))?;
    }
    let mut network = Network::new(&options.network, options.port)?;
    let settings = Settings { port: options.port, server: settings, limits: Limits::DEFAULT };
    let mut slots: Vec<Slot<S>> = (0..options.connections).map(|_| Slot::new()).collect();
    let mut read = vec![0; READ];
    let mut pool = Pool::new(settings, &mut slots, &mut read);
    // In one piece, which the system gives memory to as it is used; in small ones it would be overwritten with zeros.
    let mut buffers = vec![0; usize::from(options.connections) * 2 * BUFFER].leak().chunks_exact_mut(BUFFER);
    listen(&mut pool, network.stack.sockets(), &mut buffers);

    let peers = options.limits.max_per_peer.map(Peers::new);
    let conversations = Conversations::new(&log, &counters, peers.as_ref(), options.limits.max_duration.0);
    let mut service =
        Service { network, pool, buffers, log: &log, counters: &counters, conversations, announced: Vec::new() };
    let outcome = service.serve().and_then(|()| service.end(options));
    if options.network.stats {
        service.report();
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Opens sockets until [`LISTENING`] listen, or there are as many as there may be connections.
fn listen<S: ServerMachine>(
    pool: &mut Pool<'_, S>,
    sockets: &mut SocketSet<'static>,
    buffers: &mut ChunksExactMut<'static, u8>,
) {
    while pool.listening() < LISTENING
        && let (Some(receive), Some(transmit)) = (buffers.next(), buffers.next())
        && pool.open(sockets, SocketBuffer::new(receive), SocketBuffer::new(transmit))
    {}
}

/// The running server.
struct Service<'a, S: ServerMachine> {
    network: Network,
    pool: Pool<'a, S>,
    /// The buffers of the sockets that are not opened yet.
    buffers: ChunksExactMut<'static, u8>,
    log: &'a Log,
    counters: &'a Counters,
    conversations: Conversations<'a>,
    /// The addresses that were printed.
    announced: Vec<IpCidr>,
}

impl<S: ServerMachine> Service<'_, S> {
    /// Serves until a signal asks it to stop.
    fn serve(&mut self) -> Result<(), Error> {
        loop {
            let deadline = self.poll()?;
            self.announce();
            if self.wait(deadline)? {
                return Ok(());
            }
        }
    }

    /// Lets every conversation send its outstanding replies and end, within the grace period. Clients may still send
    /// during its first half; the second half is for their FIN.
    fn end(&mut self, options: &ServeOptions) -> Result<(), Error> {
        let start = clock::now();
        let (half, until) = (start + options.service.grace / 2, start + options.service.grace);
        self.pool.close(self.network.stack.sockets());
        while self.pool.busy() > 0 {
            let now = clock::now();
            if now >= until {
                return self.cut_off();
            }
            let next = if now >= half {
                self.pool.close_now();
                until
            } else {
                half
            };
            let deadline = self.poll()?;
            if self.pool.busy() > 0 {
                self.wait(Some(deadline.map_or(next, |deadline| deadline.min(next))))?;
            }
        }
        Ok(())
    }

    /// Resets the remaining connections: after this program has ended, no host answers their segments.
    fn cut_off(&mut self) -> Result<(), Error> {
        match self.pool.busy() {
            1 => tracing::warn!("1 connection was reset at the end of --grace"),
            conversations => tracing::warn!("{conversations} connections were reset at the end of --grace"),
        }
        for (_, socket) in self.network.stack.sockets().iter_mut() {
            if let Socket::Tcp(socket) = socket {
                socket.abort();
            }
        }
        self.poll()?;
        self.network.deliver()
    }

    /// Polls the stack and serves the pool. Returns when to poll next.
    fn poll(&mut self) -> Result<Option<Instant>, Error> {
        let Self { network, pool, buffers, conversations, .. } = self;
        let next = network.poll(|sockets: &mut SocketSet<'static>, reason| {
            let now = clock::now();
            let limit = conversations.enforce_limits(now, pool, sockets);
            let next = pool.serve(now, sockets, reason, |event| conversations.record(now, event));
            listen(pool, sockets, buffers);
            earliest(next, limit)
        });
        self.counters.set_refused(Refusal::NoSocket, network.stack.counters().refused.into());
        next
    }

    /// Waits for an event or `deadline`. Prints the counters if requested. Returns whether a stop was requested.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<bool, Error> {
        let signalled = self.network.wait(deadline)?;
        if signalled.report {
            self.report();
        }
        Ok(signalled.stop)
    }

    /// Prints new addresses, and logs those that were lost.
    fn announce(&mut self) {
        let addresses = self.network.stack.addresses();
        if addresses == self.announced {
            return;
        }
        for network in self.announced.iter().filter(|network| !addresses.contains(network)) {
            tracing::warn!("the address {} was removed: its lease or lifetime has expired", network.address());
        }
        for network in addresses.iter().filter(|network| !self.announced.contains(network)) {
            let address = SocketAddr::new(network.address().into(), self.pool.settings().port);
            self.log.listening(address);
        }
        self.announced = addresses.to_vec();
    }

    /// Prints the counters to standard error.
    fn report(&self) {
        let unfinished = self.pool.counters().unfinished;
        self.network.report(format_args!("{}handshakes not finished: {unfinished}\n", self.counters.counts()));
    }
}
