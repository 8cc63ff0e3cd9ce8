//! What QEMU provides to a board that it emulates.

/// A seed from the host that QEMU runs on, and its source for the log; for a board without entropy of its own.
///
/// Without an answer of the host it is `otherwise`: the same at each start, and predictable.
#[must_use]
pub fn random_seed(otherwise: u64) -> (u64, &'static str) {
    let mut seed = [0; 8];
    match semihosting::experimental::random::fill_bytes(&mut seed) {
        Ok(()) => (u64::from_le_bytes(seed), "random numbers of the host, by QEMU"),
        Err(_) => (otherwise, "none: sequence numbers and ports are predictable"),
    }
}
