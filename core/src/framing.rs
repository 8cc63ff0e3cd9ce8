//! Where a name ends: chunk, line, auto; and the buffer in which one name is put together.

use heapless::Vec;
use memchr::memchr;

const LINE_FEED: u8 = b'\n';
const CARRIAGE_RETURN: u8 = b'\r';

/// How the names of a conversation are told apart (rules F1 to F3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Framing {
    /// The first read decides: with an LF in it `Line`, without one `Chunk` (rule F3).
    #[default]
    Auto,
    /// A name ends at LF, and one CR directly before that LF is not part of it (rule F2).
    Line,
    /// A name is what one read delivered (rule F1).
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

    /// What ends a reply (rules R1 and E1).
    pub(crate) const fn reply_end(self) -> &'static [u8] {
        match self {
            Self::Line => &[LINE_FEED],
            Self::Auto | Self::Chunk => &[],
        }
    }
}

/// What a stretch of input brought to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A name, in [`Assembly::name`].
    Name,
    /// A name that is not UTF-8 (rule U1).
    NotUtf8,
    /// Byte N+1 of a name (rule L3).
    TooLong,
}

/// How the line now being read stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Its bytes are in the buffer.
    Kept,
    /// The buffer is full, and one CR came after it: part of the line's end, or byte N+1? (rule L3)
    FullThenCarriageReturn,
    /// It was too long: its rest is dropped (rule L3).
    Dropped,
}

/// One name of at most `N` bytes, being put together from whatever the reads deliver.
#[derive(Clone, Debug)]
pub(crate) struct Assembly<const N: usize> {
    bytes: Vec<u8, N, u16>,
    framing: Framing,
    line: Line,
    /// Under `chunk`: so many bytes at the end of the buffer are the beginning of a character (rule U2).
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

    /// The name that was found.
    pub(crate) fn name(&self) -> &[u8] {
        let length = self.bytes.len().saturating_sub(self.waiting.into());
        self.bytes.get(..length).unwrap_or_default()
    }

    /// Takes bytes up to the end of one name: how many, and what they brought to its end, if anything.
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
            Line::Kept => self.keep(text, complete),
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

    /// Adds `text`, which has no LF in it, to the line; `complete` says that an LF comes next.
    fn keep(&mut self, text: &[u8], complete: bool) -> Option<Found> {
        if self.bytes.extend_from_slice(text).is_ok() {
            if complete && self.bytes.last() == Some(&CARRIAGE_RETURN) {
                self.bytes.pop(); // F2
            }
            return complete.then(|| self.checked());
        }
        let room = N.saturating_sub(self.bytes.len());
        let (fits, [CARRIAGE_RETURN]) = text.split_at_checked(room)? else {
            return Some(Found::TooLong); // L3
        };
        // Cannot fail: `fits` is as long as there is room.
        let _ = self.bytes.extend_from_slice(fits);
        if complete {
            return Some(self.checked());
        }
        self.line = Line::FullThenCarriageReturn;
        None
    }

    fn take_chunk(&mut self, input: &[u8]) -> (usize, Option<Found>) {
        let room = N.saturating_sub(self.bytes.len());
        let taken = input.len().min(room); // L2
        if taken == 0 || self.bytes.extend_from_slice(input.get(..taken).unwrap_or_default()).is_err() {
            return (0, None);
        }
        let begun = incomplete_character(&self.bytes);
        self.waiting = begun; // U2
        if usize::from(begun) < self.bytes.len() {
            return (taken, Some(self.checked()));
        }
        if self.bytes.len() < N {
            return (taken, None); // U2: there is no name yet
        }
        // A character longer than the machine's whole capacity can never be completed: these bytes are the name.
        self.waiting = 0;
        (taken, Some(Found::NotUtf8))
    }

    /// The client has ended its side: what is left over is a name too (rule R4), if it is anything.
    pub(crate) fn take_end(&mut self) -> Option<Found> {
        if self.waiting > 0 {
            self.waiting = 0;
            return Some(Found::NotUtf8); // U2
        }
        match core::mem::replace(&mut self.line, Line::Kept) {
            Line::Dropped => None,
            Line::FullThenCarriageReturn => Some(Found::TooLong), // L3: that CR was byte N+1 after all
            Line::Kept if self.bytes.is_empty() => None,
            Line::Kept => Some(self.checked()),
        }
    }

    /// The name has been dealt with: makes room for the next, which begins with the bytes that wait (rule U2).
    pub(crate) fn next(&mut self) {
        let mut waiting = [0; 3];
        let waiting = waiting.get_mut(..self.waiting.into()).unwrap_or_default();
        if let Some(end) = self.bytes.get(self.name().len()..) {
            waiting.iter_mut().zip(end).for_each(|(to, from)| *to = *from);
        }
        self.bytes.clear();
        let _ = self.bytes.extend_from_slice(waiting); // cannot fail: they were in there
        self.waiting = 0;
    }

    fn checked(&self) -> Found {
        match core::str::from_utf8(self.name()) {
            Ok(_) => Found::Name,
            Err(_) => Found::NotUtf8, // U1
        }
    }
}

/// How many bytes at the end of `bytes`, 0 to 3, are the beginning of a valid multi-byte character (rule U2).
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
    fn only_the_beginning_of_a_valid_character_waits() {
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
    fn the_first_read_decides_under_auto_and_an_empty_one_does_not() {
        assert_eq!(Framing::Auto.decided_by(b""), Framing::Auto);
        assert_eq!(Framing::Auto.decided_by(b"haha"), Framing::Chunk);
        assert_eq!(Framing::Auto.decided_by(b"ha\nha"), Framing::Line);
        assert_eq!(Framing::Chunk.decided_by(b"ha\nha"), Framing::Chunk);
        assert_eq!(Framing::Line.decided_by(b"haha"), Framing::Line);
    }
}
