//! A frontend in memory: the pool of `greet-smoltcp`, and clients with a stack of their own, on one switch and one clock.

use core::{cell::RefCell, time::Duration};
use std::{io, rc::Rc};

use greet_core::{Framing, Instant, NAME_CAPACITY, ServerSettings};
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
    frontend::{Frontend, Wire},
};

/// How many sockets the server has where nobody says otherwise.
const SOCKETS: usize = 8;
/// Of each socket, either way: the longest write of the table fits, so that it can be one read.
const BUFFER: usize = 8192;
const PATIENCE: Duration = Duration::from_secs(5);

/// A server with a pool of sockets, all of one framing.
#[derive(Clone, Debug)]
pub struct Memory {
    world: Rc<RefCell<World>>,
    framing: Framing,
    /// Every other client connects by IPv6.
    alternating: bool,
}

#[derive(Debug)]
struct World {
    now: Instant,
    ether: Ether,
    server: Station,
    pool: Pool<'static, NAME_CAPACITY>,
    client: Station,
    /// How many connections it has opened.
    connections: u16,
    /// When somebody wants to be polled.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Station {
    stack: Stack<'static>,
    port: Port,
    /// Nothing goes through.
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

impl Memory {
    /// A server of that framing, to which clients connect by IPv4 and IPv6 in turn.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let server = ServerSettings { framing, ..ServerSettings::DEFAULT };
        Self { alternating: true, ..Self::with(pool::Settings { server, ..pool::Settings::DEFAULT }, SOCKETS) }
    }

    /// A server with these settings and so many sockets, to which clients connect by IPv4.
    #[must_use]
    pub fn with(settings: pool::Settings, sockets: usize) -> Self {
        let now = Instant::ZERO;
        let ether = Ether::default();
        let mut server = Station::new(&ether, SERVER, now);
        let slots: Vec<Slot<NAME_CAPACITY>> = (0..sockets).map(|_| Slot::new()).collect();
        let mut pool = Pool::new(settings, slots.leak(), vec![0; BUFFER].leak());
        for _ in 0..sockets {
            pool.open(server.stack.sockets(), SocketBuffer::new(vec![0; BUFFER]), SocketBuffer::new(vec![0; BUFFER]));
        }
        let client = Station::new(&ether, CLIENT, now);
        let world = World { now, ether, server, pool, client, connections: 0, next: None };
        Self { world: Rc::new(RefCell::new(world)), framing: settings.server.framing, alternating: false }
    }

    /// How many of its sockets are busy.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.world.borrow().pool.busy()
    }

    /// What its pool has seen.
    #[must_use]
    pub fn counters(&self) -> pool::Counters {
        self.world.borrow().pool.counters()
    }

    /// What its stack has seen on the wire.
    #[must_use]
    pub fn frames(&self) -> stack::Counters {
        self.world.borrow().server.stack.counters()
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.borrow().now
    }

    /// When something happens next by itself.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.world.borrow().next
    }

    /// Lets so much time pass.
    pub fn pass(&self, span: Duration) {
        let mut world = self.world.borrow_mut();
        let until = world.now + span;
        world.run(until, |_| false);
    }

    /// Ends the service in good order.
    pub fn close(&self) {
        let mut world = self.world.borrow_mut();
        let World { pool, server, .. } = &mut *world;
        pool.close(server.stack.sockets());
    }

    /// The link of the client's host is cut, or mended: it hears nothing and says nothing.
    pub fn cut(&self, cut: bool) {
        self.world.borrow_mut().client.cut = cut;
    }

    /// Another port of the switch, for frames that no stack would send.
    #[must_use]
    pub fn port(&self, address: EthernetAddress) -> Port {
        self.world.borrow().ether.port(address)
    }

    /// The server's addresses: on the wire, and the IPv4 one.
    #[must_use]
    pub fn server() -> (EthernetAddress, IpAddress) {
        (hardware(SERVER), ipv4(SERVER).address())
    }
}

impl World {
    /// Polls everybody until no frame is under way.
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

    /// Lets things take their course until `done`, or until that instant; whether it was `done`.
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

impl Frontend for Memory {
    type Wire = MemoryWire;

    fn capacity(&self) -> usize {
        NAME_CAPACITY
    }

    fn can(&self, framing: Framing) -> bool {
        framing == self.framing
    }

    fn connect(&mut self, _framing: Framing) -> io::Result<MemoryWire> {
        let mut world = self.world.borrow_mut();
        let mut socket = Socket::new(SocketBuffer::new(vec![0; BUFFER]), SocketBuffer::new(vec![0; BUFFER]));
        socket.set_nagle_enabled(false); // a write is to arrive as one read
        let handle = world.client.stack.sockets().add(socket);
        let by_ipv6 = self.alternating && !world.connections.is_multiple_of(2);
        let address = if by_ipv6 { ipv6(SERVER) } else { ipv4(SERVER) };
        let remote = IpEndpoint::new(address.address(), pool::Settings::DEFAULT.port);
        let port = 49_152 + world.connections;
        world.connections += 1;
        world.client.stack.connect(handle, remote, port).map_err(io::Error::other)?;
        let resets = world.ether.resets();
        drop(world);
        let mut wire = MemoryWire { world: Rc::clone(&self.world), handle, resets };
        match wire.wait(|socket| socket.state() != State::SynSent) {
            true if wire.is_reset() => Err(io::ErrorKind::ConnectionRefused.into()),
            true => Ok(wire),
            false => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct MemoryWire {
    world: Rc<RefCell<World>>,
    handle: SocketHandle,
    /// How many resets there had been before it.
    resets: usize,
}

impl MemoryWire {
    /// Waits until `done`, but not for ever; whether it was.
    fn wait(&mut self, mut done: impl FnMut(&mut Socket<'static>) -> bool) -> bool {
        let handle = self.handle;
        let mut world = self.world.borrow_mut();
        let until = world.now + PATIENCE;
        world.run(until, |world| done(world.client.stack.sockets().get_mut(handle)))
    }

    fn is_reset(&self) -> bool {
        self.world.borrow().ether.resets() > self.resets
    }
}

impl Wire for MemoryWire {
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

    fn leave(&mut self) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        let until = world.now + PATIENCE;
        if !world.run(until, |world| world.pool.busy() == 0) {
            return Err(io::Error::other("the server's socket does not listen again"));
        }
        drop(world);
        if self.is_reset() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Drop for MemoryWire {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        let handle = self.handle;
        world.client.stack.sockets().get_mut::<Socket<'_>>(handle).abort();
        world.settle();
        world.client.stack.sockets().remove(handle);
    }
}
