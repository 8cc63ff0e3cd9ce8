//! Which names are not sent, and why.

use core::fmt;

use memchr::memchr;

use crate::{Framing, framing::incomplete_character, text::EXIT};

/// Why a name is not sent: it could not come back as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameError {
    /// Under `chunk` there is no empty name (rule R2).
    Empty,
    /// `exit` is how a conversation ends (rule R3): close the client instead.
    Exit,
    /// Under `line` a name ends at LF (rule F2): the LF in this one is at `offset`.
    LineFeed {
        /// Where it is.
        offset: usize,
    },
    /// Under `chunk` the first name must not have a line feed: a server whose framing is `auto` takes that for lines (rule F3).
    LineFeedFirst {
        /// Where it is.
        offset: usize,
    },
    /// Under `line` a CR at the end belongs to the line's end (rule F2).
    CarriageReturnAtEnd,
    /// Under `chunk` a name's end inside a character makes the server wait for the rest (rule U2).
    IncompleteCharacter,
    /// It is longer than this client can ever hold.
    TooLong {
        /// How many bytes a name may have.
        limit: usize,
    },
    /// There is no room until an earlier name is answered: say it again then.
    Full,
    /// The conversation is ending.
    Closed,
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("framing chunk has no empty name: give it a byte, or use framing line"),
            Self::Exit => formatter.write_str("`exit` is no name but the end of the conversation"),
            Self::LineFeed { offset } => {
                write!(formatter, "the line feed at byte {offset} would end the name: use framing chunk")
            }
            Self::LineFeedFirst { offset } => write!(
                formatter,
                "the line feed at byte {offset} of the first name would make the server take names for lines: say another \
                 name first"
            ),
            Self::CarriageReturnAtEnd => formatter
                .write_str("the carriage return at the end would be taken for the line's end: use framing chunk"),
            Self::IncompleteCharacter => {
                formatter.write_str("it ends inside a UTF-8 character, whose rest the server would wait for")
            }
            Self::TooLong { limit } => write!(formatter, "it is longer than {limit} bytes, the limit here"),
            Self::Full => {
                formatter.write_str("too many names wait for their replies: say it again after the next reply")
            }
            Self::Closed => formatter.write_str("the conversation is ending"),
        }
    }
}

impl core::error::Error for NameError {}

impl NameError {
    /// Whether a name comes back as it was given, in this framing; `is_first` says that none was said before it.
    pub(super) fn check(name: &[u8], framing: Framing, is_first: bool) -> Result<(), Self> {
        if name == EXIT {
            return Err(Self::Exit);
        }
        // Until the server has told its framing, a name has to fit both.
        if framing == Framing::Auto {
            Self::check(name, Framing::Line, is_first)?;
            return Self::check(name, Framing::Chunk, is_first);
        }
        match framing {
            Framing::Line => {
                if let Some(offset) = memchr(b'\n', name) {
                    return Err(Self::LineFeed { offset });
                }
                if name.last() == Some(&b'\r') {
                    return Err(Self::CarriageReturnAtEnd);
                }
            }
            Framing::Chunk | Framing::Auto => {
                if name.is_empty() {
                    return Err(Self::Empty);
                }
                if let Some(offset) = memchr(b'\n', name)
                    && is_first
                {
                    return Err(Self::LineFeedFirst { offset });
                }
                if incomplete_character(name) > 0 {
                    return Err(Self::IncompleteCharacter);
                }
            }
        }
        Ok(())
    }
}
