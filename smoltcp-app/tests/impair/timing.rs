//! Arrival times of frames: delay, jitter, rate, and when to poll for them.

use core::{num::NonZeroU64, time::Duration};

use greet_smoltcp::impair::{Impairments, Probability};
use smoltcp::time::Instant;

use super::{
    DIRECTIONS, Direction, SEEDS, Storage, assert_even, assert_likely, at_micros, at_millis, millis, number_of,
    numbered,
};

/// How many microseconds each frame took that was sent one second after the one before it.
fn delays(direction: Direction, impairments: Impairments, seed: u64, frames: usize) -> Vec<u64> {
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(impairments, seed);
    let left = direction.travel(&mut wire, (0..frames).map(|number| (at_millis(number * 1000), numbered(number, 60))));
    assert_eq!(left.len(), frames);
    left.iter().map(|(arrived, frame)| (*arrived - at_millis(number_of(frame) * 1000)).total_micros()).collect()
}

#[test]
fn a_delay_is_exact() {
    for direction in DIRECTIONS {
        let late = Impairments { delay: Duration::from_micros(12_345), ..Impairments::NONE };
        assert!(delays(direction, late, 1, 1000).iter().all(|&delay| delay == 12_345));
    }
}

#[test]
fn jitter_spreads_evenly_around_the_delay_and_no_further() {
    const FRAMES: usize = 100_000;
    let jittery = Impairments { delay: millis(100), jitter: millis(20), ..Impairments::NONE };
    for direction in DIRECTIONS {
        for seed in SEEDS {
            let mut tenths = [0; 10];
            for delay in delays(direction, jittery, seed, FRAMES) {
                assert!((80_000..=120_000).contains(&delay), "{delay}");
                tenths[usize::try_from((delay - 80_000) * 10 / 40_001).unwrap()] += 1;
            }
            assert_even(&tenths);
        }
    }
}

#[test]
fn jitter_never_makes_a_frame_arrive_before_it_was_sent() {
    let jittery = Impairments { delay: millis(5), jitter: millis(20), ..Impairments::NONE };
    for direction in DIRECTIONS {
        let delays = delays(direction, jittery, 8, 10_000);
        assert!(delays.iter().all(|&delay| delay <= 25_000));
        assert_likely(delays.iter().filter(|&&delay| delay == 0).count(), 10_000, 15.0 / 40.0);
    }
}

#[test]
fn jitter_stays_within_its_bounds_with_dense_frames() {
    let jittery = Impairments { delay: millis(5), jitter: millis(2), ..Impairments::NONE };
    for direction in DIRECTIONS {
        let mut storage = Storage::new(1000);
        let mut wire = storage.wire(jittery, 8);
        let left =
            direction.travel(&mut wire, (0..10_000).map(|number| (at_micros(number * 50), numbered(number, 60))));
        for (arrived, frame) in left {
            let delay = (arrived - at_micros(number_of(&frame) * 50)).total_micros();
            assert!((3_000..=7_000).contains(&delay), "{delay}");
        }
    }
}

#[test]
fn the_link_has_exactly_its_rate() {
    for direction in DIRECTIONS {
        for rate in [9_600, 10_000_000, 9_999_991, 1_000_000_000, 12_345_678_901] {
            let impairments = Impairments { rate: NonZeroU64::new(rate), ..Impairments::NONE };
            let mut storage = Storage::new(1000);
            let mut wire = storage.wire(impairments, 1);
            let length = |number: usize| 14 + number * 37 % 1501;
            let start = at_millis(77);
            let left = direction.travel(&mut wire, (0..1000).map(|number| (start, numbered(number, length(number)))));
            let mut bits = 0_u128;
            for (number, (arrived, frame)) in left.into_iter().enumerate() {
                assert_eq!(frame, numbered(number, length(number)));
                bits += 8 * length(number) as u128;
                let expected = bits * 1_000_000 / u128::from(rate);
                assert_eq!(u128::from((arrived - start).total_micros()), expected);
            }
        }
    }
}

#[test]
fn an_idle_link_allows_no_burst_above_its_rate() {
    // A frame of 125 bytes takes a millisecond.
    let impairments = Impairments { rate: NonZeroU64::new(1_000_000), delay: millis(10), ..Impairments::NONE };
    for direction in DIRECTIONS {
        let mut storage = Storage::new(8);
        let mut wire = storage.wire(impairments, 1);
        let sent = [0, 0, 500, 500];
        let frames = sent.into_iter().enumerate().map(|(number, at)| (at_millis(at), numbered(number, 125)));
        let arrived: Vec<_> = direction.travel(&mut wire, frames).into_iter().map(|(arrived, _)| arrived).collect();
        assert_eq!(arrived, [11, 12, 511, 512].map(at_millis));
    }
}

