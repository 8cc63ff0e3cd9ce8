//! The driver for blocking I/O, over `embedded-io`.

use embedded_io::{BufRead, Error, ErrorKind, ReadReady, Write};

use super::{
    Output, Step, Turn,
    batch::{Action, Batch, Wrote},
};
use crate::{Instant, Machine};

/// What a driver needs of a transport: buffered reads, writes, a FIN, and waits that end at a deadline.
///
/// `fill_buf` returns the buffered bytes, or those of one read if there are none. Empty input means that the peer has ended
/// its side. `read_ready` tells whether `fill_buf` would return at once. A transport that cannot tell may always return
/// `false`; replies to several reads then leave in several writes.
///
/// `flush` hands on what `write` took and the transport still holds, and `shutdown` does so with the FIN. Neither may wait for
/// the peer, be it for an acknowledgement or for a read: a deadline ends the waits in `fill_buf` and `write` only, and
/// a peer that does not read would hold such a `flush`, and with it the conversation, beyond the idle timeout (rule
/// T2). Some network stacks have a `flush` that waits for the peer; a transport must not call it. Where a transport
/// has to wait before it can hand on, for example to encrypt, it ends that wait by itself, at the last deadline, with an
/// error. The driver returns every error of `flush` and `shutdown`, those of kind [`TimedOut`](ErrorKind::TimedOut) too.
pub trait Transport: BufRead + ReadReady + Write {
    /// Sets the time at which a wait in `fill_buf` and `write` ends, with an error of kind
    /// [`TimedOut`](ErrorKind::TimedOut). A wait may end early: the driver reads the clock and waits again.
    ///
    /// # Errors
    /// The deadline could not be set.
    fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<(), Self::Error>;

    /// Waits until `deadline`, or forever if it is `None`. The wait may end early.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) if the driver's caller has something else to do.
    fn sleep_until(&mut self, deadline: Option<Instant>) -> Result<(), Self::Error>;

    /// Sends a FIN after everything that was written, without waiting for the peer. Reading continues.
    ///
    /// # Errors
    /// Errors of the connection.
    fn shutdown(&mut self) -> Result<(), Self::Error>;
}

/// Moves bytes between one machine and one transport, with blocking I/O.
#[derive(Debug)]
pub struct Driver<'a, M, T, C, O: ?Sized = [u8]> {
    machine: &'a mut M,
    transport: &'a mut T,
    clock: C,
    output: &'a mut O,
    batch: Batch,
    /// The time, as long as nothing has waited since the last look at the clock.
    now: Option<Instant>,
}

impl<'a, M: Machine, T: Transport, C: Fn() -> Instant, O: Output + ?Sized> Driver<'a, M, T, C, O> {
    /// A driver that reads the time from `clock` and collects bytes to write in `output`.
    ///
    /// One byte of output is enough, except for a client of framing `chunk`: a name has to leave in one write.
    pub fn new(machine: &'a mut M, transport: &'a mut T, clock: C, output: &'a mut O) -> Self {
        Self { machine, transport, clock, output, batch: Batch::default(), now: None }
    }

    /// The machine.
    pub fn machine(&mut self) -> &mut M {
        self.machine
    }

    /// The transport, for instance to ask it how many bytes it has moved.
    pub fn transport(&mut self) -> &mut T {
        self.transport
    }

    /// Whether the machine has not taken all input yet. If so, the next turn offers it the rest, without waiting.
    #[must_use]
    pub const fn holds_input(&self) -> bool {
        self.batch.pump.left() > 0
    }

    /// Drives the conversation to its end, and discards the events.
    ///
    /// # Errors
    /// Errors of the transport.
    pub fn run(mut self) -> Result<(), T::Error> {
        while !matches!(self.turn()?, Turn::Over) {}
        Ok(())
    }

    /// Does one step: writes, or waits for input or a deadline and offers the input to the machine.
    ///
    /// # Errors
    /// Errors of the transport. After one of kind [`Interrupted`](ErrorKind::Interrupted) the next turn continues where this
    /// one stopped.
    pub fn turn(&mut self) -> Result<Turn<M::Event<'_>>, T::Error> {
        self.transport.consume(self.batch.take_consumed());
        if self.batch.unflushed {
            self.flush()?; // an earlier turn was interrupted in it
        }
        // Between the names of one read hardly any time passes, and a look at the clock costs as much as a reply.
        if !self.batch.pump.has_input() {
            self.now = None;
        }
        let now = self.now();
        let action = match self.batch.next_action(self.machine, now, self.output.lend()) {
            Action::Gather if self.transport.read_ready()? => Action::Step(Step::Offer),
            Action::Gather => Action::Write,
            action => action,
        };
        match action {
            Action::Write | Action::Gather => {
                self.transport.set_deadline(self.machine.deadline())?;
                self.now = None;
                match self.transport.write(self.batch.pending(self.output.lend())) {
                    Ok(count) => {
                        let wrote = self.batch.wrote(count);
                        if wrote != Wrote::All {
                            let now = self.now();
                            self.machine.progress(now);
                        }
                        if wrote != Wrote::Part {
                            self.flush()?;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::TimedOut => {
                        let now = self.now();
                        self.machine.handle_timeout(now);
                    }
                    Err(error) => return Err(error),
                }
            }
            Action::Step(step @ (Step::Offer | Step::Read)) => {
                if step == Step::Read {
                    self.output.give_back();
                }
                if self.batch.pump.left() == 0 {
                    self.transport.set_deadline(self.machine.deadline())?;
                    self.now = None;
                }
                return match self.transport.fill_buf() {
                    Ok(input) => {
                        let now = *self.now.get_or_insert_with(&self.clock);
                        Ok(self.batch.offer(self.machine, now, input))
                    }
                    Err(error) if error.kind() == ErrorKind::TimedOut => Ok(Turn::Quiet),
                    Err(error) => Err(error),
                };
            }
            Action::Step(Step::Sleep) => {
                self.output.give_back();
                self.transport.sleep_until(self.machine.deadline())?;
            }
            Action::Step(Step::Shutdown) => {
                self.transport.shutdown()?;
                self.batch.pump.shut_down(self.machine, now);
            }
            Action::Step(Step::Over) => return Ok(Turn::Over),
        }
        Ok(Turn::Quiet)
    }

    /// The time.
    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(&self.clock)
    }

    fn flush(&mut self) -> Result<(), T::Error> {
        self.transport.flush()?;
        self.batch.unflushed = false;
        Ok(())
    }
}
