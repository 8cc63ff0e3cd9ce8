//! Drivers for parts that several boards have.
//!
//! | module | what it is about |
//! | --- | --- |
//! | [`lan9118`] | the LAN9118 network card, as a smoltcp device |
//! | [`dual_timer`] | the dual timer of Arm's Cortex-M System Design Kit: a clock and an alarm |
//!
//! # Features
//!
//! - `defmt`: the errors implement `defmt::Format`.

#![no_std]

#[cfg(all(target_arch = "arm", target_os = "none"))]
pub mod dual_timer;
pub mod lan9118;
