//! The texts of the protocol. The server writes them and the client compares them, from any position.

/// The greeting (rule G1).
pub(crate) const GREETING: &[u8] = b"Welcome!";
/// The part of a reply before the name (rule R1).
pub(crate) const HELLO: &[u8; 7] = b"Hello, ";
/// The part of a reply after the name (rule R1).
pub(crate) const HELLO_END: &[u8; 1] = b"!";
/// The word that ends a conversation (rule R3).
pub(crate) const EXIT: &[u8] = b"exit";
/// The beginning of every error reply (rules L3, U1 and T2).
pub(crate) const ERROR: &[u8] = b"Error: ";

/// Writes all of [`Text::hello`] to the front of `output` and returns its length; `None` if it does not fit. This is the
/// server's hot path: the name is the only part whose length is not known at compile time.
pub(crate) fn write_hello(name: &[u8], line_end: &[u8], output: &mut [u8]) -> Option<usize> {
    let (hello, rest) = output.split_first_chunk_mut()?;
    let (to, rest) = rest.split_at_mut_checked(name.len())?;
    let (hello_end, mut rest) = rest.split_first_chunk_mut()?;
    for &byte in line_end {
        let to;
        (to, rest) = rest.split_first_mut()?;
        *to = byte;
    }
    (*hello, *hello_end) = (*HELLO, *HELLO_END);
    to.copy_from_slice(name);
    Some(HELLO.len().saturating_add(name.len()).saturating_add(HELLO_END.len()).saturating_add(line_end.len()))
}

/// As [`write_hello`], with few instructions and no call: for a name of 4 to 32 bytes and framing `line`. `None` if it is not one,
/// or if it does not fit.
#[inline(always)]
pub(crate) fn write_short_hello(name: &[u8], output: &mut [u8]) -> Option<usize> {
    /// Two moves that may overlap copy all of the name.
    #[inline(always)]
    fn copy<const SIZE: usize>(to: &mut [u8], from: &[u8]) -> Option<()> {
        let end = from.len().checked_sub(SIZE)?;
        let (first, last) = (from.first_chunk::<SIZE>()?, from.get(end..)?.first_chunk::<SIZE>()?);
        *to.first_chunk_mut()? = *first;
        *to.get_mut(end..)?.first_chunk_mut()? = *last;
        Some(())
    }
    let length = name.len().saturating_add(HELLO.len()).saturating_add(2);
    let (hello, rest) = output.get_mut(..length)?.split_first_chunk_mut()?;
    let (to, end) = rest.split_at_mut_checked(name.len())?;
    let end = end.first_chunk_mut::<2>()?;
    match name.len() {
        4..=7 => copy::<4>(to, name)?,
        8..=16 => copy::<8>(to, name)?,
        17..=32 => copy::<16>(to, name)?,
        _ => return None,
    }
    (*hello, *end) = (*HELLO, *b"!\n");
    Some(length)
}

/// A text in four parts that are stored in different places, so that a reply needs no buffer of its own.
pub(crate) struct Text<'a>(pub(crate) [&'a [u8]; 4]);

impl<'a> Text<'a> {
    /// `Hello, NAME!` and the line end of the framing, which may be empty (rule R1).
    pub(crate) const fn hello(name: &'a [u8], line_end: &'a [u8]) -> Self {
        Self([HELLO, name, HELLO_END, line_end])
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.len()).sum()
    }

    /// The rest of each part after the first `position` bytes of the text.
    fn from(&self, position: usize) -> impl Iterator<Item = &'a [u8]> {
        self.0.into_iter().scan(position, |skip, piece| {
            let here = piece.get(*skip..).unwrap_or_default();
            *skip = skip.saturating_sub(piece.len());
            Some(here)
        })
    }

    /// Copies as much of the text from `position` on as fits to the front of `output`, and returns the number of bytes copied.
    pub(crate) fn copy(&self, position: usize, output: &mut [u8]) -> usize {
        let mut copied = 0_usize;
        for piece in self.from(position) {
            let rest = output.get_mut(copied..).unwrap_or_default();
            let fits = piece.len().min(rest.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..fits), piece.get(..fits)) {
                to.copy_from_slice(from);
            }
            copied = copied.saturating_add(fits);
        }
        copied
    }

    /// How many bytes at the front of `input` are equal to the text from `position` on.
    pub(crate) fn matching(&self, position: usize, input: &[u8]) -> usize {
        let mut rest = input;
        for piece in self.from(position) {
            // The client's hot path: the whole part is there.
            if let Some(after) = rest.strip_prefix(piece) {
                rest = after;
                continue;
            }
            let same = piece.iter().zip(rest).take_while(|(expected, received)| expected == received).count();
            rest = rest.get(same..).unwrap_or_default();
            break;
        }
        input.len().saturating_sub(rest.len())
    }

    /// The byte at `position`; `None` after the end.
    pub(crate) fn at(&self, position: usize) -> Option<u8> {
        self.from(position).find_map(|piece| piece.first().copied())
    }
}

