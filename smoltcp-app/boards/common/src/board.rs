//! What a board has to be able to do, and what it says about itself.

use greet_core::Instant;
use smoltcp::{phy::Device, wire::EthernetAddress};

/// A board, as the service needs it.
pub trait Board {
    /// Its network card.
    type Device: Device;

    /// The network card.
    fn device(&mut self) -> &mut Self::Device;

    /// The time, on a clock that never goes back.
    fn now(&mut self) -> Instant;

    /// Sleeps until there may be something to do for the network card, or until `until`. It may come back early, but a
    /// frame that came must not be slept over, not even one that comes as the sleep begins.
    fn wait(&mut self, until: Instant);

    /// How the link stands. Asked about once a second.
    fn link(&mut self) -> Link;

    /// What the network card lost since the start.
    fn losses(&self) -> Losses;

    /// Stops the network card's receiver, or starts it with empty buffers. The service restarts it so after 10 s in which
    /// nothing was received. A card without such a switch does nothing.
    fn set_receiver(&mut self, enabled: bool) {
        let _ = enabled;
    }

    /// The loop goes round, at least about once a second: a watchdog is told so here.
    fn alive(&mut self) {}
}

/// Who a board is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The board's name.
    pub name: &'static str,
    /// Its address on the wire.
    pub hardware_address: EthernetAddress,
    /// Decides initial sequence numbers and ports: from the best source that the board has, another one at each start.
    pub random_seed: u64,
    /// What that source is, honestly; it is logged.
    pub entropy: &'static str,
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Link {
    /// No cable, or nobody at its other end.
    Down,
    /// Frames can pass.
    Up {
        /// The speed in Mbit/s.
        megabits: u16,
        /// Whether both ends may send at once.
        full_duplex: bool,
    },
    /// Frames can pass, and nothing on this board says at what speed.
    UpSomehow,
    /// Nothing on this board says: it is taken for up.
    Unknown,
}

/// What a network card lost; the counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Losses {
    /// How often frames were lost as they came, for want of room.
    pub overruns: u32,
    /// Frames that came and could not be used: damaged, or too long.
    pub unusable: u32,
    /// Frames that could not be sent.
    pub unsent: u32,
}
