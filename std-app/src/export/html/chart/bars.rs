//! A bar chart.

use super::{Anchor, Unit, Units, WIDTH, axis::Axis, label, svg};
use crate::export::html::Html;

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// The name of the value.
    pub(crate) label: String,
    /// The value, in the base unit of the chart.
    pub(crate) value: f64,
}

const ROW: f64 = 38.0;
const BAR: f64 = 14.0;

/// Horizontal bars from 0, each with its name above and its value behind.
pub(crate) fn bars(title: &str, unit: Unit, bars: &[Bar]) -> Html {
    let described: Vec<_> = bars.iter().map(|bar| format!("{} {}", bar.label, unit.write(bar.value))).collect();
    let greatest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    // Leave space for the number behind the longest bar.
    let mut axis = Axis::linear(greatest, (0.0, WIDTH - 90.0));
    axis.end_at(greatest);
    let rows: f64 = bars.iter().map(|_| ROW).sum();
    svg(rows + 4.0, title, &described.join(", "), |svg| {
        let mut top = 0.0;
        for bar in bars {
            let width = axis.position(bar.value).max(1.0);
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
