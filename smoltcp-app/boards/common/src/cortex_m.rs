//! For Cortex-M: SysTick as a clock, sleeping without missing an interrupt, and faults.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::{
    asm, interrupt,
    peripheral::{SCB, SYST, syst::SystClkSource},
};
use cortex_m_rt::{ExceptionFrame, exception};
use greet_core::Instant;

use crate::{clock::Monotonic, failure};

const MICROS_A_TICK: u32 = 1000;
const TICKS_A_SECOND: u32 = 1_000_000 / MICROS_A_TICK;

/// How many ticks are over; it wraps.
static TICKS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    // Nobody else writes it, so this need not be one step, which not every Cortex-M has.
    TICKS.store(TICKS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// A clock in microseconds, by SysTick.
#[derive(Debug)]
pub struct SysTickClock {
    cycles_a_tick: u32,
    monotonic: Monotonic,
}

impl SysTickClock {
    /// Starts SysTick, whose counter goes on at `frequency` (in Hz) with the processor's own clock: a tick of 1 ms.
    #[must_use]
    pub fn new(mut systick: SYST, frequency: u32) -> Self {
        let cycles_a_tick = (frequency / TICKS_A_SECOND).max(2);
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(cycles_a_tick.saturating_sub(1));
        systick.clear_current();
        systick.enable_interrupt();
        systick.enable_counter();
        Self { cycles_a_tick, monotonic: Monotonic::new(MICROS_A_TICK) }
    }

    /// The time since the start.
    pub fn now(&mut self) -> Instant {
        // The counter begins anew before its interrupt is handled. So a tick that is over and not counted is looked for, and
        // then the counter is read again: the first reading may be from before its end.
        let (ticks, left) = interrupt::free(|_| {
            let ticks = TICKS.load(Ordering::Relaxed);
            let left = SYST::get_current();
            if SCB::is_pendst_pending() { (ticks.wrapping_add(1), SYST::get_current()) } else { (ticks, left) }
        });
        // It counts down; at 0 the tick is over already.
        let cycles = if left == 0 { 0 } else { self.cycles_a_tick.saturating_sub(left) };
        let micros = cycles.saturating_mul(MICROS_A_TICK) / self.cycles_a_tick;
        self.monotonic.read(ticks, micros)
    }

    /// Sleeps until `until`, or until `is_due` says that there is something to do; it is asked again after each interrupt,
    /// with interrupts held back.
    pub fn wait(&mut self, until: Instant, mut is_due: impl FnMut() -> bool) {
        while self.now() < until {
            // An interrupt that comes between the question and the sleep is held back, and ends the sleep at once.
            let due = interrupt::free(|_| {
                let due = is_due();
                if !due {
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

/// An interrupt that nobody enabled.
#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    if failure::is_first() {
        error!("unexpected interrupt {=i16}", number);
    }
    failure::end()
}
