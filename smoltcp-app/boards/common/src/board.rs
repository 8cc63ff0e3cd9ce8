//! What the service needs of a board, and the facts that the board states.

use greet_core::Instant;
use smoltcp::{phy::Device, wire::EthernetAddress};

/// What the service needs of a board.
pub trait Board {
    /// Its network card.
    type Device: Device;

    /// The network card.
    fn device(&mut self) -> &mut Self::Device;

    /// The time, on a clock that never goes back.
    fn now(&mut self) -> Instant;

    /// Sleeps until there may be something to do for the network card, or until `until`. It may come back early, but a
    /// received frame must end the sleep, even one that arrives as the sleep begins.
    fn wait(&mut self, until: Instant);

    /// The state of the link. Called about once per second.
    fn link(&mut self) -> Link;

    /// Counts of lost frames since the start.
    fn losses(&self) -> Losses;

    /// Stops the network card's receiver, or starts it with empty buffers. The service restarts the receiver after 10 s in
    /// which nothing was received. Without an implementation the receiver is not restarted.
    fn set_receiver(&mut self, enabled: bool) {
        let _ = enabled;
    }

    /// Called about once per second while the loop runs: resets the watchdog.
    fn alive(&mut self) {}
}

/// The facts of a board.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The board's name.
    pub name: &'static str,
    /// Its MAC address.
    pub hardware_address: EthernetAddress,
    /// Seed of sequence numbers and ports, from the board's best source; different at each start.
    pub random_seed: u64,
    /// That source, for the log.
    pub entropy: &'static str,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Link {
    /// No cable, or no partner at its other end.
    Down,
    /// Frames can pass.
    Up {
        /// The speed in Mbit/s.
        megabits: u16,
        /// Whether both ends may send at once.
        full_duplex: bool,
    },
    /// Up; the board cannot tell the speed.
    UpUnknownSpeed,
    /// The board cannot tell: assumed up.
    Unknown,
}

/// Frames that the network card lost; the counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Losses {
    /// How often received frames were lost because the network card had no room.
    pub overruns: u32,
    /// Received frames that were damaged or too long.
    pub unusable: u32,
    /// Frames that could not be sent.
    pub unsent: u32,
}
