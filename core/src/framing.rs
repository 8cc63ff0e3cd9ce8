//! Where a name ends: framings chunk, line and auto, and the buffer in which a name is assembled.

use core::cell::Cell;

use heapless::Vec;
use memchr::memchr;

use crate::text::{EXIT, write_short_hello};

const LINE_FEED: u8 = b'\n';
const CARRIAGE_RETURN: u8 = b'\r';

/// How the names of a conversation are separated (rules F1 to F3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Framing {
    /// The first read decides: `Line` if it contains an LF, otherwise `Chunk` (rule F3).
    #[default]
    Auto,
    /// A name ends at an LF. One CR directly before the LF is not part of the name (rule F2).
    Line,
    /// Each read is a name (rule F1).
    Chunk,
}

impl Framing {
    /// The framing of a conversation whose first read is `read` (rule F3). An empty read decides nothing.
    #[must_use]
    pub fn decided_by(self, read: &[u8]) -> Self {
        match self {
            Self::Auto if read.is_empty() => Self::Auto,
            Self::Auto if memchr(LINE_FEED, read).is_some() => Self::Line,
            Self::Auto => Self::Chunk,
            decided => decided,
        }
    }

    /// The bytes that end a reply (rules R1 and E1).
    pub(crate) const fn reply_end(self) -> &'static [u8] {
        match self {
            Self::Line => &[LINE_FEED],
            Self::Auto | Self::Chunk => &[],
        }
    }
}

/// How a name ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is valid, and in [`Assembly::name`].
    Name,
    /// It is not UTF-8 (rule U1).
    NotUtf8,
    /// Byte N+1 of it was received (rule L3).
    TooLong,
}

/// The state of the current line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Its bytes so far are in the buffer.
    Kept,
    /// The buffer is full, and one CR follows. It belongs to the line end, or is byte N+1 (rule L3).
    FullThenCarriageReturn,
    /// It is too long. The rest of it is dropped (rule L3).
    Dropped,
}

/// Up to `N` bytes. The length is a `u16`: as a `usize` it would make a [`Server`](crate::Server) larger than `N + 48` bytes.
pub(crate) type Bytes<const N: usize> = Vec<u8, N, u16>;

/// Appends the first `count` bytes of `input`, or nothing and `None` if they do not fit.
///
/// [`Vec::extend_from_slice`] copies byte by byte, but a length that is known at compile time becomes one move. So this
/// appends blocks; the last one may be longer than it has to be, and what is too much is cut off again.
#[inline(always)] // the copy of a short name costs less than a call
pub(crate) fn append<const N: usize>(bytes: &mut Bytes<N>, input: &[u8], count: usize) -> Option<()> {
    #[inline(always)]
    fn block<const SIZE: usize, const N: usize>(bytes: &mut Bytes<N>, input: &mut &[u8], end: usize) -> bool {
        let Some((first, rest)) = input.split_first_chunk::<SIZE>() else { return false };
        if bytes.len() >= end || bytes.extend_from_slice(first).is_err() {
            return false;
        }
        *input = rest;
        true
    }
    let end = bytes.len().saturating_add(count);
    if end > N {
        return None;
    }
    let mut rest = input;
    if count >= 128 {
        while block::<128, N>(bytes, &mut rest, end.saturating_sub(112)) {}
    }
    while block::<16, N>(bytes, &mut rest, end) {}
    while block::<4, N>(bytes, &mut rest, end) {}
    while block::<1, N>(bytes, &mut rest, end) {}
    bytes.truncate(end);
    Some(())
}

/// Removes all bytes but those from `start` on, which move to the front.
pub(crate) fn keep_from<const N: usize>(bytes: &mut Bytes<N>, start: usize) {
    let kept = bytes.len().saturating_sub(start);
    let cells = Cell::from_mut(bytes.as_mut_slice()).as_slice_of_cells();
    for (to, from) in cells.iter().zip(cells.iter().skip(start)) {
        to.set(from.get());
    }
    bytes.truncate(kept);
}

