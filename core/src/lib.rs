//! The greeting protocol as byte-in, byte-out machines.
#![no_std]
#![forbid(unsafe_code)]

mod client;
mod connection;
mod framing;
mod server;
mod text;
mod time;

pub use client::{
    Awaited, Client, Event as ClientEvent, Expected, Mismatch, Outcome, Refused, Settings as ClientSettings,
};
pub use connection::{Connection, Received, State};
pub use framing::Framing;
pub use server::{End as ServerEnd, Event as ServerEvent, LINGER, LINGER_BYTES, Server, Settings as ServerSettings};
pub use time::Instant;
