//! The one contract between machines and drivers.

use crate::Instant;

/// One end of one conversation: bytes in, bytes out, and the time.
///
/// A *machine* implements this trait; a *driver* calls it. The machine knows no transport, the driver knows no protocol.
///
/// # The families of methods, and the order to call them in
///
/// - **Bytes out**: [`transmit`](Self::transmit), until it gives nothing more. Always first: a server greets before it
///   has heard anything.
/// - **Bytes in**: [`receive`](Self::receive) with what one read delivered; what it leaves is offered again after the
///   next `transmit`. When the peer has ended its side and every byte before that was taken,
///   [`receive_end`](Self::receive_end), once.
/// - **Time**: every call bears `now`, which never goes back. With nothing to read or write, the driver comes back
///   with a `transmit` at [`deadline`](Self::deadline). [`progress`](Self::progress) tells of bytes that took their time.
/// - **The end**: [`state`](Self::state) says what the driver owes the transport: nothing yet, a FIN, or to let go.
///   [`close`](Self::close) is how the owner of the machine asks for the end.
///
/// The loop over these four is in the [crate's documentation](crate), where it runs.
pub trait Connection {
    /// What the machine tells its user; it borrows from the input or from the machine.
    type Event<'a>
    where
        Self: 'a;

    /// Takes bytes that arrived. What is not taken must be offered again: that is the back-pressure, and no byte is
    /// ever dropped for want of room.
    ///
    /// `input` is one read, whole, or what an earlier call left of it: framing `chunk` (rule F1) lives on that. At most
    /// one event comes of a call, so a call may take less than it could. A machine in [`State::Open`] that owes nothing
    /// takes at least one byte.
    fn receive<'a>(&'a mut self, now: Instant, input: &'a [u8]) -> Received<Self::Event<'a>>;

    /// The peer has ended its side, after every byte that was received.
    fn receive_end(&mut self, now: Instant);

    /// Writes what is owed next to the front of `output` and says how many bytes that is. Any size of at least one byte
    /// works, and the bytes are the same whatever the sizes.
    ///
    /// An answer of 0 to room that was offered says that nothing is owed now. In [`State::Ending`] it is also taken as
    /// the driver's word that all earlier bytes have gone out: the driver's FIN is next, and the machine's patience
    /// with the peer (rule C1) counts from this call, or from the last [`progress`](Self::progress) after it. An empty
    /// `output` only tells the time.
    fn transmit(&mut self, now: Instant, output: &mut [u8]) -> usize;

    /// Some of the bytes that it gave, or the FIN, have gone out only now: the transport was slow to take them, or had to
    /// send them again. Something has moved, and so no patience is over (rules T2 and C1).
    ///
    /// A driver that writes at once what it was given need not call it.
    fn progress(&mut self, now: Instant);

    /// When to call [`transmit`](Self::transmit) even if nothing arrives; `None` where only the peer can move things.
    fn deadline(&self) -> Option<Instant>;

    /// How far the conversation is.
    fn state(&self) -> State;

    /// This side wants to end the conversation, in good order: what is owed is still delivered, nothing new is taken.
    fn close(&mut self, now: Instant);
}

/// What [`Connection::receive`] answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "bytes that were not taken have to be offered again"]
pub struct Received<Event> {
    /// How many bytes were taken, from the front of the input.
    pub taken: usize,
    /// What they amounted to, if that is worth telling.
    pub event: Option<Event>,
}

/// How far a conversation is, and so what a driver owes its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Bytes may go both ways.
    Open,
    /// Deliver what [`Connection::transmit`] gives; when it gives nothing, end this side (FIN) and go on receiving.
    Ending,
    /// Let go of the connection. The machine accepts nothing and sends nothing more.
    Over,
}
