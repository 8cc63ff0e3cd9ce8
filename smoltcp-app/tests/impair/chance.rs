//! What the dice decide is as likely as it should be, and the same again with the same seed.

use greet_smoltcp::impair::{Counters, Directions, Impairments, Probability};

use super::{SEEDS, Storage, WAYS, Way, assert_even, assert_likely, at_millis, millis, number_of, numbered, numbers};

const FRAMES: usize = 100_000;

/// The probabilities that are tried, with what they are.
const PROBABILITIES: [(Probability, f64); 5] = [
    (Probability::per_million(1_000), 0.001),
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
    (|damage| Impairments { damage, ..Impairments::NONE }, |counters| counters.damaged),
];

/// Sends frames one millisecond after another; the numbers and bytes of what arrives, and what was counted.
fn run(way: Way, impairments: Impairments, seed: u64, frames: usize) -> (Vec<Vec<u8>>, Counters) {
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(impairments, seed);
    let left = way.travel(&mut wire, (0..frames).map(|number| (at_millis(number), numbered(number, 60))));
    (left.into_iter().map(|(_, frame)| frame).collect(), way.of(wire.counters()))
}

fn which_are_lost(way: Way, impairments: Impairments, seed: u64) -> Vec<usize> {
    const TRIED: usize = 1000;
    let mut lost = vec![true; TRIED];
    let undamaged = Impairments { damage: Probability::NEVER, ..impairments };
    run(way, undamaged, seed, TRIED).0.iter().for_each(|frame| lost[number_of(frame)] = false);
    (0..TRIED).filter(|&number| lost[number]).collect()
}

#[test]
fn what_is_never_does_not_happen() {
    for way in WAYS {
        // With a delay, so that the frames do not just go by.
        let late = Impairments { delay: millis(2), ..Impairments::NONE };
        for impairments in [Impairments::NONE, late] {
            let (frames, counters) = run(way, impairments, 7, 10_000);
            assert!(frames.into_iter().eq((0..10_000).map(|number| numbered(number, 60))));
            assert_eq!(counters, Counters { frames: 10_000, delivered: 10_000, ..Counters::default() });
        }
    }
}

#[test]
fn what_is_always_happens_to_every_frame() {
    for way in WAYS {
        for (impaired_by, counted) in IMPAIRMENTS {
            assert_eq!(counted(run(way, impaired_by(Probability::ALWAYS), 7, 10_000).1), 10_000);
        }
        assert_eq!(run(way, IMPAIRMENTS[0].0(Probability::ALWAYS), 7, 10_000).0.len(), 0);
        assert_eq!(run(way, IMPAIRMENTS[1].0(Probability::ALWAYS), 7, 10_000).0.len(), 20_000);
    }
}

#[test]
fn everything_happens_as_often_as_it_should() {
    for way in WAYS {
        for (impaired_by, counted) in IMPAIRMENTS {
            for (probability, likely) in PROBABILITIES {
                for seed in SEEDS {
                    let (_, counters) = run(way, impaired_by(probability), seed, FRAMES);
                    assert_eq!(counters.frames, FRAMES as u64);
                    assert_likely(counted(counters) as usize, FRAMES, likely);
                }
            }
        }
    }
}

#[test]
fn one_loss_says_nothing_of_the_next_nor_of_another_impairment() {
    let tenth = Probability::percent(10);
    let impairments = Impairments { loss: tenth, duplication: tenth, damage: tenth, ..Impairments::NONE };
    for seed in SEEDS {
        let (frames, counters) = run(Way::Transmit, IMPAIRMENTS[0].0(tenth), seed, FRAMES);
        let arrived: Vec<usize> = frames.iter().map(|frame| number_of(frame)).collect();
        let gaps = arrived.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|&gap| gap > 0);
        let pairs = gaps.map(|gap| gap - 1).sum();
        assert_likely(pairs, counters.lost as usize, 0.1);

        let (_, counters) = run(Way::Transmit, impairments, seed, FRAMES);
        let survivors = (counters.frames - counters.lost) as usize;
        assert_likely(counters.duplicated as usize, survivors, 0.1);
        assert_likely(counters.damaged as usize, survivors, 0.1);
    }
}

#[test]
fn the_first_frames_of_neighbouring_seeds_fare_differently() {
    let half = Impairments { loss: Probability::percent(50), ..Impairments::NONE };
    for way in WAYS {
        let lost = (0..FRAMES as u64).map(|seed| run(way, half, seed, 1).1.lost as usize);
        assert_likely(lost.sum(), FRAMES, 0.5);
    }
}

