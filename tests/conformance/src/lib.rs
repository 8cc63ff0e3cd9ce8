//! The table of cases of the greeting protocol, and how a server is put to it: for the tests, and for `greet check`.
//!
//! - [`vectors`]: the table, `vectors/*.toml`, and how it is read.
//! - [`frontend`]: the one trait behind which a server is put to be checked, and the run of the table against it.
//! - [`socket`]: such a frontend for a server at a TCP address.
//!
//! To check a server of your own: implement [`frontend::Frontend`], or let it listen and use [`socket::Socket`]; then
//! [`frontend::run_table`] answers with all that went wrong.

pub mod frontend;
pub mod socket;
pub mod vectors;
