//! What the stack runs into when it overflows. flip-link puts it at the beginning of the memory; what lies below swallows
//! writes on these boards and says nothing. So the memory protection unit makes that a fault.

/// Where the memory begins, as memory/others/memory.x has it.
const MEMORY: u32 = 0x2000_0000;
/// Guarded bytes below it, a power of two.
const GUARD: u32 = 4096;

/// Of the region's attributes: no execution, no access; its size; enabled.
const ATTRIBUTES: u32 = 1 << 28 | (GUARD.trailing_zeros() - 1) << 1 | 1;
/// Of the unit's control: it is on, and where it says nothing all is as without it.
const ON_WITH_BACKGROUND: u32 = 1 << 2 | 1;

/// From now on a stack that overflows is a fault.
pub(crate) fn arm() {
    let Some(core) = cortex_m::Peripherals::take() else { return }; // cannot be: this runs once
    let unit = core.MPU;
    // SAFETY: nothing of this program is in the region, and everywhere else nothing changes.
    unsafe {
        unit.rnr.write(0);
        unit.rbar.write(MEMORY - GUARD);
        unit.rasr.write(ATTRIBUTES);
        unit.ctrl.write(ON_WITH_BACKGROUND);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}
