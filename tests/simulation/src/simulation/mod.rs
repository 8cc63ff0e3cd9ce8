//! The simulation: one pool, up to 32 clients and the wire between them, on a virtual clock, all determined by one seed.
//!
//! A client connects, talks in whatever manner, leaves or vanishes, and comes again; [`run`] checks what is said in the
//! documentation of the modules:
//!
//! | module | what it is about |
//! | --- | --- |
//! | `settings` | what a seed decides before anything happens, and the bounds that follow from it |
//! | `script` | what a client does |
//! | `client` | how it does it; that it is answered within a bound, and loses a connection only with an excuse |
//! | `judge` | that every byte that it was answered is right |
//! | `ledger` | that the pool is right about each connection, has one socket for it, and turns nobody away without need |
//! | `wire`, `tap` | what becomes of frames, and what of them a stack gets to see |
//!
//! Here: that every slot is free in the end, that the counters add up, and that the server works only if there is work.

mod chance;
mod client;
mod judge;
mod ledger;
mod script;
mod segment;
mod settings;
mod tap;
mod wire;

use core::{cell::RefCell, iter, time::Duration};
use std::rc::Rc;

use greet_core::Instant;
use greet_smoltcp::{
    impair::Frame,
    pool::{Pool, Slot},
};
use smoltcp::{iface::SocketSet, socket::tcp::SocketBuffer};

use self::{
    chance::Chance,
    client::{CLIENT, Client, Figures, SERVER, Station, switch_on},
    ledger::{Ledger, seconds},
    segment::Side,
    settings::{CAPACITIES, Settings},
    tap::{Tap, hardware},
    wire::{CLIENT_FRAMES, SERVER_FRAMES},
};
use crate::ether::Ether;

/// A simulation that takes longer than this will never end.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// What a simulation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many clients there were.
    pub clients: usize,
    /// Of their visits, those that ended in good order.
    pub completed: usize,
    /// Those whose connection was lost, for a good reason.
    pub lost: usize,
    /// How often a client was refused, or its handshake came to nothing.
    pub refused: usize,
    /// Connections that the server accepted.
    pub accepted: u32,
    /// Frames that the server got and sent.
    pub frames: u64,
    /// How often the server was polled.
    pub polls: u64,
    /// How often that was for nothing.
    pub idle_polls: u64,
    /// How much virtual time passed.
    pub time: Duration,
    /// Every frame and every event of the server went into this.
    pub trace: u64,
}

impl Report {
    /// Adds what another simulation came to; the trace is of both then.
    pub fn add(&mut self, other: &Self) {
        self.clients += other.clients;
        self.completed += other.completed;
        self.lost += other.lost;
        self.refused += other.refused;
        self.accepted += other.accepted;
        self.frames += other.frames;
        self.polls += other.polls;
        self.idle_polls += other.idle_polls;
        self.time += other.time;
        self.trace ^= other.trace;
    }
}

/// Runs the simulation of that seed; `verbose` tells on standard error all that happens.
///
/// # Errors
/// What went wrong first: with the seed, who it happened to, and when.
pub fn run(seed: u64, verbose: bool) -> Result<Report, String> {
    let mut chance = Chance::new(seed);
    let settings = Settings::draw(seed, &mut chance);
    match settings.capacity {
        1 => simulate::<1>(settings, chance, verbose),
        5 => simulate::<5>(settings, chance, verbose),
        16 => simulate::<16>(settings, chance, verbose),
        64 => simulate::<64>(settings, chance, verbose),
        capacity => Err(format!("seed {seed}: {capacity} is none of {CAPACITIES:?}")),
    }
}

fn simulate<const N: usize>(settings: Settings, mut chance: Chance, verbose: bool) -> Result<Report, String> {
    let mut slots: Vec<Slot<N>> = (0..settings.slots).map(|_| Slot::new()).collect();
    let mut read = vec![0; settings.read_buffer];
    let pool = Pool::new(settings.pool, &mut slots, &mut read);
    // This is large, and all it is for is to be overwritten: each thread uses its own again.
    FRAMES.with_borrow_mut(|frames| {
        let count = SERVER_FRAMES + CLIENT_FRAMES * settings.clients;
        frames.resize(frames.len().max(count), Frame::EMPTY);
        World::new(settings, pool, &mut chance, frames, verbose).go_through()
    })
}

std::thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

