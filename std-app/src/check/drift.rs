//! Drift: whether a server gets slower, from the first samples to the last.

use core::time::Duration;

/// A rise of the reply time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drift {
    /// A usual time in the first quarter.
    pub(crate) early: Duration,
    /// The same in the last quarter.
    pub(crate) late: Duration,
    /// Seconds for each unit of the position: connection, or second.
    pub(crate) slope: f64,
}

/// A smaller rise is noise.
const LEAST: Duration = Duration::from_micros(300);

impl Drift {
    /// The rise in samples that are in the order of their position, if it is steady: other work that begins in the middle makes
    /// a jump instead.
    pub(crate) fn find(samples: &[(f64, Duration)]) -> Option<Self> {
        const FEWEST: usize = 40;
        if samples.len() < FEWEST {
            return None;
        }
        let mut quarters = samples.chunks(samples.len().div_ceil(4)).map(Quarter::of);
        let quarters = [quarters.next()?, quarters.next()?, quarters.next()?, quarters.next()?];
        let [first, .., last] = quarters;
        let rise = last.usual.checked_sub(first.usual)?;
        let distance = last.position - first.position;
        if distance <= 0.0 {
            return None;
        }
        // Half of what a line through the first and the last one has. The positions may be unequally dense.
        let is_steady = quarters.windows(2).all(|pair| match pair {
            [before, after] => {
                let share = (after.position - before.position) / distance;
                after.usual >= before.usual + rise.mul_f64(0.5 * share)
            }
            _ => false,
        });
        let is_much = rise >= LEAST && 2 * rise >= first.usual;
        (is_steady && is_much).then(|| Self {
            early: first.usual,
            late: last.usual,
            slope: rise.as_secs_f64() / distance,
        })
    }

    /// The rise for each unit of the position.
    pub(crate) fn each(&self) -> Duration {
        Duration::try_from_secs_f64(self.slope).unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Quarter {
    /// In the middle.
    position: f64,
    /// Three of four are longer: what a busy host makes late is among those.
    usual: Duration,
}

impl Quarter {
    fn of(samples: &[(f64, Duration)]) -> Self {
        let position = samples.get(samples.len() / 2).map_or(0.0, |sample| sample.0);
        let mut times: Vec<Duration> = samples.iter().map(|sample| sample.1).collect();
        times.sort_unstable();
        Self { position, usual: times.get(times.len() / 4).copied().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: u32, time: impl Fn(u32) -> u64) -> Vec<(f64, Duration)> {
        (0..count).map(|number| (f64::from(number), Duration::from_micros(time(number)))).collect()
    }

    #[test]
    fn a_steady_rise_is_found_with_its_slope() {
        let drift = Drift::find(&samples(300, |number| 100 + u64::from(30 * number + number % 7 * 20))).unwrap();
        assert!((drift.slope * 1e6 - 30.0).abs() < 1.0, "{drift:?}");
        assert!(drift.early < Duration::from_millis(2) && drift.late > Duration::from_millis(7), "{drift:?}");
    }

    #[test]
    fn a_rise_is_found_although_a_busy_host_makes_many_samples_late() {
        let late = |number| if number % 5 < 3 { u64::from(number * 7919 % 40_000) } else { 0 };
        let drift = Drift::find(&samples(300, |number| 100 + u64::from(30 * number) + late(number))).unwrap();
        assert!((20e-6..45e-6).contains(&drift.slope), "{drift:?}");
        assert_eq!(Drift::find(&samples(300, |number| 100 + late(number))), None, "that alone");
    }

    #[test]
    fn a_rise_is_found_in_samples_that_are_unequally_dense() {
        let mut all = samples(240, |number| 100 + u64::from(30 * number));
        all.extend(
            (780_u32..840).map(|number| (f64::from(number), Duration::from_micros(100 + 30 * u64::from(number)))),
        );
        let drift = Drift::find(&all).unwrap();
        assert!((drift.slope * 1e6 - 30.0).abs() < 3.0, "{drift:?}");
    }

    #[test]
    fn noise_a_jump_and_a_few_samples_are_no_drift() {
        assert_eq!(Drift::find(&samples(300, |number| 100 + u64::from(number * 7919 % 400))), None, "noise");
        assert_eq!(Drift::find(&samples(300, |number| if number < 140 { 100 } else { 5000 })), None, "other work");
        assert_eq!(Drift::find(&samples(300, |number| 100 + u64::from(number) / 2)), None, "too little");
        assert_eq!(Drift::find(&samples(30, |number| 100 + 30 * u64::from(number))), None, "too few");
        assert_eq!(Drift::find(&samples(300, |number| 100 + 30 * u64::from(300 - number))), None, "it gets faster");
    }
}
