//! `greet serve`: set-up that both runtimes share: signals, listening sockets, settings, output.

mod closing;
mod listen;
mod starved;
mod task_transport;
mod tasks;
mod threads;

use core::{net::SocketAddr, time::Duration};
use std::{io, process::ExitCode, sync::Arc};

use greet_core::{NAME_CAPACITY, Server, ServerSettings};
use greet_host::{
    clock,
    exit::Fatal,
    log::{self, Log},
    stop::Stop,
};
use signal_hook::{consts::SIGUSR1, flag};
use thiserror::Error;

use self::{closing::Closing, listen::ListenError};
use crate::options::{Runtime, ServeOptions};

/// Why the server cannot start.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot prepare for signals: {0}")]
    Signals(#[source] io::Error),
    #[error("cannot start the {0} runtime: {1}")]
    Runtime(&'static str, #[source] io::Error),
}

impl Fatal for ServeError {}

/// Settings and state that all connections share.
#[derive(Debug)]
struct Service {
    settings: ServerSettings,
    /// Maximum number of concurrent connections.
    connections: usize,
    /// How long open conversations may take to end when the service stops.
    grace: Duration,
    closing: Closing,
    log: Log,
}

impl Service {
    /// Prints the addresses that the server listens on.
    fn announce(&self, addresses: &[SocketAddr]) {
        for address in addresses {
            self.log.line(format_args!("Waiting for connection on {address}..."));
        }
    }

    /// Creates the machine for a new connection.
    fn server(&self) -> Server<NAME_CAPACITY> {
        Server::new(self.settings, clock::now())
    }
}

/// Serves until a signal ends it.
pub(crate) fn run(options: &ServeOptions) -> Result<ExitCode, ServeError> {
    let (log, _written_at_the_end) = log::start(options.verbosity);
    // Before the sockets listen, so that no signal arrives without a handler.
    let stop = Stop::on_signals().map_err(ServeError::Signals)?;
    // Interrupts a thread that waits for its client. The handler does nothing, so the signal is harmless with tokio.
    flag::register(SIGUSR1, Arc::default()).map_err(ServeError::Signals)?;
    let addresses: Vec<_> = options.listen.iter().flat_map(|listen| &listen.0).copied().collect();
    let listeners = listen::all(&addresses, options.backlog)?;
    let service = Service {
        settings: options.service.settings(),
        connections: options.max_connections.map_or(usize::MAX, Into::into),
        grace: options.service.grace,
        closing: Closing::new(),
        log,
    };
    match options.runtime {
        Runtime::Threads => {
            threads::serve(listeners, service, stop).map_err(|error| ServeError::Runtime("threads", error))?;
        }
        Runtime::Tokio => {
            tasks::serve(listeners, service, stop).map_err(|error| ServeError::Runtime("tokio", error))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
