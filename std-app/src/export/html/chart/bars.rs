//! Bars: one number each, beside each other.

use super::{Anchor, Unit, Units, WIDTH, axis::Axis, label, svg};
use crate::export::html::Html;

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// What it stands for.
    pub(crate) label: String,
    /// How long it is.
    pub(crate) value: f64,
}

const ROW: f64 = 38.0;
const BAR: f64 = 14.0;

/// Lying bars, all from 0 on, each with its name above and its number behind it.
pub(crate) fn bars(title: &str, unit: Unit, bars: &[Bar]) -> Html {
    let described: Vec<_> = bars.iter().map(|bar| format!("{} {}", bar.label, unit.write(bar.value))).collect();
    let greatest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    // The number behind the longest bar needs room too.
    let mut axis = Axis::linear(greatest, (0.0, WIDTH - 90.0));
    axis.end_at(greatest);
    let rows: f64 = bars.iter().map(|_| ROW).sum();
    svg(rows + 4.0, title, &described.join(", "), |svg| {
        let mut top = 0.0;
        for bar in bars {
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
                    ("class", &"fill-0"),
                ],
                "",
            );
            label(svg, (width + 6.0, top + 29.0), Anchor::Start, "faint", unit.write(bar.value));
            top += ROW;
        }
    })
}
