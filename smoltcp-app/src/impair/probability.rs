//! How likely something is, as it is typed, shown and decided.

use core::{fmt, str::FromStr};

use fastrand::Rng;

/// How likely something is: in parts of a billion, so that never is never, always is always, and what is shown is what
/// was typed.
///
/// ```
/// use greet_smoltcp::impair::Probability;
///
/// assert_eq!("0.5%".parse(), Ok(Probability::per_million(5_000)));
/// assert_eq!("0.005".parse(), Ok(Probability::per_million(5_000)));
/// assert_eq!(Probability::per_million(5_000).to_string(), "0.5%");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Probability(u32);

/// The parts of what always happens.
const WHOLE: u32 = 1_000_000_000;
/// The digits after the point of a number from 0 to 1, and of one from 0 to 100.
const NUMBER_DIGITS: usize = 9;
const PERCENT_DIGITS: usize = 7;

impl Probability {
    /// It does not happen.
    pub const NEVER: Self = Self(0);

    /// It happens every time.
    pub const ALWAYS: Self = Self(WHOLE);

    /// So many times in a hundred; always where that is more.
    #[must_use]
    pub const fn percent(times: u32) -> Self {
        Self::of(times, 100)
    }

    /// So many times in a million; always where that is more.
    #[must_use]
    pub const fn per_million(times: u32) -> Self {
        Self::of(times, 1_000_000)
    }

    /// So many times in a billion.
    #[must_use]
    pub const fn parts_per_billion(self) -> u32 {
        self.0
    }

    /// `times` of `all`, which divides the whole.
    const fn of(times: u32, all: u32) -> Self {
        if times < all { Self(times.saturating_mul(WHOLE / all)) } else { Self::ALWAYS }
    }

    /// Whether it happens this time.
    pub(super) fn happens(self, random: &mut Rng) -> bool {
        random.u32(0..WHOLE) < self.0
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = WHOLE / 100;
        write!(formatter, "{}", self.0 / percent)?;
        let (mut rest, mut digits) = (self.0 % percent, PERCENT_DIGITS);
        if rest > 0 {
            while rest.is_multiple_of(10) {
                rest /= 10;
                digits -= 1;
            }
            write!(formatter, ".{rest:0digits$}")?;
        }
        formatter.write_str("%")
    }
}

/// Why a text is no [`Probability`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ProbabilityError {
    /// It is no number.
    NotANumber,
    /// It is less than 0.
    Negative,
    /// It is a percentage above 100.
    AboveHundredPercent,
    /// It is a number above 1 without a percent sign.
    AboveOne,
    /// It has more digits than can be kept.
    TooFine,
}

impl fmt::Display for ProbabilityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotANumber => "it is no number: write a percentage like 0.5%, or a number from 0 to 1 like 0.005",
            Self::Negative => "it is less than never: write a percentage from 0% to 100%",
            Self::AboveHundredPercent => "it is more than always: write a percentage from 0% to 100%",
            Self::AboveOne => "it is more than 1, which is always: add a % if it is a percentage, as in 10%",
            Self::TooFine => {
                "it is finer than one in a billion: write at most 7 digits after the point of a percentage, or 9 of a \
                 number"
            }
        })
    }
}

impl core::error::Error for ProbabilityError {}

impl FromStr for Probability {
    type Err = ProbabilityError;

