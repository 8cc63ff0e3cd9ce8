//! A service: sockets that listen on one port, each with a server's state machine for one connection.

mod slot;

use core::time::Duration;

use greet_core::{EchoSettings, Instant, ServerEnd, ServerEvent, ServerMachine, ServerSettings};
use smoltcp::{
    iface::SocketSet,
    socket::{
        AnySocket,
        tcp::{Socket, SocketBuffer},
    },
    wire::IpEndpoint,
};

pub use self::slot::Slot;
use self::slot::{Context, Step, listen};
use crate::{drive::Progress, stack::Reason, time::earliest};

/// The settings of a pool, of greeting servers unless `C` are those of other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings<C = ServerSettings> {
    /// The port that all sockets listen on; not 0.
    pub port: u16,
    /// The settings of each connection's state machine.
    pub server: C,
    /// How long a connection may keep a socket without progress.
    pub limits: Limits,
}

impl Settings {
    /// The protocol's port, and the defaults of everything else.
    pub const DEFAULT: Self = Self { port: 9999, server: ServerSettings::DEFAULT, limits: Limits::DEFAULT };
}

impl Settings<EchoSettings> {
    /// The port of the echo service (RFC 862), and the defaults of everything else.
    pub const ECHO: Self = Self { port: 7, server: EchoSettings::DEFAULT, limits: Limits::DEFAULT };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How long a connection may keep a socket without progress. A socket serves one connection at a time and has no backlog,
/// so each of these is finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limits {
    /// From a client's SYN to the end of the handshake: 5 s. A half-open connection ends earlier if a SYN finds no socket
    /// that listens.
    pub handshake: Duration,
    /// How long a half-open connection is kept although a SYN finds no socket that listens: 20 ms, more than a round trip on a
    /// local network. The handshakes of a burst of SYNs then end well; the SYNs beyond the pool are dropped, and repeated.
    pub half_open: Duration,
    /// The interval of keep-alive probes, and the silence before the first one: 15 s.
    pub keep_alive: Duration,
    /// A client from which no segment is received for this long is given up: 60 s. At least three times `keep_alive`, or a quiet
    /// client might be taken for a vanished one.
    pub vanished: Duration,
    /// The same while something sent is not acknowledged: 185 s. A client whose window is closed answers probes alone, and
    /// smoltcp sends them up to 60 s apart: two may be lost (RFC 9293, 3.8.6.1, MUST-37). RFC 9293, 3.8.3 asks for at least
    /// 100 s (R2). How long such a client may make no progress is the server's idle timeout.
    pub unacknowledged: Duration,
    /// How long nothing may be acknowledged while the last bytes and the FIN are delivered, after the conversation: 10 s.
    pub delivery: Duration,
}

impl Limits {
    /// Limits for a network that loses packets.
    pub const DEFAULT: Self = Self {
        handshake: Duration::from_secs(5),
        half_open: Duration::from_millis(20),
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

/// An event of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A connection from this client was established.
    Accepted(IpEndpoint),
    /// The state machine of this client's connection reports an event.
    Heard(IpEndpoint, ServerEvent<'a>),
    /// Bytes of this client's connection were received or sent; how many since the last such event.
    Moved(IpEndpoint, Progress),
    /// The connection from this client is closed, and its socket listens again.
    Closed(IpEndpoint, Outcome),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// The conversation ended, and everything was delivered.
    Completed(ServerEnd),
    /// The client reset the connection.
    Reset,
    /// The client did not answer any more, or the local address of the connection was removed.
    Vanished,
}

/// The counters of a pool, since it was made; they wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Established connections.
    pub accepted: u32,
    /// Established connections that were completed.
    pub completed: u32,
    /// Established connections that the client reset.
    pub reset: u32,
    /// Established connections whose client vanished.
    pub timed_out: u32,
    /// Handshakes that were not finished.
    pub unfinished: u32,
    /// Names received, including those that were answered by an error.
    pub names: u32,
    /// Bytes received from clients.
    pub bytes_received: u64,
    /// Bytes sent to clients.
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

/// Sockets that listen on one port, each with a machine `S`: a [`greet_core::Server`] or a [`greet_core::Echo`].
///
/// The sockets live in a [`SocketSet`] and the slots in memory of the caller. The busy ones stand before those that
/// listen, in the slots and in the set: smoltcp gives a segment to the first socket that accepts it, so a repeated SYN finds
/// its own connection and not a second socket, and a segment of a connection is offered to no socket that listens.
/// Each listening socket still costs a little per call: [`serve`](Self::serve) looks whether it received a SYN, and smoltcp
/// whether it has something to send.
#[derive(Debug)]
pub struct Pool<'a, S: ServerMachine> {
    settings: Settings<S::Settings>,
    slots: &'a mut [Slot<S>],
    /// How many of the slots have a socket.
    opened: usize,
    /// How many of these, the first ones, are busy.
    busy: usize,
    /// Scratch memory for reads.
    read: &'a mut [u8],
    closing: Closing,
    counters: Counters,
}

/// Whether the pool is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// A conversation ends as soon as its client pauses.
    AtPause,
    /// A conversation ends as soon as its state machine lets it.
    Now,
}

