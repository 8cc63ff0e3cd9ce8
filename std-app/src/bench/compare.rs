//! Two servers by turns: the ratios of their figures, which a busy machine does not change, and how far those spread.

use core::time::Duration;

use serde::Serialize;

use super::figures::{Figures, Settings};
use crate::latency::Latency;

/// What one turn gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TurnFigures {
    pub(crate) names_per_s: f64,
    /// `None` where no name was answered.
    pub(crate) latency: Option<Latency>,
}

/// Of fewer pairs of turns the spread says little.
pub(crate) const FEW_PAIRS: usize = 10;

/// The ratios of one figure, turn by turn: the first server's to the second's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    pub(crate) figure: &'static str,
    pub(crate) median: f64,
    /// A quarter of the ratios are below, a quarter above.
    pub(crate) lower_quartile: f64,
    pub(crate) upper_quartile: f64,
    /// One for each pair of turns that has such a ratio: in both something was answered.
    pub(crate) ratios: Vec<f64>,
}

/// All there is to tell of a run with two servers.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) date: String,
    pub(crate) settings: Settings,
    pub(crate) turn: Duration,
    /// How many turns each server had.
    pub(crate) turns: usize,
    /// A signal ended it.
    pub(crate) ended_early: bool,
    /// The server that was named first, and the other.
    pub(crate) first: Figures,
    pub(crate) second: Figures,
    /// The first's figures to the second's.
    pub(crate) ratios: Vec<Ratio>,
}

/// How a figure is had from a turn.
type Figure = fn(&TurnFigures) -> Option<f64>;

const FIGURES: [(&str, Figure); 5] = [
    ("names a second", |turn| Some(turn.names_per_s)),
    ("mean latency", |turn| Some(turn.latency?.mean.as_secs_f64())),
    ("p50", |turn| Some(turn.latency?.median.as_secs_f64())),
    ("p90", |turn| Some(turn.latency?.percentile("p90")?.as_secs_f64())),
    ("p99", |turn| Some(turn.latency?.percentile("p99")?.as_secs_f64())),
];

/// The ratio of each figure, over pairs of turns.
pub(crate) fn ratios(turns: &[(TurnFigures, TurnFigures)]) -> Vec<Ratio> {
    FIGURES.iter().filter_map(|&(name, figure)| ratio(name, figure, turns)).collect()
}

/// `None` where no pair has such a ratio: nothing was answered.
fn ratio(figure: &'static str, of: Figure, turns: &[(TurnFigures, TurnFigures)]) -> Option<Ratio> {
    let ratios = turns.iter().filter_map(|(first, second)| Some(of(first)? / of(second)?));
    let ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
    let mut sorted = ratios.clone();
    sorted.sort_by(f64::total_cmp);
    Some(Ratio {
        figure,
        median: quantile(&sorted, 0.5)?,
        lower_quartile: quantile(&sorted, 0.25)?,
        upper_quartile: quantile(&sorted, 0.75)?,
        ratios,
    })
}

/// The value with such a part of the values below it; between two of them in proportion.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = part * sorted.len().checked_sub(1)? as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the length")]
    let below = place.floor() as usize;
    let low = sorted.get(below)?;
    let high = sorted.get(below.saturating_add(1)).unwrap_or(low);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latencies;

    fn turn(rate: f64, latency: u64) -> TurnFigures {
        let mut latencies = Latencies::new().unwrap();
        latencies.add_many(Duration::from_nanos(latency), 1000);
        TurnFigures { names_per_s: rate, latency: latencies.summary() }
    }

    #[test]
    fn each_pair_of_turns_gives_a_ratio_and_the_middle_of_them_counts() {
        // The machine is half as fast in the second pair, and somebody else is at work in one turn of the last.
        let turns = [
            (turn(100.0, 10), turn(200.0, 20)),
            (turn(50.0, 20), turn(100.0, 40)),
            (turn(60.0, 10), turn(100.0, 20)),
            (turn(40.0, 10), turn(100.0, 20)),
            (turn(900.0, 10), turn(100.0, 20)),
        ];
        let ratios = ratios(&turns);
        assert_eq!(ratios[0].figure, "names a second");
        assert_eq!(ratios[0].ratios, [0.5, 0.5, 0.6, 0.4, 9.0]);
        assert_eq!((ratios[0].lower_quartile, ratios[0].median, ratios[0].upper_quartile), (0.5, 0.5, 0.6));
        assert!(ratios[1..].iter().all(|ratio| ratio.median == 0.5 && ratio.upper_quartile == 0.5), "{ratios:?}");
    }

    #[test]
    fn quantiles_lie_between_values_in_proportion() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), Some(1.75));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[7.0], 0.75), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_turn_in_which_nothing_was_answered_is_no_infinitely_fast_one() {
        let nothing = TurnFigures { names_per_s: 0.0, latency: None };
        let turns =
            [(nothing, turn(2.0, 1)), (turn(3.0, 3), turn(1.0, 1)), (turn(3.0, 3), nothing), (nothing, nothing)];
        let ratios = ratios(&turns);
        assert_eq!((ratios[0].figure, &ratios[0].ratios[..]), ("names a second", &[0.0, 3.0][..]));
        assert!(ratios[1..].iter().all(|ratio| ratio.ratios == [3.0]), "{ratios:?}");
        assert!(super::ratios(&turns[3..]).is_empty());
    }
}
