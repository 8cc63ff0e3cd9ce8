//! A frontend in memory: the pool of `greet-smoltcp` and a client's stack, on one Ethernet switch and one virtual clock.

use core::{cell::RefCell, time::Duration};
use std::{io, rc::Rc};

use greet_core::{Echo, EchoSettings, Framing, Instant, NAME_CAPACITY, Server, ServerMachine, ServerSettings};
use greet_smoltcp::{
    pool::{self, Pool, Slot},
    stack::{self, Settings, Stack},
};
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::tcp::{RecvError, Socket, SocketBuffer, State},
    wire::{EthernetAddress, IpAddress, IpCidr, IpEndpoint},
};

use crate::{
    ether::{Ether, Port},
    frontend::{Connection, Frontend},
};

/// Default number of the server's sockets.
const SOCKETS: usize = 8;
/// Bytes of each socket buffer. The longest write of the table fits, so that it can be one read.
const BUFFER: usize = 8192;
/// Timeout of each wait, in virtual time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A server with a pool of sockets, with one framing, or an echo server.
#[derive(Debug)]
pub struct Memory<S: ServerMachine = Server<NAME_CAPACITY>> {
    world: Rc<RefCell<World<S>>>,
    framing: Framing,
    /// Connections use IPv4 and IPv6 alternately.
    alternating: bool,
}

#[derive(Debug)]
struct World<S: ServerMachine> {
    now: Instant,
    ether: Ether,
    server: Station,
    pool: Pool<'static, S>,
    client: Station,
    /// Number of connections that the client has opened.
    connections: u16,
    /// When a stack wants to be polled next.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Station {
    stack: Stack<'static>,
    port: Port,
    /// The link is down: frames to this host are dropped, and it is not polled.
    cut: bool,
}

impl Station {
    #[allow(clippy::expect_used, reason = "the settings are written here, and right")]
    fn new(ether: &Ether, number: u8, now: Instant) -> Self {
        let address = hardware(number);
        let mut port = ether.port(address);
        let addresses = [ipv4(number), ipv6(number)];
        let settings = Settings { addresses: &addresses, ..Settings::new(address, u64::from(number) + 1) };
        let stack = Stack::new(settings, &mut port, SocketSet::new(Vec::new()), now).expect("the settings are right");
        Self { stack, port, cut: false }
    }
}

fn hardware(number: u8) -> EthernetAddress {
    EthernetAddress([2, 0, 0, 0, 0, number])
}

fn ipv4(number: u8) -> IpCidr {
    IpCidr::new(IpAddress::v4(10, 0, 0, number), 24)
}

fn ipv6(number: u8) -> IpCidr {
    IpCidr::new(IpAddress::v6(0xfdaa, 0, 0, 0, 0, 0, 0, number.into()), 64)
}

const SERVER: u8 = 1;
const CLIENT: u8 = 2;

/// An echo server with a pool of sockets. It counts as one of framing `line`: only the sequence of bytes matters (rule B2).
pub type EchoMemory = Memory<Echo<NAME_CAPACITY>>;

impl EchoMemory {
    /// Creates an echo server with these settings and number of sockets. Clients connect over IPv4.
    #[must_use]
    pub fn echo(settings: pool::Settings<EchoSettings>, sockets: usize) -> Self {
        Self::of(settings, Framing::Line, sockets)
    }
}

impl Memory {
    /// Creates a server with that framing. Clients connect over IPv4 and IPv6 alternately.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let server = ServerSettings { framing, ..ServerSettings::DEFAULT };
        Self { alternating: true, ..Self::with(pool::Settings { server, ..pool::Settings::DEFAULT }, SOCKETS) }
    }

    /// Creates a server with these settings and number of sockets. Clients connect over IPv4.
    #[must_use]
    pub fn with(settings: pool::Settings, sockets: usize) -> Self {
        Self::of(settings, settings.server.framing, sockets)
    }

    /// The server's hardware address and IPv4 address.
    #[must_use]
    pub fn server() -> (EthernetAddress, IpAddress) {
        (hardware(SERVER), ipv4(SERVER).address())
    }
}

impl<S: ServerMachine> Memory<S> {
    fn of(settings: pool::Settings<S::Settings>, framing: Framing, sockets: usize) -> Self {
        let now = Instant::ZERO;
        let ether = Ether::default();
        let mut server = Station::new(&ether, SERVER, now);
        let slots: Vec<Slot<S>> = (0..sockets).map(|_| Slot::new()).collect();
        let mut pool = Pool::new(settings, slots.leak(), vec![0; BUFFER].leak());
        for _ in 0..sockets {
            pool.open(server.stack.sockets(), SocketBuffer::new(vec![0; BUFFER]), SocketBuffer::new(vec![0; BUFFER]));
        }
        let client = Station::new(&ether, CLIENT, now);
        let world = World { now, ether, server, pool, client, connections: 0, next: None };
        Self { world: Rc::new(RefCell::new(world)), framing, alternating: false }
    }

