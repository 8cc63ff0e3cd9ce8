//! Where the body of a response ends (RFC 9112, 6 and 7).

use super::{
    Failure,
    head::{Head, Version},
};

/// The limit of a line of a chunked body, and of all its trailers together, in bytes: a server must not keep a client reading
/// forever.
const LINES: u32 = 8 * 1024;

/// How the end of a body is found, and how much of the body is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// This many bytes are missing.
    Length(u64),
    Chunked(Chunks),
    /// The body ends with the connection.
    UntilEnd,
}

/// The position in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    at: At,
    /// How many bytes of the line, or of the trailers, were read.
    line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a chunk's size; `None` before its first digit.
    Size(Option<u64>),
    /// In the blanks after the size.
    Blank(u64),
    /// In the extensions of a chunk, which are ignored.
    Extension(u64),
    /// After the CR of the size line.
    SizeEnd(u64),
    /// In a chunk; this many bytes of it are missing.
    Data(u64),
    /// After a chunk, before the CR.
    DataEnd,
    /// After a chunk and the CR, before the LF.
    DataLineFeed,
    /// At the beginning of a trailer's line, or of the empty line that ends them.
    Trailer,
    /// In a trailer, which is ignored.
    TrailerLine,
    /// After the CR of a trailer.
    TrailerEnd,
    /// After the CR of the empty line.
    TrailersEnd,
}

/// The result of decoding a part of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded<'a> {
    /// How many bytes of the input were taken.
    pub(super) taken: usize,
    /// The bytes of the body among them; may be empty.
    pub(super) data: &'a [u8],
    /// The body is complete.
    pub(super) complete: bool,
}

impl Body {
    /// How the body after this head is framed; `None` if there is no body. An error has an offset in the head.
    pub(super) fn behind(head: &Head<'_>) -> Result<Option<Self>, (Failure, usize)> {
        if matches!(head.status(), 204 | 304) {
            return Ok(None); // RFC 9112, 6.3, 1
        }
        let mut encodings = head.all("transfer-encoding");
        let mut lengths = head.all("content-length");
        match (encodings.next(), lengths.next()) {
            // 6.3, 3: it may be an attempt to smuggle.
            (Some((one, _)), Some((other, _))) => Err((Failure::LengthAndEncoding, one.max(other))),
            // 6.1: HTTP/1.0 has no chunks, and an intermediary may not know them either.
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

    /// How many bytes of the body are missing, if that is known.
    pub(super) const fn length(&self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(*length),
            _ => None,
        }
    }

    /// Takes bytes from the front of `input`, at most up to the end of a chunk. An error has an offset in the input.
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
                        return wrong(Failure::ChunkSize); // it does not fit into 64 bits
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
                (At::Data(_), _) => self.at, // handled above
            };
        }
        Ok(Decoded { taken: input.len(), data: &[], complete: false })
    }
}

/// The first bytes, at most `limit`.
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
