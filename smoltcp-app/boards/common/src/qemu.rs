//! What QEMU lends to a board that it emulates.

/// Random numbers of the PC that QEMU runs on, and where they are from; for a board without entropy of its own.
///
/// `otherwise` is for where the PC gives none. It is the same at each start then, and everybody can know it.
#[must_use]
pub fn random_seed(otherwise: u64) -> (u64, &'static str) {
    let mut seed = [0; 8];
    match semihosting::experimental::random::fill_bytes(&mut seed) {
        Ok(()) => (u64::from_le_bytes(seed), "the PC's random numbers, lent by QEMU"),
        Err(_) => (otherwise, "none, sequence numbers and ports can be predicted"),
    }
}
