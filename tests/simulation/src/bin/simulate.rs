//! Runs simulations: `simulate --seed 123 [--verbose]`, or `simulate --seeds 0..100000 [--first]`.

use core::sync::atomic::{AtomicU64, Ordering};
use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    panic,
    process::ExitCode,
    thread,
    time::Instant,
};

use greet_tests::simulation;

const USAGE: &str = "\
simulate --seed N [--verbose]   runs one simulation; --verbose prints every segment and event
simulate --seeds A..B [--first] runs seeds A to B-1 on all processors; --first stops at the first failure; the exit
                                status is 0 if none fails";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let passed = match arguments[..] {
        ["--seed", seed] => seed.parse().ok().map(|seed| one(seed, false)),
        ["--seed", seed, "--verbose"] => seed.parse().ok().map(|seed| one(seed, true)),
        ["--seeds", range] => numbers(range).map(|(first, last)| many(first, last, false)),
        ["--seeds", range, "--first"] => numbers(range).map(|(first, last)| many(first, last, true)),
        _ => None,
    };
    match passed {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn numbers(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.split_once("..")?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn one(seed: u64, verbose: bool) -> bool {
    let began = Instant::now();
    match simulation::run(seed, verbose) {
        Ok(report) => {
            println!("seed {seed}: {report:#?}\nin {:?}", began.elapsed());
            true
        }
        Err(failure) => {
            println!("FAILED {failure}");
            false
        }
    }
}

fn many(first: u64, last: u64, until_failure: bool) -> bool {
    let began = Instant::now();
    let (next, failures) = (AtomicU64::new(first), AtomicU64::new(0));
    let terminal = io::stderr().is_terminal();
    let work = || {
        let mut sum = simulation::Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last || (until_failure && failures.load(Ordering::Relaxed) > 0) {
                return sum;
            }
            match panic::catch_unwind(|| simulation::run(seed, false)) {
                Ok(Ok(report)) => sum.add(&report),
                Ok(Err(failure)) => {
                    println!("FAILED {failure}");
                    failures.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {
                    println!("FAILED seed {seed}: a panic");
                    failures.fetch_add(1, Ordering::Relaxed);
                }
            }
            if terminal && seed.is_multiple_of(100) {
                eprint!("\r{seed} ");
                let _ = io::stderr().flush();
            }
        }
    };
    let mut sum = simulation::Report::default();
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            if let Ok(report) = thread.join() {
                sum.add(&report);
            }
        }
    });
    let failures = failures.into_inner();
    println!("{} seeds in {:?}, {failures} failed; total {sum:#?}", last.saturating_sub(first), began.elapsed());
    failures == 0
}
