//! The clock's hardware, a dual timer (Cortex-M System Design Kit, chapter 4.4): the first counts, the second is the alarm.

use greet_board::cortex_m::Timer;

use crate::variant::VARIANT;

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

/// Both timers.
pub(crate) struct DualTimer {
    counter: MmioRegisters<'static>,
    alarm: MmioRegisters<'static>,
}

impl DualTimer {
    /// Starts them; made once.
    pub(crate) fn new() -> Self {
        // SAFETY: the registers are there on this board, and nothing else of this program has them.
        let mut counter = unsafe { Registers::new_mmio_at(VARIANT.timer) };
        counter.write_control(FREE_RUNNING);
        let mut alarm = alarm();
        alarm.write_load(LATE);
        alarm.write_control(ONE_SHOT);
        Self { counter, alarm }
    }
}

/// The second timer; taken by the clock, and by the interrupt's handler.
fn alarm() -> MmioRegisters<'static> {
    // SAFETY: the registers are there on this board; the handler only writes `clear`, and the clock never does.
    unsafe { Registers::new_mmio_at(VARIANT.timer + SECOND) }
}

impl Timer for DualTimer {
    const BITS: u32 = u32::BITS;

    fn count(&self) -> u32 {
        !self.counter.read_value()
    }

    fn set_alarm(&mut self, ticks: u32) {
        self.alarm.write_load(ticks);
    }
}

/// The alarm's interrupt: that it ends a sleep is all that it is for.
pub(crate) extern "C" fn on_alarm() {
    alarm().write_clear(1);
}
