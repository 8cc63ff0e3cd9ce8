//! The driver for completions: a machine, the input that it has not taken, and the output that is being sent. No I/O.

use std::collections::VecDeque;

use greet_core::{
    Instant, Machine, State,
    drive::{Pump, Step},
};

/// Maximum number of bytes of replies in one send. A long send costs the kernel hardly more than a short one.
const OUTPUT: usize = 16 * 1024;

/// Maximum number of reads that are kept for a machine that takes none, before receiving is stopped.
const KEPT: usize = 2;

/// What to do for a conversation.
#[derive(Debug)]
pub(super) enum Want {
    /// Send these bytes of the buffer, and report it to [`Driver::sent`].
    Send { buffer: Box<[u8]>, begin: usize, end: usize },
    /// Send the FIN, and report it to [`Driver::shut_down`].
    Shutdown,
    /// Wait for input, for the end of a send, or for [`Driver::deadline`].
    Wait,
    /// Release the connection.
    Over,
}

/// Moves bytes between one machine and completed reads and sends.
#[derive(Debug)]
pub(super) struct Driver<M> {
    machine: M,
    pump: Pump,
    /// Reads that the machine has not taken. The first one may be taken in part.
    kept: VecDeque<Box<[u8]>>,
    /// How much of the first one is taken.
    taken: usize,
    /// The FIN of the peer was received, and not yet offered to the machine.
    fin: bool,
    /// The output, as far as it is not being sent.
    output: Option<Box<[u8]>>,
    /// Of the output, `written..filled` is to be sent.
    written: usize,
    filled: usize,
    sending: bool,
}

impl<M: Machine> Driver<M> {
    pub(super) const fn new(machine: M) -> Self {
        Self {
            machine,
            pump: Pump::new(),
            kept: VecDeque::new(),
            taken: 0,
            fin: false,
            output: None,
            written: 0,
            filled: 0,
            sending: false,
        }
    }

    /// The machine.
    pub(super) const fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// When to call [`advance`](Self::advance) if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    /// Whether a send has not completed yet.
    pub(super) const fn is_sending(&self) -> bool {
        self.sending
    }

    /// Whether the machine waits for input: it has taken all of it, and all its output is sent.
    pub(super) fn is_idle(&self) -> bool {
        !self.sending && self.kept.is_empty() && !self.fin
    }

    /// Whether to receive more: the machine has taken what came before.
    pub(super) fn takes_input(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether to stop receiving, because the machine does not take the input.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= KEPT
    }

    /// The peer has sent its FIN, after everything that was received.
    pub(super) const fn receive_end(&mut self) {
        self.fin = true;
    }

    /// A send has completed: `count` bytes were sent, and `buffer` can be used again.
    pub(super) fn sent(&mut self, now: Instant, buffer: Box<[u8]>, count: usize) {
        let before = self.written;
        self.sending = false;
        self.output = Some(buffer);
        self.written = self.written.saturating_add(count);
        let is_part = self.written < self.filled;
        if is_part || before > 0 {
            self.machine.progress(now);
        }
        if !is_part {
            (self.written, self.filled) = (0, 0);
        }
    }

    /// The FIN is sent.
    pub(super) fn shut_down(&mut self, now: Instant) {
        self.pump.shut_down(&mut self.machine, now);
    }

    /// Continues the conversation: offers the machine the kept input and then `read`, the bytes of a new read, and collects
    /// its output. What the machine does not take is kept. `spare` has unused buffers for output.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        mut read: &[u8],
        spare: &mut Vec<Box<[u8]>>,
        mut report: impl FnMut(M::Event<'_>),
    ) -> Want {
        let want = self.step(now, &mut read, spare, &mut report);
        if !read.is_empty() && !matches!(want, Want::Over) {
            self.kept.push_back(read.into());
        }
        want
    }

    fn step(
        &mut self,
        now: Instant,
        read: &mut &[u8],
        spare: &mut Vec<Box<[u8]>>,
        report: &mut impl FnMut(M::Event<'_>),
    ) -> Want {
        if self.sending {
            self.machine.handle_timeout(now);
            // The machine may be over by a timeout, because the peer reads nothing.
            return if self.machine.state() == State::Over { Want::Over } else { Want::Wait };
        }
        loop {
            if self.filled > 0 {
                match self.machine.state() {
                    State::Over => return Want::Over,
                    State::Ending => return self.send(),
                    State::Open if self.written > 0 => return self.send(),
                    State::Open => {}
                }
            }
            let output = self.output.get_or_insert_with(|| spare.pop().unwrap_or_else(|| vec![0; OUTPUT].into()));
            let room = output.get_mut(self.filled..).unwrap_or_default();
            let (space, filled) = (room.len(), self.pump.fill(&mut self.machine, now, room));
            self.filled = self.filled.saturating_add(filled);
            if filled == space {
                return self.send();
            }
            match self.pump.next_step(&self.machine) {
                Step::Offer | Step::Read if self.offer(now, read, report) => {}
                Step::Over if self.filled == 0 => return Want::Over,
                _ if self.filled > 0 => return self.send(),
                Step::Shutdown => return Want::Shutdown,
                _ => {
                    spare.extend(self.output.take());
                    return Want::Wait;
                }
            }
        }
    }

    /// Offers the oldest input. False if there is none.
    fn offer(&mut self, now: Instant, read: &mut &[u8], report: &mut impl FnMut(M::Event<'_>)) -> bool {
        let kept = self.kept.front().map(|first| first.get(self.taken..).unwrap_or_default());
        let input = match kept {
            Some(rest) => rest,
            None if !read.is_empty() || self.fin => read,
            None => return false,
        };
        let is_kept = kept.is_some();
        let taken = {
            let received = self.pump.offer(&mut self.machine, now, input);
            received.event.into_iter().for_each(report);
            received.taken
        };
        if !is_kept {
            self.fin &= !read.is_empty();
            *read = read.get(taken..).unwrap_or_default();
        } else if self.pump.left() == 0 {
            self.taken = 0;
            self.kept.pop_front();
        } else {
            self.taken = self.taken.saturating_add(taken);
        }
        true
    }

    fn send(&mut self) -> Want {
        let Some(buffer) = self.output.take() else { return Want::Wait };
        self.sending = true;
        Want::Send { buffer, begin: self.written, end: self.filled }
    }
}
