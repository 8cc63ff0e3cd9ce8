//! The simulation: one pool, up to 32 clients and an impaired link, on a virtual clock, determined by one seed.
//!
//! Clients connect, converse, close or disappear, and connect again. [`run`] checks:
//!
//! | module | subject |
//! | --- | --- |
//! | `settings` | the settings that follow from the seed, and the time limits that follow from them |
//! | `script` | what a client does in a conversation |
//! | `client` | runs the scripts; checks that replies arrive within a bound, and that connections are lost only for an acceptable reason |
//! | `judge` | checks every received byte |
//! | `ledger` | checks that the pool reports each connection correctly, uses one socket for it, and refuses none without need |
//! | `link`, `tap` | impairs frames, and records those that a stack receives and sends |
//!
//! This module checks that every slot is free at the end, that the counters add up, and that the server is not polled without
//! need.

mod client;
mod judge;
mod ledger;
mod link;
mod random;
mod script;
mod segment;
mod settings;
mod tap;

use core::{cell::RefCell, iter, time::Duration};
use std::rc::Rc;

use greet_core::{Instant, Server};
use greet_smoltcp::{
    impair::Frame,
    pool::{Pool, Slot},
};
use smoltcp::{iface::SocketSet, socket::tcp::SocketBuffer};

use self::{
    client::{CLIENT, Client, Figures, SERVER, Station, new_stack},
    ledger::{Ledger, seconds},
    link::{CLIENT_FRAMES, SERVER_FRAMES},
    random::Random,
    segment::Side,
    settings::{CAPACITIES, Settings},
    tap::{Tap, hardware},
};
use crate::ether::Ether;

/// Limit of a simulation, in virtual time.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// The results of a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of clients.
    pub clients: usize,
    /// Conversations that were complete.
    pub completed: usize,
    /// Conversations whose connection was lost, for an acceptable reason.
    pub lost: usize,
    /// Attempts to connect that were refused, or whose handshake failed.
    pub refused: usize,
    /// Connections that the server accepted.
    pub accepted: u32,
    /// Frames that the server received and sent.
    pub frames: u64,
    /// Number of polls of the server.
    pub polls: u64,
    /// Polls without any frame or event.
    pub idle_polls: u64,
    /// Elapsed virtual time.
    pub time: Duration,
    /// A hash of every frame and event of the server.
    pub trace: u64,
}