    /// A percentage (`10%`, `0.5%`), or a number from 0 to 1 (`0.1`).
    fn from_str(text: &str) -> Result<Self, ProbabilityError> {
        let (number, is_percentage) = text.strip_suffix('%').map_or((text, false), |number| (number, true));
        let (number, is_negative) = number.strip_prefix('-').map_or((number, false), |number| (number, true));
        let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if (integer.is_empty() && fraction.is_empty()) || !all_digits(integer) || !all_digits(fraction) {
            return Err(ProbabilityError::NotANumber);
        }
        let (digits, too_large) = match is_percentage {
            true => (PERCENT_DIGITS, ProbabilityError::AboveHundredPercent),
            false => (NUMBER_DIGITS, ProbabilityError::AboveOne),
        };
        let fraction = fraction.trim_end_matches('0');
        let padding = digits.checked_sub(fraction.len());
        let zeros = core::iter::repeat_n(b'0', padding.unwrap_or(0));
        let parts = integer
            .bytes()
            .chain(fraction.bytes().take(digits))
            .chain(zeros)
            .fold(0_u64, |parts, digit| parts.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        match u32::try_from(parts) {
            Ok(0) if padding.is_some() => Ok(Self::NEVER), // also with a minus
            _ if is_negative => Err(ProbabilityError::Negative),
            Ok(parts) if parts < WHOLE && padding.is_none() => Err(ProbabilityError::TooFine),
            Ok(parts @ 0..=WHOLE) if padding.is_some() => Ok(Self(parts)),
            _ => Err(too_large),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn a_probability_is_typed_as_a_percentage_or_as_a_number() {
        for (text, parts) in [
            ("0", 0),
            ("-0", 0),
            ("0%", 0),
            ("1", WHOLE),
            ("1.0", WHOLE),
            ("100%", WHOLE),
            ("100.0000000000000%", WHOLE),
            ("0100%", WHOLE),
            ("10%", 100_000_000),
            ("0.1", 100_000_000),
            (".1", 100_000_000),
            ("0.10000000000000", 100_000_000),
            ("5.%", 50_000_000),
            ("0.5%", 5_000_000),
            ("0.005", 5_000_000),
            ("0.0000001%", 1),
            ("0.000000001", 1),
            ("99.9999999%", WHOLE - 1),
        ] {
            assert_eq!(text.parse(), Ok(Probability(parts)), "{text}");
        }
    }

    #[test]
    fn what_is_no_probability_is_refused_with_the_reason() {
        use ProbabilityError::{AboveHundredPercent, AboveOne, Negative, NotANumber, TooFine};
        for (text, error) in [
            ("", NotANumber),
            ("%", NotANumber),
            (".", NotANumber),
            ("-", NotANumber),
            ("NaN", NotANumber),
            ("NaN%", NotANumber),
            ("inf", NotANumber),
            ("often", NotANumber),
            ("1e-3", NotANumber),
            ("+1%", NotANumber),
            ("--1%", NotANumber),
            (" 1%", NotANumber),
            ("1 %", NotANumber),
            ("1%%", NotANumber),
            ("1.2.3", NotANumber),
            ("0,1", NotANumber),
            ("١%", NotANumber),
            ("-1%", Negative),
            ("-0.1", Negative),
            ("-0.0000000001", Negative),
            ("-99999999999999999999999", Negative),
            ("100.0000001%", AboveHundredPercent),
            ("100.00000000001%", AboveHundredPercent),
            ("101%", AboveHundredPercent),
            ("99999999999999999999999%", AboveHundredPercent),
            ("1.000000001", AboveOne),
            ("1.00000000001", AboveOne),
            ("10", AboveOne),
            ("4294967296", AboveOne),
            ("18446744073709551616", AboveOne),
            ("0.00000001%", TooFine),
            ("0.0000000001", TooFine),
            ("0.1234567891", TooFine),
            ("99.99999999%", TooFine),
        ] {
            assert_eq!(text.parse::<Probability>(), Err(error), "{text}");
            assert!(error.to_string().contains("write ") || error.to_string().contains("add a %"), "{error}");
        }
    }

    #[test]
    fn a_probability_is_shown_as_the_percentage_that_it_is_read_from() {
        for (parts, shown) in [
            (0, "0%"),
            (1, "0.0000001%"),
            (5_000_000, "0.5%"),
            (10_500_000, "1.05%"),
            (100_000_000, "10%"),
            (123_456_789, "12.3456789%"),
            (WHOLE - 1, "99.9999999%"),
            (WHOLE, "100%"),
        ] {
            assert_eq!(Probability(parts).to_string(), shown);
            assert_eq!(shown.parse(), Ok(Probability(parts)));
        }
    }

    #[test]
    fn every_probability_that_is_shown_is_read_as_the_same() {
        let mut random = Rng::with_seed(1);
        for _ in 0..100_000 {
            let probability = Probability(random.u32(0..=WHOLE));
            assert_eq!(probability.to_string().parse(), Ok(probability));
        }
    }

    #[test]
    fn parts_of_a_hundred_and_of_a_million_stop_at_always() {
        assert_eq!(Probability::percent(10), Probability::per_million(100_000));
        assert_eq!(Probability::percent(100), Probability::ALWAYS);
        assert_eq!(Probability::percent(u32::MAX), Probability::ALWAYS);
        assert_eq!(Probability::per_million(1).parts_per_billion(), 1_000);
        assert_eq!(Probability::per_million(u32::MAX), Probability::ALWAYS);
    }
}
