//! Charts as inline SVG: a latency distribution, bars, lines over time.

mod axis;
mod bars;
mod curves;

pub(crate) use self::{
    axis::Unit,
    bars::{Bar, bars},
    curves::{Series, distribution, over_time},
};

use core::fmt::{self, Display, Formatter};

use crate::export::html::Html;

/// The width of a chart in its own units. On a phone one unit is about one CSS pixel, so text of 12 units is readable.
const WIDTH: f64 = 380.0;

/// The number of line styles. Each has its own colour and dashes, for readers who do not see the colours.
const KINDS: usize = 4;

/// A coordinate or a length in a chart.
#[derive(Clone, Copy, Debug)]
struct Units(f64);

impl Display for Units {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.1}", if self.0.is_finite() { self.0 } else { 0.0 })
    }
}

/// The alignment of a text to its position.
#[derive(Clone, Copy, Debug)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A chart; `description` is for screen readers.
fn svg(height: f64, title: &str, description: &str, content: impl FnOnce(&mut Html)) -> Html {
    let mut html = Html::new();
    let view = format!("0 0 {} {}", Units(WIDTH), Units(height));
    let label = format!("{title}: {description}");
    html.element("svg", &[("viewBox", &view), ("role", &"img"), ("aria-label", &label)], |svg| {
        svg.text_element("title", &[], title);
        content(svg);
    });
    html
}

fn label(svg: &mut Html, (x, y): (f64, f64), anchor: Anchor, class: &str, text: impl Display) {
    svg.text_element(
        "text",
        &[("x", &Units(x)), ("y", &Units(y)), ("text-anchor", &anchor.name()), ("class", &class)],
        text,
    );
}

fn rule(svg: &mut Html, from: (f64, f64), to: (f64, f64)) {
    line(svg, from, to, "rule");
}

fn line(svg: &mut Html, from: (f64, f64), to: (f64, f64), class: &str) {
    svg.text_element(
        "line",
        &[
            ("x1", &Units(from.0)),
            ("y1", &Units(from.1)),
            ("x2", &Units(to.0)),
            ("y2", &Units(to.1)),
            ("class", &class),
        ],
        "",
    );
}
