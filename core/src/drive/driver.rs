//! One text for both drivers: they differ in `async` and `.await`, and in nothing else.

/// Defines `Transport` and `Driver` over the traits of the crate `$io`; with `async, await` in that style.
macro_rules! driver {
    ($io:ident $(, $async:tt, $await:tt)?) => {
        use $io::{BufRead, ReadReady, Write};
        use embedded_io::{Error, ErrorKind};

        use super::{Output, Pump, Step, Turn, Wrote};
        use crate::{Instant, Machine};

        /// What a driver needs of a transport: buffered reading, writing, and an end to waiting.
        ///
        /// `fill_buf` answers with what is buffered, or with what one read delivers; with nothing once the peer has ended
        /// its side. `read_ready` says whether it has something without waiting; a transport for which that is hard to know may
        /// always say no, and replies to what comes in several reads then leave in as many writes.
        ///
        /// `flush` hands on what `write` took and the transport still holds, and `shutdown` the FIN. Neither may wait for the
        /// peer, for its acknowledgement as little as for its reading; some network stacks have a `flush` that does, and a
        /// transport must not call it. A machine's deadline ends the waiting in `fill_buf` and in `write` alone: a peer that
        /// does not read would hold such a `flush`, and with it the conversation, past the idle timeout (rule T2). Where a
        /// transport has to wait for room before it can hand on, as one that encrypts may, it ends that wait by itself, at the
        /// last deadline, with an error: of `flush` and `shutdown` the driver passes every error on, those of kind
        /// [`TimedOut`](ErrorKind::TimedOut) too.
        #[allow(async_fn_in_trait, reason = "whether the futures are Send is for each transport to say")]
        pub trait Transport: BufRead + ReadReady + Write {
            /// From now on waiting in `fill_buf` and in `write` ends at `deadline`, with an error of kind
            /// [`TimedOut`](ErrorKind::TimedOut). It may end early: the driver looks at the time and comes back. None is set
            /// for `flush` and `shutdown`, which do not wait for the peer.
            ///
            /// # Errors
            /// Whatever keeps the transport from it.
            fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<(), Self::Error>;

            /// Waits until `deadline`, or for ever. It may end early.
            ///
            /// # Errors
            /// [`Interrupted`](ErrorKind::Interrupted), where something else wants the driver's caller.
            $($async)? fn sleep_until(&mut self, deadline: Option<Instant>) -> Result<(), Self::Error>;

            /// Ends this side (FIN) behind everything that was written, without waiting until the peer has got it. Reading
            /// goes on.
            ///
            /// # Errors
            /// Those of the connection.
            $($async)? fn shutdown(&mut self) -> Result<(), Self::Error>;
        }

        /// Moves bytes between one machine and one transport.
        #[derive(Debug)]
        pub struct Driver<'a, M, T, C, O: ?Sized = [u8]> {
            machine: &'a mut M,
            transport: &'a mut T,
            clock: C,
            output: &'a mut O,
            pump: Pump,
        }

        impl<'a, M: Machine, T: Transport, C: Fn() -> Instant, O: Output + ?Sized> Driver<'a, M, T, C, O> {
            /// A driver that tells the time by `clock` and gathers what is to be written in `output`.
            ///
            /// One byte of output is enough, but for a client under `chunk`: a name must go out in one write.
            pub fn new(machine: &'a mut M, transport: &'a mut T, clock: C, output: &'a mut O) -> Self {
                Self { machine, transport, clock, output, pump: Pump::default() }
            }

            /// The machine.
            pub fn machine(&mut self) -> &mut M {
                self.machine
            }

            /// Whether there is input that the machine has not taken yet: another turn will offer it, without waiting.
            #[must_use]
            pub const fn holds_input(&self) -> bool {
                self.pump.left
            }

            /// Drives the conversation to its end, and tells nobody of its events.
            ///
            /// # Errors
            /// Those of the transport.
            pub $($async)? fn run(mut self) -> Result<(), T::Error> {
                while !matches!(self.turn()$(.$await)??, Turn::Over) {}
                Ok(())
            }

            /// One step: writes what is owed, or waits for what may move the conversation and offers that to the machine.
            ///
            /// # Errors
            /// Those of the transport. After one of kind [`Interrupted`](ErrorKind::Interrupted) nothing is lost: the
            /// next turn goes on where this one stopped.
            pub $($async)? fn turn(&mut self) -> Result<Turn<M::Event<'_>>, T::Error> {
                self.transport.consume(core::mem::take(&mut self.pump.taken));
                if self.pump.unflushed {
                    self.flush()$(.$await)??; // an earlier turn was interrupted in it
                }
                let step = match self.pump.plan(self.machine, (self.clock)(), self.output.lend()) {
                    Step::Gather if self.transport.read_ready()? => Step::Offer,
                    Step::Gather => Step::Write,
                    step => step,
                };
                match step {
                    Step::Write | Step::Gather => {
                        self.transport.set_deadline(self.machine.deadline())?;
                        match self.transport.write(self.pump.pending(self.output.lend()))$(.$await)? {
                            Ok(count) => {
                                let wrote = self.pump.wrote(count);
                                if wrote != Wrote::AllAtOnce {
                                    self.machine.progress((self.clock)());
                                }
                                if wrote != Wrote::Part {
                                    self.flush()$(.$await)??;
                                }
                            }
                            // The machine hears the time, and decides what that means.
                            Err(error) if error.kind() == ErrorKind::TimedOut => {
                                self.machine.handle_timeout((self.clock)());
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    step @ (Step::Offer | Step::Read) => {
                        if step == Step::Read {
                            self.output.give_back();
                        }
                        if !self.pump.left {
                            self.transport.set_deadline(self.machine.deadline())?;
                        }
                        return match self.transport.fill_buf()$(.$await)? {
                            Ok(input) => Ok(self.pump.offer(self.machine, (self.clock)(), input)),
                            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(Turn::Quiet),
                            Err(error) => Err(error),
                        };
                    }
                    Step::Sleep => {
                        self.output.give_back();
                        self.transport.sleep_until(self.machine.deadline())$(.$await)??;
                    }
                    Step::Shutdown => {
                        self.transport.shutdown()$(.$await)??;
                        self.pump.shut_down(self.machine, (self.clock)());
                    }
                    Step::Over => return Ok(Turn::Over),
                }
                Ok(Turn::Quiet)
            }

            $($async)? fn flush(&mut self) -> Result<(), T::Error> {
                self.transport.flush()$(.$await)??;
                self.pump.unflushed = false;
                Ok(())
            }
        }
    };
}
