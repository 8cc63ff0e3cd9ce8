//! What the two drivers with an output buffer share: they write replies in batches.

use super::{Pump, Step, Turn};
use crate::{Instant, Machine, Received, State};

/// A [`Pump`] and the state of the output buffer, between one call of the transport and the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    pub(super) pump: Pump,
    /// Of the output buffer, `written..filled` is still to be written.
    written: usize,
    filled: usize,
    /// Everything is written, and the transport may still hold it back.
    pub(super) unflushed: bool,
    /// How many bytes of the transport's input the machine took last. They are consumed at the next turn, when the event
    /// that borrows from them is gone.
    consumed: usize,
    /// Whether the machine has given bytes since the last read; `None` before the first read and after the peer's FIN. Only
    /// after a read that led to a reply does the driver read once more before it writes: input that leads to no reply must not
    /// hold back the replies before it.
    fruitful: Option<bool>,
}

/// What a driver with an output buffer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Write the pending bytes.
    Write,
    /// Read, if that needs no wait: its replies leave with the pending bytes. Otherwise write.
    Gather,
    /// Nothing is pending.
    Step(Step),
}

/// How much of the pending bytes a write took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// Not all of them.
    Part,
    /// The last of them, after an earlier write had taken a part.
    Rest,
    /// All of them at once.
    All,
}

impl Batch {
    /// Lets the machine fill the output buffer, and says what to do then.
    pub(super) fn next_action<M: Machine>(&mut self, machine: &mut M, now: Instant, output: &mut [u8]) -> Action {
        if self.filled > 0 {
            match machine.state() {
                State::Over => return Action::Step(Step::Over), // the peer took none of it for too long
                State::Ending => return Action::Write,
                State::Open if self.written > 0 => return Action::Write,
                State::Open => {}
            }
        }
        let room = output.get_mut(self.filled..).unwrap_or_default();
        let (filled, room) = (self.pump.fill(machine, now, room), room.len());
        self.filled = self.filled.saturating_add(filled);
        if filled > 0 {
            self.fruitful = self.fruitful.and(Some(true));
        }
        if self.filled == 0 {
            return Action::Step(self.pump.next_step(machine));
        }
        match machine.state() {
            State::Open if filled == room => Action::Write, // the machine may owe more
            State::Open if self.pump.has_input() => Action::Step(Step::Offer),
            State::Open if self.pump.left() == 0 && self.fruitful == Some(true) => Action::Gather,
            _ => Action::Write,
        }
    }

    /// The pending bytes.
    pub(super) fn pending<'a>(&self, output: &'a [u8]) -> &'a [u8] {
        output.get(self.written..self.filled).unwrap_or_default()
    }

    /// A write took `count` of the pending bytes.
    pub(super) fn wrote(&mut self, count: usize) -> Wrote {
        let before = self.written;
        self.written = self.written.saturating_add(count);
        if self.written < self.filled {
            return Wrote::Part;
        }
        (self.written, self.filled) = (0, 0);
        self.unflushed = true;
        if before == 0 { Wrote::All } else { Wrote::Rest }
    }

    /// How many bytes to consume of the transport's input, before it is read again.
    pub(super) fn take_consumed(&mut self) -> usize {
        core::mem::take(&mut self.consumed)
    }

    /// Offers the machine what the transport holds.
    pub(super) fn offer<'a, M: Machine>(
        &mut self,
        machine: &'a mut M,
        now: Instant,
        input: &'a [u8],
    ) -> Turn<M::Event<'a>> {
        if input.is_empty() {
            self.fruitful = None;
        } else if self.pump.left() == 0 {
            self.fruitful = Some(false);
        }
        let Received { taken, event } = self.pump.offer(machine, now, input);
        self.consumed = taken;
        event.map_or(Turn::Quiet, Turn::Event)
    }
}
