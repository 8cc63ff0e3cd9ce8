//! The service: sockets that listen on one port, each with the server's end of one conversation.

mod slot;

use core::time::Duration;

use greet_core::{Instant, ServerEnd, ServerEvent, ServerSettings};
use smoltcp::{
    iface::SocketSet,
    socket::{
        AnySocket,
        tcp::{Socket, SocketBuffer},
    },
    wire::IpEndpoint,
};

pub use self::slot::Slot;
use self::slot::{Desk, Step, listen};
use crate::time::earliest;

/// What the owner of a pool chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// The port all sockets listen on; not 0.
    pub port: u16,
    /// How each conversation is served.
    pub server: ServerSettings,
    /// How long a connection may keep a socket busy for nothing.
    pub limits: Limits,
}

impl Settings {
    /// The protocol's port, and all else as it says where nobody chooses.
    pub const DEFAULT: Self = Self { port: 9999, server: ServerSettings::DEFAULT, limits: Limits::DEFAULT };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How long a connection may keep a socket busy for nothing. A socket serves one connection at a time and there is no
/// backlog behind it, so none of these may be without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limits {
    /// From a client's SYN to the end of the handshake: 5 s.
    pub handshake: Duration,
    /// After so long a silence the client is asked whether it is still there: 15 s.
    pub keep_alive: Duration,
    /// A client that has not been heard from for this long is gone: 60 s. At least three times `keep_alive`, or a quiet
    /// client might be taken for a vanished one.
    pub vanished: Duration,
    /// The same while something sent is not acknowledged: 185 s. A client whose window is closed answers probes alone, and
    /// smoltcp sends them up to 60 s apart: two may be lost (RFC 9293, 3.8.6.1, MUST-37). RFC 9293, 3.8.3 asks for at least
    /// 100 s (R2). How long such a client may stand still is the server's idle timeout.
    pub unacknowledged: Duration,
    /// While the last bytes and the FIN are delivered, once the conversation is over: for so long nothing may move: 10 s.
    pub delivery: Duration,
}

impl Limits {
    /// What is good for a network with losses.
    pub const DEFAULT: Self = Self {
        handshake: Duration::from_secs(5),
        keep_alive: Duration::from_secs(15),
        vanished: Duration::from_secs(60),
        unacknowledged: Duration::from_secs(185),
        delivery: Duration::from_secs(10),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a pool tells its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A connection was established with this client.
    Accepted(IpEndpoint),
    /// This client said something.
    Heard(IpEndpoint, ServerEvent<'a>),
    /// The connection with this client is closed, and its socket listens again.
    Closed(IpEndpoint, Outcome),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// The conversation came to its end, and all that was owed was delivered.
    Completed(ServerEnd),
    /// The client reset it.
    Reset,
    /// The client did not answer any more, or the address that it talked to is no longer ours.
    Vanished,
}

/// What a pool has seen, since it was made; the counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Connections that were established.
    pub accepted: u32,
    /// Of these, those that ended in good order.
    pub completed: u32,
    /// Of these, those that the client reset.
    pub reset: u32,
    /// Of these, those whose client vanished.
    pub timed_out: u32,
    /// Handshakes that were begun and came to nothing.
    pub unfinished: u32,
    /// Names that were heard, those that got an error for an answer too.
    pub names: u32,
    /// Bytes that clients said.
    pub bytes_received: u64,
    /// Bytes that they were answered.
    pub bytes_sent: u64,
}

impl Counters {
    const NONE: Self = Self {
        accepted: 0,
        completed: 0,
        reset: 0,
        timed_out: 0,
        unfinished: 0,
        names: 0,
        bytes_received: 0,
        bytes_sent: 0,
    };
}

/// A number of sockets that listen on one port, each with a [`greet_core::Server`] of capacity `N`.
///
/// The sockets live in a [`SocketSet`] and the slots in memory of the caller's. The busy ones stand before those that
/// listen, in the slots and in the set: smoltcp gives a segment to the first socket that would have it, and so a repeated
/// SYN finds the connection that it belongs to and not a second socket. So a segment of a connection is offered to none of
/// those that listen. They cost a glance each all the same, whenever something is served or sent: [`serve`](Self::serve)
/// looks whether a SYN came to them, and smoltcp whether they have something to send.
#[derive(Debug)]
pub struct Pool<'a, const N: usize> {
    settings: Settings,
    slots: &'a mut [Slot<N>],
    /// So many of the slots have a socket.
    opened: usize,
    /// So many of these, the first ones, are busy.
    busy: usize,
    /// Scratch memory that each read goes through.
    read: &'a mut [u8],
    closing: Closing,
    counters: Counters,
}

/// How far the pool's own end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// A conversation ends when its client pauses.
    AtPause,
    /// It ends at once, as far as its machine lets it.
    Now,
}

impl<'a, const N: usize> Pool<'a, N> {
    /// A pool without sockets. A conversation has one of `slots`; `read` is memory that all of them share, and the most
    /// that one read delivers.
    ///
    /// With `read` of at least `N` bytes and receive buffers no smaller, a name under `chunk` may have `N` bytes.
    #[must_use]
    pub const fn new(settings: Settings, slots: &'a mut [Slot<N>], read: &'a mut [u8]) -> Self {
        Self { settings, slots, opened: 0, busy: 0, read, closing: Closing::No, counters: Counters::NONE }
    }

