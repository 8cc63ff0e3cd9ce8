//! The clock's hardware: SysTick as the counter, and timer 0 as the alarm.
//!
//! Timer 0 alone would do on silicon, but QEMU's model does not let its value be read.

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use greet_board::cortex_m::Timer;

use crate::registers::{
    MmioTimer, TIMER_ENABLE, TIMER_ONE_SHOT, TIMER_TIMEOUT, timer as timer_registers, timer_in_interrupt,
};

/// SysTick's highest value, from where it counts down.
const RELOAD: u32 = 0xFF_FFFF;

/// Both timers.
pub(crate) struct Timers {
    alarm: MmioTimer<'static>,
}

impl Timers {
    /// Starts SysTick, without its interrupt; timer 0's clock has to run.
    pub(crate) fn new(mut counter: SYST) -> Self {
        counter.set_clock_source(SystClkSource::Core);
        counter.set_reload(RELOAD);
        counter.clear_current();
        counter.enable_counter();
        let mut alarm = timer_registers();
        alarm.write_control(0);
        alarm.write_configuration(0);
        alarm.write_mode(TIMER_ONE_SHOT);
        alarm.write_interrupts(TIMER_TIMEOUT);
        Self { alarm }
    }
}

impl Timer for Timers {
    const BITS: u32 = RELOAD.count_ones();

    fn count(&self) -> u32 {
        RELOAD - (SYST::get_current() & RELOAD)
    }

    fn set_alarm(&mut self, ticks: u32) {
        self.alarm.write_control(0);
        self.alarm.write_load(ticks);
        self.alarm.write_control(TIMER_ENABLE);
    }
}

/// The alarm's interrupt: that it ends a sleep is all that it is for.
pub(crate) extern "C" fn on_alarm() {
    timer_in_interrupt().write_clear(TIMER_TIMEOUT);
}
