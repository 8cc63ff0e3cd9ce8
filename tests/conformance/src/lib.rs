//! The conformance table of the greeting protocol, and code that runs it against a server: for the tests and `greet check`.
//!
//! - [`vectors`]: the table, the parser of `vectors/*.toml`.
//! - [`frontend`]: the trait that adapts a server, and the function that runs the table.
//! - [`socket`]: a frontend for a server at a TCP address.
//!
//! To check your own server, implement [`frontend::Frontend`], or use [`socket::Socket`] with a server that listens. Then
//! [`frontend::run_table`] returns all failures.

pub mod frontend;
pub mod socket;
pub mod vectors;
