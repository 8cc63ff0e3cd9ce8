//! Whatever embassy has a network driver for, as a device of smoltcp's, for a loop that polls and sleeps.
//!
//! A driver for embassy-net implements a trait of its own, and tells of frames by waking a task. Here is no task: a loop
//! polls, and sleeps when there is nothing to do. So there are three parts:
//!
//! | module | what it is about |
//! | --- | --- |
//! | `adapter` | [`Adapter`]: the driver as a `smoltcp::phy::Device` |
//! | `bell` | [`Bell`]: what a driver wakes, which is heard however late somebody listens |
//! | `rest` | [`Rest`]: sleeping until a bell rings or a time has come; a driver's own task goes on meanwhile; and [`now`] |
//! | `address` | [`hardware_address`]: an address on the wire for a board that was given none; [`seed`]: of weak random bits |

#![no_std]
#![deny(unsafe_code)] // but for the waker of a bell

mod adapter;
mod address;
mod bell;
mod rest;

pub use self::{
    adapter::{Adapter, NotEthernet, RxToken, TxToken},
    address::{hardware_address, seed},
    bell::Bell,
    rest::{Rest, now},
};
