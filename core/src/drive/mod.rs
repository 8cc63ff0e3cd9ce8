//! The drivers: they move bytes between a machine and a transport.
//!
//! [`Pump`] is the loop that every driver runs, without I/O; a driver for another style of I/O is written over it. The two
//! drivers here do the I/O with the traits of `embedded-io` and `embedded-io-async`. They write in batches: the replies to the
//! names of one read leave in one write, as far as the output buffer allows, and so do those to the names of further reads
//! that need no wait.
//!
//! When a machine is over, [`Delivery`] says how long its connection must be kept, and what to do with it then.

pub mod asynchronous;
mod batch;
pub mod blocking;
mod delivery;
mod pump;

pub use delivery::{Delivery, Release};
pub use pump::{Pump, Step};

/// The memory in which a driver collects the bytes to write: any slice of bytes, or memory that it borrows for a while.
///
/// A driver uses it from the first [`lend`](Self::lend) to [`give_back`](Self::give_back), which it calls before it waits
/// with nothing to write. So a few buffers are enough for many connections that mostly wait.
pub trait Output {
    /// The memory, of at least one byte. It is the same, with the same content, until it is given back.
    fn lend(&mut self) -> &mut [u8];

    /// The content is not needed any more.
    fn give_back(&mut self);
}

impl<T: AsMut<[u8]> + ?Sized> Output for T {
    fn lend(&mut self) -> &mut [u8] {
        self.as_mut()
    }

    fn give_back(&mut self) {}
}

/// The outcome of one turn of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Turn<Event> {
    /// The machine reports this event. Another turn is due.
    Event(Event),
    /// No event. Another turn is due.
    Quiet,
    /// The conversation is over: release the transport, once [`Delivery`] permits it.
    Over,
}
