//! A board in memory: the pool of `greet-smoltcp` with the greeting service, on a virtual clock, behind a filter with a defect.

use core::{net::IpAddr, time::Duration};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use greet_core::{Framing, Instant, NAME_CAPACITY, Server, ServerSettings};
use greet_frames::{
    board::{Board, UnusedAddresses},
    discover::{DiscoveryError, discover},
    frame::{Frame, SHORTEST},
    host::Identity,
    link::{Link, Medium, is_for},
    probe::{Probe, Test},
    probes,
    run::{Examined, applies, examine, run},
};
use greet_smoltcp::{
    pool::{self, Pool, Slot},
    stack::{Fragments, Settings, Stack},
};
use smoltcp::{
    iface::SocketSet,
    phy::{Device, DeviceCapabilities, Medium as PhyMedium, RxToken, TxToken},
    socket::tcp::SocketBuffer,
    time,
    wire::{EthernetAddress, IpCidr},
};

use super::defect::Defect;

/// The board's MAC address.
pub(crate) const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const PORT: u16 = 9999;
const SOCKETS: usize = 8;
const BUFFER: usize = 4096;

/// The probes whose frames are looked at.
const OTHERS: [&str; 6] =
    ["link.arp-reply", "link.nd-multicast", "icmp.echo-lengths", "tcp.isn", "tcp.duplicate", "tcp.window-shrinks"];

/// The board's address and the tester's, of IPv4 or IPv6.
pub(crate) fn addresses(is_v6: bool) -> [IpAddr; 2] {
    if is_v6 {
        ["fdaa::1", "fdaa::100"].map(|text| text.parse().unwrap())
    } else {
        ["192.168.69.1", "192.168.69.100"].map(|text| text.parse().unwrap())
    }
}

/// The tester's addresses.
pub(crate) fn identity(is_v6: bool) -> Identity {
    Identity { mac: EthernetAddress([2, 0, 0, 0, 1, 0]), address: addresses(is_v6)[1] }
}

/// A board, and the link to it.
pub(crate) struct Memory {
    world: Mutex<World>,
    /// What the tester has found out, with IPv4 and IPv6.
    boards: Mutex<[Option<Board>; 2]>,
}

/// What a host has not received yet.
type Queue = Arc<Mutex<VecDeque<(Duration, Vec<u8>)>>>;

struct World {
    now: Duration,
    stack: Stack<'static>,
    pool: Pool<'static, Server<NAME_CAPACITY>>,
    card: Card,
    defect: Defect,
    hosts: Vec<(EthernetAddress, Queue)>,
    /// The frames for the board.
    sent: Vec<(Duration, Vec<u8>)>,
}

impl Memory {
    /// A board with this defect.
    pub(crate) fn new(defect: Defect) -> Self {
        Self::with_buffers(defect, BUFFER)
    }

