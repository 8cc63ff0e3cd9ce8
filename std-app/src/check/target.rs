//! The server that is checked: where it is, what was found out about it, and what it was burdened with so far.

use core::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::{sync::Mutex, time::Instant};

use greet_core::{Framing, NAME_CAPACITY};
use greet_host::stop;

use super::{
    known::Known,
    options::CheckOptions,
    probe::{Failure, Kind, Stop},
    room::{self, Room},
};

/// How many connections are opened at once, and in turn, unless more is asked for.
const AT_ONCE: usize = 32;
const IN_TURN: u64 = 300;
/// For so long a probe sends one name after the other at most.
const TRIPS_LAST: Duration = Duration::from_secs(12);
/// For so long a probe asks for more, if it can do with less.
const PROBE_LASTS: Duration = Duration::from_secs(30);

/// The server, and how it is treated.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// How long it took to find that.
    pub(super) looked_up: Duration,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    /// More connections, more bytes.
    pub(super) stress: bool,
    /// What takes minutes too.
    pub(super) long: bool,
    /// How many bytes a name has at most, as far as the user knows.
    pub(super) told_capacity: Option<usize>,
    /// What most probes have to know of it, once that was found out.
    known: Mutex<Option<Known>>,
    /// How many conversations it has at once, once somebody has looked.
    room: Mutex<Option<Room>>,
    /// When the probe under way was begun.
    begun: Mutex<Instant>,
    /// The shortest time in which it let a client in: as long as the way there and back.
    way: Mutex<Option<Duration>>,
    pub(super) connections: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Whether whoever has asked for it has enough.
    stop: Option<stop::Stop>,
}

impl Target {
    pub(super) fn new(
        address: SocketAddr,
        looked_up: Duration,
        options: &CheckOptions,
        stop: Option<stop::Stop>,
    ) -> Self {
        Self {
            address,
            looked_up,
            timeout: options.timeout,
            stress: options.stress,
            long: options.long,
            told_capacity: options.capacity.map(|capacity| capacity.get().into()),
            known: Mutex::new(None),
            room: Mutex::new(None),
            begun: Mutex::new(Instant::now()),
            way: Mutex::new(None),
            connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            stop,
        }
    }

    /// What was found out of it, if anything was.
    pub(super) fn known(&self) -> Option<Known> {
        self.known.lock().ok().and_then(|known| *known)
    }

    /// That was found out.
    pub(super) fn set_known(&self, found: Known) {
        if let Ok(mut known) = self.known.lock() {
            *known = Some(found);
        }
    }

    /// Where a name ends for it; the first names go the way that each framing understands.
    pub(super) fn framing(&self) -> Framing {
        self.known().map_or(Framing::Auto, |known| known.framing)
    }

    /// How many bytes a name has at most.
    pub(super) fn capacity(&self) -> usize {
        self.known().map_or(NAME_CAPACITY, |known| known.capacity)
    }

    /// How long one name took to be answered.
    pub(super) fn trip(&self) -> Duration {
        self.known().map_or(Duration::ZERO, |known| known.trip)
    }

    /// A client was let in after so long.
    pub(super) fn note_way(&self, took: Duration) {
        if let Ok(mut way) = self.way.lock() {
            *way = Some(way.map_or(took, |way| way.min(took)));
        }
    }

    /// How long the way there and back is: what of a round trip is nobody's fault.
    pub(super) fn way(&self) -> Duration {
        self.way.lock().ok().and_then(|way| *way).unwrap_or_default()
    }

    /// What it is burdened with at most, in one line.
    pub(super) fn burden(&self) -> String {
        let (connections, mebibytes, more) =
            if self.stress { ("20,000", 800, "") } else { ("1,500", 60, "; --stress asks for more") };
        format!(
            "at most some {connections} connections, never more than {} at once, and some {mebibytes} MiB in all{more}",
            self.at_once()
        )
    }

    /// How many connections are opened at once at most.
    pub(super) const fn at_once(&self) -> usize {
        if self.stress { 1000 } else { AT_ONCE }
    }

