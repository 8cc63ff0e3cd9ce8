//! The head of a response: where it ends, its status line and its fields (RFC 9112, 2.2, 4 and 5).
//!
//! No library parses it, because the existing ones link code that can panic. One of them is the oracle of the tests.

use memchr::memchr;

/// A version of HTTP that a response can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, or a later 1.x.
    Http11,
}

/// A valid head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head<'a> {
    bytes: &'a [u8],
    version: Version,
    status: u16,
    reason: &'a [u8],
    fields: &'a [u8],
}

/// Why a head is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HeadProblem {
    /// It does not begin like `HTTP/1.1 200 OK`.
    StatusLine,
    /// It is HTTP, but neither 1.0 nor 1.1.
    Version,
    /// There is white space between the status line and the first field (RFC 9112, 2.2).
    LeadingBlank,
    /// A field has no name, an illegal character in its name, or no colon after it.
    FieldName,
    /// A field value contains a control character.
    FieldValue,
}

/// A problem of a head, and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadError {
    pub(super) problem: HeadProblem,
    /// The offset of the first wrong byte in the head.
    pub(super) offset: usize,
}

impl<'a> Head<'a> {
    /// All bytes of the head, including the empty line at its end.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The HTTP version of the response.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The status code, 100 to 999.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase; may be empty.
    #[must_use]
    pub const fn reason(&self) -> &'a [u8] {
        self.reason
    }

    /// The names and values of the fields, in order. Blanks around a value are removed.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.placed_fields().map(|(_, name, value)| (name, value))
    }

    /// The fields, each with the offset of its line.
    fn placed_fields(&self) -> impl Iterator<Item = (usize, &'a [u8], &'a [u8])> {
        let begin = self.bytes.len().saturating_sub(self.fields.len());
        lines(self.fields).filter_map(move |(offset, line)| {
            let colon = memchr(b':', line)?;
            let value = line.get(colon.saturating_add(1)..)?.trim_ascii();
            Some((begin.saturating_add(offset), line.get(..colon)?, value))
        })
    }

    /// The value of the first field with this name. The case of the name is ignored.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next().map(|(_, value)| value)
    }

    /// The values of all fields with this name, each with the offset of its line.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = (usize, &'a [u8])> {
        let is_meant = move |(_, other, _): &(usize, &[u8], &[u8])| other.eq_ignore_ascii_case(name.as_bytes());
        self.placed_fields().filter(is_meant).map(|(offset, _, value)| (offset, value))
    }

    /// Parses a head; `bytes` ends with its empty line.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, HeadError> {
        let wrong = |problem, offset| HeadError { problem, offset };
        let mut all = lines(bytes);
        let (_, line) = all.next().unwrap_or_default();
        let version = match line.split_first_chunk::<VERSION>() {
            Some((b"HTTP/1.0", _)) => Version::Http10,
            Some(([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'], _)) => Version::Http11,
            Some(([b'H', b'T', b'T', b'P', b'/', ..], _)) => return Err(wrong(HeadProblem::Version, 5)),
            _ => return Err(wrong(HeadProblem::StatusLine, 0)),
        };
        let (status, reason) = match line.get(VERSION..) {
            Some([b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..]) => {
                (digits([*a, *b, *c]), reason)
            }
            _ => return Err(wrong(HeadProblem::StatusLine, VERSION)),
        };
        let reason = match reason {
            [] => reason, // RFC 9112, 4 wants a blank all the same; many leave it out
            [b' ', reason @ ..] if reason.iter().all(is_visible) => reason,
            _ => return Err(wrong(HeadProblem::StatusLine, VERSION.saturating_add(4))),
        };
        let begin = bytes.len().saturating_sub(all.rest.len());
        for (offset, line) in all {
            check_field(line).map_err(|(problem, position)| wrong(problem, offset.saturating_add(position)))?;
        }
        Ok(Self { bytes, version, status, reason, fields: bytes.get(begin..).unwrap_or_default() })
    }
}

/// Replaces each line folding (`obs-fold`) by blanks, as a user agent must (RFC 9112, 5.2). The length stays, and so does
/// the offset of every other byte. A blank behind the status line is no fold: nothing stands there to continue.
pub(super) fn replace_folds(head: &mut [u8]) {
    let mut line = memchr(b'\n', head).map_or(head.len(), |feed| feed.saturating_add(1));
    while let Some(length) = head.get(line..).and_then(|rest| memchr(b'\n', rest)) {
        let feed = line.saturating_add(length);
        line = feed.saturating_add(1);
        let blanks =
            head.get(line..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if blanks > 0 {
            let has_return = length > 0 && head.get(feed.wrapping_sub(1)) == Some(&b'\r');
            let fold = feed.saturating_sub(usize::from(has_return))..line.saturating_add(blanks);
            head.get_mut(fold).unwrap_or_default().fill(b' ');
        }
    }
}

/// The state of the line that is being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The head has not begun.
    Before,
    /// The head has not begun, and a CR was received.
    BeforeReturn,
    Nothing,
    /// Only a CR of the line was received.
    CarriageReturn,
    Something,
    /// The empty line that ends the head is complete.
    End,
}

impl Line {
    /// The state after `byte`; `None` if no head begins like this. No byte follows the end.
    pub(super) const fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            // Some servers send an empty line too many after a message; RFC 9112, 2.2 says the same about requests.
            (Self::Before | Self::BeforeReturn, b'\n') => Self::Before,
            (Self::Before, b'\r') => Self::BeforeReturn,
            (Self::BeforeReturn, _) => return None,
            (Self::Nothing, b'\r') => Self::CarriageReturn,
            (Self::Nothing | Self::CarriageReturn, b'\n') => Self::End,
            (_, b'\n') => Self::Nothing,
            _ => Self::Something,
        })
    }

    /// Whether the head has not begun.
    pub(super) const fn is_before_head(self) -> bool {
        matches!(self, Self::Before | Self::BeforeReturn)
    }
}

