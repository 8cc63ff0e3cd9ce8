//! Records the frames that each probe sends to a board in memory: record-frames FOLDER
//!
//! Each probe gets a new board and a file of its own, FOLDER/ID-4 or FOLDER/ID-6, which `greet_tests::replay` reads. The fuzz target
//! `probes` of core/fuzz starts from these files.

#![allow(clippy::unwrap_used, reason = "a tool for tests: a panic is how a failure is reported")]

#[allow(dead_code, reason = "the board has no defect")]
#[path = "../tests/devices/defect.rs"]
mod defect;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/devices/device.rs"]
mod device;

use core::time::Duration;
use std::{env, fs, path::PathBuf, process::ExitCode};

use defect::Defect;
use device::{Memory, addresses};
use greet_frames::{probes, run::applies};

/// Bytes of a recording at most: a longer one is cut off.
const LONGEST: usize = 12_000;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("record-frames FOLDER");
        return ExitCode::from(2);
    };
    fs::create_dir_all(&folder).unwrap();
    let mut count = 0;
    for is_v6 in [false, true] {
        for probe in probes::all().iter().filter(|probe| applies(probe, addresses(is_v6)[0])) {
            let memory = Memory::new(Defect::none());
            memory.examine(is_v6, probe);
            let name = format!("{}-{}", probe.id(), if is_v6 { 6 } else { 4 });
            fs::write(folder.join(name), recording(&memory.sent())).unwrap();
            count += 1;
        }
    }
    println!("{count} recordings");
    ExitCode::SUCCESS
}

fn recording(frames: &[(Duration, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = Duration::ZERO;
    for (time, frame) in frames {
        if bytes.len() + 6 + frame.len() > LONGEST {
            break;
        }
        bytes.extend(u32::try_from((*time - last).as_micros()).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(frame.len()).unwrap().to_le_bytes());
        bytes.extend(frame);
        last += Duration::from_micros((*time - last).as_micros().try_into().unwrap());
    }
    bytes
}
