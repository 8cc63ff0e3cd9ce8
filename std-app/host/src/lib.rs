//! What the programs for a PC share: `greet`, over the system's sockets, and `greet-tap`, over a network stack of its own.
//!
//! - [`args`], [`values`], [`usage`]: groups of options, how their values are written, and what is wrong with a command line.
//! - [`chat`], [`client`]: a conversation as the client, names that can be sent, and what can go wrong.
//! - [`resolve`], [`connect`]: from a host and a port to addresses, and to a connection over the system's sockets.
//! - [`download`]: a page that is fetched, whatever fetches it.
//! - [`clock`], [`log`]: the time for state machines, and what a server prints.
//! - [`conversation`], [`counters`], [`metrics`]: what a server records of each conversation, and its counters.
//! - [`limits`]: what a server allows each peer.
//! - [`generate`]: completions and manual pages.
//! - [`stop`], [`exit`]: the signals that end a program, and how it ends.
//!
//! What depends on the operating system is in [`stop`], `closed_output`, and `save` and `unnamed` of [`download`].

#![deny(unsafe_code)]

pub mod args;
pub mod chat;
pub mod client;
pub mod clock;
#[allow(unsafe_code, reason = "runs before `main`")]
mod closed_output;
pub mod connect;
pub mod conversation;
pub mod counters;
pub mod download;
pub mod exit;
pub mod generate;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod path;
pub mod resolve;
pub mod stop;
pub mod usage;
pub mod values;
