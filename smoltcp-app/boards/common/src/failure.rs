//! The end of a program that failed: the failure is logged, then QEMU exits or the board resets.

use core::{
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use greet_core::Instant;

/// The exit status of QEMU after a failure: that of a panic on a host.
#[cfg(feature = "qemu")]
const STATUS: i32 = 101;

/// Something has failed before.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether this is the first failure. Only that one is logged: what fails then may be the log itself.
pub fn is_first() -> bool {
    let is = !FAILED.load(Ordering::Relaxed);
    FAILED.store(true, Ordering::Relaxed);
    is
}

/// Ends the program: with QEMU, or with a reset of the board.
pub fn end() -> ! {
    #[cfg(all(feature = "defmt", feature = "qemu"))]
    crate::semihosting_log::last_flush();
    #[cfg(feature = "qemu")]
    semihosting::process::exit(STATUS);
    #[cfg(all(not(feature = "qemu"), target_arch = "arm"))]
    ::cortex_m::peripheral::SCB::sys_reset();
    #[cfg(all(not(feature = "qemu"), not(target_arch = "arm")))]
    compile_error!("say here how a board of this architecture is reset");
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    if is_first() {
        #[cfg(feature = "defmt")]
        {
            let (file, line) = info.location().map_or(("?", 0), |location| (location.file(), location.line()));
            defmt::error!("panicked at {=str}:{=u32}: {}", file, line, defmt::Display2Format(&info.message()));
        }
        let _ = info;
    }
    end()
}

/// What `panic!` of defmt and its like come to, which have logged already.
#[cfg(feature = "defmt")]
#[defmt::panic_handler]
fn panicked_with_log() -> ! {
    end()
}

/// Fails as `GREET_FAIL` demands at build time, to test what happens then.
pub(crate) fn on_purpose() {
    match option_env!("GREET_FAIL") {
        Some("panic") => unreachable!("on purpose"),
        #[cfg(target_arch = "arm")]
        Some("fault") => ::cortex_m::asm::udf(),
        #[cfg(target_arch = "riscv32")]
        // SAFETY: it is an instruction that there is none of, and whatever comes of it is what is to be seen.
        Some("fault") => unsafe { core::arch::asm!("unimp") },
        Some("overflow") => _ = overflow(0),
        Some("hang") => loop {
            core::hint::spin_loop();
        },
        _ => {}
    }
}

/// Whether the network card is to go deaf, as `GREET_FAIL=deaf` says: in the tenth second, when clients are there.
pub(crate) fn is_deaf_now(now: Instant) -> bool {
    matches!(option_env!("GREET_FAIL"), Some("deaf")) && matches!(now.as_micros(), 10_000_000..11_000_000)
}

/// Needs more stack than there is.
fn overflow(depth: usize) -> usize {
    let used = core::hint::black_box([depth; 64]);
    if depth == usize::MAX { 0 } else { overflow(depth.wrapping_add(1)).wrapping_add(used[0]) }
}
