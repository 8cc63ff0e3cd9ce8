//! The conformance table against the bare machine: at several capacities, in reads of any size, with every output buffer size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

use greet_core::Framing;
use greet_tests::{
    frontend::{Cut, Failure, run, run_table},
    machine::BareServer,
    vectors::{Case, protocol},
};

const LARGE: usize = 4096;

fn assert_none(failures: &[Failure]) {
    let shown: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{} failures, the first:\n{}", shown.len(), shown[..shown.len().min(5)].join("\n"));
}

/// Every case in every framing, with the reads of the table, with every size of the output buffer.
fn as_written<const N: usize>(table: &[Case]) {
    for output_size in (1..=40).chain([N, LARGE]) {
        assert_none(&run_table(&mut BareServer::<N> { output_size }, table, Cut::Steps));
    }
}

/// The cases under `line`, cut in two at every position, and into pieces of every small size.
fn in_reads_of_any_size<const N: usize>(table: &[Case], output_sizes: impl Iterator<Item = usize> + Clone) {
    for case in table.iter().filter(|case| case.framings().any(|framing| framing == Framing::Line)) {
        let script = case.script(N).unwrap();
        let length: usize = script.talk.iter().map(|step| step.input.len()).sum();
        let cuts = (1..length).map(Cut::At).chain((1..=8).map(Cut::Every)).chain([Cut::Whole]);
        for cut in cuts {
            for output_size in output_sizes.clone() {
                if let Err(fault) = run(&mut BareServer::<N> { output_size }, &script, Framing::Line, cut) {
                    panic!("{} ({cut:?}, output of {output_size}): {fault}", case.name);
                }
            }
        }
    }
}

#[test]
fn every_case_passes_at_every_capacity_with_every_output_buffer_size() {
    let table = protocol().unwrap();
    as_written::<16>(&table);
    as_written::<17>(&table);
    as_written::<64>(&table);
    as_written::<1024>(&table);
    as_written::<65_535>(&table[..table.len().min(3)]);
}

#[test]
fn with_line_framing_reads_of_any_size_give_the_same_bytes_with_every_output_buffer_size() {
    let table = protocol().unwrap();
    in_reads_of_any_size::<16>(&table, (1..=40).chain([LARGE]));
    in_reads_of_any_size::<64>(&table, (1..=40).chain([LARGE]));
}

#[test]
fn with_line_framing_reads_of_any_size_give_the_same_bytes_at_the_capacity_of_a_pc() {
    in_reads_of_any_size::<1024>(&protocol().unwrap(), [1, 7, 1033, LARGE].into_iter());
}

#[test]
fn a_wrong_reply_is_reported_with_its_position() {
    let text = "[[case]]\nrules = ['R1']\nname = 'so'\nframing = ['line']\nend = 'exit'\n\
                talk = [{ in = 'haha\\n', out = 'Hello, hahe!\\n' }]";
    let table = greet_tests::vectors::parse("wrong.toml", text).unwrap();
    let failures = run_table(&mut BareServer::<16> { output_size: LARGE }, &table, Cut::Whole);
    let shown: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [r"so (R1; Line, Whole): at byte 19 of the output:
  expected 'e!\n'
  received 'a!\n'"]
    );
}
