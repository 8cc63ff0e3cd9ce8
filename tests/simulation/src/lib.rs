//! One conformance suite for every frontend of the greeting protocol.
//!
//! - [`vectors`], [`frontend`]: the table of cases and how a server is put to it, of `greet-conformance`.
//! - [`machine`], [`memory`], [`socket`]: such servers; the bare machine of `greet-core`, the pool of `greet-smoltcp` on an
//!   Ethernet in memory ([`ether`]), and a server at a TCP address.
//! - [`simulation`]: the pool, its clients and a bad wire between them, on a virtual clock and all from one seed.
//! - [`scene`]: one stack on a virtual clock, and frames that a test writes.
//! - [`mutation`]: frames of every kind that a stack reads, and mutations of them.
//! - [`oracle`]: the protocol once more, naively, over a whole conversation.

use std::env;

pub use greet_conformance::{frontend, socket, vectors};

pub mod ether;
pub mod machine;
pub mod memory;
pub mod mutation;
pub mod oracle;
pub mod scene;
pub mod segment;
pub mod simulation;

/// Whether tests do all they can, however long it takes: `tests/run full` sets the environment variable `GREET_TESTS`.
pub fn is_full() -> bool {
    env::var_os("GREET_TESTS").is_some_and(|value| value == "full")
}
