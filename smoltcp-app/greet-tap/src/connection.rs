//! One connection as the client: opened when there is a route to the server, and closed so that the server notices.

use core::{net::SocketAddr, time::Duration};
use std::io::ErrorKind;

use greet_core::Instant;
use greet_host::{client::HostPort, clock, connect::ConnectError};
use greet_smoltcp::time::earliest;
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{self, Socket, SocketBuffer, State},
};

use crate::{
    error::Error,
    network::{Network, is_over},
};

/// Size of the buffer of each direction, in bytes.
pub(crate) const BUFFER: usize = 64 * 1024;

/// Time that the server has to acknowledge the FIN.
const LAST_ACK: Duration = Duration::from_secs(1);

/// A connection, which has to be closed.
#[must_use = "the server does not notice the end otherwise"]
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) handle: SocketHandle,
}

impl Connection {
    /// Connects to the first address of `host` that answers, trying each for `limit`.
    pub(crate) fn open(
        network: &mut Network,
        host: &HostPort,
        addresses: &[SocketAddr],
        limit: Option<Duration>,
    ) -> Result<Self, Error> {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut failures = Vec::new();
        for &address in addresses {
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_nagle_enabled(false); // a name or a request is sent at once
            let connection = Self { handle: network.stack.sockets().add(socket) };
            match connection.establish(network, address, limit) {
                Ok(()) => return Ok(connection),
                Err(AttemptError::Address(kind)) => failures.push((address, kind.into())),
                Err(AttemptError::Fatal(error)) => {
                    connection.close(network, false)?;
                    return Err(error);
                }
            }
            connection.close(network, false)?;
        }
        Err(ConnectError::Failed { host: host.clone(), failures }.into())
    }

    /// Connects when there is a source address.
    fn establish(
        &self,
        network: &mut Network,
        address: SocketAddr,
        limit: Option<Duration>,
    ) -> Result<(), AttemptError> {
        let deadline = limit.map(|limit| clock::now() + limit);
        if !network.await_route(address.ip().into(), deadline)? {
            return Err(AttemptError::Address(ErrorKind::NetworkUnreachable));
        }
        let port = network.local_port();
        network.stack.connect(self.handle, address.into(), port)?;
        loop {
            let (state, next) = self.poll(network)?;
            match state {
                State::SynSent | State::SynReceived => {}
                State::Closed => return Err(AttemptError::Address(ErrorKind::ConnectionRefused)),
                _ => return Ok(()),
            }
            if is_over(deadline) {
                return Err(AttemptError::Address(ErrorKind::TimedOut));
            }
            network.pause(earliest(next, deadline))?;
        }
    }

    /// Polls the stack. Returns the state of the connection, and when to poll again.
    fn poll(&self, network: &mut Network) -> Result<(State, Option<Instant>), Error> {
        let mut state = State::Closed;
        let next = network.poll(|sockets, _| {
            state = sockets.get::<Socket<'_>>(self.handle).state();
            None
        })?;
        Ok((state, next))
    }

    /// Closes the connection: with a FIN if `in_good_order` and everything was read, else with a reset. It waits for the
    /// acknowledgement, as nothing answers the server when this program has ended.
    pub(crate) fn close(self, network: &mut Network, in_good_order: bool) -> Result<(), Error> {
        let socket = network.stack.sockets().get_mut::<Socket<'_>>(self.handle);
        if in_good_order && socket.recv_queue() == 0 {
            socket.close();
        } else {
            socket.abort();
        }
        let outcome = self.await_end(network);
        network.stack.sockets().remove(self.handle);
        outcome
    }

    fn await_end(&self, network: &mut Network) -> Result<(), Error> {
        let until = clock::now() + LAST_ACK;
        loop {
            let (state, next) = self.poll(network)?;
            if matches!(state, State::Closed | State::TimeWait) || is_over(Some(until)) {
                return network.deliver();
            }
            network.pause(earliest(next, Some(until)))?;
        }
    }
}

/// Why there is no connection.
enum AttemptError {
    /// This address failed.
    Address(ErrorKind),
    /// No other address would help.
    Fatal(Error),
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<tcp::ConnectError> for AttemptError {
    fn from(_: tcp::ConnectError) -> Self {
        Self::Address(ErrorKind::NetworkUnreachable)
    }
}
