//! One conformance suite for every frontend of the greeting protocol.
//!
//! - [`vectors`]: the table of cases, `vectors/*.toml`, and how it is read.
//! - [`frontend`]: the one trait behind which a server is put to be checked, and the run of the table against it.
//! - [`machine`], [`memory`], [`socket`]: such frontends; the bare machine of `greet-core`, the pool of `greet-smoltcp` on an
//!   Ethernet in memory ([`ether`]), and a server at a TCP address.
//! - [`simulation`]: the pool, its clients and a bad wire between them, on a virtual clock and all from one seed.
//! - [`oracle`]: the protocol once more, naively, over a whole conversation.
//!
//! To check a server of your own: implement [`frontend::Frontend`], or let it listen and use [`socket::Socket`]; then
//! [`frontend::run_table`] answers with all that went wrong.

pub mod ether;
pub mod frontend;
pub mod machine;
pub mod memory;
pub mod oracle;
pub mod segment;
pub mod simulation;
pub mod socket;
pub mod vectors;
