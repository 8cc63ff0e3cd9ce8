//! Faults: how they end the program, and how a stack overflow becomes one.

use core::arch::global_asm;

use greet_board::{error, failure};
use riscv::register::{Permission, Range, mcause, mepc, mtval, pmpaddr0, pmpcfg0};

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

// Where the processor goes, from the start on: riscv-rt takes this in the place of its own, by its name. No interrupt is ever
// taken, so it is a fault.
global_asm!(
    ".section .text.trap, \"ax\"",
    ".balign 4", // or the processor would go elsewhere
    ".global _start_trap",
    "_start_trap:",
    "mv a0, ra",
    "la sp, {stack}",
    "li t0, {length}",
    "add sp, sp, t0",
    "j {report}",
    stack = sym TRAP_STACK,
    length = const STACK,
    report = sym report,
);

/// From now on nothing is read from or written to the page below the stack.
pub(crate) fn guard_stack() {
    let guard = &raw const _stack_guard as usize;
    // SAFETY: no code uses this page, and the entry is locked: it holds in machine mode too. The lower bits that are set say
    // how long the page is.
    unsafe {
        pmpaddr0::write((guard >> 2) | ((GUARD >> 3) - 1));
        // Fails where there is no entry 0, and there is.
        let _ = pmpcfg0::try_set_pmp(0, Range::NAPOT, Permission::NONE, true);
    }
}

/// Logs the fault and ends the program.
extern "C" fn report(caller: usize) -> ! {
    let (cause, place, value) = (mcause::read().bits(), mepc::read(), mtval::read());
    let guard = &raw const _stack_guard as usize;
    if !failure::is_first() {
        // What fails now may be the log itself.
    } else if (guard..guard.saturating_add(GUARD)).contains(&value) {
        error!("hard fault: the stack overflowed");
    } else {
        error!(
            "hard fault at {=usize:#010x}, called from {=usize:#010x}: cause {=usize}, value {=usize:#x}",
            place, caller, cause, value
        );
    }
    failure::end()
}
