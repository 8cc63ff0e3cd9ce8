//! The registers of the LM3S6965 that are used here (data sheet: 5.4 System Control, 10.4 Timers,
//! 11.4 Watchdog, 16.5 Ethernet MAC).

use derive_mmio::Mmio;

/// The Ethernet MAC.
#[derive(Mmio)]
#[repr(C)]
pub(crate) struct Ethernet {
    /// MACRIS, what happened; writing a one acknowledges it.
    #[mmio(PureRead, Write)]
    status: u32,
    /// MACIM, which of it interrupts.
    #[mmio(PureRead, Write)]
    interrupts: u32,
    /// MACRCTL.
    #[mmio(PureRead, Write)]
    receive_control: u32,
    /// MACTCTL.
    #[mmio(PureRead, Write)]
    transmit_control: u32,
    /// MACDATA, the ends of both FIFOs: each access moves on.
    #[mmio(Read, Write)]
    data: u32,
    /// MACIA0 and MACIA1, the address on the wire.
    #[mmio(PureRead, Write)]
    address: [u32; 2],
    /// MACTHR, after how many bytes a frame begins to go out by itself.
    #[mmio(Write)]
    threshold: u32,
    /// MACMCTL, one access to a register of the PHY.
    #[mmio(PureRead, Write)]
    phy_control: u32,
    /// MACMDV, the divisor of the PHY's clock.
    #[mmio(Write)]
    phy_clock: u32,
    _reserved: u32,
    /// MACMTXD, what to write to the PHY.
    #[mmio(Write)]
    phy_write: u32,
    /// MACMRXD, what was read from the PHY.
    #[mmio(PureRead)]
    phy_read: u32,
    /// MACNP, how many whole frames there are.
    #[mmio(PureRead)]
    frames: u32,
    /// MACTR, a frame goes out.
    #[mmio(PureRead, Write)]
    transmission: u32,
}

/// Bits of MACRIS and MACIM.
pub(crate) mod interrupt {
    /// A frame was received.
    pub(crate) const RECEIVED: u32 = 1 << 0;
    /// A frame could not be sent.
    pub(crate) const TRANSMIT_ERROR: u32 = 1 << 1;
    /// The frame is sent.
    pub(crate) const TRANSMITTED: u32 = 1 << 2;
    /// A frame had no room in the FIFO.
    pub(crate) const OVERRUN: u32 = 1 << 3;
    /// A damaged frame was received.
    pub(crate) const RECEIVE_ERROR: u32 = 1 << 4;
}

/// Bits of MACRCTL.
pub(crate) mod receive {
    /// Frames are taken in.
    pub(crate) const ENABLE: u32 = 1 << 0;
    /// Those to groups too: IPv6 is nothing without them.
    pub(crate) const MULTICAST: u32 = 1 << 1;
    /// Not those with a wrong checksum.
    pub(crate) const REJECT_BAD: u32 = 1 << 3;
    /// Empties the FIFO.
    pub(crate) const RESET: u32 = 1 << 4;
}

/// Bits of MACTCTL.
pub(crate) mod transmit {
    /// Frames are sent.
    pub(crate) const ENABLE: u32 = 1 << 0;
    /// Short frames are made long enough.
    pub(crate) const PAD: u32 = 1 << 1;
    /// The checksum is made.
    pub(crate) const CHECKSUM: u32 = 1 << 2;
    /// Frames go out while others come in. (QEMU has this bit elsewhere, and no use for it.)
    pub(crate) const FULL_DUPLEX: u32 = 1 << 4;
}

/// The part of System Control with the clocks of the peripherals.
#[derive(Mmio)]
#[repr(C)]
pub(crate) struct SystemControl {
    _before: [u32; 0x100 / 4],
    /// RCGC0.
    #[mmio(PureRead, Write, Modify)]
    clocks0: u32,
    /// RCGC1.
    #[mmio(PureRead, Write, Modify)]
    clocks1: u32,
    /// RCGC2.
    #[mmio(PureRead, Write, Modify)]
    clocks2: u32,
    _between: [u32; (0x1E0 - 0x10C) / 4],
    /// USER_REG0 and USER_REG1, in which the board's maker left its address on the wire, three bytes each.
    #[mmio(PureRead)]
    user: [u32; 2],
}

