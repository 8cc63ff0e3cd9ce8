//! Bars: one number each, beside each other.

use super::{Anchor, Unit, Units, WIDTH, axis::Axis, label, svg};
use crate::report::{Html, Verdict};

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it stands for.
    pub label: String,
    /// How long it is.
    pub value: f64,
    /// Its colour; `None` for the usual one.
    pub verdict: Verdict,
}

const ROW: f64 = 38.0;
const BAR: f64 = 14.0;

/// Lying bars, all from 0 on, each with its name above and its number behind it.
#[must_use]
pub fn bars(title: &str, unit: Unit, bars: &[Bar]) -> Html {
    let described: Vec<_> = bars.iter().map(|bar| format!("{} {}", bar.label, unit.write(bar.value))).collect();
    let greatest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    // The number behind the longest bar needs room too.
    let mut axis = Axis::linear(greatest, (0.0, WIDTH - 90.0));
    axis.end_at(greatest);
    let rows: f64 = bars.iter().map(|_| ROW).sum();
    svg(rows + 4.0, title, &described.join(", "), |svg| {
        let mut top = 0.0;
        for bar in bars {
            let class = match bar.verdict {
                Verdict::None => "fill-0".to_owned(),
                verdict => format!("fill-{}", verdict.class()),
            };
            let width = axis.place(bar.value).max(1.0);
            label(svg, (0.0, top + 13.0), Anchor::Start, "", &bar.label);
            svg.text_element(
                "rect",
                &[
                    ("x", &Units(0.0)),
                    ("y", &Units(top + 18.0)),
                    ("width", &Units(width)),
                    ("height", &Units(BAR)),
                    ("rx", &2),
                    ("class", &class),
                ],
                "",
            );
            label(svg, (width + 6.0, top + 29.0), Anchor::Start, "faint", unit.write(bar.value));
            top += ROW;
        }
    })
}
