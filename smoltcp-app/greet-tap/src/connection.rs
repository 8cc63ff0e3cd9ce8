//! One connection as the client: opened to the first address that answers, and closed so that the server notices.

mod race;

use core::{net::SocketAddr, time::Duration};

use greet_core::Instant;
use greet_host::{client::HostPort, clock, connect::ConnectError};
use greet_smoltcp::time::earliest;
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{Socket, State},
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
    /// Connects to the address of `host` that answers first. Each attempt may take `limit`, and all of them until `end`.
    pub(crate) fn open(
        network: &mut Network,
        host: &HostPort,
        addresses: &[SocketAddr],
        limit: Option<Duration>,
        end: Option<Instant>,
    ) -> Result<Self, Error> {
        match race::connect(network, addresses, limit, end)? {
            Ok(handle) => Ok(Self { handle }),
            Err(failures) => Err(ConnectError::Failed { host: host.clone(), failures }.into()),
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
