//! The comparison of two servers in alternating turns: the ratios of their figures, which other load on the host changes little.

use core::time::Duration;

use serde::Serialize;

use super::figures::{Figures, Settings};
use crate::latency::Latency;

/// The result of one turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TurnFigures {
    pub(crate) names_per_s: f64,
    /// `None` if no name was answered.
    pub(crate) latency: Option<Latency>,
}

/// Fewer pairs of turns give no reliable ratio.
pub(crate) const FEW_PAIRS: usize = 10;

/// The ratios of one figure, turn by turn: the first server's to the second's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    pub(crate) figure: &'static str,
    pub(crate) median: f64,
    /// The bounds of the interquartile range (IQR).
    pub(crate) lower_quartile: f64,
    pub(crate) upper_quartile: f64,
    /// One for each pair of turns in which both servers have this figure.
    pub(crate) ratios: Vec<f64>,
}

/// The result of a run with two servers.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) date: String,
    pub(crate) settings: Settings,
    pub(crate) turn: Duration,
    /// The number of turns of each server.
    pub(crate) turns: usize,
    /// A signal ended the run.
    pub(crate) ended_early: bool,
    /// The server that was named first, and that of `--against`.
    pub(crate) first: Figures,
    pub(crate) second: Figures,
    /// The figures of the first server divided by those of the second.
    pub(crate) ratios: Vec<Ratio>,
}

/// Takes a figure from a turn; `None` if the turn does not have it.
type Figure = fn(&TurnFigures) -> Option<f64>;

const FIGURES: [(&str, Figure); 5] = [
    ("throughput", |turn| Some(turn.names_per_s)),
    ("mean latency", |turn| Some(turn.latency?.mean.as_secs_f64())),
    ("p50", |turn| Some(turn.latency?.median.as_secs_f64())),
    ("p90", |turn| Some(turn.latency?.percentile("p90")?.as_secs_f64())),
    ("p99", |turn| Some(turn.latency?.percentile("p99")?.as_secs_f64())),
];

/// The ratio of each figure over the pairs of turns.
pub(crate) fn ratios(turns: &[(TurnFigures, TurnFigures)]) -> Vec<Ratio> {
    FIGURES.iter().filter_map(|&(name, figure)| ratio(name, figure, turns)).collect()
}

/// `None` if no pair of turns has this figure twice.
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

/// A quantile, interpolated between two values.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let position = part * sorted.len().checked_sub(1)? as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the length")]
    let below = position.floor() as usize;
    let low = sorted.get(below)?;
    let high = sorted.get(below.saturating_add(1)).unwrap_or(low);
    Some(low + (high - low) * position.fract())
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
    fn each_pair_of_turns_gives_a_ratio_and_the_median_counts() {
        // The host is half as fast in the second pair, and one turn of the last is disturbed.
        let turns = [
            (turn(100.0, 10), turn(200.0, 20)),
            (turn(50.0, 20), turn(100.0, 40)),
            (turn(60.0, 10), turn(100.0, 20)),
            (turn(40.0, 10), turn(100.0, 20)),
            (turn(900.0, 10), turn(100.0, 20)),
        ];
        let ratios = ratios(&turns);
        assert_eq!(ratios[0].figure, "throughput");
        assert_eq!(ratios[0].ratios, [0.5, 0.5, 0.6, 0.4, 9.0]);
        assert_eq!((ratios[0].lower_quartile, ratios[0].median, ratios[0].upper_quartile), (0.5, 0.5, 0.6));
        assert!(ratios[1..].iter().all(|ratio| ratio.median == 0.5 && ratio.upper_quartile == 0.5), "{ratios:?}");
    }

    #[test]
    fn quantiles_are_interpolated() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), Some(1.75));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[7.0], 0.75), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_turn_without_an_answer_is_not_infinitely_fast() {
        let nothing = TurnFigures { names_per_s: 0.0, latency: None };
        let turns =
            [(nothing, turn(2.0, 1)), (turn(3.0, 3), turn(1.0, 1)), (turn(3.0, 3), nothing), (nothing, nothing)];
        let ratios = ratios(&turns);
        assert_eq!((ratios[0].figure, &ratios[0].ratios[..]), ("throughput", &[0.0, 3.0][..]));
        assert!(ratios[1..].iter().all(|ratio| ratio.ratios == [3.0]), "{ratios:?}");
        assert!(super::ratios(&turns[3..]).is_empty());
    }
}
