//! `greet serve` under a service manager: the socket that it hands over, what it is told, and a restart that refuses nobody.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::{
    fs::File,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
    thread,
};

use crate::common::{Client, GREET, Server, TIMEOUT, assert_fails, runtimes};

/// Starts the server with `descriptor` handed over, as systemd does it: it has the number 3, and two variables say so.
fn hand_over(descriptor: impl Into<OwnedFd>, options: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve \"$@\"";
    command.args(["-c", script, GREET]).args(options).stdin(Stdio::from(descriptor.into()));
    command
}

/// A manager that is told when its service is ready.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { socket, folder }
    }

    fn start(&self, mut command: Command) -> Child {
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
    }

    /// Starts the service, and waits until it is ready.
    fn start_and_wait(&self, command: Command) -> Child {
        let service = self.start(command);
        while self.told() != "READY=1" {}
        service
    }

    fn told(&self) -> String {
        let mut message = [0; 256];
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim_end().to_owned()
    }
}

fn terminate(service: &Child) {
    assert!(Command::new("kill").arg(service.id().to_string()).status().unwrap().success());
}

#[test]
fn it_serves_on_a_socket_that_was_handed_over_and_says_when_it_is_ready_and_when_it_stops() {
    for runtime in runtimes() {
        let manager = Manager::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut service = manager.start(hand_over(listener, &["--runtime", runtime]));
        assert_eq!(manager.told(), "READY=1");
        let mut client = Client::connect(address).unwrap();
        client.expect("Welcome!");
        client.converse("haha");
        terminate(&service);
        assert_eq!(manager.told(), "STOPPING=1");
        assert_eq!(client.rest(), "");
        drop(client);
        assert!(service.wait().unwrap().success());
    }
}

#[test]
fn it_listens_on_addresses_of_its_own_beside_the_socket_that_was_handed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::spawn_from(hand_over(listener, &["--listen", "127.0.0.1:0"]));
    assert_eq!(server.address, address);
    assert!(server.line().starts_with("Waiting for connection on 127.0.0.1:"));
    server.greeted().converse("haha");
}

#[test]
fn a_descriptor_that_is_no_listening_socket_is_an_error() {
    let output = hand_over(File::open("/dev/null").unwrap(), &[]).output().unwrap();
    assert_fails(&output, 1, &["service manager", "TCP socket"]);
}

/// One client. Returns whether it got its reply; a service that is being stopped may end the conversation before that.
fn is_answered(address: core::net::SocketAddr) -> bool {
    let mut client = Client::connect(address).unwrap_or_else(|error| panic!("refused: {error}"));
    client.expect("Welcome!");
    client.send("haha\nexit\n");
    match client.rest().as_str() {
        "Hello, haha!\n" => true,
        "" => false,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn a_thousand_clients_connect_while_the_service_restarts_and_none_is_refused() {
    const CLIENTS: usize = 1000;
    const THREADS: usize = 4;
    for runtime in runtimes() {
        let manager = Manager::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let options = ["--quiet", "--runtime", runtime];
        let start = || manager.start_and_wait(hand_over(listener.try_clone().unwrap(), &options));
        let mut service = start();
        let (done, ended_early) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut restarts = 0;
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while done.fetch_add(1, Ordering::Relaxed) < CLIENTS {
                        // As any client would, it tries again if the conversation was ended before its name was read.
                        while !is_answered(address) {
                            ended_early.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            while done.load(Ordering::Relaxed) < CLIENTS {
                terminate(&service);
                assert!(service.wait().unwrap().success());
                service = start();
                restarts += 1;
            }
        });
        terminate(&service);
        assert!(service.wait().unwrap().success());
        println!("{runtime}: {restarts} restarts; {} conversations ended early", ended_early.into_inner());
        assert!(restarts >= 3);
    }
}
