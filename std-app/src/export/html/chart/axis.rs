//! An axis: the position of each value, and the values that are marked.

use crate::export::number::{ByteRate, Figure, Rate, Time};

/// The unit of a value. Values are in the base unit given here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds.
    Time,
    /// Events per second.
    Rate,
    /// Bytes per second.
    ByteRate,
    /// Plain numbers.
    Number,
}

impl Unit {
    /// A value with its unit.
    pub(crate) fn write(self, value: f64) -> String {
        match self {
            Self::Time => Time::from_secs(value).to_string(),
            Self::Rate => Rate(value).to_string(),
            Self::ByteRate => ByteRate(value).to_string(),
            Self::Number => Figure(value).to_string(),
        }
    }

    /// A value for a mark of the axis, without trailing zeros.
    pub(super) fn write_short(self, value: f64) -> String {
        let text = match self {
            Self::Rate | Self::Number => thousands(value),
            Self::Time | Self::ByteRate => self.write(value),
        };
        let (number, unit) = text.split_at(text.find([' ', '/']).unwrap_or(text.len()));
        let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
        format!("{number}{unit}")
    }
}

/// A short form for the margin of a chart: `150 k`.
fn thousands(value: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let fitting = units.into_iter().find(|(size, _)| value.abs() >= size * 0.9995);
    let (size, unit) = fitting.unwrap_or((1.0, ""));
    format!("{} {unit}", Figure(value / size)).trim_end().to_owned()
}

/// Maps values to positions in the chart.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    logarithmic: bool,
    /// The least and the greatest value; their logarithms on a logarithmic axis.
    from: f64,
    to: f64,
    /// The positions of those two.
    positions: (f64, f64),
    /// The values that are marked.
    pub(super) marks: Vec<f64>,
}

impl Axis {
    /// From 0 to at least `greatest`, in steps of 1, 2 or 5 times a power of ten.
    pub(super) fn linear(greatest: f64, positions: (f64, f64)) -> Self {
        let greatest = if greatest.is_finite() && greatest > 0.0 { greatest } else { 1.0 };
        let step = easy_step(greatest / 4.0);
        let count = (greatest / step).ceil();
        let marks = (0..=10_u32).map(f64::from).take_while(|&number| number <= count).map(|number| number * step);
        Self { logarithmic: false, from: 0.0, to: count * step, positions, marks: marks.collect() }
    }

    /// Ends the axis at a value instead of the next mark.
    pub(super) fn end_at(&mut self, value: f64) {
        if value.is_finite() && value > self.from {
            self.to = value;
            self.marks.retain(|&mark| mark <= value);
        }
    }

    /// From `least` to `greatest`, both above 0, with marks at powers of ten, and also at 2 and 5 times these on a short axis.
    pub(super) fn logarithmic(least: f64, greatest: f64, positions: (f64, f64)) -> Self {
        let least = if least.is_finite() && least > 0.0 { least } else { 1.0 };
        let greatest = if greatest.is_finite() { greatest.max(least) } else { least };
        let (decade, last) = (least.log10().floor(), greatest.log10().ceil());
        let digits: &[f64] = if last - decade > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = (0..=20_u32).map(|number| decade + f64::from(number)).take_while(|&number| number <= last);
        let all: Vec<f64> =
            decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powf(decade))).collect();
        // From the last mark below all values to the first above.
        let begin = all.iter().rposition(|&mark| mark <= least * 1.0001).unwrap_or(0);
        let end = all.iter().position(|&mark| mark >= greatest * 0.9999).unwrap_or(all.len().saturating_sub(1));
        let end = end.max(begin.saturating_add(1)).min(all.len().saturating_sub(1));
        let marks = all.get(begin..=end).unwrap_or_default().to_vec();
        let from = marks.first().copied().unwrap_or(least).log10();
        let to = marks.last().copied().unwrap_or(greatest).log10();
        Self { logarithmic: true, from, to, positions, marks }
    }

    /// The position of a value; values beyond an end are drawn there.
    pub(super) fn position(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let span = self.to - self.from;
        let part = if span > 0.0 { ((value - self.from) / span).clamp(0.0, 1.0) } else { 0.0 };
        self.positions.0 + part * (self.positions.1 - self.positions.0)
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `step`.
fn easy_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|&easy| easy >= step * 0.9999).unwrap_or(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_marks_are_easy_numbers_and_reach_past_the_greatest() {
        for (greatest, step, last) in [(97.0, 50.0, 100.0), (101.0, 50.0, 150.0), (4.0, 1.0, 4.0), (0.0, 0.5, 1.0)] {
            let axis = Axis::linear(greatest, (0.0, 1.0));
            assert_eq!(axis.marks[1], step, "{greatest}");
            assert_eq!(axis.marks.last(), Some(&last), "{greatest}");
            assert_eq!((axis.position(0.0), axis.position(last), axis.position(last * 2.0)), (0.0, 1.0, 1.0));
        }
    }

    #[test]
    fn logarithmic_marks_enclose_all_values() {
        for (least, greatest) in [(7_300.0, 8_100.0), (10_000.0, 10_000.0), (3.0, 4e9), (0.0, 0.0), (150.0, 1e5)] {
            let axis = Axis::logarithmic(least, greatest, (100.0, 0.0));
            assert!(axis.marks.len() >= 2 && axis.marks.len() <= 14, "{least} {greatest}: {:?}", axis.marks);
            assert!(
                axis.marks[0] <= f64::max(least, 1.0) * 1.001 && axis.marks[axis.marks.len() - 1] >= greatest * 0.999
            );
            let positions: Vec<f64> = axis.marks.iter().map(|&mark| axis.position(mark)).collect();
            assert!(positions.is_sorted_by(|a, b| a > b), "{positions:?}");
        }
    }

    #[test]
    fn marks_are_written_short() {
        assert_eq!(Unit::Time.write_short(20e-6), "20 µs");
        assert_eq!(Unit::Time.write_short(1e-3), "1 ms");
        assert_eq!(Unit::Rate.write_short(0.5), "0.5");
        assert_eq!(Unit::Rate.write_short(150_000.0), "150 k");
        assert_eq!(Unit::Number.write_short(10.0), "10");
        assert_eq!(Unit::ByteRate.write_short(2e6), "2 MB/s");
    }
}
