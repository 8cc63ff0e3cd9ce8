//! Results as text on standard output.

pub(crate) mod bench;
pub(crate) mod check;
