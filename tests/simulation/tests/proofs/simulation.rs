//! The simulation, over 500 seeds, or 2,000 under `tests/run full`. A seed that fails is reported with everything that went
//! wrong; `cargo run --release -p greet-tests --bin simulate -- --seed N --verbose` shows what happened.

#![allow(clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::sync::atomic::{AtomicU64, Ordering};
use std::{panic, thread};

use greet_tests::{
    is_full,
    simulation::{Report, run},
};

/// Runs this many seeds on all processors. Returns the sum of their reports.
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
fn every_seed_passes() {
    let seeds = if is_full() { 2_000 } else { 500 };
    let report = run_all(seeds);
    // Each kind of fault must have occurred, or the test proves nothing.
    let visits = u64::try_from(report.completed).unwrap_or(0);
    assert!(visits > 5 * seeds, "{report:?}");
    assert!(report.lost > 0 && report.refused > 0, "{report:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let (first, second) = (run(seed, false), run(seed, false));
        assert!(first.is_ok() && first == second, "seed {seed}: {first:?}, {second:?}");
    }
}
