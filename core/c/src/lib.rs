//! The machines of the greeting protocol for C: a static library whose header is `greet.h`.
//!
//! | module | content |
//! | --- | --- |
//! | `server` | the functions of a server |
//! | `echo` | the functions of an echo server |
//! | `machine` | what all machines have in common |
//! | `delivery` | how long a connection is kept after its machine is over |
//! | `memory` | machines in the caller's storage, and the caller's buffers |
//!
//! `docs/c.md` shows how a firmware uses it. A server's capacity is decided when the library is built, by the environment
//! variable `GREET_NAME_CAPACITY`.
//!
//! No function allocates, keeps global state, or can panic: a test links them all for a microcontroller and looks for it.

#![cfg_attr(target_os = "none", no_std)]
#![allow(unexpected_cfgs, reason = "deliberate_panic is set on the compiler's command line")]

pub mod delivery;
pub mod echo;
pub mod machine;
mod memory;
pub mod server;

/// Later than every time: no deadline, or no timeout.
pub const GREET_NEVER: u64 = u64::MAX;

/// A program for C needs one from this library. No function of it reaches this.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
