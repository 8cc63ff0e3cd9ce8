//! The device that wraps another: its storage, its tokens, and an inner device that is full or flooded.

use core::num::NonZeroU64;

use fastrand::Rng;
use greet_smoltcp::impair::{Counters, Directions, FRAME_CAPACITY, Frame, Impaired, Impairments, Probability};
use smoltcp::phy::{Device, RxToken, TxToken};

use super::{
    Card, DIRECTIONS, Storage, assert_accounted_for, at_micros, at_millis, millis, number_of, numbered, receive,
    transmit,
};

fn late() -> Impairments {
    Impairments { delay: millis(10), ..Impairments::NONE }
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    for direction in DIRECTIONS {
        let mut storage = Storage::new(4);
        let mut wire = storage.wire(late(), 0);
        assert!(direction.pass(&mut wire, at_millis(0), (0..10).map(|number| numbered(number, 60))).is_empty());
        assert_eq!(direction.of(wire.held()), 4);
        assert_accounted_for(&wire);
        let left = direction.pass(&mut wire, at_millis(10), [numbered(10, 60)]);
        assert!(left.iter().map(|frame| number_of(frame)).eq(0..4), "{left:?}");
        let expected = Counters { frames: 11, delivered: 4, dropped: 6, ..Counters::default() };
        assert_eq!(direction.of(wire.counters()), expected);
        assert_eq!(direction.pass(&mut wire, at_millis(20), []), [numbered(10, 60)]);
        assert_accounted_for(&wire);
    }
}

#[test]
fn a_copy_without_room_is_dropped_and_its_frame_is_not() {
    for direction in DIRECTIONS {
        let mut storage = Storage::new(1);
        let mut wire = storage.wire(Impairments { duplication: Probability::ALWAYS, ..late() }, 0);
        assert!(direction.pass(&mut wire, at_millis(0), [numbered(0, 60)]).is_empty());
        assert_eq!(direction.pass(&mut wire, at_millis(10), []), [numbered(0, 60)]);
        let expected = Counters { frames: 1, duplicated: 1, delivered: 1, dropped: 1, ..Counters::default() };
        assert_eq!(direction.of(wire.counters()), expected);
    }
}

#[test]
fn without_storage_an_unimpaired_link_works_and_a_delayed_one_drops_everything() {
    for direction in DIRECTIONS {
        let mut storage = Storage::new(0);
        let mut wire = storage.wire(Impairments::NONE, 0);
        assert_eq!(direction.pass(&mut wire, at_millis(0), [numbered(0, 60)]), [numbered(0, 60)]);
        wire.set_impairments(late());
        assert!(direction.pass(&mut wire, at_millis(0), [numbered(1, 60)]).is_empty());
        assert_eq!(direction.of(wire.counters()).dropped, 1);
        assert_eq!(wire.next_due(), None);
    }
}

#[test]
fn storage_that_was_used_before_is_empty() {
    let mut storage = Storage::new(2);
    for _ in 0..3 {
        let mut wire = storage.wire(late(), 0);
        for direction in DIRECTIONS {
            assert!(direction.pass(&mut wire, at_millis(0), [numbered(0, 60), numbered(1, 60)]).is_empty());
            assert_eq!(direction.of(wire.counters()).dropped, 0);
        }
    }
}

#[test]
fn frames_that_are_due_wait_for_room_in_the_device_and_keep_their_order() {
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(late(), 0);
    for number in 0..3 {
        assert!(transmit(&mut wire, at_millis(0), &numbered(number, 60)));
    }
    wire.inner_mut().room = 0;
    wire.advance(at_millis(10));
    assert!(!transmit(&mut wire, at_millis(11), &numbered(9, 60)));
    assert_eq!(wire.next_due(), Some(at_millis(10)), "it is past");
    wire.inner_mut().room = 2;
    wire.advance(at_millis(12));
    assert_eq!(wire.inner().went, [numbered(0, 60), numbered(1, 60)]);
    wire.inner_mut().room = 1;
    assert!(!transmit(&mut wire, at_millis(12), &numbered(9, 60)), "the one that waited went first");
    assert_eq!(wire.inner().went.last(), Some(&numbered(2, 60)));
    assert_eq!(wire.held().transmit, 0);
}

#[test]
fn every_call_sends_what_is_due() {
    for call in 0..3 {
        let mut storage = Storage::new(8);
        let mut wire = storage.wire(late(), 0);
        assert!(transmit(&mut wire, at_millis(0), &numbered(0, 60)));
        match call {
            0 => wire.advance(at_millis(10)),
            1 => drop(wire.transmit(at_millis(10))),
            _ => drop(wire.receive(at_millis(10))),
        }
        assert_eq!(wire.inner().went, [numbered(0, 60)]);
    }
}