/// One name of at most `N` bytes, assembled from the reads.
#[derive(Clone, Debug)]
pub(crate) struct Assembly<const N: usize> {
    /// The name, and after it the bytes that wait.
    bytes: Bytes<N>,
    framing: Framing,
    line: Line,
    /// Under `chunk`, the number of bytes at the end of the buffer that begin a character (rule U2). They belong to the next
    /// name.
    waiting: u8,
}

impl<const N: usize> Assembly<N> {
    pub(crate) const fn new(framing: Framing) -> Self {
        const { assert!(0 < N && N <= u16::MAX as usize, "a name's capacity is 1 to 65,535 bytes") };
        Self { bytes: Vec::new(), framing, line: Line::Kept, waiting: 0 }
    }

    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// The name that is complete.
    pub(crate) fn name(&self) -> &[u8] {
        self.bytes.get(..self.name_length()).unwrap_or_default()
    }

    fn name_length(&self) -> usize {
        self.bytes.len().saturating_sub(self.waiting.into())
    }

    /// How many more bytes fit into the buffer.
    fn room(&self) -> usize {
        N.saturating_sub(self.bytes.len())
    }

    /// Takes bytes up to the end of one name. Returns how many, and how the name ended if it did.
    pub(crate) fn take(&mut self, input: &[u8]) -> (usize, Option<Found>) {
        self.framing = self.framing.decided_by(input);
        match self.framing {
            Framing::Line => self.take_line(input),
            Framing::Chunk | Framing::Auto => self.take_chunk(input),
        }
    }

    fn take_line(&mut self, input: &[u8]) -> (usize, Option<Found>) {
        let (text, taken, complete) = match memchr(LINE_FEED, input) {
            Some(end) => (input.get(..end).unwrap_or_default(), end.saturating_add(1), true), // F2
            None => (input, input.len(), false),
        };
        let found = match self.line {
            Line::Kept => self.keep(text, complete, input),
            Line::FullThenCarriageReturn if text.is_empty() => complete.then(|| self.checked()), // L3: it did not count
            Line::FullThenCarriageReturn => Some(Found::TooLong),
            Line::Dropped => None,
        };
        match found {
            _ if complete => self.line = Line::Kept,
            Some(Found::TooLong) => self.line = Line::Dropped,
            _ => {}
        }
        (taken, found)
    }

    /// The common case of [`take`](Self::take), with few instructions: a whole line of less than [`BLOCK`] bytes in ASCII that is
    /// longer than `exit`. Returns how many bytes it took. The name is in [`short_line`](Self::short_line).
    #[inline(always)]
    pub(crate) fn take_short_line(&mut self, input: &[u8]) -> Option<usize> {
        let block = input.first_chunk::<BLOCK>()?;
        if self.framing != Framing::Line || self.line != Line::Kept || !self.bytes.is_empty() {
            return None;
        }
        let end = first_line(block)?;
        let last = end.checked_sub(1).and_then(|last| block.get(last));
        let length = end.saturating_sub((last == Some(&CARRIAGE_RETURN)).into()); // F2
        if length <= EXIT.len() {
            return None;
        }
        self.bytes.extend_from_slice(block).ok()?;
        self.bytes.truncate(length);
        Some(end.saturating_add(1))
    }

