//! The servers of the greeting protocol and of the echo service over embassy-net, for firmware that uses embassy: without
//! allocation.
//!
//! [`serve()`] serves as many concurrent clients as it is given memory for, each with a machine of the type that it is given:
//! [`Server`](greet_core::Server), [`Echo`](greet_core::Echo), or another [`ServerMachine`](greet_core::ServerMachine). It is one
//! future, for one task. To use one task for each client, call it in each task with one [`Memory`].
//!
//! ```no_run
//! use embassy_futures::join::join;
//! use embassy_net::Stack;
//! use greet_core::{Echo, Server};
//! use greet_embassy_net::{Memory, Settings, serve};
//!
//! /// The greeting service on port 9999 for four clients, and the echo service on port 7 for two.
//! async fn services(stack: Stack<'static>, greet: &mut [Memory<2048>; 4], echo: &mut [Memory<2048>; 2]) {
//!     join(
//!         serve::<Server<256>, _, _>(stack, &Settings::DEFAULT, greet, &|_event| ()),
//!         serve::<Echo<1024>, _, _>(stack, &Settings::ECHO, echo, &|_event| ()),
//!     )
//!     .await;
//! }
//! ```
//!
//! Run embassy-net's `Runner` in a task of its own. Each operation on a socket wakes it: in one future with the services, like
//! `join(runner.run(), serve(..))`, it wakes the services too, and the processor never sleeps.
//!
//! It serves every address that the stack has. IPv4 is always compiled; the feature `ipv6` adds IPv6.
//!
//! embassy-net's `StackResources` needs one socket for each client, besides its own.
//!
//! | module | content |
//! | --- | --- |
//! | `transport` | [`Transport`]: a TCP socket of embassy-net, for greet-core's async driver |
//! | `serve` | [`serve()`]: accepts clients, drives a machine for each, and releases its connection |
//! | `time` | [`now`]: embassy's clock as the time of a machine |
//!
//! # Features
//!
//! - `ipv6`: embassy-net has IPv6 as well as IPv4.
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
