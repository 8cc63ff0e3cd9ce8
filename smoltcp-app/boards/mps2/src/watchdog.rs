//! The watchdog (Cortex-M System Design Kit, chapter 4.5): a program that hangs is ended, and not in silence.

use cortex_m_rt::exception;
use greet_board::{error, failure};

use crate::variant::VARIANT;

/// The watchdog's timeout: after it the interrupt ends the program, after twice as long the board is reset.
const WATCHDOG_SECONDS: u32 = 10;

const LOAD: u32 = VARIANT.frequency.saturating_mul(WATCHDOG_SECONDS);

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

/// A running watchdog.
pub(crate) struct Watchdog {
    registers: MmioRegisters<'static>,
}

impl Watchdog {
    /// Starts it; made once. From now on it has to be reset in time.
    pub(crate) fn new() -> Self {
        // SAFETY: the registers are there on this board, and nothing else of this program has them.
        let mut registers = unsafe { Registers::new_mmio_at(VARIANT.watchdog) };
        registers.write_load(LOAD);
        registers.write_control(INTERRUPT_AND_RESET);
        Self { registers }
    }

    /// Resets its timeout.
    pub(crate) fn reset(&mut self) {
        self.registers.write_load(LOAD);
    }
}

/// The loop has stopped.
#[exception]
unsafe fn NonMaskableInt() {
    if failure::is_first() {
        error!("the watchdog was not reset for {=u32} s", WATCHDOG_SECONDS);
    }
    failure::end()
}
