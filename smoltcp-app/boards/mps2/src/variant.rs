//! What differs between the boards: addresses, interrupts, frequency.

/// What differs between the boards.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// Where the registers of the network card are, and which interrupt is its.
    pub(crate) network: usize,
    pub(crate) interrupt: u16,
    /// Where those of the dual timer are, and which interrupt is its.
    pub(crate) timer: usize,
    pub(crate) timer_interrupt: u16,
    /// Where those of the watchdog are.
    pub(crate) watchdog: usize,
    /// What the timers and the watchdog count, in Hz.
    pub(crate) frequency: u32,
}

#[cfg(feature = "an385")]
pub(crate) const VARIANT: Variant = Variant { name: "mps2-an385", ..LIKE_AN385 };

#[cfg(feature = "an386")]
pub(crate) const VARIANT: Variant = Variant { name: "mps2-an386", ..LIKE_AN385 };

#[cfg(feature = "an500")]
pub(crate) const VARIANT: Variant = Variant { name: "mps2-an500", network: 0xa000_0000, ..LIKE_AN385 };

/// At the addresses of its secure world, in which it starts and stays.
#[cfg(feature = "an505")]
pub(crate) const VARIANT: Variant = Variant {
    name: "mps2-an505",
    network: 0x5200_0000,
    interrupt: 48,
    timer: 0x5000_2000,
    timer_interrupt: 5,
    watchdog: 0x5008_1000,
    frequency: 20_000_000,
};

#[cfg(not(feature = "an505"))]
const LIKE_AN385: Variant = Variant {
    name: "",
    network: 0x4020_0000,
    interrupt: 13,
    timer: 0x4000_2000,
    timer_interrupt: 10,
    watchdog: 0x4000_8000,
    frequency: 25_000_000,
};
