//! Where a name ends: chunk, line, auto; and the buffer in which one name is put together.

use core::cell::Cell;

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

/// Up to `N` bytes. A `heapless::Vec` would do, but it is filled byte by byte, and this with one copy.
#[derive(Clone, Debug)]
pub(crate) struct Buffer<const N: usize> {
    bytes: [u8; N],
    length: u16,
}

impl<const N: usize> Buffer<N> {
    pub(crate) const EMPTY: Self = Self { bytes: [0; N], length: 0 };

    pub(crate) const fn len(&self) -> usize {
        self.length as usize
    }

    /// How many more bytes it can take.
    pub(crate) const fn room(&self) -> usize {
        N.saturating_sub(self.len())
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or_default()
    }

    /// Adds all of `bytes`, or nothing where there is not the room.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> Option<()> {
        let length = self.len();
        let (to, _) = self.bytes.get_mut(length..)?.split_at_mut_checked(bytes.len())?;
        to.copy_from_slice(bytes);
        // Cannot truncate or wrap: they fit, and `N` is a `u16`.
        #[expect(clippy::cast_possible_truncation)]
        let added = bytes.len() as u16;
        self.length = self.length.wrapping_add(added);
        Some(())
    }

    /// Drops so many bytes at the front.
    pub(crate) fn drop_first(&mut self, count: usize) {
        let kept = self.len().saturating_sub(count);
        self.move_to_front(count, kept);
        // Cannot truncate: it is no more than before.
        #[expect(clippy::cast_possible_truncation)]
        let length = kept as u16;
        self.length = length;
    }

    /// Moves `count` bytes from `start` on to the front, wherever the length is.
    fn move_to_front(&mut self, start: usize, count: usize) {
        let places = Cell::from_mut(self.bytes.as_mut_slice()).as_slice_of_cells();
        for (to, from) in places.iter().zip(places.iter().skip(start)).take(count) {
            to.set(from.get());
        }
    }

    fn drop_last_if(&mut self, byte: u8) {
        if self.as_slice().last() == Some(&byte) {
            self.length = self.length.saturating_sub(1);
        }
    }
}

/// One name of at most `N` bytes, being put together from whatever the reads deliver.
#[derive(Clone, Debug)]
pub(crate) struct Assembly<const N: usize> {
    bytes: Buffer<N>,
    framing: Framing,
    line: Line,
    /// Under `chunk`: so many bytes right behind those in the buffer are the beginning of a character (rule U2).
    waiting: u8,
}

impl<const N: usize> Assembly<N> {
    pub(crate) const fn new(framing: Framing) -> Self {
        const { assert!(0 < N && N <= u16::MAX as usize, "a name's capacity is 1 to 65,535 bytes") };
        Self { bytes: Buffer::EMPTY, framing, line: Line::Kept, waiting: 0 }
    }

    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// The name that was found.
    pub(crate) fn name(&self) -> &[u8] {
        self.bytes.as_slice()
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
        let text = match text {
            [text @ .., CARRIAGE_RETURN] if complete => text, // F2
            [] if complete => {
                self.bytes.drop_last_if(CARRIAGE_RETURN); // F2: it came with an earlier read
                text
            }
            _ => text,
        };
        if self.bytes.extend(text).is_some() {
            return complete.then(|| self.checked());
        }
        match text.split_at_checked(self.bytes.room()) {
            Some((fits, [CARRIAGE_RETURN])) if !complete => {
                self.bytes.extend(fits)?; // cannot fail: `fits` is as long as there is room
                self.line = Line::FullThenCarriageReturn;
                None
            }
            _ => Some(Found::TooLong), // L3
        }
    }

    fn take_chunk(&mut self, input: &[u8]) -> (usize, Option<Found>) {
        if input.is_empty() {
            return (0, None);
        }
        self.take_waiting();
        let taken = input.len().min(self.bytes.room()); // L2
        if self.bytes.extend(input.get(..taken).unwrap_or_default()).is_none() {
            return (0, None); // cannot be: there is room for that many
        }
        let begun = incomplete_character(self.bytes.as_slice());
        let filled = self.bytes.room() == 0;
        self.bytes.length = self.bytes.length.saturating_sub(begun.into());
        self.waiting = begun; // U2
        if self.bytes.length > 0 {
            return (taken, Some(self.checked()));
        }
        if !filled {
            return (taken, None); // U2: there is no name yet
        }
        // A character longer than the machine's whole capacity can never be completed: these bytes are the name.
        self.take_waiting();
        (taken, Some(Found::NotUtf8))
    }

    /// The client has ended its side: what is left over is a name too (rule R4), if it is anything.
    pub(crate) fn take_end(&mut self) -> Option<Found> {
        if self.waiting > 0 {
            self.take_waiting();
            return Some(Found::NotUtf8); // U2
        }
        match core::mem::replace(&mut self.line, Line::Kept) {
            Line::Dropped => None,
            Line::FullThenCarriageReturn => Some(Found::TooLong), // L3: that CR was byte N+1 after all
            Line::Kept if self.bytes.len() == 0 => None,
            Line::Kept => Some(self.checked()),
        }
    }

    /// The bytes that wait become part of the name (rule U2).
    fn take_waiting(&mut self) {
        let waiting = core::mem::take(&mut self.waiting);
        self.bytes.length = self.bytes.length.saturating_add(waiting.into());
    }

    /// The name has been dealt with: makes room for the next, which begins with the bytes that wait (rule U2).
    pub(crate) fn next(&mut self) {
        let answered = core::mem::take(&mut self.bytes.length);
        if self.waiting > 0 {
            self.bytes.move_to_front(answered.into(), self.waiting.into());
        }
    }

    fn checked(&self) -> Found {
        let name = self.name();
        // ASCII is found out in a fraction of the time, and most names are nothing else.
        if is_ascii(name) || core::str::from_utf8(name).is_ok() { Found::Name } else { Found::NotUtf8 } // U1
    }
}

/// Whether all of `bytes` are ASCII. From 8 to 16 bytes, where most names are, two words hold them all; the library's way
/// takes up to 7 of them one by one.
fn is_ascii(bytes: &[u8]) -> bool {
    const NOT_ASCII: u64 = u64::from_ne_bytes([0x80; 8]);
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(&first), Some(&last)) if bytes.len() <= 16 => {
            (u64::from_ne_bytes(first) | u64::from_ne_bytes(last)) & NOT_ASCII == 0
        }
        _ => bytes.is_ascii(),
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
    fn ascii_is_told_wherever_the_other_byte_is() {
        for length in 0..40 {
            let mut bytes = [0x7F; 40];
            assert!(is_ascii(&bytes[..length]));
            for place in 0..length {
                bytes[place] = 0x80;
                assert!(!is_ascii(&bytes[..length]), "{length} bytes, the other at {place}");
                bytes[place] = 0;
            }
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