impl<'a, S: ServerMachine> Pool<'a, S> {
    /// A pool without sockets. Each connection uses one of `slots`; all of them share `read`, whose length limits one read.
    ///
    /// With `read` and receive buffers of at least N bytes, a name under `chunk` may have N bytes, the capacity of a
    /// [`greet_core::Server`].
    #[must_use]
    pub const fn new(settings: Settings<S::Settings>, slots: &'a mut [Slot<S>], read: &'a mut [u8]) -> Self {
        Self { settings, slots, opened: 0, busy: 0, read, closing: Closing::No, counters: Counters::NONE }
    }

    /// Adds a socket with these buffers that listens; `false` if no slot is left for it, or the pool is being closed.
    ///
    /// It may be called at any time, also while connections are served. Each socket costs a little in every poll; a pool whose
    /// owner opens a further one when few [listen](Self::listening) costs no more than its clients need.
    ///
    /// # Panics
    /// As [`SocketSet::add`], if the set is full.
    pub fn open<'s>(
        &mut self,
        sockets: &mut SocketSet<'s>,
        receive: SocketBuffer<'s>,
        transmit: SocketBuffer<'s>,
    ) -> bool {
        let slot = self.slots.get_mut(self.opened).filter(|_| self.closing == Closing::No);
        let Some(slot) = slot else { return false };
        let mut socket = Socket::new(receive, transmit);
        socket.set_nagle_enabled(false); // a reply does not wait for the acknowledgement of the one before
        listen(&mut socket, self.settings.port, &self.settings.limits);
        slot.set_handle(sockets.add(socket));
        self.opened = self.opened.saturating_add(1);
        true
    }

    /// How many sockets listen.
    #[must_use]
    pub const fn listening(&self) -> usize {
        self.opened.saturating_sub(self.busy)
    }

    /// Maximum number of concurrent connections.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.opened
    }

    /// How many sockets are busy, including handshakes and connections that are being closed, but not those in TIME-WAIT:
    /// they serve the next client if no other socket listens.
    #[must_use]
    pub fn busy(&self) -> usize {
        let busy = self.slots.get(..self.busy).unwrap_or_default();
        busy.iter().filter(|slot| slot.time_wait_since().is_none()).count()
    }

    /// The counters so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The settings that it was made with.
    #[must_use]
    pub const fn settings(&self) -> &Settings<S::Settings> {
        &self.settings
    }

    /// Accepts no new connections from now on; each conversation ends in good order as soon as its client pauses.
    pub fn close(&mut self, sockets: &mut SocketSet<'_>) {
        self.closing = Closing::AtPause;
        for slot in self.slots.get(self.busy..self.opened).unwrap_or_default() {
            if let Some(socket) = slot.socket(sockets) {
                socket.close();
            }
        }
    }

    /// After [`close`](Self::close): conversations end even though their clients go on sending.
    pub const fn close_now(&mut self) {
        self.closing = Closing::Now;
    }

    /// Closes the conversation with `peer`: it ends in good order as soon as its state machine lets it.
    pub fn close_conversation(&mut self, now: Instant, peer: IpEndpoint) {
        if let Some(slot) = self.slot_of(peer) {
            slot.close_conversation(now);
        }
    }

    /// Resets the connection of `peer`, whatever is not delivered yet.
    pub fn reset_connection(&mut self, sockets: &mut SocketSet<'_>, peer: IpEndpoint) {
        if let Some(slot) = self.slot_of(peer) {
            slot.reset_connection(sockets);
        }
    }

    /// The slot whose established connection is this client's.
    fn slot_of(&mut self, peer: IpEndpoint) -> Option<&mut Slot<S>> {
        let busy = self.slots.get_mut(..self.busy).unwrap_or_default();
        busy.iter_mut().find(|slot| slot.is_connected_to(peer))
    }

    /// Drives every connection as far as possible, and lets the sockets of closed ones listen again. Returns when to call it
    /// again even if no frame is received; `None` if only a frame can change anything.
    ///
    /// [`Stack::poll`](crate::stack::Stack::poll) calls it between receiving and sending and after sending, and says why.
    pub fn serve(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'_>,
        reason: Reason,
        mut tell: impl FnMut(Event<'_>),
    ) -> Option<Instant> {
        self.take_new(now, sockets);
        let mut deadline = None;
        let mut index = 0;
        while index < self.busy {
            let Some(slot) = self.slots.get_mut(index) else { break };
            let mut context = Context {
                limits: &self.settings.limits,
                now,
                sent: reason == Reason::Sent,
                closing: self.closing,
                read: self.read,
                counters: &mut self.counters,
            };
            match slot.step(sockets, self.settings.server, &mut context, &mut tell) {
                Step::Busy(until) => {
                    deadline = earliest(deadline, until);
                    index = index.saturating_add(1);
                }
                Step::Done => self.release(index, sockets),
            }
        }
        self.free_a_socket(now, reason, sockets);
        deadline
    }

    /// If no socket listens, the one that has been in TIME-WAIT longest does now. For a SYN that is there already, the
    /// oldest half-open connection is given up too, unless it has just begun: a sender of SYNs alone does not keep out clients that finish their
    /// handshakes. No reset goes out for it; if its ACK still comes, that is answered by one.
    fn free_a_socket(&mut self, now: Instant, reason: Reason, sockets: &mut SocketSet<'_>) {
        if self.busy < self.opened || self.closing != Closing::No {
            return;
        }
        let busy = || self.slots.get(..self.busy).unwrap_or_default().iter().enumerate();
        let time_wait = busy().filter_map(|(index, slot)| Some((slot.time_wait_since()?, index))).min();
        if let Some((_, index)) = time_wait {
            self.release(index, sockets);
        } else if reason == Reason::NoListener
            && let Some((since, index)) =
                busy().filter_map(|(index, slot)| Some((slot.half_open_since()?, index))).min()
            && now >= since + self.settings.limits.half_open
        {
            self.counters.unfinished = self.counters.unfinished.wrapping_add(1);
            self.release(index, sockets);
        }
    }

    /// The sockets that received a SYN are busy. Usually they are the first of those that listen; but the one before may have
    /// received a SYN too, and the reset of that connection.
    fn take_new(&mut self, now: Instant, sockets: &mut SocketSet<'_>) {
        for index in self.busy..self.opened {
            let Some(slot) = self.slots.get(index) else { return };
            if self.closing != Closing::No || slot.socket(sockets).is_none_or(|socket| socket.is_listening()) {
                continue;
            }
            if index != self.busy {
                self.slots.swap(index, self.busy);
                self.reinsert([self.busy, index], sockets);
            }
            if let Some(slot) = self.slots.get_mut(self.busy) {
                slot.begin(now);
            }
            self.busy = self.busy.saturating_add(1);
        }
    }

    /// Moves the socket of the first slot before that of the second in the set.
    fn reinsert(&mut self, slots: [usize; 2], sockets: &mut SocketSet<'_>) {
        // Removed from the set and added again, each goes to the first vacant position.
        let removed = slots.map(|index| {
            let handle = self.slots.get(index).and_then(Slot::handle);
            (index, handle.map(|handle| sockets.remove(handle)))
        });
        for (index, socket) in removed {
            if let (Some(slot), Some(socket)) = (self.slots.get_mut(index), socket) {
                slot.set_handle(sockets.add(socket));
            }
        }
    }

    /// Lets the socket of the slot at `index` listen again, behind the busy ones; the last of them takes its position.
    fn release(&mut self, index: usize, sockets: &mut SocketSet<'_>) {
        let last = self.busy.saturating_sub(1);
        self.busy = last;
        if index != last {
            self.slots.swap(index, last);
        }
        let handle = |slots: &[Slot<S>], index: usize| slots.get(index).and_then(Slot::handle);
        // Removed from the set and added again, each goes to the first vacant position; and what the set knew of the old
        // client's hardware address is forgotten.
        let Some(mut done) = handle(self.slots, last).map(|handle| sockets.remove(handle)) else { return };
        if index != last
            && let Some(busy) = handle(self.slots, index).map(|handle| sockets.remove(handle))
            && let Some(slot) = self.slots.get_mut(index)
        {
            slot.set_handle(sockets.add(busy));
        }
        if let Some(socket) = Socket::downcast_mut(&mut done)
            && self.closing == Closing::No
        {
            listen(socket, self.settings.port, &self.settings.limits);
        }
        if let Some(slot) = self.slots.get_mut(last) {
            slot.set_handle(sockets.add(done));
        }
    }
}
