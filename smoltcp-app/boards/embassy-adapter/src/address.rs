//! A MAC address from a chip's serial number, and a seed from weak random bits.

/// A MAC address from the serial number of the chip: locally administered (its first byte is 02), and the
/// same at each start.
///
/// Serial numbers differ in few bits, often not in the last ones; so the 40 bits depend on all of them.
#[must_use]
pub fn hardware_address(unique: &[u8]) -> [u8; 6] {
    let [a, b, c, d, e, ..] = seed(unique).to_le_bytes();
    [0x02, a, b, c, d, e]
}

/// 64 bits that depend on each of many weakly random bits. The result has no more entropy than they have.
#[must_use]
pub fn seed(weak: &[u8]) -> u64 {
    // FNV-1a; the upper bits of the hash are mixed into the lower ones.
    let hash = weak
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^ (hash >> 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_cards_address_and_locally_administered() {
        for unique in [&[0; 8][..], &[0xff; 12], &[]] {
            let [first, ..] = hardware_address(unique);
            assert_eq!(first, 0x02);
        }
    }

    #[test]
    fn each_bit_of_the_chips_number_changes_it_and_nothing_else_does() {
        let unique = [7; 12];
        assert_eq!(hardware_address(&unique), hardware_address(&unique));
        for bit in 0..96 {
            let mut other = unique;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(hardware_address(&unique), hardware_address(&other), "bit {bit}");
        }
    }
}
