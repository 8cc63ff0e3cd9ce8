//! Charts as inline SVG, in the page's colours: a latency distribution, bars, lines over time.

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

/// How wide a chart is, in its own units. A phone shows one of them as one of its own, so 12 of them are readable text.
const WIDTH: f64 = 380.0;

/// There are so many kinds of lines: colours, each with its own dashes for who cannot tell them apart.
const KINDS: usize = 4;

/// A place or a length in a chart.
#[derive(Clone, Copy, Debug)]
struct Units(f64);

impl Display for Units {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.1}", if self.0.is_finite() { self.0 } else { 0.0 })
    }
}

/// Where a text stands relative to its place.
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

/// The whole of a chart: `description` is what is said of it to who cannot see it.
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
