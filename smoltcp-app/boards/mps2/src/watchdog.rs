//! The watchdog (Cortex-M System Design Kit, chapter 4.5): a program that hangs is ended, and not in silence.

use cortex_m_rt::exception;
use greet_board::{error, failure};

use crate::machine::MACHINE;

/// So long the loop may not go round before that is taken for a hang. (After as long again the board is reset.)
const PATIENCE_SECONDS: u32 = 10;

const LOAD: u32 = MACHINE.frequency.saturating_mul(PATIENCE_SECONDS);

/// Of `control`: the first time it interrupts, the second time it resets.
const INTERRUPT_AND_RESET: u32 = 1 << 1 | 1;

#[derive(derive_mmio::Mmio)]
#[repr(C)]
struct Registers {
    /// From where it counts down, now and after each time that it arrives at zero.
    #[mmio(Write)]
    load: u32,
    _value: u32,
    #[mmio(Write)]
    control: u32,
}

/// A watchdog that waits.
pub(crate) struct Watchdog {
    registers: MmioRegisters<'static>,
}

impl Watchdog {
    /// Made once: from now on it has to be told that all is well.
    pub(crate) fn new() -> Self {
        // SAFETY: the registers are there on this machine, and nothing else of this program has them.
        let mut registers = unsafe { Registers::new_mmio_at(MACHINE.watchdog) };
        registers.write_load(LOAD);
        registers.write_control(INTERRUPT_AND_RESET);
        Self { registers }
    }

    /// All is well.
    pub(crate) fn tell(&mut self) {
        self.registers.write_load(LOAD);
    }
}

/// The loop does not go round any more.
#[exception]
unsafe fn NonMaskableInt() {
    if failure::is_first() {
        error!("the watchdog was not told for {=u32} s that all is well", PATIENCE_SECONDS);
    }
    failure::end()
}
