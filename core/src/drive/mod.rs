//! The drivers: what moves bytes between a machine and a transport, blocking or async.
//!
//! Both are thin: what to do next is decided once, in `Pump::plan`, and each driver only does it in its style of I/O. A
//! driver batches: replies to names that came in one read leave in one write, as far as its output buffer reaches, and so
//! do those to names in further reads that can be had without waiting.

#[macro_use]
mod driver;

/// The driver for blocking I/O, over `embedded-io`.
pub mod blocking {
    driver!(embedded_io);
}

/// The driver for async I/O, over `embedded-io-async`.
pub mod asynchronous {
    driver!(embedded_io_async, async, await);
}

use crate::{Instant, Machine, Received, State};

/// Where a driver gathers what is to be written: any slice of bytes, or memory that is lent.
///
/// A driver has it from the first [`lend`](Self::lend) to [`give_back`](Self::give_back), which comes before it waits with
/// nothing to write. So where most connections wait, a few buffers do for all of them.
pub trait Output {
    /// The memory, of at least one byte: the same until it is given back, with what was written there.
    fn lend(&mut self) -> &mut [u8];

    /// What is in it is not needed any more.
    fn give_back(&mut self);
}

impl<T: AsMut<[u8]> + ?Sized> Output for T {
    fn lend(&mut self) -> &mut [u8] {
        self.as_mut()
    }

    fn give_back(&mut self) {}
}

/// What one turn of a driver came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Turn<Event> {
    /// The machine has this to tell.
    Event(Event),
    /// Nothing to tell; another turn is due.
    Quiet,
    /// The conversation is over: let go of the transport.
    Over,
}

/// What the transport has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Write what is pending.
    Write,
    /// The same, unless there is more to read without waiting: the answer to that may leave with it.
    Gather,
    /// Offer the machine what it left of the last read.
    Offer,
    /// Wait for input, until the machine's deadline.
    Read,
    /// Wait for the machine's deadline alone: there is input that it cannot take yet, or none will ever come.
    Sleep,
    /// End this side.
    Shutdown,
    Over,
}

/// How much of what is pending a write took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    Part,
    TheRest,
    AllAtOnce,
}

/// Where a driver is between one call of the transport and the next.
#[derive(Clone, Copy, Debug, Default)]
struct Pump {
    /// Of the output buffer, `written..filled` is still to be written.
    written: usize,
    filled: usize,
    /// Everything is written, and the transport may still hold it back.
    unflushed: bool,
    /// How much of the transport's input the machine took last; it is consumed only when its event is done with.
    taken: usize,
    /// The transport holds input that the machine left.
    left: bool,
    /// The machine took none of it, and has given nothing since.
    stalled: bool,
    /// Whether the machine has given something since the last read; `None` before the first, and where none will follow. Only
    /// then is another looked for before the write: a flood that asks for nothing must not hold back what is owed.
    fruitful: Option<bool>,
    /// The peer has ended its side.
    peer_ended: bool,
    /// This side is ended.
    shut_down: bool,
}

impl Pump {
    /// Lets the machine give all it has to give, and says what is to be done then.
    fn plan<M: Machine>(&mut self, machine: &mut M, now: Instant, output: &mut [u8]) -> Step {
        if self.filled > 0 {
            match machine.state() {
                State::Over => return Step::Over, // the peer took none of it for too long
                State::Ending => return Step::Write,
                State::Open if self.written > 0 => return Step::Write,
                State::Open => {}
            }
        }
        machine.handle_timeout(now);
        loop {
            let room = output.get_mut(self.filled..).unwrap_or_default();
            if room.is_empty() {
                return Step::Write;
            }
            let given = machine.transmit(now, room);
            if given == 0 {
                break;
            }
            self.filled = self.filled.saturating_add(given);
            self.stalled = false;
            self.fruitful = self.fruitful.and(Some(true));
        }
        match machine.state() {
            State::Ending | State::Over if self.filled > 0 => Step::Write,
            _ if self.left && !self.stalled => Step::Offer,
            State::Open if self.filled > 0 && !self.left && self.fruitful == Some(true) => Step::Gather,
            _ if self.filled > 0 => Step::Write,
            State::Ending | State::Over if !self.shut_down => Step::Shutdown,
            State::Over => Step::Over,
            _ if self.left || self.peer_ended => Step::Sleep,
            _ => Step::Read,
        }
    }

    /// The bytes that are still to be written.
    fn pending<'a>(&self, output: &'a [u8]) -> &'a [u8] {
        output.get(self.written..self.filled).unwrap_or_default()
    }

    /// So many of them were written.
    fn wrote(&mut self, count: usize) -> Wrote {
        let before = self.written;
        self.written = self.written.saturating_add(count);
        if self.written < self.filled {
            return Wrote::Part;
        }
        (self.written, self.filled) = (0, 0);
        self.unflushed = true;
        if before == 0 { Wrote::AllAtOnce } else { Wrote::TheRest }
    }

    /// This side is ended.
    fn shut_down<M: Machine>(&mut self, machine: &mut M, now: Instant) {
        self.shut_down = true;
        machine.delivered(now);
    }

    /// Offers the machine what the transport holds; nothing is how a transport says that the peer has ended its side.
    fn offer<'a, M: Machine>(&mut self, machine: &'a mut M, now: Instant, input: &'a [u8]) -> Turn<M::Event<'a>> {
        if input.is_empty() {
            self.peer_ended = true;
            self.fruitful = None;
            machine.receive_end(now);
            return Turn::Quiet;
        }
        if !self.left {
            self.fruitful = Some(false);
        }
        let Received { taken, event } = machine.receive(now, input);
        self.taken = taken;
        self.left = taken < input.len();
        self.stalled = taken == 0;
        event.map_or(Turn::Quiet, Turn::Event)
    }
}
