//! A probability: a number from 0 to 1.

use core::{fmt, str::FromStr};

use fastrand::Rng;

/// A number from 0 to 1. It is read as a percentage or as such a number, and printed as such a number.
///
/// ```
/// use greet_smoltcp::impair::Probability;
///
/// assert_eq!("0.5%".parse(), Ok(Probability::new(0.005).unwrap()));
/// assert_eq!("0.005".parse(), Ok(Probability::new(0.005).unwrap()));
/// assert_eq!(Probability::percent(5).to_string(), "0.05");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Probability(f64);

const BILLION: u32 = 1_000_000_000;

impl Probability {
    /// It never happens.
    pub const NEVER: Self = Self(0.0);

    /// It always happens.
    pub const ALWAYS: Self = Self(1.0);

    /// `None` for a number that is not from 0 to 1.
    #[must_use]
    #[allow(clippy::manual_range_contains, reason = "that is not const")]
    pub const fn new(probability: f64) -> Option<Self> {
        if probability >= 0.0 && probability <= 1.0 { Some(Self(probability)) } else { None }
    }

    /// This percentage; always where it is above 100.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        if percent < 100 { Self(percent as f64 / 100.0) } else { Self::ALWAYS }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Whether it happens this time.
    pub(super) fn happens(self, random: &mut Rng) -> bool {
        // In billionths: a seed has the same result on every host and in every version.
        f64::from(random.u32(0..BILLION)) < self.0 * f64::from(BILLION)
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why a text is not a [`Probability`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ProbabilityError {
    /// It is not a number.
    NotANumber,
    /// It is a number above 1, without a percent sign.
    AboveOne,
    /// It is less than 0, or a percentage above 100.
    OutOfRange,
}

impl fmt::Display for ProbabilityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotANumber => "not a number: write a percentage like 0.5%, or a number from 0 to 1 like 0.005",
            Self::AboveOne => "above 1: add a % if it is a percentage, as in 10%",
            Self::OutOfRange => "out of range: write a percentage from 0% to 100%, or a number from 0 to 1",
        })
    }
}

impl core::error::Error for ProbabilityError {}

impl FromStr for Probability {
    type Err = ProbabilityError;

    /// A percentage (`10%`, `0.5%`), or a number from 0 to 1 (`0.1`).
    fn from_str(text: &str) -> Result<Self, ProbabilityError> {
        let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
        let number = number.parse::<f64>().ok().filter(|number| number.is_finite());
        let number = number.ok_or(ProbabilityError::NotANumber)?;
        let too_high = if whole > 1.0 { ProbabilityError::OutOfRange } else { ProbabilityError::AboveOne };
        Self::new(number / whole).ok_or(if number < 0.0 { ProbabilityError::OutOfRange } else { too_high })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn a_probability_is_a_percentage_or_a_number() {
        for (text, number) in [
            ("0", 0.0),
            ("-0", 0.0),
            ("0%", 0.0),
            ("1", 1.0),
            ("100%", 1.0),
            ("10%", 0.1),
            (".1", 0.1),
            ("5.%", 0.05),
            ("0.5%", 0.005),
            ("0.005", 0.005),
            ("1e-3", 0.001),
        ] {
            assert_eq!(text.parse().map(Probability::get), Ok(number), "{text}");
        }
    }

    #[test]
    fn invalid_values_are_errors_that_state_the_valid_form() {
        use ProbabilityError::{AboveOne, NotANumber, OutOfRange};
        for (text, error) in [
            ("", NotANumber),
            ("%", NotANumber),
            (".", NotANumber),
            ("NaN", NotANumber),
            ("inf", NotANumber),
            ("often", NotANumber),
            (" 1%", NotANumber),
            ("1 %", NotANumber),
            ("1%%", NotANumber),
            ("0,1", NotANumber),
            ("-1%", OutOfRange),
            ("-0.1", OutOfRange),
            ("100.0000001%", OutOfRange),
            ("1.000000001", AboveOne),
            ("10", AboveOne),
        ] {
            assert_eq!(text.parse::<Probability>(), Err(error), "{text}");
            assert!(error.to_string().contains("write ") || error.to_string().contains("add a %"), "{error}");
        }
        assert_eq!([Probability::new(f64::NAN), Probability::new(-0.1), Probability::new(1.1)], [None; 3]);
        assert_eq!(Probability::percent(u32::MAX), Probability::ALWAYS);
    }

    #[test]
    fn what_is_certain_does_not_depend_on_luck() {
        let mut random = Rng::with_seed(1);
        for _ in 0..10_000 {
            assert!(Probability::ALWAYS.happens(&mut random) && !Probability::NEVER.happens(&mut random));
        }
    }
}