#[test]
fn a_frame_waits_until_there_is_room_for_a_reply() {
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(late(), 0);
    wire.inner_mut().came.push_back(numbered(0, 60));
    assert_eq!(receive(&mut wire, at_millis(0)), None);
    wire.inner_mut().room = 0;
    assert_eq!(receive(&mut wire, at_millis(10)), None);
    assert_eq!(wire.next_due(), Some(at_millis(10)));
    wire.inner_mut().room = 1;
    assert_eq!(receive(&mut wire, at_millis(11)), Some(numbered(0, 60)));
}

#[test]
fn an_unread_frame_is_kept() {
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(late(), 0);
    wire.inner_mut().came.push_back(numbered(0, 60));
    assert_eq!(receive(&mut wire, at_millis(0)), None);
    assert!(wire.receive(at_millis(10)).is_some());
    assert_eq!(receive(&mut wire, at_millis(10)), Some(numbered(0, 60)));
    assert_eq!(receive(&mut wire, at_millis(10)), None);
}

#[test]
fn a_reply_is_impaired_too() {
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(Directions { receive: Impairments::NONE, transmit: late() }, 0);
    wire.inner_mut().came.push_back(numbered(0, 60));
    let (received, reply) = wire.receive(at_millis(0)).unwrap();
    // As smoltcp does it: the reply is written while the frame is read.
    received.consume(|frame| reply.consume(frame.len(), |buffer| buffer.copy_from_slice(frame)));
    assert!(wire.inner().went.is_empty());
    wire.advance(at_millis(10));
    assert_eq!(wire.inner().went, [numbered(0, 60)]);
}

#[test]
fn a_flood_of_lost_frames_does_not_hold_a_call() {
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(Impairments { loss: Probability::ALWAYS, ..Impairments::NONE }, 0);
    wire.inner_mut().came.extend((0..200).map(|number| numbered(number, 60)));
    let mut calls = 0;
    loop {
        assert_eq!(receive(&mut wire, at_millis(5)), None);
        calls += 1;
        if wire.inner().came.is_empty() {
            break;
        }
        assert_eq!(wire.next_due(), Some(at_millis(5)), "there is more");
    }
    assert_eq!(calls, 4);
    assert_eq!(wire.next_due(), None);
}

#[test]
fn the_capabilities_are_those_of_the_device_inside_as_far_as_a_frame_fits_where_one_can_be_held() {
    for (inside, slots, outside) in [(1280, 1, 1280), (1514, 1, 1514), (9014, 1, 1514), (9014, 0, 9014)] {
        let card = Card { frame_limit: inside, ..Card::default() };
        let mut slots = vec![Frame::EMPTY; slots];
        let storage = Directions { receive: &mut slots[..], transmit: &mut [][..] };
        let wire = Impaired::new(card, Impairments::NONE, 0, storage);
        assert_eq!(wire.capabilities().max_transmission_unit, outside);
        assert_eq!(wire.capabilities().max_burst_size, Some(3));
        assert_eq!(wire.into_inner().frame_limit, inside);
    }
}

#[test]
fn an_oversized_frame_is_dropped_on_receive_and_passed_on_transmit() {
    let long = numbered(0, FRAME_CAPACITY + 1);
    let mut storage = Storage::new(8);
    let mut wire = storage.wire(late(), 0);
    wire.inner_mut().came.push_back(long.clone());
    assert_eq!(receive(&mut wire, at_millis(0)), None);
    assert_eq!(wire.counters().receive.dropped, 1);
    assert!(transmit(&mut wire, at_millis(0), &long));
    assert_eq!(wire.inner().went, [long]);
    assert_accounted_for(&wire);
}

#[test]
fn with_every_impairment_each_frame_is_counted_and_none_is_held_forever() {
    let mut random = Rng::with_seed(2026);
    for seed in 0..500 {
        let mut probability = || Probability::new(random.f64() * f64::from(u8::from(random.bool()))).unwrap();
        let (loss, duplication, reordering) = (probability(), probability(), probability());
        let mut span = || millis(random.u64(0..20) * u64::from(random.bool()));
        let impairments = Impairments {
            loss,
            duplication,
            reordering,
            reorder_by: span(),
            corruption: Probability::NEVER,
            delay: span(),
            jitter: span(),
            rate: NonZeroU64::new(random.u64(0..3) * 1_000_000),
        };
        for direction in DIRECTIONS {
            let mut storage = Storage::new(random.usize(0..20));
            let mut wire = storage.wire(impairments, seed);
            let gap = random.usize(0..2000);
            let length = |number: usize| 60 + number % 1455;
            let left = direction
                .travel(&mut wire, (0..300).map(|number| (at_micros(number * gap), numbered(number, length(number)))));
            for (_, frame) in &left {
                let number = number_of(frame);
                assert_eq!(frame, &numbered(number, length(number)), "{impairments:?}");
            }
            assert_eq!(left.len() as u64, direction.of(wire.counters()).delivered);
            assert_eq!(direction.of(wire.held()), 0);
        }
    }
}
