//! The interrupts of the machine and its clock: sleeping until something happens, without ever taking an interrupt.
//!
//! The processor's own switch for interrupts stays off. A sleep (`wfi`) ends all the same when one is pending, and then it is
//! handled right here: no handler, and no race.

use greet_board::Instant;
use riscv::{asm, register::mie};

/// What the clock counts a second.
const TICKS_A_MICRO: u64 = 10;

/// The core-local interruptor: clock and timer of each hart.
#[derive(derive_mmio::Mmio)]
#[repr(C)]
struct Clint {
    _software: [u32; 0x1000],
    /// When the timer is due, of hart 0: the lower half, and the upper one.
    #[mmio(Write)]
    due_low: u32,
    #[mmio(Write)]
    due_high: u32,
    _others: [u32; 0x1ffc],
    #[mmio(PureRead)]
    time_low: u32,
    #[mmio(PureRead)]
    time_high: u32,
}

/// The platform's interrupt controller, as far as the one hart and the first 32 sources need it.
#[derive(derive_mmio::Mmio)]
#[repr(C)]
struct Plic {
    /// How urgent each source is; 0 is never.
    #[mmio(Write)]
    priority: [u32; 32],
    _other_sources: [u32; 0x7e0],
    /// Which of the first 32 sources hart 0 hears of.
    #[mmio(Write)]
    enabled: u32,
    _other_harts: [u32; 0x7_f7ff],
    /// More urgent than this a source must be.
    #[mmio(Write)]
    threshold: u32,
    /// A read claims an interrupt and returns its source; a write completes it.
    #[mmio(Read, Write)]
    claim: u32,
}

const CLINT: usize = 0x200_0000;
const PLIC: usize = 0xc00_0000;

/// The clock, and the one source of interrupts there is besides it.
pub(crate) struct Interrupts {
    clint: MmioClint<'static>,
    plic: MmioPlic<'static>,
}

impl Interrupts {
    /// Made once: `source` is the network card's.
    pub(crate) fn new(source: u32) -> Self {
        // SAFETY: both are at these addresses on this machine, and these are the only handles of them.
        let (clint, mut plic) = unsafe { (Clint::new_mmio_at(CLINT), Plic::new_mmio_at(PLIC)) };
        let _ = plic.write_priority(source as usize, 1); // there is none but the first 32
        plic.write_enabled(1 << source);
        plic.write_threshold(0);
        // SAFETY: interrupts stay off as a whole; these two end a sleep, and no handler ever runs.
        unsafe {
            mie::set_mext();
            mie::set_mtimer();
        }
        Self { clint, plic }
    }

    /// The time since the machine was switched on.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(self.ticks() / TICKS_A_MICRO)
    }

    /// Sleeps until `until`, or until an interrupt is pending.
    pub(crate) fn sleep(&mut self, until: Instant) {
        let due = until.as_micros().saturating_mul(TICKS_A_MICRO);
        let [a, b, c, d, e, f, g, h] = due.to_le_bytes();
        self.clint.write_due_high(u32::MAX); // never, while the lower half changes
        self.clint.write_due_low(u32::from_le_bytes([a, b, c, d]));
        self.clint.write_due_high(u32::from_le_bytes([e, f, g, h]));
        asm::wfi();
    }

    /// Calls `handle` if an interrupt is pending, and completes it.
    pub(crate) fn attend(&mut self, handle: impl FnOnce()) {
        let source = self.plic.read_claim();
        if source != 0 {
            handle();
            self.plic.write_claim(source);
        }
    }

    fn ticks(&self) -> u64 {
        loop {
            let high = self.clint.read_time_high();
            let low = self.clint.read_time_low();
            // Read once more: the lower half may have wrapped in between.
            if self.clint.read_time_high() == high {
                return u64::from(high) << 32 | u64::from(low);
            }
        }
    }
}
