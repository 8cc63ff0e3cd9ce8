//! Where the body of a response ends (RFC 9112, 6 and 7).

use super::{
    Failure,
    head::{Head, Version},
};

/// How long a line of a chunked body may be, and all its trailers together: nobody needs more, and nobody shall be kept
/// reading for ever.
const LINES: u32 = 8 * 1024;

/// What a body's end is told by, and how much of it is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunks),
    /// By the end of the connection.
    UntilEnd,
}

/// Where a chunked body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    at: At,
    /// So much of the line, or of the trailers, was read.
    line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a chunk's size; `None` before its first digit.
    Size(Option<u64>),
    /// Behind the size, among blanks.
    Blank(u64),
    /// In the size's extensions, which mean nothing here.
    Extension(u64),
    /// Behind the CR of a size's line.
    SizeEnd(u64),
    /// In a chunk, of which so much is still to come.
    Data(u64),
    /// Behind a chunk: CR.
    DataEnd,
    /// And LF.
    DataLineFeed,
    /// At the beginning of a trailer's line, or of the empty line that ends them.
    Trailer,
    /// In a trailer's line, which means nothing here.
    TrailerLine,
    /// Behind its CR.
    TrailerEnd,
    /// Behind the CR of the empty line.
    TrailersEnd,
}

/// What a stretch of input came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded<'a> {
    /// So much of the input was taken.
    pub(super) taken: usize,
    /// What of it belongs to the body; may be empty.
    pub(super) data: &'a [u8],
    /// The body is complete.
    pub(super) complete: bool,
}

impl Body {
    /// How the body behind this head is framed; `None` where there is no body. An error has its offset in the head.
    pub(super) fn behind(head: &Head<'_>) -> Result<Option<Self>, (Failure, usize)> {
        if matches!(head.status(), 204 | 304) {
            return Ok(None); // RFC 9112, 6.3, 1
        }
        let mut encodings = head.all("transfer-encoding");
        let mut lengths = head.all("content-length");
        match (encodings.next(), lengths.next()) {
            // 6.3, 3: it may be an attempt to smuggle.
            (Some((one, _)), Some((other, _))) => Err((Failure::LengthAndEncoding, one.max(other))),
            // 6.1: whoever speaks that knows nothing of chunks, and somebody on the way may not either.
            (Some((offset, _)), None) if head.version() == Version::Http10 => Err((Failure::EncodingTooEarly, offset)),
            (Some(first), None) => {
                let mut is_chunked = false;
                for (offset, values) in core::iter::once(first).chain(encodings) {
                    for coding in values.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                        match coding {
                            [] => {} // RFC 9110, 5.6.1.2: empty elements of a list are ignored
                            // 6.1: the request allowed no coding but the one that every recipient knows, and that one once.
                            coding if !is_chunked && coding.eq_ignore_ascii_case(b"chunked") => is_chunked = true,
                            _ => return Err((Failure::Encoding, offset)),
                        }
                    }
                }
                let chunks = Chunks { at: At::Size(None), line: 0 };
                if is_chunked { Ok(Some(Self::Chunked(chunks))) } else { Err((Failure::Encoding, first.0)) }
            }
            (None, Some(length)) => {
                let mut length_of = None;
                // 6.3, 5: the same number several times over is that number.
                for (offset, values) in core::iter::once(length).chain(lengths) {
                    for value in values.split(|&byte| byte == b',') {
                        let value = decimal(value.trim_ascii()).ok_or((Failure::Length, offset))?;
                        if length_of.replace(value).is_some_and(|before| before != value) {
                            return Err((Failure::UnequalLengths, offset));
                        }
                    }
                }
                Ok(length_of.filter(|&length| length > 0).map(Self::Length))
            }
            (None, None) => Ok(Some(Self::UntilEnd)), // 6.3, 8
        }
    }

    /// How many bytes are still to come, where that is known.
    pub(super) const fn length(&self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(*length),
            _ => None,
        }
    }

    /// Takes from the front of `input`, up to the end of a stretch of data. An error has its offset in the input.
    pub(super) fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, (Failure, usize)> {
        match self {
            Self::UntilEnd => Ok(Decoded { taken: input.len(), data: input, complete: false }),
            Self::Length(rest) => {
                let data = prefix(input, *rest);
                *rest = rest.saturating_sub(data.len() as u64);
                Ok(Decoded { taken: data.len(), data, complete: *rest == 0 })
            }
            Self::Chunked(chunks) => chunks.decode(input),
        }
    }
}

impl Chunks {
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, (Failure, usize)> {
        for (offset, &byte) in input.iter().enumerate() {
            if let At::Data(rest) = self.at {
                let data = prefix(input.get(offset..).unwrap_or_default(), rest);
                let rest = rest.saturating_sub(data.len() as u64);
                self.at = if rest == 0 { At::DataEnd } else { At::Data(rest) };
                return Ok(Decoded { taken: offset.saturating_add(data.len()), data, complete: false });
            }
            let wrong = |failure| Err((failure, offset));
            self.line = self.line.saturating_add(1);
            if self.line > LINES {
                return wrong(Failure::ChunkLine);
            }
            self.at = match (self.at, byte) {
                (At::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    let size = size.unwrap_or(0);
                    if size.leading_zeros() < 4 {
                        return wrong(Failure::ChunkSize); // more than there is
                    }
                    At::Size(Some(size << 4 | u64::from(hexadecimal(byte))))
                }
                (At::Size(Some(size)) | At::Blank(size), b' ' | b'\t') => At::Blank(size),
                (At::Size(Some(size)) | At::Blank(size), b';') => At::Extension(size),
                (At::Size(Some(size)) | At::Blank(size) | At::Extension(size), b'\r') => At::SizeEnd(size),
                (At::Size(_) | At::Blank(_), _) => return wrong(Failure::ChunkSize),
                (At::Extension(_), b'\n') => return wrong(Failure::ChunkLine),
                (At::Extension(size), _) => At::Extension(size),
                (At::SizeEnd(0), b'\n') => {
                    self.line = 0;
                    At::Trailer
                }
                (At::SizeEnd(size), b'\n') => At::Data(size),
                (At::DataEnd, b'\r') => At::DataLineFeed,
                (At::DataLineFeed, b'\n') => {
                    self.line = 0;
                    At::Size(None)
                }
                (At::SizeEnd(_), _) => return wrong(Failure::ChunkLine),
                (At::DataEnd | At::DataLineFeed, _) => return wrong(Failure::ChunkEnd),
                (At::Trailer, b'\r') => At::TrailersEnd,
                (At::TrailersEnd, b'\n') => {
                    return Ok(Decoded { taken: offset.saturating_add(1), data: &[], complete: true });
                }
                (At::TrailersEnd, _) => return wrong(Failure::ChunkLine),
                (At::TrailerLine, b'\r') => At::TrailerEnd,
                (At::TrailerEnd, b'\n') => At::Trailer,
                (At::Trailer | At::TrailerLine, b'\n') | (At::TrailerEnd, _) => return wrong(Failure::ChunkLine),
                (At::Trailer | At::TrailerLine, _) => At::TrailerLine,
                (At::Data(_), _) => self.at, // taken above
            };
        }
        Ok(Decoded { taken: input.len(), data: &[], complete: false })
    }
}

/// As many of the first bytes as there are, and no more than `limit`.
fn prefix(bytes: &[u8], limit: u64) -> &[u8] {
    usize::try_from(limit).ok().and_then(|limit| bytes.get(..limit)).unwrap_or(bytes)
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit.wrapping_sub(b'0')))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

const fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit.wrapping_sub(b'0'),
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}
