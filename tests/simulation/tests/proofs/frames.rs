//! No frame causes a panic or occupies a slot of the pool forever: seeded frames, valid and mutated, among real answers.
//! `GREET_FRAMES` is their number; a seed that fails is printed, and `GREET_SEED` repeats it alone. The fuzz target `frame`
//! of core/fuzz does the same with frames that the fuzzer chooses.

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;
use std::{env, panic};

use greet_tests::{
    mutation::{frames, mutate},
    storm::storm,
};

/// Frames of one seed, without the answers to frames of the stack.
const A_SEED: u64 = 500;
/// Frames of the quick run.
const QUICK: u64 = 20_000;

#[test]
fn no_frame_causes_a_panic_or_leaks_a_slot() {
    let number = |name| env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    if let Some(seed) = number("GREET_SEED") {
        return seeded(seed);
    }
    for seed in 0..number("GREET_FRAMES").unwrap_or(QUICK).div_ceil(A_SEED) {
        if let Err(failure) = panic::catch_unwind(|| seeded(seed)) {
            eprintln!("GREET_SEED={seed}");
            panic::resume_unwind(failure);
        }
    }
}

fn seeded(seed: u64) {
    let kinds = frames();
    let mut rest = A_SEED;
    storm(seed, |chance| {
        rest = rest.checked_sub(1)?;
        let mut frame = chance.choice(&kinds)?.clone();
        if chance.u8(..8) > 0 {
            mutate(&mut frame, chance);
        }
        let wait = *chance.choice(&[0, 0, 0, 0, 1_000, 100_000, 1_000_000, 30_000_000])?;
        Some((frame, Duration::from_micros(wait)))
    });
}
