//! Network drivers made for embassy-net as smoltcp devices, for a loop that polls and sleeps.
//!
//! A driver for embassy-net implements a trait of its own, and tells of frames by waking a task. Here is no task: a loop
//! polls, and sleeps when there is nothing to do. So there are three parts:
//!
//! | module | what it is about |
//! | --- | --- |
//! | `adapter` | [`Adapter`]: the driver as a `smoltcp::phy::Device` |
//! | `wake_flag` | [`WakeFlag`]: the flag that a driver's waker sets |
//! | `rest` | [`Rest`]: sleeping until a flag is set or until a given time, while a driver's own task is polled; and [`now`] |
//! | `address` | [`hardware_address`]: an address on the wire for a board that was given none; [`seed`]: of weak random bits |

#![no_std]
#![deny(unsafe_code)] // but for the waker of a flag

mod adapter;
mod address;
mod rest;
mod wake_flag;

pub use self::{
    adapter::{Adapter, NotEthernet, RxToken, TxToken},
    address::{hardware_address, seed},
    rest::{Rest, now},
    wake_flag::WakeFlag,
};
