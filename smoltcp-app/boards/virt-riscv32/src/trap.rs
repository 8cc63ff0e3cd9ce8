//! What ends the program when the processor cannot go on, and how an overflow of the stack comes to be such a case.

use core::arch::naked_asm;

use greet_board::{error, failure};
use riscv::register::{Permission, Range, mcause, mepc, mtval, mtvec, mtvec::TrapMode, pmpaddr0, pmpcfg0};

unsafe extern "C" {
    /// The page below the stack.
    static _stack_guard: u8;
}

/// How long that is.
const GUARD: usize = 4096;

/// The stack of a trap: the program's own may have overflowed.
#[repr(C, align(16))]
struct Stack([u8; STACK]);
const STACK: usize = 8192;
static mut TRAP_STACK: Stack = Stack([0; STACK]);

/// From now on nothing is read from or written to the page below the stack, and traps go to [`trap`].
pub(crate) fn arm() {
    let guard = &raw const _stack_guard as usize;
    // SAFETY: nobody uses this page, and the entry is locked: it holds in machine mode too. The lower bits that
    // are set say how long the page is.
    unsafe {
        pmpaddr0::write(guard >> 2 | (GUARD >> 3) - 1);
        let _ = pmpcfg0::try_set_pmp(0, Range::NAPOT, Permission::NONE, true);
    }
    if let Ok(vector) = mtvec::Mtvec::try_new(trap as *const () as usize, TrapMode::Direct) {
        // SAFETY: `trap` is aligned as it must be, needs nothing of what was interrupted, and never returns.
        unsafe { mtvec::write(vector) };
    }
}

/// Where the processor goes. No interrupt is ever taken, so this is a fault.
#[unsafe(naked)]
#[rustfmt::skip]
extern "C" fn trap() -> ! {
    naked_asm!(
        ".balign 4",
        "la sp, {stack}",
        "li t0, {length}",
        "add sp, sp, t0",
        "j {report}",
        stack = sym TRAP_STACK,
        length = const STACK,
        report = sym report,
    )
}

extern "C" fn report() -> ! {
    let (cause, place, value) = (mcause::read().bits(), mepc::read(), mtval::read());
    let guard = &raw const _stack_guard as usize;
    if !failure::is_first() {
    } else if (guard..guard.saturating_add(GUARD)).contains(&value) {
        error!("fault at {=usize:#010x}: the stack overflowed", place);
    } else {
        error!("fault {=usize} at {=usize:#010x}, value {=usize:#010x}", cause, place, value);
    }
    failure::end()
}
