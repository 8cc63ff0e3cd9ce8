//! Serves clients: accepts each, drives a machine for it, and releases its connection.

use core::time::Duration;

use embassy_futures::join::join_array;
use embassy_net::{
    IpEndpoint, Stack,
    tcp::{State, TcpSocket},
};
use greet_core::{
    EchoSettings, LINGER, ServerEnd, ServerEvent, ServerMachine, ServerSettings,
    drive::{Delivery, Release, Turn, asynchronous::Driver},
};

use crate::{
    Transport, now,
    time::{in_time, sleep_until},
    transport::unacknowledged,
};

/// Interval at which the unacknowledged bytes are counted: embassy-net has no event for a partial acknowledgement.
const LOOK: Duration = Duration::from_millis(20);
/// How long a connection stays in TIME-WAIT. The acknowledgement of the client's FIN leaves within half of it: the stack delays
/// acknowledgements by 10 ms, which embassy-net offers no setting for. After that the socket serves the next client.
const TIME_WAIT: Duration = Duration::from_millis(20);
/// The longest wait for a reset to be sent, for example while the link is down.
const RESET: Duration = Duration::from_millis(100);

/// The settings of a service: of greeting servers unless `C` are those of other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings<C = ServerSettings> {
    /// The TCP port.
    pub port: u16,
    /// The settings of each connection's state machine.
    ///
    /// The idle timeout also ends the connection of a client that has stopped answering. Without it such a connection is
    /// never closed.
    pub server: C,
    /// The longest time from a client's SYN until the connection is established; 10 s by default.
    pub handshake: Duration,
    /// At the end of a conversation, the longest time in which the client acknowledges nothing; 10 s by default.
    pub delivery: Duration,
}

impl Settings {
    /// The protocol's port, and the defaults of everything else.
    pub const DEFAULT: Self = Self::new(9999, ServerSettings::DEFAULT);
}

impl Settings<EchoSettings> {
    /// The port of the echo service (RFC 862), and the defaults of everything else.
    pub const ECHO: Self = Self::new(7, EchoSettings::DEFAULT);
}

