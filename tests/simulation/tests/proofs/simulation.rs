//! The simulation, over many seeds. One that fails is named with all that went wrong, and is looked at more closely by
//! `cargo run --release -p greet-tests --bin simulate -- --seed N --verbose`.

#![allow(clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::sync::atomic::{AtomicU64, Ordering};
use std::{panic, thread};

use greet_tests::simulation::{Report, run};

const SEEDS: u64 = 2_000;

/// Runs these seeds on all processors; what they came to together.
fn run_all(seeds: u64) -> Report {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return sum;
            }
            match panic::catch_unwind(|| run(seed, false)) {
                Ok(Ok(report)) => sum.add(&report),
                Ok(Err(failure)) => panic!("{failure}"),
                Err(_) => panic!("seed {seed}: a panic"),
            }
        }
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let mut sum = Report::default();
        for thread in threads {
            match thread.join() {
                Ok(report) => sum.add(&report),
                Err(failure) => panic::resume_unwind(failure),
            }
        }
        sum
    })
}

#[test]
fn every_seed_comes_to_a_good_end() {
    let report = run_all(SEEDS);
    // It is no proof of anything if nothing happens.
    let visits = u64::try_from(report.completed).unwrap_or(0);
    assert!(visits > 5 * SEEDS, "{report:?}");
    assert!(report.lost > 0 && report.refused > 0, "{report:?}");
}

#[test]
fn the_same_seed_gives_the_same() {
    for seed in 0..20 {
        let (first, second) = (run(seed, false), run(seed, false));
        assert!(first.is_ok() && first == second, "seed {seed}: {first:?}, {second:?}");
    }
}