struct World<'a, const N: usize> {
    now: Instant,
    settings: Rc<Settings>,
    ledger: Rc<RefCell<Ledger>>,
    server: Station<'a>,
    pool: Pool<'a, N>,
    clients: Vec<Client<'a>>,
    /// When the server wants to be polled, and when its processor has time for that.
    next: Option<Instant>,
    free: Instant,
    polled: Option<Instant>,
    report: Report,
}

impl<'a, const N: usize> World<'a, N> {
    fn new(
        settings: Settings,
        mut pool: Pool<'a, N>,
        chance: &mut Chance,
        frames: &'a mut [Frame],
        verbose: bool,
    ) -> Self {
        let now = Instant::from_micros(chance.number() % 1_000_000_000);
        let ledger = Rc::new(RefCell::new(Ledger::new(settings.clone(), verbose)));
        ledger.borrow().say(now, format_args!("{settings:?}"));
        let settings = Rc::new(settings);
        let ether = Ether::default();
        let tap = |host, side, chance: &mut Chance, frames: &'a mut [Frame]| {
            let wire = settings.weather.wire(ether.port(hardware(host)), side, chance, frames);
            Tap::new(wire, side, hardware(host), Rc::clone(&ledger))
        };
        let (server_frames, frames) = frames.split_at_mut(SERVER_FRAMES);
        let mut server_tap = tap(SERVER, Side::Server, chance, server_frames);
        let mut stack = switch_on(SERVER, chance.number(), &mut server_tap, now);
        for _ in 0..settings.slots {
            let buffer = |size| SocketBuffer::new(vec![0; size]);
            pool.open(stack.sockets(), buffer(settings.receive_buffer), buffer(settings.transmit_buffer));
        }
        let clients = (0..settings.clients)
            .zip(frames.chunks_mut(CLIENT_FRAMES))
            .map(|(number, frames)| {
                let mut chance = chance.another();
                let host = CLIENT + u8::try_from(number).unwrap_or(0);
                let tap = tap(host, Side::Client(number), &mut chance, frames);
                Client::new(number, &settings, &ledger, tap, chance, now)
            })
            .collect();
        Self {
            now,
            settings,
            ledger,
            server: Station { stack, tap: server_tap },
            pool,
            clients,
            next: Some(now),
            free: now,
            polled: None,
            report: Report::default(),
        }
    }

    /// From the first SYN until nothing is left of the last connection.
    fn go_through(&mut self) -> Result<Report, String> {
        let began = self.now;
        self.run(began + FOREVER, |world| world.clients.iter().all(Client::is_done), "the clients are never done")?;
        // What is under way arrives first.
        self.run(self.now + Duration::from_secs(1), |_| false, "")?;
        let until = self.now + self.settings.longest_hold();
        self.run(until, |world| world.pool.busy() == 0, "no client is left, but slots are busy")?;
        self.run(self.now + Duration::from_secs(5), |_| false, "")?;
        self.check_wires();
        self.check_counters();
        self.check_work(self.now.since(began));
        self.failure()?;
        let mut report = self.report;
        for Figures { completed, lost, refused } in self.clients.iter().map(|client| client.figures) {
            report.completed += completed;
            report.lost += lost;
            report.refused += refused;
        }
        let ledger = self.ledger.borrow();
        report.clients = self.clients.len();
        report.accepted = self.pool.counters().accepted;
        report.frames = ledger.frames;
        report.time = self.now.since(began);
        report.trace = ledger.trace();
        Ok(report)
    }

    fn failure(&self) -> Result<(), String> {
        self.ledger.borrow_mut().failure.take().map_or(Ok(()), Err)
    }

    fn fail(&self, what: impl core::fmt::Display) {
        self.ledger.borrow_mut().fail(self.now, "the server", what);
    }

    /// Lets things take their course until `done`. That it is not done at `until` is a failure, if it has a name.
    fn run(&mut self, until: Instant, done: impl Fn(&Self) -> bool, late: &str) -> Result<(), String> {
        loop {
            self.settle()?;
            if done(self) {
                return Ok(());
            }
            let next = self.clients.iter().flat_map(|client| [client.due(), client.wire_due()]);
            let server = [self.server_due(), self.server.tap.inner.due()];
            let next = next
                .chain(server)
                .flatten()
                .filter(|next| *next > self.now)
                .min()
                .map_or(until, |next| next.min(until));
            if self.now >= until {
                if late.is_empty() {
                    return Ok(());
                }
                let (busy, live) = (self.pool.busy(), self.ledger.borrow().live());
                self.fail(format_args!("{late} ({busy} busy, {live} of them accepted)"));
                return self.failure();
            }
            self.now = next.max(self.now);
        }
    }

    /// Polls everybody who has something to do at this moment.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..10_000 {
            let mut quiet = true;
            self.server.tap.inner.advance(self.now);
            for client in &mut self.clients {
                client.wire().advance(self.now);
            }
            if self.server_due().is_some_and(|due| due <= self.now) {
                quiet = false;
                self.poll_server();
            }
            for client in &mut self.clients {
                if client.wire().has_come(self.now) || client.due().is_some_and(|due| due <= self.now) {
                    quiet = false;
                    client.poll(self.now);
                }
            }
            self.failure()?;
            if quiet {
                return Ok(());
            }
        }
        let busy = self.clients.iter().position(|client| client.due().is_some_and(|due| due <= self.now));
        self.fail(format_args!("everybody is busy for ever without a moment passing: {busy:?}"));
        self.failure()
    }

    /// When the server is to be polled: when it wants to be or a frame comes, but not while its processor is busy.
    fn server_due(&self) -> Option<Instant> {
        let come = self.server.tap.inner.has_come(self.now).then_some(self.now);
        self.next.into_iter().chain(come).min().map(|due| due.max(self.free))
    }

    fn poll_server(&mut self) {
        let Self { now, ledger, server: Station { stack, tap }, pool, .. } = self;
        let now = *now;
        ledger.borrow_mut().happened = 0;
        let come = tap.inner.has_come(now);
        self.next = stack.poll(now, tap, |sockets: &mut SocketSet<'static>, reason| {
            ledger.borrow_mut().before(now, sockets, reason);
            let next = pool.serve(now, sockets, reason, |event| ledger.borrow_mut().event(now, event));
            ledger.borrow_mut().after(now, sockets, pool.busy(), reason);
            next
        });
        let mut ledger = ledger.borrow_mut();
        ledger.settled(now);
        ledger.say(now, format_args!("     server polled, next {:?}", self.next.map(seconds)));
        let idle = ledger.happened == 0 && !come;
        drop(ledger);
        self.report.polls += 1;
        self.report.idle_polls += u64::from(idle);
        if idle && self.polled == Some(now) {
            self.fail("is polled again at the same moment, for nothing");
        }
        self.polled = idle.then_some(now);
        self.free = now + self.settings.pause;
    }

    /// The wires have lost only what they were to lose.
    fn check_wires(&mut self) {
        let clients = self.clients.iter_mut().map(Client::wire);
        let dropped: u64 = iter::once(&mut self.server.tap.inner).chain(clients).map(|wire| wire.dropped()).sum();
        if dropped > 0 && self.settings.weather.lossless {
            self.fail(format_args!("the wires had no room for {dropped} frames: the simulation itself is wrong"));
        }
    }

    /// What the pool has counted is what it has told.
    fn check_counters(&self) {
        let (counters, told) = (self.pool.counters(), self.ledger.borrow().tally);
        let counted = (counters.accepted, counters.completed, counters.reset, counters.timed_out);
        if counted != (told.accepted, told.completed, told.reset, told.timed_out) {
            self.fail(format_args!("its counters are {counters:?}, and it has told {told:?}"));
        }
        if counters.accepted != counters.completed + counters.reset + counters.timed_out {
            self.fail(format_args!("its counters do not add up: {counters:?}"));
        }
        if self.pool.busy() > 0 || self.ledger.borrow().live() > 0 {
            self.fail("a connection is open in the end");
        }
    }

    /// It is polled for nothing at most so often: where smoltcp wants to be polled and has nothing to do, and where the
    /// delay of a name is over and there is no room for its reply.
    fn check_work(&self, time: Duration) {
        let Report { polls, idle_polls, .. } = self.report;
        if idle_polls > 100 + 10 * time.as_secs() + u64::from(self.pool.counters().names) {
            self.fail(format_args!("{idle_polls} of {polls} polls were for nothing, in {time:?}"));
        }
        if let Some(next) = self.next
            && next < self.now + Duration::from_secs(1)
        {
            self.fail(format_args!("has nothing to do, and wants to be polled at {} s", seconds(next)));
        }
    }
}