    /// The name, if no bytes wait after it: as always under `line`.
    #[inline(always)]
    pub(crate) fn short_line(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the reply to a short line, and forgets the line. `None` if it is not short, or if the reply does not fit.
    #[inline(always)]
    pub(crate) fn answer_short_line(&mut self, output: &mut [u8]) -> Option<usize> {
        if self.framing != Framing::Line {
            return None;
        }
        let written = write_short_hello(&self.bytes, output)?;
        self.bytes.clear();
        Some(written)
    }

    /// Adds `text`, the part of `input` before its first LF, to the line; `complete` says that there is an LF.
    fn keep(&mut self, text: &[u8], complete: bool, input: &[u8]) -> Option<Found> {
        let text = match text {
            [text @ .., CARRIAGE_RETURN] if complete => text, // F2
            [] if complete => {
                // F2: the CR came with an earlier read.
                if self.bytes.last() == Some(&CARRIAGE_RETURN) {
                    self.bytes.pop();
                }
                text
            }
            _ => text,
        };
        let (fits, rest) = text.split_at_checked(self.room()).unwrap_or((text, &[]));
        if !rest.is_empty() && (complete || rest != [CARRIAGE_RETURN]) {
            return Some(Found::TooLong); // L3
        }
        append(&mut self.bytes, input, fits.len())?; // cannot fail: `fits` is no longer than the room
        if !rest.is_empty() {
            self.line = Line::FullThenCarriageReturn;
            return None;
        }
        complete.then(|| self.checked())
    }

    fn take_chunk(&mut self, input: &[u8]) -> (usize, Option<Found>) {
        if input.is_empty() {
            return (0, None);
        }
        self.waiting = 0; // they are part of this name
        let taken = input.len().min(self.room()); // L2
        if append(&mut self.bytes, input, taken).is_none() {
            return (0, None); // cannot happen: they fit
        }
        self.waiting = incomplete_character(&self.bytes); // U2
        if self.name_length() > 0 {
            return (taken, Some(self.checked()));
        }
        if self.room() > 0 {
            return (taken, None); // U2: there is no name yet
        }
        // A character that is longer than the server's whole capacity can never be completed: these bytes are the name.
        self.waiting = 0;
        (taken, Some(Found::NotUtf8))
    }

    /// The client has sent its FIN: bytes that are left over are a name too (rule R4).
    pub(crate) fn take_end(&mut self) -> Option<Found> {
        if core::mem::take(&mut self.waiting) > 0 {
            return Some(Found::NotUtf8); // U2
        }
        match core::mem::replace(&mut self.line, Line::Kept) {
            Line::Dropped => None,
            Line::FullThenCarriageReturn => Some(Found::TooLong), // L3: the CR was byte N+1
            Line::Kept if self.bytes.is_empty() => None,
            Line::Kept => Some(self.checked()),
        }
    }

    /// The name is answered: the buffer is free for the next one, which begins with the bytes that wait (rule U2).
    pub(crate) fn next(&mut self) {
        if self.waiting == 0 {
            self.bytes.clear();
        } else {
            self.keep_waiting();
        }
    }

    #[cold]
    fn keep_waiting(&mut self) {
        let answered = self.name_length();
        keep_from(&mut self.bytes, answered);
    }

    fn checked(&self) -> Found {
        let name = self.name();
        // Most names are ASCII, and that check takes a fraction of the time.
        if is_ascii(name) || core::str::from_utf8(name).is_ok() { Found::Name } else { Found::NotUtf8 } // U1
    }
}

/// How many bytes are searched for an LF without a call of `memchr`.
const BLOCK: usize = 32;

/// A word of which each byte is this one.
const fn word_of(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The position of the first LF; `None` if there is none, or if a byte before it is not ASCII.
#[inline(always)]
fn first_line(block: &[u8; BLOCK]) -> Option<usize> {
    for (index, word) in block.as_chunks().0.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Of what is found, the lowest bit is exact: it is the highest bit of an LF, or of the first byte that is not ASCII.
        let other = word ^ word_of(LINE_FEED);
        let found = (other.wrapping_sub(word_of(1)) | word) & word_of(0x80);
        if found > 0 {
            let bit = found.trailing_zeros();
            let is_ascii = word >> bit & 1 == 0;
            return is_ascii.then_some(index.saturating_mul(8).saturating_add(bit as usize / 8));
        }
    }
    None
}

/// Whether all of `bytes` are ASCII. For 8 to 16 bytes, the length of most names, two words contain them all; the standard
/// library checks up to 7 of them one by one. Of long ones it does so with up to 63 bytes at the end.
fn is_ascii(bytes: &[u8]) -> bool {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(&first), Some(&last)) if bytes.len() <= 16 => {
            (u64::from_ne_bytes(first) | u64::from_ne_bytes(last)) & word_of(0x80) == 0
        }
        // A board has smaller words and less flash.
        _ if size_of::<usize>() >= 8 && bytes.len() >= 64 => {
            let (blocks, _) = bytes.as_chunks::<64>();
            blocks.as_flattened().is_ascii() && bytes.last_chunk::<64>().is_some_and(|last| last.is_ascii())
        }
        _ => bytes.is_ascii(),
    }
}

