//! Results as text on standard output.

pub(crate) mod bench;