/// The watchdog.
#[derive(Mmio)]
#[repr(C)]
pub(crate) struct Watchdog {
    /// WDTLOAD, from where it counts down, now and after each time that it arrives at zero.
    #[mmio(Write)]
    load: u32,
    _value: u32,
    /// WDTCTL.
    #[mmio(Write)]
    control: u32,
}

/// INTEN and RESEN in WDTCTL: the first time it interrupts, the second time it resets.
pub(crate) const WATCHDOG_ENABLE: u32 = 1 << 1 | 1 << 0;

/// A general-purpose timer.
#[derive(Mmio)]
#[repr(C)]
pub(crate) struct Timer {
    /// GPTMCFG: 0 is one timer of 32 bits.
    #[mmio(Write)]
    configuration: u32,
    /// GPTMTAMR.
    #[mmio(Write)]
    mode: u32,
    _mode_b: u32,
    /// GPTMCTL.
    #[mmio(Write)]
    control: u32,
    _reserved: [u32; 2],
    /// GPTMIMR.
    #[mmio(Write)]
    interrupts: u32,
    _status: [u32; 2],
    /// GPTMICR: writing a one clears an interrupt.
    #[mmio(Write)]
    clear: u32,
    /// GPTMTAILR, from where it counts down.
    #[mmio(Write)]
    load: u32,
}

/// TAMR in GPTMTAMR: one-shot.
pub(crate) const TIMER_ONE_SHOT: u32 = 1;
/// TAEN in GPTMCTL: it counts.
pub(crate) const TIMER_ENABLE: u32 = 1 << 0;
/// TATO in GPTMIMR and GPTMICR: it has arrived at zero.
pub(crate) const TIMER_TIMEOUT: u32 = 1 << 0;

/// TIMER0 in RCGC1.
pub(crate) const TIMER_CLOCK: u32 = 1 << 16;

/// WDT in RCGC0.
pub(crate) const WATCHDOG_CLOCK: u32 = 1 << 3;

/// EPHY0 and EMAC0 in RCGC2.
pub(crate) const ETHERNET_CLOCKS: u32 = 1 << 30 | 1 << 28;

/// The Ethernet MAC; taken once, by the driver.
pub(crate) fn ethernet() -> MmioEthernet<'static> {
    // SAFETY: the MAC's registers are there (data sheet, 16.5), and nothing else of this program has them.
    unsafe { Ethernet::new_mmio_at(0x4004_8000) }
}

/// The MAC's registers once more, for the interrupt's handler.
pub(crate) fn ethernet_in_interrupt() -> MmioEthernet<'static> {
    // SAFETY: as above; the handler only writes MACIM, in one access, and the driver never reads that.
    unsafe { Ethernet::new_mmio_at(0x4004_8000) }
}

/// System Control; taken in turns, before the service begins.
pub(crate) fn system_control() -> MmioSystemControl<'static> {
    // SAFETY: its registers are there (data sheet, 5.4), and nothing else has them at the same time.
    unsafe { SystemControl::new_mmio_at(0x400F_E000) }
}

/// Timer 0; taken once, by the board's clock.
pub(crate) fn timer() -> MmioTimer<'static> {
    // SAFETY: its registers are there (data sheet, 10.4), and nothing else of this program has them.
    unsafe { Timer::new_mmio_at(0x4003_0000) }
}

/// Timer 0 once more, for the interrupt's handler.
pub(crate) fn timer_in_interrupt() -> MmioTimer<'static> {
    // SAFETY: as above; the handler only writes GPTMICR, in one access, and the clock never reads that.
    unsafe { Timer::new_mmio_at(0x4003_0000) }
}

/// The watchdog; taken once, by the board.
pub(crate) fn watchdog() -> MmioWatchdog<'static> {
    // SAFETY: its registers are there (data sheet, 11.4), and nothing else of this program has them.
    unsafe { Watchdog::new_mmio_at(0x4000_0000) }
}
