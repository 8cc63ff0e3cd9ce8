//! The table against the program `greet serve`, over real sockets, on both its runtimes.
//!
//! The program is built by the cargo that runs this test; the environment variable `GREET_BIN` names another to take.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

use core::{net::SocketAddr, time::Duration};
use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

use greet_core::Framing;
use greet_tests::{
    frontend::{Cut, run_table},
    socket::Socket,
    vectors::protocol,
};

/// Longer than a start takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, built with the profile of this test and into the same directory.
static GREET: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(path) = env::var_os("GREET_BIN") {
        return path.into();
    }
    let test = env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("a test lies in TARGET/PROFILE/deps");
    let target = profile.parent().expect("a profile lies in TARGET");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO")));
    let name = if profile.ends_with("debug") { "test" } else { "release" };
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "greet", "--bin", "greet", "--profile", name, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "greet does not build");
    profile.join(format!("greet{}", env::consts::EXE_SUFFIX))
});

/// A `greet serve` that listens; it ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(runtime: &str, framing: &str) -> Self {
        let mut child = Command::new(&*GREET)
            .args(["serve", "--listen", "127.0.0.1:0", "--runtime", runtime, "--framing", framing])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", GREET.display()));
        let output = child.stdout.take().expect("it is piped");
        let (sender, address) = mpsc::channel();
        // It reads to the end, so that the program is never kept waiting for room in the pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let address = line.strip_prefix("Waiting for connection on ").and_then(|rest| rest.strip_suffix("..."));
                if let Some(address) = address.and_then(|address| address.parse().ok()) {
                    let _ = sender.send(address); // nobody listens after the first
                }
            }
        });
        match address.recv_timeout(PATIENCE) {
            Ok(address) => Self { child, address },
            Err(error) => {
                let _ = child.kill();
                panic!("it does not say where it listens: {error}");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The table over one server, in those cuts.
fn holds(runtime: &str, name: &str, framing: Framing, cuts: &[Cut]) {
    let table = protocol().expect("the table is in order");
    let mut server = Server::start(runtime, name);
    let mut socket = Socket::new(server.address, framing);
    for &cut in cuts {
        let failures: Vec<_> = run_table(&mut socket, &table, cut).iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
    assert!(server.child.try_wait().expect("it is a child").is_none(), "the server has ended");
}

const CUTS: &[Cut] = &[Cut::Steps, Cut::Whole, Cut::Every(1), Cut::Every(7), Cut::At(3)];

#[test]
fn the_threads_hold_the_table_under_chunk() {
    holds("threads", "chunk", Framing::Chunk, &[Cut::Steps]);
}

#[test]
fn the_threads_hold_the_table_under_line_in_every_cut() {
    holds("threads", "line", Framing::Line, CUTS);
}

#[test]
fn the_threads_hold_the_table_under_auto() {
    holds("threads", "auto", Framing::Auto, &[Cut::Steps]);
}

#[test]
fn the_tasks_hold_the_table_under_chunk() {
    holds("tokio", "chunk", Framing::Chunk, &[Cut::Steps]);
}

#[test]
fn the_tasks_hold_the_table_under_line_in_every_cut() {
    holds("tokio", "line", Framing::Line, CUTS);
}

#[test]
fn the_tasks_hold_the_table_under_auto() {
    holds("tokio", "auto", Framing::Auto, &[Cut::Steps]);
}
