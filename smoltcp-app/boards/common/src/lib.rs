//! The greeting service on any board.
//!
//! A board's `main` sets up its clock and its network card, and calls [`run`], which never returns. What `run` needs of a
//! board is the trait [`Board`]; what a board gives for memory is a static [`Memory`]. A firmware with work of its own, in a
//! superloop or in tasks of RTIC, makes a [`Service`] and calls its [`step`](Service::step).
//!
//! | module | what it is about |
//! | --- | --- |
//! | `board` | what the service needs of a board |
//! | `memory` | sockets, slots and buffers, which take no flash |
//! | `service` | the loop: poll, serve, log, wait |
//! | `report` | the log's lines |
//! | `routines` | copy, fill and division, smaller than the compiler's |
//! | `semihosting_log` | where the log goes in QEMU: dropped and counted if it is not read |
//! | `silence` | when a receiver that receives nothing is restarted |
//! | [`clock`] | microseconds from a hardware counter that wraps |
//! | [`cortex_m`] | for Cortex-M: a clock and a sleep without ticks, the vector table, faults |
//! | [`qemu`] | what QEMU provides to a board |
//! | [`failure`] | the end of a program that failed: logged, then an exit or a reset |
//!
//! # Features
//!
//! - `defmt`: the log. Without it nothing is logged, and the program is smaller.
//! - `ipv6`: besides IPv4, which is always there, with DHCP.
//! - `reassembly`: IP fragments are reassembled, which takes 14 KiB of RAM.
//! - `echo`: an echo server (RFC 862) on port 7, for [`ECHO_CLIENTS`] of the clients that [`Memory`] has room for.
//! - `small-routines`: copy, fill and division of 64 bits in 0.2 K of flash instead of 4 K; for a Cortex-M3 or larger.
//! - `qemu`: the board runs in QEMU. The log goes to the host by semihosting, and a failure ends QEMU with status 101.
//!   Without it a failure resets the board, and the board's own crate brings defmt's logger.

#![cfg_attr(target_os = "none", no_std)]

#[macro_use] // first: the others use its macros
mod log;

mod board;
pub mod clock;
#[cfg(all(target_arch = "arm", target_os = "none"))]
pub mod cortex_m;
#[cfg(target_os = "none")]
pub mod failure;
mod memory;
#[cfg(all(feature = "qemu", target_os = "none"))]
pub mod qemu;
mod report;
#[cfg(all(feature = "small-routines", target_arch = "arm", target_os = "none"))]
mod routines;
#[cfg(all(feature = "defmt", feature = "qemu", target_os = "none"))]
mod semihosting_log;
mod service;
mod silence;

#[cfg(feature = "defmt")]
#[doc(hidden)]
pub use defmt; // for the macros
pub use greet_core::Instant;
pub use static_cell::ConstStaticCell;

pub use self::{
    board::{Board, Identity, Link, Losses},
    memory::{ECHO_CLIENTS, Memory},
    service::{Service, run},
};
