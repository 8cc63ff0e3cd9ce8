//! `greet serve`: set-up that all runtimes share: signals, listening sockets, settings, output.

mod acceptor;
mod closing;
mod listen;
mod proxy;
mod ring;
mod service_manager;
mod starved;
mod summary;
mod task_transport;
mod tasks;
mod threads;

use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use std::{io, process::ExitCode, sync::Arc};

use greet_core::{Echo, Instant, Machine, NAME_CAPACITY, Server, ServerEnd, ServerMachine};
use greet_host::{
    args::{GreetOnly, ServiceSettings},
    clock,
    conversation::Conversation,
    counters::{Counters, EndReason, Refusal},
    exit::{self, Fatal},
    limits::{Admission, Demand, Peers, TimeLimit},
    log::{self, Log},
    metrics::{self, MetricsError},
    stop::Stop,
};
use signal_hook::{consts::SIGURG, flag};
use thiserror::Error;

use self::{
    closing::Closing,
    listen::{ListenError, Listener},
};
use crate::options::{Runtime, ServeOptions};

/// Where to listen without `--listen`.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9999);

/// Why the server cannot start.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error("{0}; --help says more")]
    Usage(#[from] GreetOnly),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error("cannot prepare for signals: {0}")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Ring(#[from] ring::RingError),
    #[error("cannot start the {0} runtime: {1}")]
    Runtime(&'static str, #[source] io::Error),
}

impl Fatal for ServeError {
    fn status(&self) -> u8 {
        if matches!(self, Self::Usage(_)) { exit::USAGE } else { exit::FAILURE }
    }
}

/// Settings and state that all connections share.
#[derive(Debug)]
struct Service<S: ServerMachine> {
    settings: S::Settings,
    /// Maximum number of concurrent connections.
    connections: usize,
    /// How long open conversations may take to end when the service stops.
    grace: Duration,
    /// Connections of each peer, if their number is limited.
    peers: Option<Peers>,
    /// How long a connection may last.
    max_duration: Option<Duration>,
    /// Every connection begins with a header of the PROXY protocol.
    is_behind_proxy: bool,
    closing: Closing,
    log: Log,
    counters: Arc<Counters>,
}

impl<S: ServerMachine> Service<S> {
    /// Prints the addresses that the server listens on, and tells the service manager that it does.
    fn announce(&self, addresses: &[SocketAddr]) {
        for address in addresses {
            self.log.listening(*address);
        }
        service_manager::ready();
    }

    /// The service stops: it has stopped accepting connections.
    fn begin_stop(&self) {
        service_manager::stopping();
        self.closing.begin(self.grace);
    }

    /// A proxy's header was read from its connection. Returns the client; `None` if the connection is refused.
    fn client(&self, proxy: SocketAddr, header: Option<proxy::Client>) -> Option<SocketAddr> {
        if header.is_none() {
            self.counters.refuse(Refusal::ProxyProtocol);
            self.log.refused(proxy, Refusal::ProxyProtocol);
        }
        header.map(|client| client.unwrap_or(proxy))
    }

    /// Counts a connection of this peer, if the number is limited. It counts until the result is dropped. `None` if the
    /// connection is refused.
    fn admit(&self, peer: SocketAddr) -> Option<Option<Admission<'_>>> {
        let Some(peers) = &self.peers else { return Some(None) };
        let admission = peers.admit(peer.ip());
        if admission.is_none() {
            self.counters.refuse(Refusal::MaxPerPeer);
            self.log.refused(peer, Refusal::MaxPerPeer);
        }
        admission.map(Some)
    }

    /// A conversation with this peer begins.
    fn begin(&self, peer: SocketAddr) -> Conversation<'_> {
        Conversation::begin(&self.log, &self.counters, peer)
    }

    /// How long this conversation may last.
    fn time_limit(&self, conversation: &Conversation<'_>) -> TimeLimit {
        TimeLimit::new(conversation.start(), self.max_duration)
    }

    /// Closes a conversation that has to end now: the service stops, or the time limit is reached. False if it is to be cut off.
    fn may_continue(&self, machine: &mut impl Machine, limit: &mut TimeLimit, now: impl Fn() -> Instant) -> bool {
        if self.closing.is_overdue() {
            machine.close(now());
        }
        match limit.check(&now) {
            Demand::Nothing => true,
            Demand::Close => {
                machine.close(now());
                true
            }
            Demand::CutOff => false,
        }
    }

    /// Creates the machine for a new connection.
    fn server(&self) -> S {
        S::begin(self.settings, clock::now())
    }
}

