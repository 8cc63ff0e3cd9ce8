//! The contract between state machines and drivers: the trait `Machine`, and `ServerMachine` for those that serve a connection.

use core::fmt;

use crate::{Instant, ServerEnd, ServerEvent};

/// One end of one conversation, as a state machine without I/O: bytes in, bytes out, and the time.
///
/// A *machine* implements this trait; a *driver* calls it. The machine knows no transport, and the driver knows no
/// protocol.
///
/// # The methods, by family
///
/// - **Bytes out**: [`transmit`](Self::transmit), repeated until it returns 0. It comes first, because a server sends its
///   greeting before it has received anything.
/// - **Bytes in**: [`receive`](Self::receive) with the bytes of one read. The driver offers the bytes that were not taken
///   again after the next `transmit`. When the peer has sent its FIN and all bytes before it were taken, the driver calls
///   [`receive_end`](Self::receive_end) once.
/// - **Time**: [`handle_timeout`](Self::handle_timeout) at [`deadline`](Self::deadline), or at any later time.
/// - **Delivery**: [`delivered`](Self::delivered) once, with this side's FIN; before it [`progress`](Self::progress) each
///   time that bytes leave later than they were given.
/// - **The end**: [`state`](Self::state) tells the driver when to send a FIN and when to release the transport. The owner
///   of the machine requests the end with [`close`](Self::close).
///
/// Each input is a method of its own, and no argument has a second meaning. `now` never goes back from one call to the
/// next.
///
/// The loop over these methods is in the [crate's documentation](crate), as a test that runs.
pub trait Machine {
    /// What the machine reports to its owner. It borrows from the input or from the machine.
    type Event<'a>
    where
        Self: 'a;

    /// Takes received bytes, and returns how many it took and at most one event.
    ///
    /// The driver must offer the bytes that were not taken again: this is the back-pressure, and a machine never drops a
    /// byte for lack of space. `input` is one whole read, or the rest of one: framing `chunk` (rule F1) depends on it.
    /// A call may take less than it could, because it reports only one event. A machine in [`State::Open`] that owes no
    /// bytes takes at least one.
    fn receive<'a>(&'a mut self, now: Instant, input: &'a [u8]) -> Received<Self::Event<'a>>;

    /// The peer has ended its side (FIN), and every byte before that was taken.
    fn receive_end(&mut self, now: Instant);

    /// Writes the next bytes to send to the front of `output` and returns how many there are; 0 if there are none now.
    ///
    /// Any `output` of at least one byte works, and its size never changes which bytes are sent.
    fn transmit(&mut self, now: Instant, output: &mut [u8]) -> usize;

    /// Some of the bytes from `transmit`, or the FIN, have left only now: the transport was slow to take them, or had to
    /// retransmit them. The peer is alive, so the idle timeout (rule T2) or the linger time (rule C1) starts again.
    ///
    /// A driver whose transport takes everything at once need not call it.
    fn progress(&mut self, now: Instant);

    /// In [`State::Ending`]: the transport has taken all bytes from `transmit`, and this side's FIN after them. The time
    /// to linger (rule C1) starts now.
    ///
    /// In every other state it changes nothing.
    fn delivered(&mut self, now: Instant);

    /// The time is `now`. Before [`deadline`](Self::deadline) this changes nothing, so a driver may call it at any time.
    ///
    /// Timeouts take effect in this method only. It may give the machine bytes to send, or change its state.
    fn handle_timeout(&mut self, now: Instant);

    /// When to call [`handle_timeout`](Self::handle_timeout) if nothing else happens; `None` if no timeout is running.
    fn deadline(&self) -> Option<Instant>;

    /// How far the conversation is.
    fn state(&self) -> State;

    /// Ends the conversation from this side. The bytes that the machine owes are still sent; new input is not taken.
    fn close(&mut self, now: Instant);
}

/// A machine that serves a connection which a client opened: what a pool or a listener needs besides [`Machine`].
///
/// All of them have the same events, so that what logs and counts events serves them all.
pub trait ServerMachine: for<'a> Machine<Event<'a> = ServerEvent<'a>> + Sized + 'static {
    /// The settings of a conversation.
    type Settings: Copy + fmt::Debug + Send + Sync + 'static;

    /// A machine without a conversation, in [`State::Over`]. All its bytes are zero, so a static array of them needs no flash.
    const VACANT: Self;

    /// A machine for a connection that was opened at `now`.
    fn begin(settings: Self::Settings, now: Instant) -> Self;

    /// Why the conversation ends, once it does.
    fn end(&self) -> Option<ServerEnd>;
}

/// What [`Machine::receive`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "bytes that were not taken have to be offered again"]
pub struct Received<Event> {
    /// How many bytes were taken from the front of the input.
    pub taken: usize,
    /// The event that they caused, if any.
    pub event: Option<Event>,
}

/// How far a conversation is, and so what the driver has to do with its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Bytes may go both ways.
    Open,
    /// This side has no more bytes to send. The driver sends a FIN after those that it has, calls
    /// [`Machine::delivered`], and continues to receive.
    Ending,
    /// The driver releases the connection, once [`Delivery`](crate::drive::Delivery) permits it. The machine takes no bytes
    /// and gives none.
    Over,
}
