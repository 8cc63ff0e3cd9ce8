//! Line charts: a latency distribution, and values over time.

use core::time::Duration;

use super::{Anchor, KINDS, Unit, Units, WIDTH, axis::Axis, label, line, rule, svg};
use crate::{export::html::Html, latency::Point};

/// A named curve.
#[derive(Clone, Debug)]
pub(crate) struct Series<'a, P> {
    pub(crate) name: &'a str,
    /// From left to right.
    pub(crate) points: &'a [P],
}

/// A logarithmic axis has no 0: shorter latencies are drawn here.
const SHORTEST: Duration = Duration::from_nanos(1);

const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 214.0;
const HEIGHT: f64 = 256.0;
/// The height of a line of the legend.
const NAME: f64 = 18.0;

/// The percentiles that are marked: the label, and the share of samples above.
const PERCENTILES: [(&str, f64); 6] =
    [("0", 1.0), ("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p99.9", 0.001), ("p99.99", 0.0001)];

/// A latency distribution. The percentile axis is logarithmic in the share above, so that rare long latencies are visible.
pub(crate) fn distribution(title: &str, series: &[Series<'_, Point>]) -> Html {
    let all = || series.iter().flat_map(|series| series.points);
    let least = all().map(|point| point.latency).min().unwrap_or_default().max(SHORTEST).as_secs_f64();
    let greatest = all().map(|point| point.latency).max().unwrap_or_default().as_secs_f64();
    let rarest = PERCENTILES.last().map_or(1.0, |(_, above)| *above);
    // Logarithmic in the share above, down to the last percentile that is marked.
    let x = |above: f64| LEFT + above.max(rarest).log10() / rarest.log10() * (RIGHT - LEFT);
    let y = Axis::logarithmic(least, greatest, (BOTTOM, TOP));
    let described: Vec<_> = series.iter().map(|series| describe_distribution(series)).collect();
    svg(height(series.len()), title, &described.join("; "), |svg| {
        horizontal_rules(svg, &y, Unit::Time, "latency");
        for (name, above) in PERCENTILES {
            rule(svg, (x(above), TOP), (x(above), BOTTOM));
            let anchor = if above <= rarest { Anchor::End } else { Anchor::Middle };
            let position = if above <= rarest { RIGHT + 12.0 } else { x(above) };
            label(svg, (position, BOTTOM + 16.0), anchor, "faint", name);
        }
        label(svg, ((LEFT + RIGHT) / 2.0, BOTTOM + 34.0), Anchor::Middle, "faint", "percentile");
        for (index, series) in series.iter().enumerate() {
            let points =
                series.points.iter().map(|point| (x(1.0 - point.quantile), y.position(point.latency.as_secs_f64())));
            curve(svg, index, points);
        }
        names(svg, series);
    })
}

fn describe_distribution(series: &Series<'_, Point>) -> String {
    let at = |quantile: f64| {
        let point = series.points.iter().find(|point| point.quantile >= quantile).or(series.points.last());
        Unit::Time.write(point.map_or(f64::NAN, |point| point.latency.as_secs_f64()))
    };
    format!("{}: half within {}, 99 % within {}, all within {}", series.name, at(0.5), at(0.99), at(1.0))
}

/// Values over time; each point is a second and a value.
pub(crate) fn over_time(title: &str, what: &str, unit: Unit, series: &[Series<'_, (f64, f64)>]) -> Html {
    let all = || series.iter().flat_map(|series| series.points);
    let seconds = all().map(|(second, _)| *second).fold(0.0, f64::max);
    let greatest = all().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut x = Axis::linear(seconds, (LEFT, RIGHT));
    x.end_at(seconds);
    let y = Axis::linear(greatest, (BOTTOM, TOP));
    let described: Vec<_> = series.iter().map(|series| describe_values(series, unit)).collect();
    svg(height(series.len()), title, &described.join("; "), |svg| {
        horizontal_rules(svg, &y, unit, what);
        for &mark in &x.marks {
            rule(svg, (x.position(mark), TOP), (x.position(mark), BOTTOM));
            label(svg, (x.position(mark), BOTTOM + 16.0), Anchor::Middle, "faint", Unit::Number.write_short(mark));
        }
        label(svg, ((LEFT + RIGHT) / 2.0, BOTTOM + 34.0), Anchor::Middle, "faint", "seconds");
        for (index, series) in series.iter().enumerate() {
            curve(svg, index, series.points.iter().map(|&(second, value)| (x.position(second), y.position(value))));
        }
        names(svg, series);
    })
}

fn describe_values(series: &Series<'_, (f64, f64)>, unit: Unit) -> String {
    let values = || series.points.iter().map(|(_, value)| *value);
    let (least, greatest) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    format!("{}: from {} to {}", series.name, unit.write(least), unit.write(greatest))
}

fn height(series: usize) -> f64 {
    let names = if series > 1 { series } else { 0 };
    HEIGHT + (0..names).map(|_| NAME).sum::<f64>()
}

fn horizontal_rules(svg: &mut Html, y: &Axis, unit: Unit, what: &str) {
    for &mark in &y.marks {
        rule(svg, (LEFT, y.position(mark)), (RIGHT, y.position(mark)));
        label(svg, (LEFT - 6.0, y.position(mark) + 4.0), Anchor::End, "faint", unit.write_short(mark));
    }
    label(svg, (0.0, 12.0), Anchor::Start, "faint", what);
}

fn curve(svg: &mut Html, index: usize, points: impl Iterator<Item = (f64, f64)>) {
    let points: Vec<_> = points.map(|(x, y)| format!("{},{}", Units(x), Units(y))).collect();
    let class = format!("curve line-{}", index % KINDS);
    svg.text_element("polyline", &[("points", &points.join(" ")), ("class", &class)], "");
}

/// The legend, if there are several curves.
fn names<P>(svg: &mut Html, series: &[Series<'_, P>]) {
    if series.len() < 2 {
        return;
    }
    let mut y = HEIGHT;
    for (index, series) in series.iter().enumerate() {
        line(svg, (LEFT, y + 5.0), (LEFT + 36.0, y + 5.0), &format!("curve line-{}", index % KINDS));
        label(svg, (LEFT + 44.0, y + 9.0), Anchor::Start, "", series.name);
        y += NAME;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chart_can_be_empty_and_has_a_description() {
        assert!(distribution("a", &[]).as_str().starts_with("<svg "));
        assert!(over_time("a", "b", Unit::Rate, &[]).as_str().starts_with("<svg "));
        let points = [
            Point { quantile: 0.5, latency: Duration::from_micros(10) },
            Point { quantile: 1.0, latency: Duration::from_millis(2) },
        ];
        let chart = distribution("Latency", &[Series { name: "<board>", points: &points }]);
        let words =
            "aria-label=\"Latency: &lt;board&gt;: half within 10.0 µs, 99 % within 2.00 ms, all within 2.00 ms\"";
        assert!(chart.as_str().contains(words), "{}", chart.as_str());
    }

    #[test]
    fn every_coordinate_is_finite() {
        let points = [(0.0, f64::NAN), (f64::INFINITY, 1.0)];
        let chart = over_time("a", "b", Unit::Rate, &[Series { name: "c", points: &points }]);
        for never in ["NaN", "inf"] {
            assert!(!chart.as_str().contains(never), "{}", chart.as_str());
        }
    }
}
