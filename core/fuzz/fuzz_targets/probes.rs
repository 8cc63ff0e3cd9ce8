//! Frames with their times against a stack and a pool. `tests/run deep` starts it from the frames that each probe of `greet check
//! --interface` sends, recorded by `cargo run -p greet-frames --example record-frames -- core/fuzz/corpus/probes`.

#![no_main]

use greet_tests::replay::replay;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|recording: &[u8]| {
    let _ = replay(recording);
});