impl Report {
    /// Adds the results of another simulation, and combines the traces by XOR.
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

/// Runs the simulation of that seed. `verbose` prints every segment and event to standard error.
///
/// # Errors
/// The first failure, with the seed, the time, and the client or server it concerns.
pub fn run(seed: u64, verbose: bool) -> Result<Report, String> {
    let mut random = Random::new(seed);
    let settings = Settings::draw(seed, &mut random);
    match settings.capacity {
        1 => simulate::<1>(settings, random, verbose),
        5 => simulate::<5>(settings, random, verbose),
        16 => simulate::<16>(settings, random, verbose),
        64 => simulate::<64>(settings, random, verbose),
        capacity => Err(format!("seed {seed}: {capacity} is not one of {CAPACITIES:?}")),
    }
}

fn simulate<const N: usize>(settings: Settings, mut random: Random, verbose: bool) -> Result<Report, String> {
    let mut slots: Vec<Slot<Server<N>>> = (0..settings.slots).map(|_| Slot::new()).collect();
    let mut read = vec![0; settings.read_buffer];
    let pool = Pool::new(settings.pool, &mut slots, &mut read);
    // The buffers are large, so each thread reuses its own.
    FRAMES.with_borrow_mut(|frames| {
        let count = SERVER_FRAMES + CLIENT_FRAMES * settings.clients;
        frames.resize(frames.len().max(count), Frame::EMPTY);
        World::new(settings, pool, &mut random, frames, verbose).run_to_end()
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
    pool: Pool<'a, Server<N>>,
    clients: Vec<Client<'a>>,
    /// When the server wants to be polled, and from when it may be (`Settings::pause`).
    next: Option<Instant>,
    free: Instant,
    /// The time of the last poll, if it was without need.
    polled: Option<Instant>,
    report: Report,
}

impl<'a, const N: usize> World<'a, N> {
    fn new(
        settings: Settings,
        mut pool: Pool<'a, Server<N>>,
        random: &mut Random,
        frames: &'a mut [Frame],
        verbose: bool,
    ) -> Self {
        let now = Instant::from_micros(random.number() % 1_000_000_000);
        let ledger = Rc::new(RefCell::new(Ledger::new(settings.clone(), verbose)));
        ledger.borrow().log(now, format_args!("{settings:?}"));
        let settings = Rc::new(settings);
        let ether = Ether::default();
        let tap = |host, side, random: &mut Random, frames: &'a mut [Frame]| {
            let link = settings.link.link(ether.port(hardware(host)), side, random, frames);
            Tap::new(link, side, hardware(host), Rc::clone(&ledger))
        };
        let (server_frames, frames) = frames.split_at_mut(SERVER_FRAMES);
        let mut server_tap = tap(SERVER, Side::Server, random, server_frames);
        let mut stack = new_stack(SERVER, random.number(), &mut server_tap, now);
        for _ in 0..settings.slots {
            let buffer = |size| SocketBuffer::new(vec![0; size]);
            pool.open(stack.sockets(), buffer(settings.receive_buffer), buffer(settings.transmit_buffer));
        }
        let clients = (0..settings.clients)
            .zip(frames.chunks_mut(CLIENT_FRAMES))
            .map(|(number, frames)| {
                let mut random = random.another();
                let host = CLIENT + u8::try_from(number).unwrap_or(0);
                let tap = tap(host, Side::Client(number), &mut random, frames);
                Client::new(number, &settings, &ledger, tap, random, now)
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

    /// Runs from the first SYN until the last connection is closed, and checks the final state.
    fn run_to_end(&mut self) -> Result<Report, String> {
        let began = self.now;
        self.run(began + TIME_LIMIT, |world| world.clients.iter().all(Client::is_done), "the clients are never done")?;
        // Let the frames in flight arrive.
        self.run(self.now + Duration::from_secs(1), |_| false, "")?;
        let until = self.now + self.settings.longest_hold();
        self.run(until, |world| world.pool.busy() == 0, "no client is left, but slots are busy")?;
        self.run(self.now + Duration::from_secs(5), |_| false, "")?;
        self.check_links();
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

    /// Advances the clock until `done` returns true, or until `until`. The latter is a failure with the message `late`, unless
    /// that is empty.
    fn run(&mut self, until: Instant, done: impl Fn(&Self) -> bool, late: &str) -> Result<(), String> {
        loop {
            self.settle()?;
            if done(self) {
                return Ok(());
            }
            let next = self.clients.iter().flat_map(|client| [client.due(), client.link_due()]);
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

    /// Polls the server and the clients until none of them is due.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..10_000 {
            let mut quiet = true;
            self.server.tap.inner.advance(self.now);
            for client in &mut self.clients {
                client.link().advance(self.now);
            }
            if self.server_due().is_some_and(|due| due <= self.now) {
                quiet = false;
                self.poll_server();
            }
            for client in &mut self.clients {
                if client.link().has_frame(self.now) || client.due().is_some_and(|due| due <= self.now) {
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
        self.fail(format_args!("hosts want to be polled again and again at the same time: client {busy:?}"));
        self.failure()
    }

    /// When to poll the server: when it wants to be polled or has a frame, but not during its pause.
    fn server_due(&self) -> Option<Instant> {
        let come = self.server.tap.inner.has_frame(self.now).then_some(self.now);
        self.next.into_iter().chain(come).min().map(|due| due.max(self.free))
    }

    fn poll_server(&mut self) {
        let Self { now, ledger, server: Station { stack, tap }, pool, .. } = self;
        let now = *now;
        ledger.borrow_mut().happened = 0;
        let come = tap.inner.has_frame(now);
        self.next = stack.poll(now, tap, |sockets: &mut SocketSet<'static>, reason| {
            ledger.borrow_mut().before(now, sockets, reason);
            let next = pool.serve(now, sockets, reason, |event| ledger.borrow_mut().event(now, event));
            ledger.borrow_mut().after(now, sockets, pool.busy(), reason);
            next
        });
        let mut ledger = ledger.borrow_mut();
        ledger.settled(now);
        ledger.log(now, format_args!("     server polled, next {:?}", self.next.map(seconds)));
        let idle = ledger.happened == 0 && !come;
        drop(ledger);
        self.report.polls += 1;
        self.report.idle_polls += u64::from(idle);
        if idle && self.polled == Some(now) {
            self.fail("wants to be polled again at the same time, without need");
        }
        self.polled = idle.then_some(now);
        self.free = now + self.settings.pause;
    }

    /// Checks that the links dropped no frames for lack of buffers.
    fn check_links(&mut self) {
        let clients = self.clients.iter_mut().map(Client::link);
        let dropped: u64 = iter::once(&mut self.server.tap.inner).chain(clients).map(|link| link.dropped()).sum();
        if dropped > 0 && self.settings.link.lossless {
            self.fail(format_args!("the links had no buffers for {dropped} frames: the simulation itself is wrong"));
        }
    }

    /// Checks that the pool's counters match its events.
    fn check_counters(&self) {
        let (counters, events) = (self.pool.counters(), self.ledger.borrow().tally);
        let counted = (counters.accepted, counters.completed, counters.reset, counters.timed_out);
        if counted != (events.accepted, events.completed, events.reset, events.timed_out) {
            self.fail(format_args!("its counters are {counters:?}, but its events amount to {events:?}"));
        }
        if counters.accepted != counters.completed + counters.reset + counters.timed_out {
            self.fail(format_args!("its counters do not add up: {counters:?}"));
        }
        if self.pool.busy() > 0 || self.ledger.borrow().live() > 0 {
            self.fail("a connection is open at the end");
        }
    }

    /// Checks the number of polls without need. Some are allowed: smoltcp may request a poll and have nothing to do, and the
    /// delay of a name may end while its reply cannot be sent.
    fn check_work(&self, time: Duration) {
        let Report { polls, idle_polls, .. } = self.report;
        if idle_polls > 100 + 10 * time.as_secs() + u64::from(self.pool.counters().names) {
            self.fail(format_args!("{idle_polls} of {polls} polls were without need, in {time:?}"));
        }
        if let Some(next) = self.next
            && next < self.now + Duration::from_secs(1)
        {
            self.fail(format_args!("has nothing to do, and wants to be polled at {} s", seconds(next)));
        }
    }
}