/// The number of bytes at the end of `bytes`, 0 to 3, that begin a valid multi-byte character (rule U2).
pub(crate) fn incomplete_character(bytes: &[u8]) -> u8 {
    if bytes.last().is_none_or(u8::is_ascii) {
        return 0;
    }
    (1..=3_u8)
        .find(|&length| {
            let end = bytes.len().checked_sub(length.into()).and_then(|start| bytes.get(start..));
            let error = end.and_then(|end| core::str::from_utf8(end).err());
            error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_valid_character_is_incomplete() {
        let cases: [(&[u8], u8); 12] = [
            (b"", 0),
            (b"a", 0),
            (b"\xC3", 1),
            (b"\xC3\xA9", 0),
            (b"a\xE2\x82", 2),
            (b"\xF0\x9F\x98", 3),
            (b"\xF0\x9F\x98\x80", 0),
            (b"\xFF\xE2", 1),
            (b"\x82", 0),
            (b"\xC0", 0),         // overlong
            (b"\xED\xA0", 0),     // a surrogate
            (b"\xF4\x90\x80", 0), // past the last character
        ];
        for (bytes, waiting) in cases {
            assert_eq!(incomplete_character(bytes), waiting, "{bytes:x?}");
        }
    }

    #[test]
    fn one_byte_that_is_not_ascii_is_found_at_every_position() {
        for length in (0..40).chain([63, 64, 65, 127, 128, 129, 191, 200]) {
            let mut bytes = [0x7F; 200];
            assert!(is_ascii(&bytes[..length]));
            for position in 0..length {
                bytes[position] = 0x80;
                assert!(!is_ascii(&bytes[..length]), "{length} bytes, byte {position}");
                bytes[position] = 0;
            }
        }
    }

    #[test]
    fn the_first_line_of_a_block_ends_at_its_first_line_feed_and_is_ascii() {
        for end in 0..BLOCK {
            for byte in 0..=u8::MAX {
                if byte == LINE_FEED {
                    continue;
                }
                // After the line anything may follow, another LF too.
                let mut block = [0xFF; BLOCK];
                block[..end].fill(byte);
                block[end..].iter_mut().step_by(3).for_each(|later| *later = LINE_FEED);
                let is_ascii = byte.is_ascii() || end == 0;
                assert_eq!(first_line(&block), is_ascii.then_some(end), "{byte:x}");
            }
        }
        assert_eq!(first_line(&[LINE_FEED - 1; BLOCK]), None);
    }

    #[test]
    fn the_first_read_decides_under_auto_and_an_empty_one_does_not() {
        assert_eq!(Framing::Auto.decided_by(b""), Framing::Auto);
        assert_eq!(Framing::Auto.decided_by(b"haha"), Framing::Chunk);
        assert_eq!(Framing::Auto.decided_by(b"ha\nha"), Framing::Line);
        assert_eq!(Framing::Chunk.decided_by(b"ha\nha"), Framing::Chunk);
        assert_eq!(Framing::Line.decided_by(b"haha"), Framing::Line);
    }
}