impl<C> Settings<C> {
    /// The defaults, for machines with these settings.
    pub const fn new(port: u16, server: C) -> Self {
        Self { port, server, handshake: Duration::from_secs(10), delivery: Duration::from_secs(10) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The memory for one client at a time, besides its machine: four buffers of `BUFFER` bytes.
///
/// A client may send one buffer before it has to wait for the board, and the board one before it has to wait for the client, so
/// the throughput is about `BUFFER` per round trip. 2048 or more lets two segments be in flight: many systems delay the
/// acknowledgement of a single one by 40 ms, and replies to many names in a row are then eight times as slow. 8192, five segments,
/// is for bulk.
#[derive(Debug)]
pub struct Memory<const BUFFER: usize> {
    receive: [u8; BUFFER],
    transmit: [u8; BUFFER],
    read: [u8; BUFFER],
    write: [u8; BUFFER],
}

impl<const BUFFER: usize> Memory<BUFFER> {
    /// Empty memory: all bytes are zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { receive: [0; BUFFER], transmit: [0; BUFFER], read: [0; BUFFER], write: [0; BUFFER] }
    }
}

impl<const BUFFER: usize> Default for Memory<BUFFER> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a service reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A client has connected.
    Accepted(IpEndpoint),
    /// The client's machine reports this.
    Heard(IpEndpoint, ServerEvent<'a>),
    /// The client's connection is closed.
    Closed(IpEndpoint, Outcome),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// The conversation ended for this reason, and everything was delivered.
    Completed(ServerEnd),
    /// The client reset the connection, or stopped answering.
    Lost,
}

/// Serves as many clients concurrently as there is memory for, each with a machine of the type `M`, and reports to `tell`. It
/// never returns.
///
/// It compiles only if a buffer is as large as a machine: then the longest name fits into one read.
pub async fn serve<M: ServerMachine, const BUFFER: usize, const CLIENTS: usize>(
    stack: Stack<'_>,
    settings: &Settings<M::Settings>,
    memory: &mut [Memory<BUFFER>; CLIENTS],
    tell: &impl Fn(Event<'_>),
) -> ! {
    const { assert!(BUFFER >= size_of::<M>(), "the longest name has to fit into one read: make BUFFER larger") };
    join_array(memory.each_mut().map(|memory| serve_one_by_one::<M, BUFFER>(stack, settings, memory, tell))).await;
    core::future::pending().await // without clients there is nothing to wait for
}

/// Serves one client after the other.
async fn serve_one_by_one<M: ServerMachine, const BUFFER: usize>(
    stack: Stack<'_>,
    settings: &Settings<M::Settings>,
    memory: &mut Memory<BUFFER>,
    tell: &impl Fn(Event<'_>),
) {
    let Memory { receive, transmit, read, write } = memory;
    let mut socket = TcpSocket::new(stack, receive, transmit);
    socket.set_nagle_enabled(false);
    loop {
        // A half-open connection must not keep the socket.
        socket.set_timeout(embassy_time::Duration::try_from(settings.handshake).ok());
        if socket.accept(settings.port).await.is_err() {
            // Port 0, to which no client can connect. The socket cannot still be open, as `release` closes it.
            reset(&mut socket).await;
            sleep_until(Some(now() + RESET)).await;
            continue;
        }
        socket.set_timeout(None); // the machine's idle timeout applies
        let Some(peer) = socket.remote_endpoint() else { continue }; // reset in the handshake
        tell(Event::Accepted(peer));
        let mut machine = M::begin(settings.server, now());
        let end = converse(&mut machine, &mut socket, read, write, |event| tell(Event::Heard(peer, event))).await;
        let delivered = release(&mut socket, settings.delivery, end, read).await;
        let outcome = end.filter(|_| delivered).map_or(Outcome::Lost, Outcome::Completed);
        tell(Event::Closed(peer, outcome));
    }
}

/// Drives one conversation to its end. `None` if the connection was lost.
async fn converse<M: ServerMachine>(
    machine: &mut M,
    socket: &mut TcpSocket<'_>,
    read: &mut [u8],
    write: &mut [u8],
    tell: impl Fn(ServerEvent<'_>),
) -> Option<ServerEnd> {
    let mut transport = Transport::new(socket, read);
    let mut driver = Driver::new(machine, &mut transport, now, write);
    loop {
        match driver.turn().await {
            Ok(Turn::Event(event)) => tell(event),
            Ok(Turn::Quiet) => {}
            Ok(Turn::Over) => return Some(driver.machine().end().unwrap_or(ServerEnd::Closed)),
            Err(_) => return None,
        }
    }
}

/// Releases the connection as soon as the client has everything (rules R3, R4 and C1). Returns whether it has. Then the socket
/// can listen.
async fn release(socket: &mut TcpSocket<'_>, delivery: Duration, end: Option<ServerEnd>, read: &mut [u8]) -> bool {
    // T2: after an idle timeout the client gets little more time.
    let limit = if end == Some(ServerEnd::Idle) { delivery.min(LINGER) } else { delivery };
    let mut delivery = Delivery::new(now(), unacknowledged(socket));
    loop {
        let release = match socket.state() {
            State::TimeWait => {
                sleep_until(Some(now() + TIME_WAIT)).await; // the last acknowledgement is sent
                return true; // the socket can listen; `abort` would send a reset here
            }
            State::Closed => {
                let delivered = socket.send_queue() == 0;
                reset(socket).await; // waits for a reset that is due
                return delivered;
            }
            _ => delivery.look(now(), unacknowledged(socket), limit),
        };
        let until = match release {
            Release::Wait(until) => until,
            Release::Discard(until) => {
                while socket.can_recv() && socket.read(read).await.is_ok_and(|count| count > 0) {}
                until
            }
            Release::Close | Release::Reset => {
                reset(socket).await;
                return release == Release::Close;
            }
        };
        let until = Some(until.min(now() + LOOK));
        if unacknowledged(socket) > 0 {
            // The last acknowledgement ends this at once: until the socket listens again, it refuses the next client.
            let _ = in_time(until, socket.flush()).await;
        } else {
            sleep_until(until).await;
        }
    }
}

/// Resets the connection, if there is one, and waits until the reset is sent.
async fn reset(socket: &mut TcpSocket<'_>) {
    socket.abort();
    let _ = in_time(Some(now() + RESET), socket.flush()).await;
}
