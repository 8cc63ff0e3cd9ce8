//! Escaping of a peer's bytes for a terminal, a log or a report (rule K3).

use core::{
    char::EscapeDefault,
    fmt::{self, Write},
};

/// Displays a peer's bytes so that no control character among them reaches a terminal or a log.
///
/// Visible text is unchanged. A character that [`escape_of`] knows is replaced by its escape (`\n`, `\u{1b}`), and a byte
/// that is not UTF-8 by its hexadecimal value (`\xff`).
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
        show(self.0, escape_of, formatter)
    }
}

/// Displays a peer's bytes in quotation marks, so that they cannot be taken for another field of a log line.
///
/// As [`Escaped`], and a backslash and a quotation mark are preceded by a backslash. So different bytes are displayed
/// differently.
///
/// ```
/// # extern crate std;
/// use greet_core::Quoted;
///
/// let shown = std::format!("name={}", Quoted(b"a\" peer=\"b\\n\n"));
/// assert_eq!(shown, r#"name="a\" peer=\"b\\n\n""#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |character| match character {
            '"' | '\\' => Some(character.escape_default()),
            _ => escape_of(character),
        };
        formatter.write_char('"')?;
        show(self.0, escape, formatter)?;
        formatter.write_char('"')
    }
}

/// Writes each character as `escape` says, and each byte that is not UTF-8 by its hexadecimal value.
fn show(
    bytes: &[u8],
    escape: impl Fn(char) -> Option<EscapeDefault>,
    formatter: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match escape(character) {
                Some(mut escape) => escape.try_for_each(|shown| formatter.write_char(shown))?,
                None => formatter.write_char(character)?,
            }
        }
        for byte in chunk.invalid() {
            write!(formatter, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// The escape of a character that must not be shown as it is: `\n`, `\u{202e}`. `None` for visible characters.
///
/// This is the one table for terminals, logs and reports.
#[must_use]
pub fn escape_of(character: char) -> Option<EscapeDefault> {
    (character.is_control() || is_invisible_format(character)).then(|| character.escape_default())
}

/// Whether the character has no glyph of its own, and changes how the text around it is ordered, broken or compared: all of
/// Unicode's general categories Cf (but for number signs, which are visible), Zl and Zp, and the blank fillers of Hangul.
const fn is_invisible_format(character: char) -> bool {
    matches!(character,
        '\u{ad}'                    // soft hyphen
        | '\u{34f}'                 // combining grapheme joiner
        | '\u{61c}'                 // Arabic letter mark
        | '\u{70f}'                 // Syriac abbreviation mark
        | '\u{115f}'..='\u{1160}'   // Hangul fillers
        | '\u{180e}'                // Mongolian vowel separator
        | '\u{200b}'..='\u{200f}'   // zero-width space, joiners, direction marks
        | '\u{2028}'..='\u{202e}'   // line and paragraph separators, embeddings, overrides
        | '\u{2060}'..='\u{206f}'   // word joiner, invisible operators, isolates, deprecated controls
        | '\u{3164}'                // Hangul filler
        | '\u{feff}'                // zero-width no-break space, byte order mark
        | '\u{ffa0}'                // halfwidth Hangul filler
        | '\u{fff9}'..='\u{fffb}'   // interlinear annotations
        | '\u{13430}'..='\u{1343f}' // Egyptian hieroglyph format controls
        | '\u{1bca0}'..='\u{1bca3}' // shorthand format controls
        | '\u{1d173}'..='\u{1d17a}' // musical symbol controls
        | '\u{e0001}'..='\u{e007f}' // tags
    )
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
    }

    /// Zero-width, bidirectional and other format characters: Unicode 16, categories Cf, Zl and Zp, without number signs.
    #[test]
    fn no_format_character_is_shown_as_it_is() {
        let ranges = [
            0xAD..=0xAD,
            0x61C..=0x61C,
            0x70F..=0x70F,
            0x180E..=0x180E,
            0x200B..=0x200F,
            0x2028..=0x202E,
            0x2060..=0x2064,
            0x2066..=0x206F,
            0xFEFF..=0xFEFF,
            0xFFF9..=0xFFFB,
            0x13430..=0x1343F,
            0x1BCA0..=0x1BCA3,
            0x1D173..=0x1D17A,
            0xE0001..=0xE0001,
            0xE0020..=0xE007F,
        ];
        for character in ranges.into_iter().flatten().filter_map(char::from_u32) {
            let shown = Escaped(character.encode_utf8(&mut [0; 4]).as_bytes()).to_string();
            assert_eq!(shown, std::format!("\\u{{{:x}}}", u32::from(character)));
        }
    }

    #[test]
    fn text_is_shown_as_it_is() {
        let text = r#"Hello, "Zoë" \o/ 'n' 你好 🦀!"#;
        assert_eq!(Escaped(text.as_bytes()).to_string(), text);
    }
}
