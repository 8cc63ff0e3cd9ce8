//! Network drivers made for embassy-net as smoltcp devices, for a loop that polls and sleeps.
//!
//! A driver for embassy-net implements embassy's own trait, and wakes a task when there are frames. Here a loop, not a task,
//! polls, and sleeps when it has nothing to do. The parts:
//!
//! | module | content |
//! | --- | --- |
//! | `adapter` | [`Adapter`]: the driver as a `smoltcp::phy::Device` |
//! | `wake_flag` | [`WakeFlag`]: the flag that a driver's waker sets |
//! | `rest` | [`Rest`]: sleeping until a flag is set or until a given time, while a driver's own task is polled; and [`now`] |
//! | `address` | [`hardware_address`]: a MAC address for a board without one; [`seed`]: a random seed from weakly random bits |

#![no_std]
#![deny(unsafe_code)] // except for the waker of a flag

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
