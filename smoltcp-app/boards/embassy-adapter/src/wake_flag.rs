//! The flag that a driver's waker sets: it stays set until the loop takes it.

use core::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    task::{RawWaker, RawWakerVTable, Waker},
};

/// A flag that its wakers set, also from interrupts. It stays set until it is taken, so an event between a poll and the sleep
/// ends the sleep.
///
/// A new flag is set: the loop polls once before it sleeps.
#[derive(Debug)]
pub struct WakeFlag {
    is_set: AtomicBool,
}

/// The functions of its wakers, whose data is a pointer to the flag.
static WAKER: RawWakerVTable = RawWakerVTable::new(copy, set, set, nothing);

impl WakeFlag {
    /// A flag that is set.
    #[must_use]
    pub const fn new() -> Self {
        Self { is_set: AtomicBool::new(true) }
    }

    /// Sets it.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Clears it and returns whether it was set. The caller then polls everything that may have set it.
    #[must_use]
    pub fn take(&self) -> bool {
        // Two steps, because not every Cortex-M has an atomic swap. If the flag is set between them, the result is true.
        let was_set = self.is_set();
        if was_set {
            self.is_set.store(false, Ordering::Release);
        }
        was_set
    }

    /// A waker that sets it.
    #[must_use]
    #[expect(unsafe_code, reason = "a waker without memory of its own is made of a raw one")]
    pub fn waker(&'static self) -> Waker {
        // SAFETY: the table's functions expect a pointer to a static flag, and this is one. It is atomic, so it may be set from
        // anywhere; a copy is the same pointer, and nothing has to be freed.
        unsafe { Waker::from_raw(raw(ptr::from_ref(self).cast())) }
    }
}

impl Default for WakeFlag {
    fn default() -> Self {
        Self::new()
    }
}

fn raw(flag: *const ()) -> RawWaker {
    RawWaker::new(flag, &WAKER)
}

fn copy(flag: *const ()) -> RawWaker {
    raw(flag)
}

#[expect(unsafe_code, reason = "the pointer of a raw waker has no type")]
fn set(flag: *const ()) {
    // SAFETY: only the table of a flag's waker has this function; the pointer is that of a static flag.
    unsafe { &*flag.cast::<WakeFlag>() }.set();
}

fn nothing(_: *const ()) {}
