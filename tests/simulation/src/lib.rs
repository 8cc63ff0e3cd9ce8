//! One conformance suite for every frontend of the greeting protocol.
//!
//! - [`vectors`], [`frontend`]: the conformance table and how it is run, from `greet-conformance`.
//! - [`machine`], [`memory`], [`socket`]: frontends: the bare machine of `greet-core`, the pool of `greet-smoltcp` on an
//!   Ethernet in memory ([`ether`]), and a server at a TCP address.
//! - [`simulation`]: the pool, its clients and an impaired link, on a virtual clock and from one seed.
//! - [`scene`]: one stack on a virtual clock, with frames that a test writes.
//! - [`dhcp`], [`frame`]: the answers of a DHCP server, and other frames.
//! - [`mutation`]: valid frames of every kind that a stack parses, and mutations of them.
//! - [`storm`]: a stack and a pool that receive any frames.
//! - [`replay`]: a stack and a pool that receive recorded frames.
//! - [`oracle`]: a second, naive implementation of the protocol, over a whole conversation.

use std::env;

pub use greet_conformance::{frontend, socket, vectors};

pub mod dhcp;
pub mod ether;
pub mod frame;
pub mod machine;
pub mod memory;
pub mod mutation;
pub mod oracle;
pub mod replay;
pub mod scene;
pub mod segment;
pub mod simulation;
pub mod storm;

/// Whether tests run to their full extent, even if that takes minutes: `tests/run full` sets the environment variable `GREET_TESTS`.
pub fn is_full() -> bool {
    env::var_os("GREET_TESTS").is_some_and(|value| value == "full")
}
