//! Whether standard output was closed when the program started. Only Linux tells.
//!
//! Before `main` the standard library opens `/dev/null` for reading and writing in place of a closed descriptor. That is also what
//! Python's `subprocess.DEVNULL` is, so that it cannot be told apart later.

use core::sync::atomic::{AtomicBool, Ordering};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard output was closed when the program started.
pub(crate) fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}

#[cfg(target_os = "linux")]
extern "C" fn look() {
    use nix::libc;
    // SAFETY: it only reads a flag of a descriptor, and fails if that is not open.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags == -1, Ordering::Relaxed);
}

// SAFETY: the C library calls each function in this section once, before `main`. `look` needs nothing that is set up later.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
