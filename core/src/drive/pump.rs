//! The loop of every driver, without its I/O: `Pump` says what to do next, and the driver does it.

use crate::{Instant, Machine, Received, State};

/// The driver's side of one conversation: what the transport has to do next.
///
/// A `Pump` does no I/O and borrows nothing, so that a driver can keep it beside its machine. Each driver of this project
/// is a loop over it: the [blocking](super::blocking) and the [asynchronous](super::asynchronous) one, and the one for a
/// smoltcp socket. The loop has three steps:
///
/// 1. [`fill`](Self::fill) moves bytes from the machine into an output buffer. The driver writes them.
/// 2. When there are no more, [`next_step`](Self::next_step) says what to do.
/// 3. The driver does that, and reports it: input to [`offer`](Self::offer), its FIN to [`shut_down`](Self::shut_down).
///
/// ```
/// use greet_core::{Instant, Server, ServerSettings, drive::{Pump, Step}};
///
/// let mut server: Server<64> = Server::new(ServerSettings::default(), Instant::ZERO);
/// let mut pump = Pump::new();
/// let mut reads = [&b"ha"[..], b"haha\nexit\n"].into_iter();
/// let (mut written, mut fin) = (Vec::new(), false);
///
/// let mut input = &b""[..];
/// let mut buffer = [0; 16];
/// loop {
///     let now = Instant::ZERO; // a driver reads its clock
///     let length = pump.fill(&mut server, now, &mut buffer);
///     if length > 0 {
///         written.extend_from_slice(&buffer[..length]); // a driver writes to its transport
///         continue;
///     }
///     match pump.next_step(&server) {
///         Step::Read => input = reads.next().unwrap_or_default(), // at most until `server.deadline()`; empty: the peer's FIN
///         Step::Offer => {}
///         Step::Sleep => break, // until `server.deadline()`
///         Step::Shutdown => {
///             fin = true;
///             pump.shut_down(&mut server, now);
///             continue;
///         }
///         Step::Over => break,
///     }
///     let taken = pump.offer(&mut server, now, input).taken;
///     input = &input[taken..];
/// }
/// assert_eq!((written.as_slice(), fin), (&b"Welcome!Hello, ha!Hello, haha\nexit\n!"[..], true)); // framing chunk
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pump {
    /// How many bytes of the last read the machine has not taken yet.
    left: usize,
    /// It took none of them, and has given nothing since.
    stalled: bool,
    /// The machine has been told of the peer's FIN.
    peer_ended: bool,
    /// This side's FIN is sent.
    shut_down: bool,
}

/// What a driver has to do next, once it has written everything that the machine gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Step {
    /// Offer the machine the bytes of the last read that it has not taken yet.
    Offer,
    /// Wait for input, at most until the machine's deadline, and offer it to the machine.
    Read,
    /// Wait for the machine's deadline only: the machine cannot take the rest of the last read yet, or the peer has ended
    /// its side.
    Sleep,
    /// Send this side's FIN, and report it to [`Pump::shut_down`].
    Shutdown,
    /// Release the transport, once [`Delivery`](super::Delivery) permits it.
    Over,
}

impl Pump {
    /// A pump for a conversation that begins.
    #[must_use]
    pub const fn new() -> Self {
        Self { left: 0, stalled: false, peer_ended: false, shut_down: false }
    }

    /// Tells the machine the time, and lets it fill `output` from the front; the number of bytes that are to be written.
    ///
    /// If `output` is full afterwards, the machine may owe more.
    pub fn fill<M: Machine>(&mut self, machine: &mut M, now: Instant, output: &mut [u8]) -> usize {
        machine.handle_timeout(now);
        let mut filled = 0_usize;
        while let Some(room @ [_, ..]) = output.get_mut(filled..) {
            let given = machine.transmit(now, room);
            if given == 0 {
                break;
            }
            filled = filled.saturating_add(given);
            self.stalled = false;
        }
        filled
    }

    /// What to do next, once everything from [`fill`](Self::fill) is written.
    ///
    /// A driver whose transport takes nothing at the moment may ask as well: [`Step::Offer`], [`Step::Read`] and
    /// [`Step::Sleep`] do not depend on it.
    #[must_use]
    pub fn next_step<M: Machine>(&self, machine: &M) -> Step {
        match machine.state() {
            _ if self.has_input() => Step::Offer,
            State::Ending | State::Over if !self.shut_down => Step::Shutdown,
            State::Over => Step::Over,
            _ if self.left > 0 || self.peer_ended => Step::Sleep,
            _ => Step::Read,
        }
    }

    /// Offers the machine input: the bytes of one read, or those that it left of one. Empty input means that the peer has
    /// ended its side.
    ///
    /// The driver keeps the bytes that are not taken, and offers them again before it reads more.
    pub fn offer<'a, M: Machine>(
        &mut self,
        machine: &'a mut M,
        now: Instant,
        input: &'a [u8],
    ) -> Received<M::Event<'a>> {
        if input.is_empty() {
            self.peer_ended = true;
            machine.receive_end(now);
            return Received { taken: 0, event: None };
        }
        let received = machine.receive(now, input);
        self.left = input.len().saturating_sub(received.taken);
        self.stalled = received.taken == 0;
        received
    }

    /// This side's FIN is sent, after everything that the machine gave.
    pub fn shut_down<M: Machine>(&mut self, machine: &mut M, now: Instant) {
        self.shut_down = true;
        self.stalled = false; // a machine that lingers takes input again (rule C1)
        machine.delivered(now);
    }

    /// How many bytes of the last read the machine has not taken yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left
    }

    /// Whether the machine may take some of the bytes that it left.
    pub(super) const fn has_input(&self) -> bool {
        self.left > 0 && !self.stalled
    }

    /// Whether the machine has been told of the peer's FIN.
    #[must_use]
    pub const fn peer_ended(&self) -> bool {
        self.peer_ended
    }
}