/// The length of a version like `HTTP/1.1`, in bytes.
const VERSION: usize = 8;

/// The offset of the status code.
pub(super) const STATUS: usize = VERSION + 1;

fn digits(digits: [u8; 3]) -> u16 {
    digits.into_iter().fold(0, |number, digit| number * 10 + u16::from(digit.wrapping_sub(b'0')))
}

/// The problem of a field line, with its offset in the line.
fn check_field(line: &[u8]) -> Result<(), (HeadProblem, usize)> {
    if let Some(b' ' | b'\t') = line.first() {
        return Err((HeadProblem::LeadingBlank, 0));
    }
    let name = line.iter().position(|byte| !is_token(byte)).unwrap_or(line.len());
    if name == 0 || line.get(name) != Some(&b':') {
        return Err((HeadProblem::FieldName, name));
    }
    let value = line.get(name..).unwrap_or_default();
    match value.iter().position(|byte| !is_visible(byte)) {
        Some(position) => Err((HeadProblem::FieldValue, name.saturating_add(position))),
        None => Ok(()),
    }
}

/// Whether the byte may be part of a token (RFC 9110, 5.6.2).
pub(super) const fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether the byte may be part of a field value: no control character except the tab (RFC 9110, 5.5).
pub(super) const fn is_visible(byte: &u8) -> bool {
    !byte.is_ascii_control() || *byte == b'\t'
}

/// The lines before the empty one, without their CR LF or LF (RFC 9112, 2.2), each with its offset.
fn lines(bytes: &[u8]) -> Lines<'_> {
    Lines { rest: bytes, offset: 0 }
}

struct Lines<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let end = memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at_checked(end)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return None;
        }
        let offset = self.offset;
        self.rest = rest.get(1..)?;
        self.offset = offset.saturating_add(end).saturating_add(1);
        Some((offset, line))
    }
}
