//! What the programs for a PC share: `greet` itself, and `greet-tap`, which talks through a network stack of its own.

pub mod client;
pub mod clock;
pub mod journal;
#[cfg(feature = "page")]
pub mod page;
#[cfg(feature = "program")]
pub mod report;
pub mod stop;
pub mod usage;
pub mod values;