    /// A board with this defect, and buffers of so many bytes.
    pub(crate) fn with_buffers(defect: Defect, buffer: usize) -> Self {
        let mut card = Card::default();
        let own: Vec<IpCidr> =
            [(false, 24), (true, 64)].map(|(is_v6, prefix)| IpCidr::new(addresses(is_v6)[0].into(), prefix)).to_vec();
        let settings = Settings { addresses: &own, slaac: true, ..Settings::new(MAC, 7) };
        let mut stack = Stack::new(settings, &mut card, SocketSet::new(Vec::new()), Instant::ZERO).unwrap();
        stack.reassemble(Box::leak(Box::new(Fragments::new())));
        let slots: Vec<Slot<Server<NAME_CAPACITY>>> = (0..SOCKETS).map(|_| Slot::new()).collect();
        let server = ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT };
        let settings = pool::Settings { server, ..pool::Settings::DEFAULT };
        let mut pool = Pool::new(settings, slots.leak(), vec![0; buffer].leak());
        for _ in 0..SOCKETS {
            pool.open(stack.sockets(), SocketBuffer::new(vec![0; buffer]), SocketBuffer::new(vec![0; buffer]));
        }
        let world = World { now: Duration::ZERO, stack, pool, card, defect, hosts: Vec::new(), sent: Vec::new() };
        Self { world: Mutex::new(world), boards: Mutex::default() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The frames that were sent to the board, with their times.
    #[allow(dead_code, reason = "the example record-frames uses it, and the tests do not")]
    pub(crate) fn sent(&self) -> Vec<(Duration, Vec<u8>)> {
        self.world().sent.clone()
    }

    /// What the tester finds out about this board.
    pub(crate) fn discover(&self, is_v6: bool) -> Board {
        fastrand::seed(7); // the same frames in each run
        if let Some(board) = &self.boards.lock().unwrap()[usize::from(is_v6)] {
            return board.clone();
        }
        let unused = (50..200).map(|last| IpAddr::from([192, 168, 69, last])).collect();
        let board = self.try_discover(is_v6).unwrap();
        let board = Board { unused: UnusedAddresses::new(unused), ..board };
        self.boards.lock().unwrap()[usize::from(is_v6)] = Some(board.clone());
        board
    }

    /// What the tester finds out at the first time.
    pub(crate) fn try_discover(&self, is_v6: bool) -> Result<Board, DiscoveryError> {
        discover(self, identity(is_v6), addresses(is_v6)[0], PORT)
    }

    /// What this probe finds.
    pub(crate) fn examine(&self, is_v6: bool, probe: &Probe) -> Examined {
        let board = self.discover(is_v6);
        fastrand::seed(probe.id().bytes().map(u64::from).fold(0, |sum, byte| sum * 31 % 65_521 + byte));
        match probe.test {
            Test::Active(_) => examine(self, &board, identity(is_v6), probe),
            Test::Passive(_) => {
                let is_one = |other: &Probe| OTHERS.contains(&&*other.id()) && applies(other, board.address);
                let mut probes: Vec<Probe> = probes::all().into_iter().filter(is_one).collect();
                probes.push(*probe);
                run(self, &board, &[identity(is_v6)], &probes, &mut |_| true).unwrap().pop().unwrap()
            }
        }
    }
}

impl Medium for Memory {
    fn attach(&self, mac: EthernetAddress) -> Box<dyn Link + '_> {
        let frames = Queue::default();
        self.world().hosts.push((mac, Arc::clone(&frames)));
        Box::new(Attached { memory: self, frames })
    }
}

struct Attached<'a> {
    memory: &'a Memory,
    frames: Queue,
}

impl Link for Attached<'_> {
    fn now(&self) -> Duration {
        self.memory.world().now
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut world = self.memory.world();
        let World { now, card, defect, sent, .. } = &mut *world;
        sent.push((*now, frame.to_vec()));
        let frame = Frame::read(*now, frame.to_vec());
        card.received.extend(defect.inbound(&frame));
        world.settle();
        Ok(())
    }

    fn receive(&mut self, until: Duration) -> io::Result<Option<(Duration, Vec<u8>)>> {
        let mut world = self.memory.world();
        loop {
            let next = world.settle();
            if let Some(frame) = self.frames.lock().unwrap().pop_front() {
                return Ok(Some(frame));
            }
            if world.now >= until {
                return Ok(None);
            }
            world.now = next.map_or(until, |next| next.clamp(world.now, until));
        }
    }
}

impl World {
    /// Lets the board do all that it can do now. Returns when it wants to do more.
    fn settle(&mut self) -> Option<Duration> {
        loop {
            let Self { now, stack, pool, card, defect, hosts, .. } = self;
            let instant = Instant::ZERO + *now;
            let due = stack.poll(instant, card, |sockets, reason| pool.serve(instant, sockets, reason, |_| {}));
            let sent = core::mem::take(&mut card.sent);
            let frames = sent.into_iter().flat_map(|bytes| defect.outbound(&Frame::read(*now, bytes)));
            for bytes in frames.collect::<Vec<_>>().into_iter().chain(defect.due(*now)) {
                let destination = EthernetAddress(*bytes.first_chunk().unwrap());
                for (_, queue) in hosts.iter().filter(|(mac, _)| is_for(*mac, destination)) {
                    queue.lock().unwrap().push_back((*now, bytes.clone()));
                }
            }
            let due = due.map(|due| due.since(Instant::ZERO));
            let due = due.into_iter().chain(defect.deadline()).min();
            if card.received.is_empty() && due.is_none_or(|due| due > *now) {
                return due;
            }
        }
    }
}

/// A network card. It pads short frames, as cards do.
#[derive(Default)]
struct Card {
    received: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: time::Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _now: time::Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = PhyMedium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        frame.resize(length.max(SHORTEST), 0);
        self.0.push(frame);
        result
    }
}
