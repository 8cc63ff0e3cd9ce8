//! The order of frames: kept by default, changed by reordering, with copies by duplication.

use greet_smoltcp::impair::{Impairments, Probability};

use super::{DIRECTIONS, SEEDS, Storage, at_micros, at_millis, millis, number_of, numbered, numbers};

#[test]
fn without_reordering_the_order_is_kept_with_any_jitter() {
    let jittery = Impairments { delay: millis(5), jitter: millis(5), ..Impairments::NONE };
    for direction in DIRECTIONS {
        for (seed, gap) in SEEDS.into_iter().zip([0, 1, 10, 1000, 7000]) {
            let mut storage = Storage::new(1000);
            let mut wire = storage.wire(jittery, seed);
            let left =
                direction.travel(&mut wire, (0..1000).map(|number| (at_micros(number * gap), numbered(number, 60))));
            assert!(numbers(&left).into_iter().eq(0..1000), "one each {gap} us");
        }
    }
}

#[test]
fn reordered_frames_arrive_later_and_others_overtake_them() {
    let reordering = Impairments { reordering: Probability::percent(10), reorder_by: millis(10), ..Impairments::NONE };
    for direction in DIRECTIONS {
        for delay in [millis(0), millis(25)] {
            let mut storage = Storage::new(64);
            let mut wire = storage.wire(Impairments { delay, ..reordering }, 9);
            let left = direction.travel(&mut wire, (0..10_000).map(|number| (at_millis(number), numbered(number, 60))));
            let mut late = 0;
            for (position, (arrived, frame)) in left.iter().enumerate() {
                let number = number_of(frame);
                let extra = (*arrived - at_millis(number)).total_millis() - delay.as_millis() as u64;
                if extra == 0 {
                    continue;
                }
                assert_eq!(extra, 10);
                late += 1;
                let overtaken = left[..position].iter().any(|(_, earlier)| number_of(earlier) > number);
                assert!(overtaken || number > 9_980, "frame {number} came late, and nothing came before it");
            }
            assert_eq!(late, direction.of(wire.counters()).reordered);
            assert_eq!(left.len(), 10_000);
        }
    }
}

#[test]
fn a_frame_that_nothing_overtakes_arrives_all_the_same() {
    for direction in DIRECTIONS {
        let mut storage = Storage::new(1);
        let mut wire = storage.wire(Impairments { reordering: Probability::ALWAYS, ..Impairments::NONE }, 0);
        let left = direction.travel(&mut wire, [(at_millis(5), numbered(0, 60))]);
        assert_eq!(left, [(at_millis(15), numbered(0, 60))]);
    }
}

#[test]
fn reordering_by_a_time_of_zero_delays_nothing() {
    for direction in DIRECTIONS {
        let mut storage = Storage::new(1);
        let impairments = Impairments { reordering: Probability::ALWAYS, reorder_by: millis(0), ..Impairments::NONE };
        let mut wire = storage.wire(impairments, 0);
        assert_eq!(direction.pass(&mut wire, at_millis(0), [numbered(0, 60), numbered(1, 60)]).len(), 2);
        assert_eq!(direction.of(wire.counters()).reordered, 0);
    }
}

#[test]
fn a_copy_is_right_behind_its_frame_and_equal_to_it() {
    for direction in DIRECTIONS {
        for corruption in [Probability::NEVER, Probability::ALWAYS] {
            for delay in [millis(0), millis(3)] {
                let impairments =
                    Impairments { duplication: Probability::ALWAYS, corruption, delay, ..Impairments::NONE };
                let mut storage = Storage::new(16);
                let mut wire = storage.wire(impairments, 4);
                let left =
                    direction.travel(&mut wire, (0..1000).map(|number| (at_millis(number), numbered(number, 100))));
                assert_eq!(left.len(), 2000);
                for (number, pair) in left.chunks(2).enumerate() {
                    assert_eq!(pair[0], pair[1]);
                    assert_eq!(pair[0].0, at_millis(number) + delay.into());
                    assert_eq!(pair[0].1 == numbered(number, 100), corruption == Probability::NEVER);
                }
            }
        }
    }
}

#[test]
fn frames_due_at_the_same_time_are_delivered_in_the_order_of_sending() {
    for direction in DIRECTIONS {
        let mut storage = Storage::new(100);
        let mut wire = storage.wire(Impairments { delay: millis(1), ..Impairments::NONE }, 0);
        // Free storage is reused in another order.
        for round in 0..50 {
            let now = at_millis(2 * round);
            let frames: Vec<_> = (0..70 + round % 30).map(|number| numbered(number, 60)).collect();
            assert_eq!(direction.pass(&mut wire, now, frames.clone()).len(), 0);
            assert_eq!(direction.pass(&mut wire, now + millis(1).into(), []), frames);
        }
    }
}
