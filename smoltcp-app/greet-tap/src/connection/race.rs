//! The addresses of a host are tried side by side, each with a head start before the next (RFC 8305, 5).

use core::{net::SocketAddr, time::Duration};
use std::io::{self, ErrorKind};

use greet_core::Instant;
use greet_host::{clock, connect::ATTEMPT_DELAY};
use greet_smoltcp::time::earliest;
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{Socket, SocketBuffer, State},
};

use super::BUFFER;
use crate::{
    error::Error,
    network::{Network, ROUTE_RETRY, address_deadline},
};

/// Why each address failed, in the order of `addresses`.
pub(super) type Failures = Vec<(SocketAddr, io::Error)>;

/// Connects to the address that answers first, as [`Connection::open`](super::Connection::open) says. The sockets of all
/// other attempts are removed.
pub(super) fn connect(
    network: &mut Network,
    addresses: &[SocketAddr],
    limit: Option<Duration>,
    end: Option<Instant>,
) -> Result<Result<SocketHandle, Failures>, Error> {
    let mut attempts = Vec::new();
    let outcome = Race { addresses, limit, end }.run(network, &mut attempts);
    let winner = outcome.as_ref().ok().copied().flatten();
    attempts.retain(|attempt| Some(attempt.handle) != winner);
    for attempt in &attempts {
        network.stack.sockets().get_mut::<Socket<'_>>(attempt.handle).abort();
    }
    if !attempts.is_empty() {
        network.poll(|_, _| None)?; // sends the resets
    }
    for attempt in &attempts {
        network.stack.sockets().remove(attempt.handle);
    }
    let failure = |attempt: &Attempt| match attempt.phase {
        Phase::Failed(kind) => Some((attempt.address, kind.into())),
        Phase::NoRoute | Phase::Handshake => None,
    };
    Ok(outcome?.ok_or_else(|| attempts.iter().filter_map(failure).collect()))
}

/// The addresses, and how much time there is.
struct Race<'a> {
    addresses: &'a [SocketAddr],
    /// For each attempt.
    limit: Option<Duration>,
    /// For all of them.
    end: Option<Instant>,
}

impl Race<'_> {
    /// Connects; `attempts` becomes one attempt for each address that was tried. `None` if every attempt has failed.
    fn run(&self, network: &mut Network, attempts: &mut Vec<Attempt>) -> Result<Option<SocketHandle>, Error> {
        let mut addresses = self.addresses.iter().copied().peekable();
        let mut next_at = clock::now();
        loop {
            // Before the poll, which may give an address at the same time: then the time for it is not over.
            let now = clock::now();
            if now >= next_at
                && let Some(address) = addresses.next()
            {
                attempts.push(Attempt::new(network, address, address_deadline(self.limit, self.end)));
                next_at = now + ATTEMPT_DELAY;
            }
            let mut deadline = network.poll(|_, _| None)?;
            for attempt in attempts.iter_mut() {
                let before = attempt.phase;
                if attempt.advance(network, now, self.deadline(now)) {
                    return Ok(Some(attempt.handle));
                }
                let due = match attempt.phase {
                    phase if phase != before => {
                        if !attempt.is_running() {
                            next_at = now; // the next address need not wait
                        }
                        Some(now)
                    }
                    Phase::NoRoute => Some(now + ROUTE_RETRY),
                    Phase::Handshake => attempt.deadline,
                    Phase::Failed(_) => None,
                };
                deadline = earliest(deadline, due);
            }
            if addresses.peek().is_some() {
                deadline = earliest(deadline, Some(next_at));
            } else if !attempts.iter().any(Attempt::is_running) {
                return Ok(None);
            }
            network.pause(deadline)?;
        }
    }

    /// The end of a handshake that starts now.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        earliest(self.limit.map(|limit| now + limit), self.end)
    }
}

/// One attempt to connect.
struct Attempt {
    address: SocketAddr,
    handle: SocketHandle,
    phase: Phase,
    /// The end of this phase.
    deadline: Option<Instant>,
}

/// How far an attempt is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no source address or no route for it yet. Without this phase smoltcp would connect from the link-local IPv6
    /// address, which is always there.
    NoRoute,
    Handshake,
    Failed(ErrorKind),
}

impl Attempt {
    fn new(network: &mut Network, address: SocketAddr, deadline: Option<Instant>) -> Self {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false); // a name or a request is sent at once
        Self { address, handle: network.stack.sockets().add(socket), phase: Phase::NoRoute, deadline }
    }

    const fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Failed(_))
    }

    /// Moves on as far as possible after a poll that began at `now`. A handshake that starts has to end by
    /// `handshake_deadline`. Returns whether the connection is established.
    fn advance(&mut self, network: &mut Network, now: Instant, handshake_deadline: Option<Instant>) -> bool {
        let remote = self.address.ip().into();
        let is_late = self.deadline.is_some_and(|deadline| now >= deadline);
        self.phase = match self.phase {
            Phase::NoRoute if network.has_route(remote) => {
                let port = network.local_port();
                self.deadline = handshake_deadline;
                network.request_neighbor(remote);
                match network.stack.connect(self.handle, self.address.into(), port) {
                    Ok(()) => Phase::Handshake,
                    Err(_) => Phase::Failed(ErrorKind::NetworkUnreachable),
                }
            }
            Phase::NoRoute if is_late || !network.may_reach(remote) => Phase::Failed(ErrorKind::NetworkUnreachable),
            Phase::Handshake => {
                let socket = network.stack.sockets().get_mut::<Socket<'_>>(self.handle);
                match socket.state() {
                    State::SynSent | State::SynReceived if is_late => {
                        socket.abort();
                        Phase::Failed(ErrorKind::TimedOut)
                    }
                    State::SynSent | State::SynReceived => Phase::Handshake,
                    State::Closed => Phase::Failed(ErrorKind::ConnectionRefused),
                    _ => return true,
                }
            }
            phase => phase,
        };
        false
    }
}
