//! A report as one HTML file: no network, no script; for a phone, a screen and paper, in light and dark.

use core::fmt::Display;
use std::{fs, io, path::Path};

use super::Html;

/// The style sheet.
const STYLE: &str = include_str!("report.css");

/// The rating of a report or of one row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rating {
    /// Everything is right.
    Good,
    /// It works, with a warning.
    Doubtful,
    /// It failed.
    Bad,
    /// Not rated.
    None,
}

impl Rating {
    /// A sign that needs no colour.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Good => "\u{2714}",
            Self::Doubtful => "!",
            Self::Bad => "\u{2718}",
            Self::None => "\u{2013}",
        }
    }

    /// The CSS class.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
            Self::None => "none",
        }
    }
}

/// A report: a title, verdicts, and sections.
#[derive(Clone, Debug)]
pub(crate) struct HtmlReport {
    title: String,
    body: Html,
}

impl HtmlReport {
    /// A report with a title and a line below it.
    pub(crate) fn new(title: impl Display, subject: impl Display) -> Self {
        let title = title.to_string();
        let mut body = Html::new();
        body.element("header", &[], |header| {
            header.text_element("h1", &[], &title).text_element("p", &[], subject);
        });
        Self { title, body }
    }

    /// Appends a banner with the result.
    pub(crate) fn verdict(&mut self, rating: Rating, text: impl Display) -> &mut Self {
        let class = format!("verdict {}", rating.class());
        self.body.element("p", &[("class", &class)], |banner| {
            banner.text_element("span", &[("class", &"sign"), ("aria-hidden", &"true")], rating.sign()).text(text);
        });
        self
    }

    /// Appends a section.
    pub(crate) fn section(&mut self, title: impl Display, content: impl FnOnce(&mut Html)) -> &mut Self {
        self.body.element("section", &[], |section| {
            section.text_element("h2", &[], title);
            content(section);
        });
        self
    }

    /// The HTML document.
    pub(crate) fn render(&self) -> String {
        let mut html = Html::new();
        html.own("<!doctype html>\n").element("html", &[("lang", &"en")], |html| {
            html.element("head", &[], |head| {
                head.begin("meta", &[("charset", &"utf-8")]);
                head.begin("meta", &[("name", &"viewport"), ("content", &"width=device-width, initial-scale=1")]);
                head.begin("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
                // A second line of defence: scripts do not run, and nothing is loaded.
                let policy = "default-src 'none'; style-src 'unsafe-inline'";
                head.begin("meta", &[("http-equiv", &"Content-Security-Policy"), ("content", &policy)]);
                head.text_element("title", &[], &self.title);
                head.element("style", &[], |style| {
                    style.own(STYLE);
                });
            });
            html.element("body", &[], |body| {
                body.element("main", &[], |main| {
                    main.html(&self.body);
                });
            });
        });
        html.own("\n").as_str().to_owned()
    }

    /// Writes the document to a file.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.render())
    }
}

/// The parts of sections.
impl Html {
    /// Appends a paragraph.
    pub(crate) fn paragraph(&mut self, text: impl Display) -> &mut Self {
        self.text_element("p", &[], text)
    }

    /// Appends a chart with a caption.
    pub(crate) fn figure(&mut self, chart: &Self, caption: impl Display) -> &mut Self {
        self.element("figure", &[], |figure| {
            figure.html(chart).text_element("figcaption", &[], caption);
        })
    }

    /// Appends a table.
    pub(crate) fn table(&mut self, table: &Table) -> &mut Self {
        let class = if table.columns.len() > WIDEST_ON_A_PHONE { "wide" } else { "narrow" };
        self.element("table", &[("class", &class)], |html| {
            html.element("thead", &[], |head| {
                head.element("tr", &[], |row| {
                    for (index, column) in table.columns.iter().enumerate() {
                        let cell = table.rows.first().and_then(|row| row.cells.get(index));
                        let class = cell.map_or("text", |cell| cell.class);
                        row.text_element("th", &[("scope", &"col"), ("class", &class)], column);
                    }
                });
            });
            html.element("tbody", &[], |body| {
                for row in &table.rows {
                    body.element("tr", &[("class", &row.rating.class())], |html| {
                        for (column, cell) in table.columns.iter().zip(&row.cells) {
                            html.element("td", &[("class", &cell.class), ("data-column", column)], |html| {
                                html.element("div", &[], |html| {
                                    html.html(&cell.content);
                                });
                            });
                        }
                    });
                }
            });
        })
    }
}

/// On a phone a wider table is shown as a list, with the column title beside each cell.
const WIDEST_ON_A_PHONE: usize = 3;

/// A table: column titles and rows of cells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    rating: Rating,
    cells: Vec<Cell>,
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    class: &'static str,
    content: Html,
}

impl Cell {
    /// Text.
    pub(crate) fn text(text: impl Display) -> Self {
        Self::new("text", |html| {
            html.text(text);
        })
    }

    /// A number, aligned right.
    pub(crate) fn number(number: impl Display) -> Self {
        Self::new("number", |html| {
            html.text(number);
        })
    }

    /// Bytes or a command, in a fixed-width font.
    pub(crate) fn code(text: impl Display) -> Self {
        Self::new("text", |html| {
            html.text_element("code", &[], text);
        })
    }

    /// A rating: its sign and a word.
    pub(crate) fn verdict(rating: Rating, word: impl Display) -> Self {
        Self::new("text", |html| {
            let class = format!("mark {}", rating.class());
            html.element("span", &[("class", &class)], |mark| {
                mark.text_element("span", &[("aria-hidden", &"true")], rating.sign()).text(" ").text(word);
            });
        })
    }

    fn new(class: &'static str, content: impl FnOnce(&mut Html)) -> Self {
        let mut html = Html::new();
        content(&mut html);
        Self { class, content: html }
    }
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows: Vec::new() }
    }

    /// Appends a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rated_row(Rating::None, cells)
    }

    /// Appends a row with a rating.
    pub(crate) fn rated_row(&mut self, rating: Rating, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rows.push(Row { rating, cells: cells.into_iter().collect() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_peer_are_escaped_everywhere_in_the_report() {
        let hostile = "</style></title><script src=//evil>";
        let mut page = HtmlReport::new(hostile, hostile);
        page.verdict(Rating::Bad, hostile).section(hostile, |section| {
            let mut table = Table::new(&[hostile]);
            table.row([Cell::text(hostile)]).row([Cell::number(hostile)]).row([Cell::code(hostile)]);
            table.rated_row(Rating::Good, [Cell::verdict(Rating::Good, hostile)]);
            section.paragraph(hostile).table(&table).figure(&Html::new(), hostile);
        });
        let text = page.render();
        assert!(!text.contains("<script"), "{text}");
        assert_eq!(text.matches("</style>").count(), 1);
        // The title twice, and the column title once more for each cell.
        assert_eq!(text.matches("&lt;script src=//evil&gt;").count(), 16);
    }

    #[test]
    fn a_report_loads_nothing() {
        let text = HtmlReport::new("a", "b").render();
        for fetched in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!text.contains(fetched), "{fetched}");
        }
    }
}