/// Why a conversation ended: by its time limit, by its machine, or by an error of its connection (rule C2).
fn end_reason(limit: &TimeLimit, end: Option<ServerEnd>, outcome: io::Result<()>) -> EndReason {
    match (outcome, end) {
        _ if limit.has_expired() => EndReason::MaxDuration,
        (Ok(()), Some(end)) => end.into(),
        (Ok(()), None) => EndReason::Shutdown,
        (Err(error), _) => {
            tracing::debug!(%error, "the connection failed");
            match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => EndReason::Reset,
                io::ErrorKind::TimedOut => EndReason::Vanished,
                _ => EndReason::Error,
            }
        }
    }
}

/// The sockets of the service manager and of `--listen`. Without any of both, the one of the default address.
fn listeners(options: &ServeOptions) -> Result<Vec<Listener>, ListenError> {
    let inherited = service_manager::inherited_sockets().map_err(ListenError::Inherited)?;
    let mut addresses: Vec<_> = options.listen.iter().flat_map(|listen| &listen.0).copied().collect();
    if addresses.is_empty() && inherited.is_empty() {
        addresses.push(DEFAULT_ADDRESS);
    }
    let mut listeners = inherited.into_iter().map(listen::inherited).collect::<Result<Vec<_>, _>>()?;
    listeners.extend(listen::all(&addresses, options.backlog)?);
    Ok(listeners)
}

/// Serves until a signal ends it.
pub(crate) fn run(options: &ServeOptions) -> Result<ExitCode, ServeError> {
    match options.service.settings()? {
        ServiceSettings::Greet(settings) => serve::<Server<NAME_CAPACITY>>(options, settings),
        ServiceSettings::Echo(settings) => serve::<Echo<NAME_CAPACITY>>(options, settings),
    }
}

/// Serves each connection by one machine with these settings.
fn serve<S: ServerMachine + Send>(options: &ServeOptions, settings: S::Settings) -> Result<ExitCode, ServeError> {
    let (log, _written_at_the_end) = log::start(options.verbosity, options.observation.log);
    // Before the sockets listen, so that no signal arrives without a handler.
    let stop = Stop::on_signals().map_err(ServeError::Signals)?;
    // Interrupts a thread that waits for its client. The handler does nothing. By default this signal is ignored.
    flag::register(SIGURG, Arc::default()).map_err(ServeError::Signals)?;
    let counters = Arc::new(Counters::new(options.observation.metrics.is_some()));
    summary::print_on_signal(Arc::clone(&counters)).map_err(ServeError::Signals)?;
    let listeners = listeners(options)?;
    if let Some(address) = options.observation.metrics {
        let address = metrics::serve(address, Arc::clone(&counters))?;
        tracing::debug!("metrics are at http://{address}/metrics");
    }
    let service: Service<S> = Service {
        settings,
        connections: options.max_connections.map_or(usize::MAX, Into::into),
        grace: options.service.grace,
        peers: options.limits.max_per_peer.map(Peers::new),
        max_duration: options.limits.max_duration.0,
        is_behind_proxy: options.proxy_protocol.is_some(),
        closing: Closing::new(),
        log,
        counters,
    };
    match options.runtime {
        Runtime::Threads => {
            threads::serve(listeners, service, stop).map_err(|error| ServeError::Runtime("threads", error))?;
        }
        Runtime::Uring => ring::serve(listeners, service, options.workers, stop)?,
        Runtime::Tokio => {
            tasks::serve(listeners, service, options.workers, stop)
                .map_err(|error| ServeError::Runtime("tokio", error))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
