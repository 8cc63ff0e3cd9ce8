//! HTML markup: all text in it is escaped.

pub(crate) mod bench;
pub(crate) mod chart;
pub(crate) mod check;
pub(crate) mod report;

use core::fmt::{self, Display, Write};

use greet_core::escape_of;

/// A piece of HTML or SVG.
///
/// Names of elements and attributes are constants of the program (`&'static str`); contents and values are escaped. So bytes of
/// a peer stay text, and control characters are shown as escapes (rule K3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Html(String);

/// An element's attributes: names and values.
pub(crate) type Attributes<'a> = [(&'static str, &'a dyn Display)];

impl Html {
    /// An empty piece.
    pub(crate) const fn new() -> Self {
        Self(String::new())
    }

    /// The markup.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends text, escaped.
    pub(crate) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string does not fail.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    /// Appends another piece.
    pub(crate) fn html(&mut self, piece: &Self) -> &mut Self {
        self.0.push_str(&piece.0);
        self
    }

    /// Appends an element; `content` writes what is inside.
    pub(crate) fn element(
        &mut self,
        name: &'static str,
        attributes: &Attributes<'_>,
        content: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.begin(name, attributes);
        content(self);
        self.0.extend(["</", name, ">"]);
        self
    }

    /// Appends an element that contains text.
    pub(crate) fn text_element(
        &mut self,
        name: &'static str,
        attributes: &Attributes<'_>,
        text: impl Display,
    ) -> &mut Self {
        self.element(name, attributes, |element| {
            element.text(text);
        })
    }

    /// Appends a start tag; elements like `meta` have no end tag.
    pub(super) fn begin(&mut self, name: &'static str, attributes: &Attributes<'_>) -> &mut Self {
        self.0.extend(["<", name]);
        for (attribute, value) in attributes {
            self.0.extend([" ", attribute, "=\""]);
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
        self
    }

    /// Appends constant markup without escaping.
    pub(super) fn own(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }
}

/// A writer that escapes text.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(character),
                _ => match escape_of(character) {
                    Some(escape) => self.0.extend(escape),
                    None => self.0.push(character),
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use greet_core::Escaped;

    use super::*;

    #[test]
    fn text_cannot_close_its_element_nor_a_value_its_quotes() {
        let hostile = "</p><script>alert('1')</script>\" onload=\"x&";
        let mut html = Html::new();
        html.text_element("p", &[("title", &hostile)], hostile);
        let escaped = "&lt;/p&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;x&amp;";
        assert_eq!(html.as_str(), format!("<p title=\"{escaped}\">{escaped}</p>"));
    }

    #[test]
    fn invisible_characters_are_escaped_as_on_a_terminal() {
        let mut html = Html::new();
        html.text("a\0\u{1b}[2J\r\u{85}\u{202e}\u{feff}\n\tä€😀");
        assert_eq!(html.as_str(), "a\\u{0}\\u{1b}[2J\\r\\u{85}\\u{202e}\\u{feff}\n\tä€😀");
        let markup = ['&', '<', '>', '"', '\'', '\n', '\t'];
        for character in ('\0'..=char::MAX).filter(|character| !markup.contains(character)) {
            let mut html = Html::new();
            html.text(character);
            let on_a_terminal = Escaped(character.encode_utf8(&mut [0; 4]).as_bytes()).to_string();
            assert_eq!(html.as_str(), on_a_terminal);
        }
    }

    #[test]
    fn elements_nest() {
        let mut html = Html::new();
        html.element("ul", &[], |list| {
            list.text_element("li", &[("class", &"first")], 1).text_element("li", &[], 2);
        });
        assert_eq!(html.as_str(), "<ul><li class=\"first\">1</li><li>2</li></ul>");
    }
}