/// A number in decimal, without the code size and the panics of `core::fmt`.
pub(crate) struct Decimal {
    // Filled from the back: 20 digits of a u64, a point, six more digits.
    digits: [u8; 27],
    start: usize,
}

impl Decimal {
    const EMPTY: Self = Self { digits: [0; 27], start: 27 };

    pub(crate) const fn new(number: u64) -> Self {
        let mut decimal = Self::EMPTY;
        decimal.prepend(number);
        decimal
    }

    /// `micros` in seconds, with as many decimal places as it needs: `300`, `0.5`.
    pub(crate) fn seconds(micros: u64) -> Self {
        const SECOND: u64 = 1_000_000;
        let mut decimal = Self::EMPTY;
        // Less than a second fits into 32 bits, which a board divides faster.
        let mut fraction = (micros % SECOND) as u32;
        let mut places = 6;
        while places > 0 && fraction.is_multiple_of(10) {
            fraction /= 10;
            places -= 1;
        }
        for _ in 0..places {
            decimal.prepend_byte(b'0' + (fraction % 10) as u8);
            fraction /= 10;
        }
        if places > 0 {
            decimal.prepend_byte(b'.');
        }
        decimal.prepend(micros / SECOND);
        decimal
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }

    const fn prepend(&mut self, mut number: u64) {
        loop {
            self.prepend_byte(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                break;
            }
        }
    }

    const fn prepend_byte(&mut self, byte: u8) {
        self.start = self.start.saturating_sub(1);
        if let Some((_, [place, ..])) = self.digits.split_at_mut_checked(self.start) {
            *place = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{string::ToString, vec::Vec};

    use super::*;

    const TEXT: Text<'_> = Text::hello(b"haha", b"\n");
    const WHOLE: &[u8] = b"Hello, haha!\n";

    #[test]
    fn a_text_is_the_same_from_every_position_and_in_every_size() {
        assert_eq!(TEXT.len(), WHOLE.len());
        for position in 0..=WHOLE.len() + 1 {
            for size in 0..=WHOLE.len() + 1 {
                let rest = WHOLE.get(position..).unwrap_or_default();
                let mut output = std::vec![0; size];
                let copied = TEXT.copy(position, &mut output);
                assert_eq!(&output[..copied], &rest[..rest.len().min(size)]);
            }
            assert_eq!(TEXT.at(position), WHOLE.get(position).copied());
        }
    }

    #[test]
    fn matching_stops_at_the_first_byte_that_differs() {
        for wrong in 0..WHOLE.len() {
            let mut input: Vec<u8> = WHOLE.to_vec();
            input[wrong] ^= 0x80;
            for position in 0..wrong {
                assert_eq!(TEXT.matching(position, &input[position..]), wrong - position);
            }
        }
        assert_eq!(TEXT.matching(0, b"Hello, haha!\nHello"), WHOLE.len());
        assert_eq!(TEXT.matching(3, b""), 0);
    }

    #[test]
    fn decimal_writes_what_display_writes() {
        for number in [0, 1, 9, 10, 1_024, 65_535, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Decimal::new(number).as_bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn seconds_have_no_more_places_than_they_need() {
        let cases = [
            (0, "0"),
            (1, "0.000001"),
            (500_000, "0.5"),
            (1_250_000, "1.25"),
            (10_000_000, "10"),
            (300_000_000, "300"),
            (u64::MAX, "18446744073709.551615"),
        ];
        for (micros, text) in cases {
            assert_eq!(Decimal::seconds(micros).as_bytes(), text.as_bytes());
        }
    }
}
