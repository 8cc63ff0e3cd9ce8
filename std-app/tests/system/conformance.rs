//! The conformance table against `greet serve`, over real sockets, on each runtime.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use greet_conformance::{
    frontend::{Cut, run_table},
    socket::Socket,
    vectors::protocol,
};
use greet_core::Framing;

use crate::common::{Server, runtimes};

const CUTS: &[Cut] = &[Cut::Steps, Cut::Whole, Cut::Every(1), Cut::Every(7), Cut::At(3)];

/// Runs the conformance table against one server, once for each way to cut the input into reads.
fn passes(runtime: &str, name: &str, framing: Framing, cuts: &[Cut]) {
    if !runtimes().contains(&runtime) {
        return; // skipped
    }
    let table = protocol().unwrap();
    let mut server = Server::start(&["--quiet", "--runtime", runtime, "--framing", name]);
    let mut socket = Socket::new(server.address, framing);
    for &cut in cuts {
        let failures: Vec<_> = run_table(&mut socket, &table, cut).iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
    assert!(server.child.try_wait().unwrap().is_none(), "the server has ended");
}

#[test]
fn threads_pass_the_table_with_chunk_framing() {
    passes("threads", "chunk", Framing::Chunk, &[Cut::Steps]);
}

#[test]
fn threads_pass_the_table_with_line_framing_cut_at_every_byte() {
    passes("threads", "line", Framing::Line, CUTS);
}

#[test]
fn threads_pass_the_table_with_auto_framing() {
    passes("threads", "auto", Framing::Auto, &[Cut::Steps]);
}

#[test]
fn tokio_passes_the_table_with_chunk_framing() {
    passes("tokio", "chunk", Framing::Chunk, &[Cut::Steps]);
}

#[test]
fn tokio_passes_the_table_with_line_framing_cut_at_every_byte() {
    passes("tokio", "line", Framing::Line, CUTS);
}

#[test]
fn tokio_passes_the_table_with_auto_framing() {
    passes("tokio", "auto", Framing::Auto, &[Cut::Steps]);
}

#[test]
fn uring_passes_the_table_with_chunk_framing() {
    passes("uring", "chunk", Framing::Chunk, &[Cut::Steps]);
}

#[test]
fn uring_passes_the_table_with_line_framing_cut_at_every_byte() {
    passes("uring", "line", Framing::Line, CUTS);
}

#[test]
fn uring_passes_the_table_with_auto_framing() {
    passes("uring", "auto", Framing::Auto, &[Cut::Steps]);
}
