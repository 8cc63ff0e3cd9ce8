//! One connection as the client: opened once there is a way to the server, and left so that the server hears of it.

use core::{net::SocketAddr, time::Duration};
use std::io::ErrorKind;

use greet_core::Instant;
use greet_host::{client::HostPort, clock, connect::ConnectError};
use greet_smoltcp::time::earliest;
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{self, Socket, SocketBuffer, State},
    wire::IpAddress,
};

use crate::network::{Failure, Network};

/// What each direction of a connection holds.
pub(crate) const BUFFER: usize = 64 * 1024;

/// How long a server that has ended the conversation may take to acknowledge that we did.
const FAREWELL: Duration = Duration::from_secs(1);

/// How soon to look again whether there is a way.
const WAY_RETRY: Duration = Duration::from_millis(50);

/// A connection, which has to be closed.
#[must_use = "the server hears nothing of its end"]
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) handle: SocketHandle,
}

impl Connection {
    /// Connects to the first of the addresses of `host` that answers, each within `limit`.
    pub(crate) fn open(
        network: &mut Network,
        host: &HostPort,
        addresses: &[SocketAddr],
        limit: Option<Duration>,
    ) -> Result<Self, Failure> {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut failures = Vec::new();
        for &address in addresses {
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_nagle_enabled(false); // a name or a request goes out as soon as it is said
            let connection = Self { handle: network.stack.sockets().add(socket) };
            match connection.establish(network, address, limit) {
                Ok(()) => return Ok(connection),
                Err(Unconnected::Address(kind)) => failures.push((address, kind.into())),
                Err(Unconnected::Failure(failure)) => {
                    connection.close(network, false)?;
                    return Err(failure);
                }
            }
            connection.close(network, false)?;
        }
        Err(ConnectError::Failed { host: host.clone(), failures }.into())
    }

    /// Connects, once there is an address to speak from.
    fn establish(
        &self,
        network: &mut Network,
        address: SocketAddr,
        limit: Option<Duration>,
    ) -> Result<(), Unconnected> {
        let deadline = limit.map(|limit| clock::now() + limit);
        if !await_way(network, address.ip().into(), deadline)? {
            return Err(Unconnected::Address(ErrorKind::NetworkUnreachable));
        }
        let port = network.port();
        network.stack.connect(self.handle, address.into(), port)?;
        loop {
            let (state, next) = self.poll(network)?;
            match state {
                State::SynSent | State::SynReceived => {}
                State::Closed => return Err(Unconnected::Address(ErrorKind::ConnectionRefused)),
                _ => return Ok(()),
            }
            if is_over(deadline) {
                return Err(Unconnected::Address(ErrorKind::TimedOut));
            }
            network.pause(earliest(next, deadline))?;
        }
    }

    /// Polls the stack; how the connection stands then, and when to poll again.
    fn poll(&self, network: &mut Network) -> Result<(State, Option<Instant>), Failure> {
        let mut state = State::Closed;
        let next = network.poll(|sockets, _| {
            state = sockets.get::<Socket<'_>>(self.handle).state();
            None
        })?;
        Ok((state, next))
    }

    /// Ends the connection: in good order if all that came was wanted, or by a reset. When this program is gone, nobody
    /// answers for it.
    pub(crate) fn close(self, network: &mut Network, in_good_order: bool) -> Result<(), Failure> {
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

    fn await_end(&self, network: &mut Network) -> Result<(), Failure> {
        let until = clock::now() + FAREWELL;
        loop {
            let (state, next) = self.poll(network)?;
            if matches!(state, State::Closed | State::TimeWait) || is_over(Some(until)) {
                return network.deliver();
            }
            network.pause(earliest(next, Some(until)))?;
        }
    }
}

/// Waits until there is an address to speak to `remote` from, and a way there; whether there is. Where nobody is asked for
/// either, that is known at once.
///
/// Without the wait smoltcp would speak to a server elsewhere from the link-local IPv6 address, which is always there.
pub(crate) fn await_way(network: &mut Network, remote: IpAddress, deadline: Option<Instant>) -> Result<bool, Failure> {
    while !network.has_way(remote) {
        if !network.learns_ways(remote) || is_over(deadline) {
            return Ok(false);
        }
        let next = network.poll(|_, _| None)?;
        let retry = clock::now() + WAY_RETRY;
        network.pause(earliest(earliest(next, deadline), Some(retry)))?;
    }
    Ok(true)
}

/// Whether that instant has come.
pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| clock::now() >= deadline)
}

/// Why there is no connection.
enum Unconnected {
    /// This address gives none.
    Address(ErrorKind),
    /// No address will.
    Failure(Failure),
}

impl From<Failure> for Unconnected {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<tcp::ConnectError> for Unconnected {
    fn from(_: tcp::ConnectError) -> Self {
        Self::Address(ErrorKind::NetworkUnreachable)
    }
}
