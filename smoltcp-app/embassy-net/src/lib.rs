//! The server of the greeting protocol over embassy-net, for firmware that uses embassy: without allocation.
//!
//! [`serve()`] serves as many concurrent clients as it is given memory for; it is one future, for one task. To use one task for
//! each client, call it in each task with one [`Memory`].
//!
//! ```no_run
//! use greet_embassy_net::{Memory, Settings, serve};
//!
//! async fn greet(stack: embassy_net::Stack<'static>, memory: &mut [Memory<256, 2048>; 4]) -> ! {
//!     serve(stack, &Settings::default(), memory, &|_event| ()).await
//! }
//! ```
//!
//! embassy-net's `StackResources` needs one socket for each client, besides its own.
//!
//! | module | content |
//! | --- | --- |
//! | `transport` | [`Transport`]: a TCP socket of embassy-net, for greet-core's async driver |
//! | `serve` | [`serve()`]: accepts clients, drives a server for each, and releases its connection |
//! | `time` | [`now`]: embassy's clock as the time of a machine |
//!
//! # Features
//!
//! - `defmt`: the public types implement `defmt::Format`.

#![no_std]
#![forbid(unsafe_code)]

mod serve;
mod time;
mod transport;

pub use self::{
    serve::{Event, Memory, Outcome, Settings, serve},
    time::now,
    transport::{Error, Transport},
};
