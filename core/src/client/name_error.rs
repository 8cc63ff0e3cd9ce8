//! The names that a client refuses to send, and why.

use core::fmt;

use memchr::memchr;

use super::Service;
use crate::{Framing, framing::incomplete_character, text::EXIT};

/// Why a client refuses a name: the reply could not contain the name as it was given, or there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty, which framing `chunk` cannot express (rule R2).
    Empty,
    /// The name is `exit`, which ends a conversation (rule R3). Close the client instead.
    Exit,
    /// The name contains an LF, which would end it in framing `line` (rule F2).
    LineFeed {
        /// The offset of the LF in the name.
        offset: usize,
    },
    /// The first name of a conversation in framing `chunk` contains an LF: a server with framing `auto` would decide for `line`
    /// (rule F3).
    LineFeedFirst {
        /// The offset of the LF in the name.
        offset: usize,
    },
    /// The name ends with a CR, which would belong to the line end in framing `line` (rule F2).
    CarriageReturnAtEnd,
    /// The name ends inside a UTF-8 character. In framing `chunk` the server would wait for the rest of it (rule U2).
    IncompleteCharacter,
    /// The name is longer than this client's capacity allows.
    TooLong {
        /// The length of the longest name, in bytes.
        limit: usize,
    },
    /// There is no room until an earlier name is answered. Try again then.
    Full,
    /// The conversation is ending.
    Closed,
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("framing chunk has no empty name: use framing line"),
            Self::Exit => formatter.write_str("`exit` is no name: it ends the conversation"),
            Self::LineFeed { offset } => {
                write!(formatter, "the line feed at byte {offset} would end the name: use framing chunk")
            }
            Self::LineFeedFirst { offset } => write!(
                formatter,
                "the line feed at byte {offset} of the first name would make the server use framing line: send another \
                 name first"
            ),
            Self::CarriageReturnAtEnd => {
                formatter.write_str("the carriage return at the end would belong to the line end: use framing chunk")
            }
            Self::IncompleteCharacter => {
                formatter.write_str("it ends inside a UTF-8 character, and the server would wait for the rest")
            }
            Self::TooLong { limit } => write!(formatter, "it is longer than the limit of {limit} bytes"),
            Self::Full => formatter.write_str("too many names wait for their replies: try again after the next reply"),
            Self::Closed => formatter.write_str("the conversation is ending"),
        }
    }
}

impl core::error::Error for NameError {}

impl NameError {
    /// Checks that the reply can contain the name as it is; `is_first` says that it is the first name of the conversation.
    pub(super) fn check(name: &[u8], service: Service, framing: Framing, is_first: bool) -> Result<(), Self> {
        if service == Service::Echo {
            return match memchr(b'\n', name) {
                Some(offset) if framing == Framing::Line => Err(Self::LineFeed { offset }),
                None if framing != Framing::Line && name.is_empty() => Err(Self::Empty),
                _ => Ok(()),
            };
        }
        if name == EXIT {
            return Err(Self::Exit);
        }
        // Until the server has told its framing, a name has to fit both.
        if framing == Framing::Auto {
            Self::check(name, service, Framing::Line, is_first)?;
            return Self::check(name, service, Framing::Chunk, is_first);
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
