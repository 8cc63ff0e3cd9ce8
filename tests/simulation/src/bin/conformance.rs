//! Runs the conformance table against a server at a TCP address: `conformance HOST:PORT line`.

use std::{env, net::ToSocketAddrs as _, process::ExitCode};

use greet_core::Framing;
use greet_tests::{
    frontend::{Cut, run_table},
    socket::Socket,
    vectors::{echo, protocol},
};

const USAGE: &str = "\
conformance HOST:PORT chunk|line|auto|echo [CAPACITY]
    runs the conformance table against the server at HOST:PORT, started with that framing, whose names have
    at most CAPACITY bytes (default 1024), or with `echo` that of the echo service against an echo server that
    can hold CAPACITY bytes; the exit status is 0 if all cases pass";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (host, framing, capacity) = match arguments[..] {
        [host, framing] => (host, framing, "1024"),
        [host, framing, capacity] => (host, framing, capacity),
        _ => return wrong_usage(),
    };
    let (table, framing) = match framing {
        "chunk" => (protocol(), Framing::Chunk),
        "line" => (protocol(), Framing::Line),
        "auto" => (protocol(), Framing::Auto),
        "echo" => (echo(), Framing::Line), // only the sequence of bytes matters
        _ => return wrong_usage(),
    };
    let Ok(capacity) = capacity.parse() else { return wrong_usage() };
    let Some(address) = host.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()) else {
        eprintln!("conformance: `{host}` cannot be resolved: give HOST:PORT, like localhost:9999");
        return ExitCode::from(2);
    };
    let table = match table {
        Ok(table) => table,
        Err(error) => {
            eprintln!("conformance: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut server = Socket { capacity, ..Socket::new(address, framing) };
    let cuts: &[Cut] = match framing {
        Framing::Line => &[Cut::Steps, Cut::Whole, Cut::Every(1), Cut::Every(7), Cut::At(3)],
        Framing::Chunk | Framing::Auto => &[Cut::Steps],
    };
    let failures: Vec<_> = cuts.iter().flat_map(|&cut| run_table(&mut server, &table, cut)).collect();
    for failure in &failures {
        println!("{failure}");
    }
    match failures.len() {
        0 => {
            println!("{address}, {framing:?}: all cases pass, with {} ways to split the input", cuts.len());
            ExitCode::SUCCESS
        }
        count => {
            println!("{address}, {framing:?}: {count} failures");
            ExitCode::FAILURE
        }
    }
}

fn wrong_usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
