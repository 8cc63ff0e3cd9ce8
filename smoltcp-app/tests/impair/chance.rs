//! Random impairments happen as often as their probability says, and repeat with the same seed.

use greet_smoltcp::impair::{Counters, Directions, Impairments, Probability};

use super::{
    DIRECTIONS, Direction, SEEDS, Storage, assert_even, assert_likely, at_millis, millis, number_of, numbered, numbers,
};

const FRAMES: usize = 100_000;

/// The probabilities under test, with their values.
const PROBABILITIES: [(Probability, f64); 5] = [
    (Probability::new(0.001).unwrap(), 0.001),
    (Probability::percent(1), 0.01),
    (Probability::percent(10), 0.1),
    (Probability::percent(50), 0.5),
    (Probability::percent(99), 0.99),
];

/// An impairment that has a probability: how it is set, and the counter of how often it happened.
type Impairment = (fn(Probability) -> Impairments, fn(Counters) -> u64);

const IMPAIRMENTS: [Impairment; 4] = [
    (|loss| Impairments { loss, ..Impairments::NONE }, |counters| counters.lost),
    (|duplication| Impairments { duplication, ..Impairments::NONE }, |counters| counters.duplicated),
    (
        |reordering| Impairments { reordering, reorder_by: millis(1), ..Impairments::NONE },
        |counters| counters.reordered,
    ),
    (|corruption| Impairments { corruption, ..Impairments::NONE }, |counters| counters.corrupted),
];

/// Sends frames one millisecond apart. Returns the numbers and bytes of the frames that arrive, and the counters.
fn run(direction: Direction, impairments: Impairments, seed: u64, frames: usize) -> (Vec<Vec<u8>>, Counters) {
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(impairments, seed);
    let left = direction.travel(&mut wire, (0..frames).map(|number| (at_millis(number), numbered(number, 60))));
    (left.into_iter().map(|(_, frame)| frame).collect(), direction.of(wire.counters()))
}

fn which_are_lost(direction: Direction, impairments: Impairments, seed: u64) -> Vec<usize> {
    const TRIED: usize = 1000;
    let mut lost = vec![true; TRIED];
    let uncorrupted = Impairments { corruption: Probability::NEVER, ..impairments };
    run(direction, uncorrupted, seed, TRIED).0.iter().for_each(|frame| lost[number_of(frame)] = false);
    (0..TRIED).filter(|&number| lost[number]).collect()
}

#[test]
fn what_is_never_does_not_happen() {
    for direction in DIRECTIONS {
        // With a delay, so that the frames are held.
        let late = Impairments { delay: millis(2), ..Impairments::NONE };
        for impairments in [Impairments::NONE, late] {
            let (frames, counters) = run(direction, impairments, 7, 10_000);
            assert!(frames.into_iter().eq((0..10_000).map(|number| numbered(number, 60))));
            assert_eq!(counters, Counters { frames: 10_000, delivered: 10_000, ..Counters::default() });
        }
    }
}

#[test]
fn what_is_always_happens_to_every_frame() {
    for direction in DIRECTIONS {
        for (impaired_by, counted) in IMPAIRMENTS {
            assert_eq!(counted(run(direction, impaired_by(Probability::ALWAYS), 7, 10_000).1), 10_000);
        }
        assert_eq!(run(direction, IMPAIRMENTS[0].0(Probability::ALWAYS), 7, 10_000).0.len(), 0);
        assert_eq!(run(direction, IMPAIRMENTS[1].0(Probability::ALWAYS), 7, 10_000).0.len(), 20_000);
    }
}

#[test]
fn everything_happens_as_often_as_it_should() {
    for direction in DIRECTIONS {
        for (impaired_by, counted) in IMPAIRMENTS {
            for (probability, likely) in PROBABILITIES {
                for seed in SEEDS {
                    let (_, counters) = run(direction, impaired_by(probability), seed, FRAMES);
                    assert_eq!(counters.frames, FRAMES as u64);
                    assert_likely(counted(counters) as usize, FRAMES, likely);
                }
            }
        }
    }
}

#[test]
fn losses_are_independent_of_each_other_and_of_other_impairments() {
    let tenth = Probability::percent(10);
    let impairments = Impairments { loss: tenth, duplication: tenth, corruption: tenth, ..Impairments::NONE };
    for seed in SEEDS {
        let (frames, counters) = run(Direction::Transmit, IMPAIRMENTS[0].0(tenth), seed, FRAMES);
        let arrived: Vec<usize> = frames.iter().map(|frame| number_of(frame)).collect();
        let gaps = arrived.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|&gap| gap > 0);
        let pairs = gaps.map(|gap| gap - 1).sum();
        assert_likely(pairs, counters.lost as usize, 0.1);

        let (_, counters) = run(Direction::Transmit, impairments, seed, FRAMES);
        let survivors = (counters.frames - counters.lost) as usize;
        assert_likely(counters.duplicated as usize, survivors, 0.1);
        assert_likely(counters.corrupted as usize, survivors, 0.1);
    }
}

#[test]
fn the_first_frames_of_neighbouring_seeds_fare_differently() {
    let half = Impairments { loss: Probability::percent(50), ..Impairments::NONE };
    for direction in DIRECTIONS {
        let lost = (0..FRAMES as u64).map(|seed| run(direction, half, seed, 1).1.lost as usize);
        assert_likely(lost.sum(), FRAMES, 0.5);
    }
}

