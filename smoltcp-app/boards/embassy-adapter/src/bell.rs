//! What a driver wakes: a bell that is heard however late somebody listens.

use core::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    task::{RawWaker, RawWakerVTable, Waker},
};

/// A bell that its wakers ring, from interrupts too. It stays rung until it is heard, so that what happens between looking
/// and falling asleep is not slept over.
///
/// A new bell is rung: whoever listens to it has to look once before there is anything to wait for.
#[derive(Debug)]
pub struct Bell {
    rung: AtomicBool,
}

/// What a waker of a bell does: it is a pointer to the bell.
static WAKER: RawWakerVTable = RawWakerVTable::new(copy, ring, ring, nothing);

impl Bell {
    /// A bell, rung.
    #[must_use]
    pub const fn new() -> Self {
        Self { rung: AtomicBool::new(true) }
    }

    /// Rings it.
    pub fn ring(&self) {
        self.rung.store(true, Ordering::Release);
    }

    /// Whether it was rung and not heard since.
    #[must_use]
    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Whether it was rung; now it is heard. Who hears it looks at everything that it may have been rung for, after this.
    #[must_use]
    pub fn hear(&self) -> bool {
        // Two steps, as not every Cortex-M can exchange in one. A ring between them is heard too: the answer is yes then.
        let rung = self.is_rung();
        if rung {
            self.rung.store(false, Ordering::Release);
        }
        rung
    }

    /// A waker that rings it.
    #[must_use]
    #[expect(unsafe_code, reason = "a waker without memory of its own is made of a raw one")]
    pub fn waker(&'static self) -> Waker {
        // SAFETY: the table's functions take the pointer for a bell that lives for ever, and this is one. It may be rung by
        // anybody at any time, being atomic; a copy is the same pointer, and nothing is to be freed.
        unsafe { Waker::from_raw(raw(ptr::from_ref(self).cast())) }
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

fn raw(bell: *const ()) -> RawWaker {
    RawWaker::new(bell, &WAKER)
}

fn copy(bell: *const ()) -> RawWaker {
    raw(bell)
}

#[expect(unsafe_code, reason = "the pointer of a raw waker has no type")]
fn ring(bell: *const ()) {
    // SAFETY: this is in the table of a bell's waker and nowhere else; the pointer is that to a bell which lives for ever.
    unsafe { &*bell.cast::<Bell>() }.ring();
}

fn nothing(_: *const ()) {}