#[test]
fn damage_is_in_one_byte_and_every_bit_of_every_byte_is_as_likely() {
    const LENGTH: usize = 60;
    let always = Impairments { damage: Probability::ALWAYS, ..Impairments::NONE };
    for way in WAYS {
        let mut storage = Storage::new(1);
        let mut wire = storage.wire(always, 3);
        let whole: Vec<u8> = (0..LENGTH as u8).collect();
        let (mut bytes, mut patterns, mut bits) = ([0; LENGTH], [0; 256], [[0; 8]; LENGTH]);
        for _ in 0..FRAMES {
            let frames = way.pass(&mut wire, at_millis(0), [whole.clone()]);
            let [damaged] = frames.as_slice() else { panic!("{} frames", frames.len()) };
            assert_eq!(damaged.len(), LENGTH);
            let differ: Vec<usize> = (0..LENGTH).filter(|&place| damaged[place] != whole[place]).collect();
            let &[place] = differ.as_slice() else { panic!("damaged at {differ:?}") };
            let flipped = damaged[place] ^ whole[place];
            bytes[place] += 1;
            patterns[usize::from(flipped)] += 1;
            (0..8).filter(|bit| flipped & (1 << bit) != 0).for_each(|bit| bits[place][bit] += 1);
        }
        assert_even(&bytes);
        assert_even(&patterns[1..]);
        for count in bits.into_iter().flatten() {
            assert_likely(count, FRAMES, 128.0 / 255.0 / LENGTH as f64);
        }
    }
}

#[test]
fn damage_reaches_the_ends_of_frames_of_every_length() {
    let always = Impairments { damage: Probability::ALWAYS, ..Impairments::NONE };
    for way in WAYS {
        for length in [0, 1, 2, 1513, 1514] {
            let mut storage = Storage::new(1);
            let mut wire = storage.wire(always, 3);
            let mut damaged = vec![false; length];
            for _ in 0..20_000 {
                let frames = way.pass(&mut wire, at_millis(0), [vec![0; length]]);
                assert!(frames.len() == 1 && frames[0].len() == length);
                (0..length).for_each(|place| damaged[place] |= frames[0][place] != 0);
            }
            assert!(damaged.iter().all(|&damaged| damaged), "{length}");
            assert_eq!(way.of(wire.counters()).damaged, if length == 0 { 0 } else { 20_000 });
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
        damage: Probability::percent(10),
        delay: millis(2),
        jitter: millis(1),
        rate: core::num::NonZeroU64::new(1_000_000),
    }
}

#[test]
fn the_same_seed_makes_the_same_fate_and_another_one_another() {
    for way in WAYS {
        for seed in SEEDS {
            assert_eq!(run(way, all(), seed, 1000), run(way, all(), seed, 1000));
            assert_ne!(run(way, all(), seed, 1000).0, run(way, all(), seed ^ 1, 1000).0);
        }
    }
}

/// A seed that is written down replays only as long as this is so.
#[test]
fn a_seeds_fate_stays_what_it_was() {
    let hundredth = Impairments { loss: Probability::percent(1), ..Impairments::NONE };
    assert_eq!(
        which_are_lost(Way::Receive, hundredth, 42),
        [107, 170, 483, 484, 543, 566, 692, 820, 859, 880, 923, 934]
    );
    assert_eq!(which_are_lost(Way::Transmit, hundredth, 42), [115, 233, 278, 437, 452, 851, 928]);
}

#[test]
fn the_same_frames_are_lost_whatever_else_is_wrong() {
    for way in WAYS {
        let loss_alone = Impairments { loss: all().loss, ..Impairments::NONE };
        assert_eq!(which_are_lost(way, loss_alone, 5), which_are_lost(way, all(), 5));
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
            let mut lost = WAYS.into_iter().map(|way| {
                let is_lost = way.pass(&mut wire, at_millis(number), [numbered(number, 60)]).is_empty();
                if way == Way::Receive && !is_lost {
                    received.push(numbered(number, 60));
                }
                is_lost
            });
            both += usize::from(lost.by_ref().fold(true, |all, lost| all & lost));
        }
        assert_likely(both, FRAMES, 0.01);
        // What is sent changes nothing for what is received.
        assert_eq!(received, run(Way::Receive, tenth, seed, FRAMES).0);
    }
}

#[test]
fn the_directions_have_settings_of_their_own() {
    let lossy = Impairments { loss: Probability::ALWAYS, ..Impairments::NONE };
    let mut storage = Storage::new(1);
    let mut wire = storage.wire(Directions { receive: lossy, transmit: Impairments::NONE }, 1);
    let frames = [(at_millis(0), numbered(0, 60)), (at_millis(1), numbered(1, 60))];
    assert_eq!(numbers(&Way::Receive.travel(&mut wire, frames.clone())), []);
    assert_eq!(numbers(&Way::Transmit.travel(&mut wire, frames)), [0, 1]);
}