#[test]
fn corruption_is_in_one_byte_and_every_bit_of_every_byte_is_as_likely() {
    const LENGTH: usize = 60;
    let always = Impairments { corruption: Probability::ALWAYS, ..Impairments::NONE };
    for direction in DIRECTIONS {
        let mut storage = Storage::new(1);
        let mut wire = storage.wire(always, 3);
        let whole: Vec<u8> = (0..LENGTH as u8).collect();
        let (mut bytes, mut patterns, mut bits) = ([0; LENGTH], [0; 256], [[0; 8]; LENGTH]);
        for _ in 0..FRAMES {
            let frames = direction.pass(&mut wire, at_millis(0), [whole.clone()]);
            let [corrupted] = frames.as_slice() else { panic!("{} frames", frames.len()) };
            assert_eq!(corrupted.len(), LENGTH);
            let differ: Vec<usize> = (0..LENGTH).filter(|&offset| corrupted[offset] != whole[offset]).collect();
            let &[offset] = differ.as_slice() else { panic!("corrupted at {differ:?}") };
            let flipped = corrupted[offset] ^ whole[offset];
            bytes[offset] += 1;
            patterns[usize::from(flipped)] += 1;
            (0..8).filter(|bit| flipped & (1 << bit) != 0).for_each(|bit| bits[offset][bit] += 1);
        }
        assert_even(&bytes);
        assert_even(&patterns[1..]);
        for count in bits.into_iter().flatten() {
            assert_likely(count, FRAMES, 128.0 / 255.0 / LENGTH as f64);
        }
    }
}

#[test]
fn corruption_reaches_the_ends_of_frames_of_every_length() {
    let always = Impairments { corruption: Probability::ALWAYS, ..Impairments::NONE };
    for direction in DIRECTIONS {
        for length in [0, 1, 2, 1513, 1514] {
            let mut storage = Storage::new(1);
            let mut wire = storage.wire(always, 3);
            let mut corrupted = vec![false; length];
            for _ in 0..20_000 {
                let frames = direction.pass(&mut wire, at_millis(0), [vec![0; length]]);
                assert!(frames.len() == 1 && frames[0].len() == length);
                (0..length).for_each(|offset| corrupted[offset] |= frames[0][offset] != 0);
            }
            assert!(corrupted.iter().all(|&corrupted| corrupted), "{length}");
            assert_eq!(direction.of(wire.counters()).corrupted, if length == 0 { 0 } else { 20_000 });
        }
    }
}

/// All impairments at once.
fn all() -> Impairments {
    Impairments {
        loss: Probability::percent(10),
        duplication: Probability::percent(10),
        reordering: Probability::percent(10),
        reorder_by: millis(3),
        corruption: Probability::percent(10),
        delay: millis(2),
        jitter: millis(1),
        rate: core::num::NonZeroU64::new(1_000_000),
    }
}

#[test]
fn the_same_seed_makes_the_same_fate_and_another_one_another() {
    for direction in DIRECTIONS {
        for seed in SEEDS {
            assert_eq!(run(direction, all(), seed, 1000), run(direction, all(), seed, 1000));
            assert_ne!(run(direction, all(), seed, 1000).0, run(direction, all(), seed ^ 1, 1000).0);
        }
    }
}

/// A recorded seed repeats a run only as long as this holds.
#[test]
fn a_seeds_fate_stays_what_it_was() {
    let hundredth = Impairments { loss: Probability::percent(1), ..Impairments::NONE };
    assert_eq!(
        which_are_lost(Direction::Receive, hundredth, 42),
        [107, 170, 483, 484, 543, 566, 692, 820, 859, 880, 923, 934]
    );
    assert_eq!(which_are_lost(Direction::Transmit, hundredth, 42), [115, 233, 278, 437, 452, 851, 928]);
}

#[test]
fn other_impairments_do_not_change_which_frames_are_lost() {
    for direction in DIRECTIONS {
        let loss_alone = Impairments { loss: all().loss, ..Impairments::NONE };
        assert_eq!(which_are_lost(direction, loss_alone, 5), which_are_lost(direction, all(), 5));
    }
}

#[test]
fn the_directions_have_dice_of_their_own() {
    let tenth = Impairments { loss: Probability::percent(10), ..Impairments::NONE };
    for seed in SEEDS {
        let mut storage = Storage::new(1);
        let mut wire = storage.wire(tenth, seed);
        let (mut received, mut both) = (Vec::new(), 0);
        for number in 0..FRAMES {
            let mut lost = DIRECTIONS.into_iter().map(|direction| {
                let is_lost = direction.pass(&mut wire, at_millis(number), [numbered(number, 60)]).is_empty();
                if direction == Direction::Receive && !is_lost {
                    received.push(numbered(number, 60));
                }
                is_lost
            });
            both += usize::from(lost.by_ref().fold(true, |all, lost| all & lost));
        }
        assert_likely(both, FRAMES, 0.01);
        // Sent frames do not change what is received.
        assert_eq!(received, run(Direction::Receive, tenth, seed, FRAMES).0);
    }
}

#[test]
fn the_directions_have_settings_of_their_own() {
    let lossy = Impairments { loss: Probability::ALWAYS, ..Impairments::NONE };
    let mut storage = Storage::new(1);
    let mut wire = storage.wire(Directions { receive: lossy, transmit: Impairments::NONE }, 1);
    let frames = [(at_millis(0), numbered(0, 60)), (at_millis(1), numbered(1, 60))];
    assert_eq!(numbers(&Direction::Receive.travel(&mut wire, frames.clone())), []);
    assert_eq!(numbers(&Direction::Transmit.travel(&mut wire, frames)), [0, 1]);
}
