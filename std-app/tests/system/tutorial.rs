//! The tutorial's scripts, unchanged, as peers of both subcommands.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::time::Duration;
use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use crate::common::{GREET, Server, TIMEOUT, runtimes};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/system/tutorial");

/// A script of the tutorial, at another port.
fn tutorial(script: &str, port: u16) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-B", "-u", &format!("{FOLDER}/at_port.py"), &port.to_string(), &format!("{FOLDER}/{script}")])
        .stdin(Stdio::null());
    command
}

/// The tutorial's server, killed at the end of the test.
struct TutorialServer {
    child: Child,
    port: u16,
}

impl TutorialServer {
    fn start() -> Self {
        // The script does not print its port, so it gets one that was free just before.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = tutorial("server.py", port).stdout(Stdio::null()).spawn().unwrap();
        let server = Self { child, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < TIMEOUT, "the tutorial's server does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for TutorialServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CONVERSATION: &str = "Welcome!\nHello, haha!\nHello, you are loser!\nHello, byebye!\n";

#[test]
fn greet_chat_works_with_the_tutorials_server() {
    let server = TutorialServer::start();
    let host = format!("127.0.0.1:{}", server.port);
    let output = Command::new(GREET).args(["chat", &host, "haha", "you are loser", "byebye"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), CONVERSATION);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_tutorials_client_works_with_greet_serve() {
    for runtime in runtimes() {
        for delay in ["0", "100ms"] {
            let server = Server::start(&["--runtime", runtime, "--delay", delay]);
            let output = tutorial("client.py", server.address.port()).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{runtime}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), CONVERSATION, "{runtime}");
            assert_eq!(output.status.code(), Some(0), "{runtime}");
        }
    }
}

#[test]
fn greet_chat_works_with_greet_serve_in_both_framings() {
    for runtime in runtimes() {
        let server = Server::start(&["--runtime", runtime]);
        for framing in ["chunk", "line"] {
            let output = Command::new(GREET)
                .args(["chat", "--framing", framing, &server.address.to_string(), "haha", "you are loser", "byebye"])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{runtime} {framing}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), CONVERSATION, "{runtime} {framing}");
            assert_eq!(output.status.code(), Some(0), "{runtime} {framing}");
        }
    }
}
