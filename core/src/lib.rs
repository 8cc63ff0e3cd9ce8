//! The greeting protocol as state machines without I/O, for sockets on a PC as well as for the network stack of a board.
//!
//! A *machine* ([`Server`], [`Echo`], [`Client`], [`Get`]) is one side of one conversation: it takes bytes, gives bytes, and the time is
//! passed to it. A *driver* ([`drive`]) moves bytes between a machine and a transport. [`Machine`] is the only contract between
//! them: machines know no transport, drivers know no protocol.
//!
//! The rules that comments cite (`L3`, `C1`) are in `PROTOCOL.md`, next to the manifest of this crate.
//!
//! # The canonical loop
//!
//! One invariant is enough: **bytes that a machine does not take are offered again, and bytes that it owes it gives when
//! asked.** A driver is this loop, and no byte is lost, repeated or reordered, whatever the sizes of reads and buffers:
//!
//! ```
//! use greet_core::{Framing, Instant, Machine, Server, ServerSettings, State};
//!
//! let settings = ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT };
//! let mut server: Server<64> = Server::new(settings, Instant::ZERO);
//! let mut reads = [&b"ha"[..], b"ha\nby", b"ebye\r\nexit\n"].into_iter();
//! let mut written = Vec::new();
//!
//! let mut input = &b""[..];
//! let mut buffer = [0; 16];
//! let mut fin_sent = false;
//! loop {
//!     let now = Instant::ZERO; // a driver reads its clock
//!     server.handle_timeout(now); // changes nothing before `server.deadline()`
//!     let length = server.transmit(now, &mut buffer);
//!     if length > 0 {
//!         written.extend_from_slice(&buffer[..length]);
//!         continue;
//!     }
//!     match server.state() {
//!         State::Open => {}
//!         State::Ending if !fin_sent => {
//!             fin_sent = true; // a driver ends its side of the transport
//!             server.delivered(now);
//!             continue;
//!         }
//!         State::Ending => {} // it still reads
//!         State::Over => break,
//!     }
//!     if input.is_empty() {
//!         match reads.next() {
//!             Some(read) => input = read, // a driver waits for input, until `server.deadline()`
//!             None => server.receive_end(now),
//!         }
//!     }
//!     let taken = server.receive(now, input).taken;
//!     input = &input[taken..]; // the rest is offered again
//! }
//! assert_eq!(written, b"Welcome!\nHello, haha!\nHello, byebye!\n");
//! ```
//!
//! # The modules
//!
//! | module | content |
//! | --- | --- |
//! | `machine` | the contract |
//! | `framing` | where a name ends, and the buffer in which it is assembled |
//! | `text` | the texts of the protocol, shared by server and client |
//! | `server` | the machine of a greeting server |
//! | `echo` | the machine of an echo server |
//! | `client` | the machine of their client |
//! | `http` | the machine of one HTTP request |
//! | [`drive`] | the loop of every driver, and the drivers over `embedded-io` and `embedded-io-async` |
//! | `time` | instants and timeouts |
//! | `escape` | how bytes of a peer are displayed |
//!
//! # What is deliberately absent
//!
//! No allocation, no `unsafe`, no clock, no socket, no panic: a release build for a microcontroller links no panicking code.
//! No output queue: a reply is written from the name's buffer straight into the driver's, so a `Server<N>` has at most `N + 48`
//! bytes. No callbacks: an event is the return value of the call that caused it.
//!
//! # Features
//!
//! - `defmt`: the public types implement `defmt::Format`.

#![no_std]
#![forbid(unsafe_code)]

mod client;
pub mod drive;
mod echo;
mod escape;
mod framing;
mod http;
mod machine;
mod server;
mod text;
mod time;

pub use client::{
    Client, Event as ClientEvent, Expected, Mismatch, NameError, Outcome, Service, Settings as ClientSettings,
    WaitingFor,
};
pub use echo::{Echo, Settings as EchoSettings};
pub use escape::{Escaped, Quoted, escape_of};
pub use framing::Framing;
pub use http::{
    Event as GetEvent, Failure as GetFailure, Get, Head as HttpHead, HeadProblem, Method as HttpMethod,
    Missing as GetMissing, Request as GetRequest, RequestError, Settings as GetSettings, Version as HttpVersion,
};
pub use machine::{Machine, Received, ServerMachine, State};
pub use server::{End as ServerEnd, Event as ServerEvent, LINGER, LINGER_BYTES, Server, Settings as ServerSettings};
pub use time::Instant;

/// The capacity of a [`Server`] on a PC and on a TAP device: the length of the longest name there (rule L1), in bytes.
pub const NAME_CAPACITY: usize = 1024;