    /// How many are opened and closed one after the other.
    pub(super) const fn in_turn(&self) -> u64 {
        if self.stress { 10_000 } else { IN_TURN }
    }

    /// How many conversations it has at once: found out when it is asked first, as that burdens the server.
    pub(super) fn room(&self) -> Result<Room, Failure> {
        if let Some(room) = self.known_room() {
            return Ok(room);
        }
        let room = room::find_room(self)?;
        if let Ok(mut known) = self.room.lock() {
            *known = Some(room);
        }
        Ok(room)
    }

    /// The same, if somebody has asked.
    pub(super) fn known_room(&self) -> Option<Room> {
        self.room.lock().ok().and_then(|room| *room)
    }

    /// It is no longer so: some places are lost, and what comes now is measured by those that are left.
    pub(super) fn forget_room(&self) {
        if let Ok(mut room) = self.room.lock() {
            *room = None;
        }
    }

    /// So many of those that are opened at once it has.
    pub(super) fn places(&self) -> Result<usize, Failure> {
        self.room().map(Room::count)
    }

    /// The same, but no more than `most`, for a probe that takes several.
    pub(super) fn several(&self, most: usize) -> Result<usize, Stop> {
        match self.places()? {
            ..2 => Err(Stop::Skipped("it takes two conversations at once".to_owned())),
            places => Ok(places.min(most)),
        }
    }

    /// So many names, one after the other, or as many as a slow server answers in some seconds.
    pub(super) fn trips(&self, wanted: u64) -> u64 {
        if self.stress { wanted } else { self.trips_in(TRIPS_LAST).max(4).min(wanted) }
    }

    /// So many names, one after the other, are answered in that time.
    pub(super) fn trips_in(&self, time: Duration) -> u64 {
        let each = self.trip().max(Duration::from_micros(1));
        u64::try_from(time.as_nanos() / each.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time of the next probe begins, or that of one that had to prepare something.
    pub(super) fn begin_time(&self) {
        if let Ok(mut begun) = self.begun.lock() {
            *begun = Instant::now();
        }
    }

    /// How long the probe under way has taken so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.lock().map_or(PROBE_LASTS, |begun| begun.elapsed())
    }

    /// Whether the probe under way may ask for more. A server that is slow, or a wire that loses, has shown enough then.
    pub(super) fn has_time(&self) -> bool {
        (self.stress || self.elapsed() < PROBE_LASTS) && !self.is_stopped()
    }

    /// Whether a signal has come: what is under way comes to its end, and nothing more is begun.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(stop::Stop::is_wished)
    }

    /// The same, for names that are sent one after the other.
    pub(super) fn has_time_for_trips(&self) -> bool {
        (self.stress || self.elapsed() < TRIPS_LAST + self.timeout.min(Duration::from_secs(1))) && !self.is_stopped()
    }

    /// Names are lines to it, or can be.
    pub(super) fn takes_lines(&self) -> bool {
        self.framing() != Framing::Chunk
    }

    /// One more connection; which it is, from 1 on.
    pub(super) fn count_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn count_bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// What is wrong with a connection that was not to be had.
    pub(super) fn no_connection(&self, error: &std::io::Error, number: u64) -> Failure {
        use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
        let address = self.address;
        match error.kind() {
            ConnectionRefused | ConnectionReset => {
                Failure::new(format!("connection {number} of this check was refused by {address}")).of_kind(Kind::Refused).because(
                    "nothing listens there just then: all sockets or slots are busy, or the server is not running or is stuck",
                )
            }
            HostUnreachable | NetworkUnreachable => Failure::new(format!("{address} is filtered or unreachable ({error})"))
                .because("a firewall on the way, a wrong address or netmask, or no route to it"),
            TimedOut => Failure::new(format!(
                "connection {number} of this check was not answered within {}: {address} is silent",
                humantime::format_duration(self.timeout)
            ))
            .of_kind(Kind::Silent)
            .because("the board's receive path: nothing is polled, interrupts are lost, no descriptors are left, or ARP is not answered")
            .because("a firewall that drops, or a backlog that is full and never emptied"),
            _ => Failure::new(format!("no connection to {address}: {error}")),
        }
    }
}
