//! The names that are sent. All differ, so that a reply to another name is noticed.

/// A pattern whose length is no power of two, so that misplaced bytes do not match by chance.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwyz0123456789"; // no x: no name is `exit`

/// The maximum number of digits in a name.
const DIGITS: usize = 8;

/// Generates names of one size that end with their number in hexadecimal digits.
#[derive(Clone, Debug)]
pub(super) struct Names {
    name: Vec<u8>,
}

impl Names {
    pub(super) fn new(size: usize) -> Self {
        let mut name: Vec<u8> = LETTERS.iter().copied().cycle().take(size).collect();
        for digit in name.iter_mut().rev().take(DIGITS) {
            *digit = b'0';
        }
        Self { name }
    }

    /// The next name. Short names have few digits, so they repeat.
    pub(super) fn next(&mut self) -> &[u8] {
        for digit in self.name.iter_mut().rev().take(DIGITS) {
            *digit = match *digit {
                b'9' => b'a',
                b'f' => b'0',
                other => other.wrapping_add(1),
            };
            if *digit != b'0' {
                break; // nothing to carry
            }
        }
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greet_core::{ClientSettings, Framing};
    use greet_host::client::check;
    use std::collections::HashSet;

    #[test]
    fn names_have_the_requested_size_and_are_valid() {
        for size in 1..=40 {
            let mut names = Names::new(size);
            for _ in 0..1000 {
                let name = names.next();
                assert_eq!(name.len(), size);
                for framing in [Framing::Chunk, Framing::Line] {
                    assert_eq!(check(ClientSettings { framing, ..ClientSettings::default() }, name, true), Ok(()));
                }
            }
        }
        assert_eq!(Names::new(0).next(), b"");
    }

    #[test]
    fn no_two_names_are_equal() {
        let mut names = Names::new(16);
        let seen: HashSet<Vec<u8>> = (0..100_000).map(|_| names.next().to_vec()).collect();
        assert_eq!(seen.len(), 100_000);
        assert_eq!(names.next(), b"abcdefgh000186a1");
    }
}