    /// Number of busy slots.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.world.borrow().pool.busy()
    }

    /// The counters of the pool.
    #[must_use]
    pub fn counters(&self) -> pool::Counters {
        self.world.borrow().pool.counters()
    }

    /// The counters of the server's stack.
    #[must_use]
    pub fn frames(&self) -> stack::Counters {
        self.world.borrow().server.stack.counters()
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.borrow().now
    }

    /// When a stack wants to be polled next, if no frame arrives before.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.world.borrow().next
    }

    /// Advances the clock by `span`.
    pub fn pass(&self, span: Duration) {
        let mut world = self.world.borrow_mut();
        let until = world.now + span;
        world.run(until, |_| false);
    }

    /// Stops the service: conversations end after their outstanding replies.
    pub fn close(&self) {
        let mut world = self.world.borrow_mut();
        let World { pool, server, .. } = &mut *world;
        pool.close(server.stack.sockets());
    }

    /// Takes the link of the client's host down, or up again.
    pub fn cut(&self, cut: bool) {
        self.world.borrow_mut().client.cut = cut;
    }

    /// Adds a port to the switch, to send frames from.
    #[must_use]
    pub fn port(&self, address: EthernetAddress) -> Port {
        self.world.borrow().ether.port(address)
    }
}

impl<S: ServerMachine> World<S> {
    /// Polls both stacks until no frame is pending.
    fn settle(&mut self) {
        loop {
            let Self { now, server, pool, client, .. } = self;
            let now = *now;
            let serve = |sockets: &mut SocketSet<'static>, reason| pool.serve(now, sockets, reason, |_| {});
            let server = server.stack.poll(now, &mut server.port, serve);
            let client = if client.cut {
                client.port.clear();
                None
            } else {
                client.stack.poll(now, &mut client.port, |_, _| None)
            };
            self.next = server.into_iter().chain(client).min();
            if self.server.port.is_quiet() && self.client.port.is_quiet() && self.next.is_none_or(|next| next > now) {
                return;
            }
        }
    }

    /// Advances the clock until `done` returns true, or until `until`. Returns whether it did.
    fn run(&mut self, until: Instant, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            if self.now >= until {
                return false;
            }
            self.now = self.next.map_or(until, |next| next.min(until));
        }
    }
}

impl<S: ServerMachine> Frontend for Memory<S> {
    type Connection = MemoryConnection<S>;

    fn capacity(&self) -> usize {
        NAME_CAPACITY
    }

    fn can(&self, framing: Framing) -> bool {
        framing == self.framing
    }

    fn connect(&mut self, _framing: Framing) -> io::Result<MemoryConnection<S>> {
        let mut world = self.world.borrow_mut();
        let mut socket = Socket::new(SocketBuffer::new(vec![0; BUFFER]), SocketBuffer::new(vec![0; BUFFER]));
        socket.set_nagle_enabled(false); // so that a write arrives as one read
        let handle = world.client.stack.sockets().add(socket);
        let by_ipv6 = self.alternating && !world.connections.is_multiple_of(2);
        let address = if by_ipv6 { ipv6(SERVER) } else { ipv4(SERVER) };
        let remote = IpEndpoint::new(address.address(), world.pool.settings().port);
        let port = 49_152 + world.connections;
        world.connections += 1;
        world.client.stack.connect(handle, remote, port).map_err(io::Error::other)?;
        let resets = world.ether.resets();
        drop(world);
        let mut connection = MemoryConnection { world: Rc::clone(&self.world), handle, resets };
        match connection.wait(|socket| socket.state() != State::SynSent) {
            true if connection.is_reset() => Err(io::ErrorKind::ConnectionRefused.into()),
            true => Ok(connection),
            false => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// A connection in memory.
#[derive(Debug)]
pub struct MemoryConnection<S: ServerMachine = Server<NAME_CAPACITY>> {
    world: Rc<RefCell<World<S>>>,
    handle: SocketHandle,
    /// Number of resets on the switch before this connection.
    resets: usize,
}

impl<S: ServerMachine> MemoryConnection<S> {
    /// Waits until `done` returns true, at most [`TIMEOUT`]. Returns whether it did.
    fn wait(&mut self, mut done: impl FnMut(&mut Socket<'static>) -> bool) -> bool {
        let handle = self.handle;
        let mut world = self.world.borrow_mut();
        let until = world.now + TIMEOUT;
        world.run(until, |world| done(world.client.stack.sockets().get_mut(handle)))
    }

    fn is_reset(&self) -> bool {
        self.world.borrow().ether.resets() > self.resets
    }
}

impl<S: ServerMachine> Connection for MemoryConnection<S> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut sent = Ok(0);
            let moved = self.wait(|socket| {
                sent = socket.send_slice(rest);
                sent != Ok(0)
            });
            rest = match sent {
                Ok(sent) if moved => &rest[sent..],
                Ok(_) => return Err(io::ErrorKind::TimedOut.into()),
                Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            };
        }
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        self.world.borrow_mut().settle();
    }

    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()> {
        let until = received.len() + count;
        let mut ended = Ok(());
        let done = self.wait(|socket| {
            let mut buffer = vec![0; until - received.len()];
            match socket.recv_slice(&mut buffer) {
                Ok(length) => received.extend_from_slice(&buffer[..length]),
                Err(RecvError::Finished) => return true,
                Err(RecvError::InvalidState) => {
                    ended = Err(io::ErrorKind::ConnectionReset.into());
                    return true;
                }
            }
            received.len() == until
        });
        if done { ended } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.wait(|socket| {
            socket.close();
            true
        });
        self.settle();
        Ok(())
    }

    fn check_closed(&mut self) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        let until = world.now + TIMEOUT;
        if !world.run(until, |world| world.pool.busy() == 0) {
            return Err(io::Error::other("the server's socket does not listen again"));
        }
        drop(world);
        if self.is_reset() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl<S: ServerMachine> Drop for MemoryConnection<S> {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        let handle = self.handle;
        world.client.stack.sockets().get_mut::<Socket<'_>>(handle).abort();
        world.settle();
        world.client.stack.sockets().remove(handle);
    }
}