#[test]
fn at_a_rate_a_copy_takes_its_time_and_a_lost_frame_takes_none() {
    let rate = NonZeroU64::new(1_000_000);
    for direction in DIRECTIONS {
        let mut storage = Storage::new(8);
        let mut wire = storage.wire(Impairments { rate, duplication: Probability::ALWAYS, ..Impairments::NONE }, 1);
        let arrived = direction.travel(&mut wire, [(at_millis(0), numbered(0, 125)), (at_millis(0), numbered(1, 125))]);
        assert!(arrived.into_iter().map(|(arrived, _)| arrived).eq([1, 2, 3, 4].map(at_millis)));

        wire.set_impairments(Impairments { rate, loss: Probability::ALWAYS, ..Impairments::NONE });
        assert!(direction.travel(&mut wire, [(at_millis(9), numbered(2, 125))]).is_empty());
        wire.set_impairments(Impairments { rate, ..Impairments::NONE });
        let arrived = direction.travel(&mut wire, [(at_millis(9), numbered(3, 125))]);
        assert_eq!(arrived, [(at_millis(10), numbered(3, 125))]);
    }
}

#[test]
fn next_due_is_the_first_microsecond_at_which_a_frame_is_delivered() {
    let impairments = Impairments { delay: millis(10), jitter: millis(5), ..Impairments::NONE };
    for direction in DIRECTIONS {
        for seed in 0..1000 {
            let mut storage = Storage::new(4);
            let mut wire = storage.wire(impairments, seed);
            assert_eq!(wire.next_due(), None);
            assert!(direction.pass(&mut wire, at_millis(0), [numbered(0, 60)]).is_empty());
            let due = wire.next_due().unwrap();
            assert!(direction.pass(&mut wire, Instant::from_micros(due.total_micros() - 1), []).is_empty());
            assert_eq!(wire.next_due(), Some(due));
            assert_eq!(direction.pass(&mut wire, due, []).len(), 1);
            assert_eq!(wire.next_due(), None);
        }
    }
}

#[test]
fn next_due_is_the_earlier_one_of_both_directions() {
    for (first, second) in [(Direction::Receive, Direction::Transmit), (Direction::Transmit, Direction::Receive)] {
        let mut storage = Storage::new(4);
        let mut wire = storage.wire(Impairments { delay: millis(10), ..Impairments::NONE }, 0);
        assert!(first.pass(&mut wire, at_millis(0), [numbered(0, 60)]).is_empty());
        assert!(second.pass(&mut wire, at_millis(1), [numbered(0, 60)]).is_empty());
        assert_eq!(wire.next_due(), Some(at_millis(10)));
        assert_eq!(first.pass(&mut wire, at_millis(10), []).len(), 1);
        assert_eq!(wire.next_due(), Some(at_millis(11)));
        assert_eq!(second.pass(&mut wire, at_millis(11), []).len(), 1);
    }
}

#[test]
fn a_rate_increase_keeps_the_order_of_held_frames() {
    for direction in DIRECTIONS {
        let mut storage = Storage::new(4);
        let mut wire = storage.wire(Impairments { delay: millis(10), ..Impairments::NONE }, 0);
        assert!(direction.pass(&mut wire, at_millis(0), [numbered(0, 60)]).is_empty());
        wire.set_impairments(Impairments::NONE);
        assert_eq!(direction.of(wire.impairments()), Impairments::NONE);
        assert!(direction.pass(&mut wire, at_millis(1), [numbered(1, 60)]).is_empty());
        assert_eq!(direction.pass(&mut wire, at_millis(10), []), [numbered(0, 60), numbered(1, 60)]);
        assert_eq!(direction.pass(&mut wire, at_millis(10), [numbered(2, 60)]), [numbered(2, 60)]);
    }
}

#[test]
fn the_longest_times_and_the_lowest_rate_do_not_overflow() {
    let end = Instant::from_micros(i64::MAX);
    let (longest, lowest) = (Duration::MAX, NonZeroU64::MIN);
    for direction in DIRECTIONS {
        for impairments in [
            Impairments { delay: longest, ..Impairments::NONE },
            Impairments { delay: longest, jitter: longest, rate: Some(lowest), ..Impairments::NONE },
            Impairments { reordering: Probability::ALWAYS, reorder_by: longest, ..Impairments::NONE },
        ] {
            let mut storage = Storage::new(4);
            let mut wire = storage.wire(impairments, 0);
            direction.pass(&mut wire, at_millis(0), [numbered(0, 1514), numbered(1, 1514)]);
            assert!(wire.next_due().is_some_and(|due| due <= end));
            direction.pass(&mut wire, end, [numbered(2, 1514)]);
        }
        let mut storage = Storage::new(1);
        let mut wire = storage.wire(Impairments { rate: Some(lowest), ..Impairments::NONE }, 0);
        direction.pass(&mut wire, at_millis(0), [numbered(0, 1514)]);
        assert_eq!(wire.next_due(), Some(at_millis(1514 * 8 * 1000)));
    }
}
