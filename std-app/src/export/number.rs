//! Numbers for people: three significant digits and a fitting unit.

use core::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

/// A time: `870 ns`, `12.3 µs`, `4.56 ms`, `7.89 s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    seconds: f64,
}

impl Time {
    pub(crate) const fn from_secs(seconds: f64) -> Self {
        Self { seconds }
    }
}

impl From<Duration> for Time {
    fn from(span: Duration) -> Self {
        Self { seconds: span.as_secs_f64() }
    }
}

impl Display for Time {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
        scaled(self.seconds, &units, formatter)
    }
}

/// Bytes in decimal units: `512 B`, `12.3 kB`, `4.56 MB`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bytes(pub(crate) f64);

impl Display for Bytes {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        scaled(self.0, &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")], formatter)
    }
}

/// Bytes per second: `4.56 MB/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ByteRate(pub(crate) f64);

impl Display for ByteRate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/s", Bytes(self.0))
    }
}

/// Events per second: `123,456/s`, `12.3/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(pub(crate) f64);

impl Display for Rate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/s", Figure(self.0))
    }
}

/// A whole number in groups of three digits: `1,234,567`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

impl Display for Count {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&grouped(&self.0.to_string()))
    }
}

/// A count and its noun: `1 name`, `2,000 names`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", Count(count), if count == 1 { "" } else { "s" })
}

/// Any number with three significant digits, and all digits before the decimal point; `-` if it is not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure(pub(crate) f64);

impl Display for Figure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if !value.is_finite() {
            return formatter.write_str("-"); // nothing was measured
        }
        let size = value.abs();
        // Each limit is where rounding would add a digit.
        let decimals = match size {
            _ if value == 0.0 => 0,
            _ if size < 0.9995 => 3,
            _ if size < 9.995 => 2,
            _ if size < 99.95 => 1,
            _ => 0,
        };
        let text = format!("{value:.decimals$}");
        match text.split_once('.') {
            Some((whole, fraction)) => write!(formatter, "{}.{fraction}", grouped(whole)),
            None => formatter.write_str(&grouped(&text)),
        }
    }
}

/// Writes `value` in the largest unit that does not exceed it. The units are given with their sizes, largest first.
fn scaled(value: f64, units: &[(f64, &str)], formatter: &mut Formatter<'_>) -> fmt::Result {
    // 999.5 would be written as 1,000 of the smaller unit.
    let fitting = units.iter().find(|(size, _)| value.abs() >= size * 0.9995);
    let (size, unit) = fitting.or(units.last()).copied().unwrap_or((1.0, ""));
    write!(formatter, "{} {unit}", Figure(value / size))
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_fitting_unit() {
        for (nanoseconds, text) in [
            (0.0, "0 ns"),
            (1.0, "1.00 ns"),
            (870.0, "870 ns"),
            (999.6, "1.00 µs"),
            (12_345.0, "12.3 µs"),
            (999_600.0, "1.00 ms"),
            (4_560_000.0, "4.56 ms"),
            (99_960_000.0, "100 ms"),
            (7.891e9, "7.89 s"),
            (7_891e9, "7,891 s"),
            (f64::NAN, "- ns"),
        ] {
            assert_eq!(Time::from_secs(nanoseconds / 1e9).to_string(), text);
        }
        assert_eq!(Time::from(Duration::from_micros(1500)).to_string(), "1.50 ms");
    }

    #[test]
    fn figures_have_three_significant_digits_and_groups() {
        for (value, text) in [
            (0.0, "0"),
            (0.0456, "0.046"),
            (0.9996, "1.00"),
            (9.996, "10.0"),
            (99.96, "100"),
            (1234.5, "1,234"),
            (-1_234_567.0, "-1,234,567"),
            (-123.0, "-123"),
            (f64::INFINITY, "-"),
        ] {
            assert_eq!(Figure(value).to_string(), text);
        }
        assert_eq!(Count(1_234_567).to_string(), "1,234,567");
        assert_eq!(Count(123).to_string(), "123");
        assert_eq!(Rate(123_456.0).to_string(), "123,456/s");
        assert_eq!(ByteRate(4_560_000.0).to_string(), "4.56 MB/s");
        assert_eq!(Bytes(12.0).to_string(), "12.0 B");
    }
}
