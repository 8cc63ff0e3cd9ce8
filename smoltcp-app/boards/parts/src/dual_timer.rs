//! A dual timer (Cortex-M System Design Kit, chapter 4.4) as a clock's hardware: the first counts, the second is the alarm.

use greet_board::cortex_m::Timer;

/// One of the two timers.
#[derive(derive_mmio::Mmio)]
#[repr(C)]
struct Registers {
    /// From where it counts down; a write starts it there.
    #[mmio(Write)]
    load: u32,
    #[mmio(PureRead)]
    value: u32,
    #[mmio(Write)]
    control: u32,
    /// Any write clears the interrupt.
    #[mmio(Write)]
    clear: u32,
}

/// Where the second timer's registers are, from those of the first on.
const SECOND: usize = 0x20;

/// Of `control`: it counts 32 bits, and continues with the highest value after zero.
const FREE_RUNNING: u32 = 1 << 7 | 1 << 1;
/// Of `control`: it counts 32 bits, once from `load` to zero, and interrupts there.
const ONE_SHOT: u32 = 1 << 7 | 1 << 6 | 1 << 5 | 1 << 1 | 1;
/// The alarm before it is set: as late as possible.
const LATE: u32 = u32::MAX;

/// Both timers, whose registers are at `ADDRESS`. Its interrupt leads to [`on_alarm`].
pub struct DualTimer<const ADDRESS: usize> {
    counter: MmioRegisters<'static>,
    alarm: MmioRegisters<'static>,
}

impl<const ADDRESS: usize> DualTimer<ADDRESS> {
    /// Starts them; made once.
    ///
    /// # Safety
    /// At `ADDRESS` is a dual timer, and nothing else of the program uses it.
    #[must_use]
    pub unsafe fn new() -> Self {
        // SAFETY: the caller states that the registers are there, and nothing else has them.
        let mut counter = unsafe { Registers::new_mmio_at(ADDRESS) };
        counter.write_control(FREE_RUNNING);
        // SAFETY: the same.
        let mut alarm = unsafe { alarm::<ADDRESS>() };
        alarm.write_load(LATE);
        alarm.write_control(ONE_SHOT);
        Self { counter, alarm }
    }
}

/// The second timer; taken by the clock, and by the interrupt's handler.
///
/// # Safety
/// At `ADDRESS` is a dual timer. The handler only writes `clear`, and the clock never does.
unsafe fn alarm<const ADDRESS: usize>() -> MmioRegisters<'static> {
    // SAFETY: the caller states it.
    unsafe { Registers::new_mmio_at(ADDRESS + SECOND) }
}

impl<const ADDRESS: usize> Timer for DualTimer<ADDRESS> {
    const BITS: u32 = u32::BITS;

    fn count(&self) -> u32 {
        !self.counter.read_value()
    }

    fn set_alarm(&mut self, ticks: u32) {
        self.alarm.write_load(ticks);
    }
}

/// The handler of the alarm's interrupt: that it ends a sleep is all that it is for.
pub extern "C" fn on_alarm<const ADDRESS: usize>() {
    // SAFETY: only an alarm that was set interrupts, so the timer is there; and this writes `clear` alone.
    unsafe { alarm::<ADDRESS>() }.write_clear(1);
}