    /// Adds a socket with these buffers, and lets it listen; `false` where no slot is left for it.
    ///
    /// # Panics
    /// As [`SocketSet::add`] does where the set has no place left.
    pub fn open<'s>(
        &mut self,
        sockets: &mut SocketSet<'s>,
        receive: SocketBuffer<'s>,
        transmit: SocketBuffer<'s>,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(self.opened) else { return false };
        let mut socket = Socket::new(receive, transmit);
        socket.set_nagle_enabled(false); // a reply is not to wait for the acknowledgement of the one before
        socket.set_timeout(Some(self.settings.limits.vanished.into()));
        listen(&mut socket, self.settings.port);
        slot.place(sockets.add(socket));
        self.opened = self.opened.saturating_add(1);
        true
    }

    /// How many conversations there can be at once.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.opened
    }

    /// How many sockets are busy; handshakes, and connections that are being closed, are among them. Not those that only
    /// wait whether the last acknowledgement was lost: they serve who comes.
    #[must_use]
    pub fn busy(&self) -> usize {
        let busy = self.slots.get(..self.busy).unwrap_or_default();
        busy.iter().filter(|slot| slot.waits_since().is_none()).count()
    }

    /// What was seen so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What it was made with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// No new connections from now on; each conversation ends in good order as soon as its client pauses.
    pub fn close(&mut self, sockets: &mut SocketSet<'_>) {
        self.closing = Closing::AtPause;
        for slot in self.slots.get(self.busy..self.opened).unwrap_or_default() {
            if let Some(socket) = slot.socket(sockets) {
                socket.close();
            }
        }
    }

    /// After [`close`](Self::close): conversations end even though their clients go on talking.
    pub const fn close_now(&mut self) {
        self.closing = Closing::Now;
    }

    /// Goes on with every conversation as far as it goes, and lets sockets listen again that are done. When to come back
    /// even if no frame arrives; `None` where only a frame can change anything.
    ///
    /// Called between the interface's work on what came and its work on what goes, and again after that.
    /// `sent` says that since the last call every socket had the chance to send a segment: what waits for an
    /// acknowledgement to be sent can be done then. [`Stack::poll`](crate::stack::Stack::poll) calls it so.
    pub fn serve(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'_>,
        sent: bool,
        mut tell: impl FnMut(Event<'_>),
    ) -> Option<Instant> {
        self.take_new(now, sockets);
        let mut deadline = None;
        let mut index = 0;
        while index < self.busy {
            let Some(slot) = self.slots.get_mut(index) else { break };
            let mut desk = Desk {
                settings: &self.settings,
                now,
                sent,
                closing: self.closing,
                read: self.read,
                counters: &mut self.counters,
            };
            match slot.step(sockets, &mut desk, &mut tell) {
                Step::Busy(until) => {
                    deadline = earliest(deadline, until);
                    index = index.saturating_add(1);
                }
                Step::Done => self.give_back(index, sockets),
            }
        }
        self.make_room(sockets);
        deadline
    }

    /// If no socket listens, one that only waits does now: the one that has waited longest.
    fn make_room(&mut self, sockets: &mut SocketSet<'_>) {
        if self.busy < self.opened {
            return;
        }
        let busy = self.slots.get(..self.busy).unwrap_or_default().iter().enumerate();
        let longest = busy.filter_map(|(index, slot)| Some((slot.waits_since()?, index))).min();
        if let Some((_, index)) = longest {
            self.give_back(index, sockets);
        }
    }

    /// Those that got a SYN are busy. Usually they are the first of those that listen; but the one before may have got a SYN
    /// too, and the reset that takes it back.
    fn take_new(&mut self, now: Instant, sockets: &mut SocketSet<'_>) {
        for index in self.busy..self.opened {
            let Some(slot) = self.slots.get(index) else { return };
            if self.closing != Closing::No || slot.socket(sockets).is_none_or(|socket| socket.is_listening()) {
                continue;
            }
            if index != self.busy {
                self.slots.swap(index, self.busy);
                self.place_before(self.busy, index, sockets);
            }
            if let Some(slot) = self.slots.get_mut(self.busy) {
                slot.begin(now);
            }
            self.busy = self.busy.saturating_add(1);
        }
    }

    /// The socket of one slot comes to stand before that of another in the set.
    fn place_before(&mut self, first: usize, second: usize, sockets: &mut SocketSet<'_>) {
        // Taken out of the set and put in again, each goes to the first vacant place.
        let taken = [first, second].map(|index| {
            let handle = self.slots.get(index).and_then(Slot::handle);
            (index, handle.map(|handle| sockets.remove(handle)))
        });
        for (index, socket) in taken {
            if let (Some(slot), Some(socket)) = (self.slots.get_mut(index), socket) {
                slot.place(sockets.add(socket));
            }
        }
    }

    /// The socket of the slot at `index` is done: it listens again, behind the busy ones, and the last of them takes its
    /// place.
    fn give_back(&mut self, index: usize, sockets: &mut SocketSet<'_>) {
        let last = self.busy.saturating_sub(1);
        self.busy = last;
        if index != last {
            self.slots.swap(index, last);
        }
        let handle = |slots: &[Slot<N>], index: usize| slots.get(index).and_then(Slot::handle);
        // Taken out of the set and put in again, each goes to the first vacant place; and what the set knew of the old
        // client's hardware address is forgotten.
        let Some(mut done) = handle(self.slots, last).map(|handle| sockets.remove(handle)) else { return };
        if index != last
            && let Some(busy) = handle(self.slots, index).map(|handle| sockets.remove(handle))
            && let Some(slot) = self.slots.get_mut(index)
        {
            slot.place(sockets.add(busy));
        }
        if let Some(socket) = Socket::downcast_mut(&mut done)
            && self.closing == Closing::No
        {
            listen(socket, self.settings.port);
        }
        if let Some(slot) = self.slots.get_mut(last) {
            slot.place(sockets.add(done));
        }
    }
}
