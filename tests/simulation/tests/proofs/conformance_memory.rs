//! The table against the pool of sockets over smoltcp, on an Ethernet in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use greet_core::Framing;
use greet_smoltcp::pool::Settings;
use greet_tests::{
    frontend::{Cut, run_table},
    memory::{EchoMemory, Memory},
    vectors::{echo, protocol},
};

fn holds(framing: Framing, cuts: &[Cut]) {
    let table = protocol().unwrap();
    let mut server = Memory::new(framing);
    for &cut in cuts {
        let failures: Vec<_> = run_table(&mut server, &table, cut).iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
    assert_eq!(server.busy(), 0);
}

#[test]
fn the_pool_passes_the_table_with_chunk_framing() {
    holds(Framing::Chunk, &[Cut::Steps]);
}

#[test]
fn the_pool_passes_the_table_with_line_framing_cut_at_every_byte() {
    holds(Framing::Line, &[Cut::Steps, Cut::Whole, Cut::Every(1), Cut::Every(7), Cut::At(3)]);
}

#[test]
fn the_pool_passes_the_table_with_auto_framing() {
    holds(Framing::Auto, &[Cut::Steps]);
}

#[test]
fn a_pool_of_echo_servers_passes_the_echo_table_cut_at_every_byte() {
    let mut server = EchoMemory::echo(Settings::ECHO, 8);
    for cut in [Cut::Steps, Cut::Whole, Cut::Every(1), Cut::Every(7), Cut::At(3)] {
        let failures: Vec<_> = run_table(&mut server, &echo().unwrap(), cut).iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
    assert_eq!(server.busy(), 0);
}
