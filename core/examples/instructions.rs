//! Answers names in memory, for a tool that counts instructions: see `tests/performance/instructions`.
//!
//! `instructions core|plain LINE_LENGTH ROUNDS`: processes ROUNDS reads of 64 lines of LINE_LENGTH bytes each (with the LF).

#[path = "../benches/workload/mod.rs"]
mod workload;

use std::process::ExitCode;

use workload::{NAMES_IN_FLIGHT, Workload, listening_server};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [implementation, line_length, rounds] = arguments.as_slice() else { return usage() };
    let (Ok(line_length @ 1..=1_025), Ok(rounds)) = (line_length.parse(), rounds.parse::<usize>()) else {
        return usage();
    };
    let mut workload = Workload::new(line_length);
    workload.check();
    let mut server = listening_server();
    let mut replied = 0;
    for _ in 0..rounds {
        replied += match implementation.as_str() {
            "core" => workload.core(&mut server),
            "plain" => workload.plain(),
            _ => return usage(),
        };
    }
    println!("{} names, {replied} bytes of replies", rounds * NAMES_IN_FLIGHT);
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: instructions core|plain LINE_LENGTH ROUNDS");
    ExitCode::from(2)
}
