//! What a peer sent, as it may be shown (rule K3).

use core::fmt::{self, Write};

/// Shows bytes of a peer so that no control character among them reaches a terminal or a log.
///
/// Text stays as it is; control characters, and those that turn its direction around, are shown by their escapes, and a
/// byte that is not UTF-8 by its number.
///
/// ```
/// # extern crate std;
/// use greet_core::Escaped;
///
/// let shown = std::format!("{}", Escaped(b"caf\xC3\xA9 \x1b[2J\n\xFF"));
/// assert_eq!(shown, "café \\u{1b}[2J\\n\\xff");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() || turns_direction(character) {
                    character.escape_default().try_for_each(|shown| formatter.write_char(shown))?;
                } else {
                    formatter.write_char(character)?;
                }
            }
            for byte in chunk.invalid() {
                write!(formatter, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether the character makes a terminal or a reader take the text's order or lines for others than they are.
const fn turns_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn no_control_character_is_shown_as_it_is() {
        // Miri is a thousand times slower, and what is to be escaped comes early.
        let last = if cfg!(miri) { '\u{2fff}' } else { char::MAX };
        let every: std::string::String = ('\0'..=last).collect();
        let shown = Escaped(every.as_bytes()).to_string();
        assert!(!shown.chars().any(char::is_control));
        // Nor what turns the direction of the text around.
        assert!(!shown.contains(['\u{202a}', '\u{202e}', '\u{2066}', '\u{200f}']));
    }

    #[test]
    fn text_is_shown_as_it_is() {
        let text = r#"Hello, "Zoë" \o/ 'n' 你好 🦀!"#;
        assert_eq!(Escaped(text.as_bytes()).to_string(), text);
    }
}
