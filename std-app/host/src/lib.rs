//! What the programs for a PC share: `greet`, over the system's sockets, and `greet-tap`, over a network stack of its own.
//!
//! - [`args`], [`values`], [`usage`]: groups of options, how their values are written, and what is wrong with a command line.
//! - [`chat`], [`client`]: a conversation as the client, names that can be sent, and what can go wrong.
//! - [`resolve`], [`connect`]: from a host and a port to addresses, and to a connection over the system's sockets.
//! - [`download`]: a page that is fetched, whatever fetches it.
//! - [`clock`], [`log`]: the time for state machines, and what a server prints.
//! - [`stop`], [`exit`]: the signals that end a program, and how it ends.

#![forbid(unsafe_code)]

pub mod args;
pub mod chat;
pub mod client;
pub mod clock;
pub mod connect;
pub mod download;
pub mod exit;
pub mod log;
pub mod path;
pub mod resolve;
pub mod stop;
pub mod usage;
pub mod values;
