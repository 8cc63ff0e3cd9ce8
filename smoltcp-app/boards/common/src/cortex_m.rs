//! For Cortex-M: a clock and a sleep without ticks, the vector table, and faults.

use cortex_m::{asm, interrupt};
use cortex_m_rt::{ExceptionFrame, exception};
use greet_core::Instant;

use crate::{clock::CounterClock, failure};

/// A board's timer hardware: a counter that never stops, and an alarm.
pub trait Timer {
    /// The width of the counter in bits.
    const BITS: u32;

    /// The counter, counting up.
    fn count(&self) -> u32;

    /// Sets the alarm: one interrupt after `ticks` ticks, in place of an earlier alarm. Its handler clears the interrupt.
    fn set_alarm(&mut self, ticks: u32);
}

/// A clock in microseconds, and a sleep that ends in time.
#[derive(Debug)]
pub struct TimerClock<T> {
    timer: T,
    clock: CounterClock,
}

impl<T: Timer> TimerClock<T> {
    /// A clock that starts at 0 now; `frequency` is the timer's, in Hz.
    #[must_use]
    pub fn new(timer: T, frequency: u32) -> Self {
        let clock = CounterClock::new(T::BITS, frequency, timer.count());
        Self { timer, clock }
    }

    /// The time since the start.
    pub fn now(&mut self) -> Instant {
        self.clock.read(self.timer.count())
    }

    /// Sleeps until `until`, or until `is_due` returns true; `is_due` is called again after each interrupt, with interrupts
    /// held back.
    pub fn wait(&mut self, until: Instant, mut is_due: impl FnMut() -> bool) {
        while let Some(ticks) = self.ticks(until) {
            // An interrupt, and the alarm too, that comes between the question and the sleep is held back, and ends the sleep
            // at once.
            let due = interrupt::free(|_| {
                let due = is_due();
                if !due {
                    self.timer.set_alarm(ticks);
                    asm::dsb();
                    asm::wfi();
                }
                due
            });
            if due {
                return;
            }
        }
    }

    /// Sets the alarm for `until`, or for an earlier time if it is far away. False if `until` has passed: then there is none.
    pub fn set_alarm(&mut self, until: Instant) -> bool {
        let ticks = self.ticks(until);
        if let Some(ticks) = ticks {
            self.timer.set_alarm(ticks);
        }
        ticks.is_some()
    }

    /// The ticks until `until`, as many as an alarm can have; `None` if it has passed.
    fn ticks(&mut self, until: Instant) -> Option<u32> {
        let now = self.now();
        (now < until).then(|| self.clock.ticks(until.as_micros().saturating_sub(now.as_micros())))
    }
}

/// The handler of an interrupt.
pub type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    #[link_name = "DefaultHandler"]
    fn default_handler();
}

/// The interrupts' part of a vector table, with these handlers at these numbers; all others lead to a failure.
///
/// # Panics
/// Where a number is no less than `COUNT`; in a constant, as a board makes it, that is an error when it is compiled.
#[must_use]
pub const fn interrupts<const COUNT: usize, const USED: usize>(used: [(usize, Handler); USED]) -> [Handler; COUNT] {
    let mut table: [Handler; COUNT] = [default_handler; COUNT];
    let mut index = 0;
    while index < USED {
        let (number, handler) = used[index];
        table[number] = handler;
        index += 1;
    }
    table
}

/// Where a hard fault leads first: to a stack that can be used, and on to [`hard_fault`].
///
/// Where the stack overflowed (flip-link puts it below everything else, so that it leaves the memory), the frame that the
/// processor pushes could not be written. CFSR says so, by STKERR or MSTKERR; where there is no CFSR, it reads as 0.
// SAFETY: the name is the vector's, and nothing else has it.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn HardFault() -> ! {
    core::arch::naked_asm!(
        "mrs r0, MSP",
        "ldr r1, =0xE000ED28", // CFSR
        "ldr r1, [r1]",
        "ldr r2, =0x1010", // STKERR, MSTKERR
        "tst r1, r2",
        "beq 1f",
        "movs r0, #0",
        "ldr r1, =_stack_start",
        "mov sp, r1",
        "1:",
        "bl {hard_fault}",
        hard_fault = sym hard_fault,
    )
}

/// Logs the fault and ends the program.
extern "C" fn hard_fault(frame: Option<&ExceptionFrame>) -> ! {
    match frame {
        _ if !failure::is_first() => {}
        Some(frame) => error!("hard fault at {=u32:#010x}, called from {=u32:#010x}", frame.pc(), frame.lr()),
        None => error!("hard fault: the stack overflowed"),
    }
    failure::end()
}

/// An interrupt without a handler.
#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    if failure::is_first() {
        error!("unexpected interrupt {=i16}", number);
    }
    failure::end()
}
