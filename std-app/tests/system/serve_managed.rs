//! `greet serve` under a service manager: socket activation, notifications, and a restart that refuses no client.
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

/// A command that starts the server with `descriptor` as systemd passes it: as number 3, with two environment variables.
fn with_inherited_socket(descriptor: impl Into<OwnedFd>, options: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve \"$@\"";
    command.args(["-c", script, GREET]).args(options).stdin(Stdio::from(descriptor.into()));
    command
}

/// A service manager that receives notifications (`NOTIFY_SOCKET`).
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
        while self.next_notification() != "READY=1" {}
        service
    }

    fn next_notification(&self) -> String {
        let mut message = [0; 256];
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim_end().to_owned()
    }
}

fn terminate(service: &Child) {
    assert!(Command::new("kill").arg(service.id().to_string()).status().unwrap().success());
}

#[test]
fn it_serves_on_an_inherited_socket_and_notifies_ready_and_stopping() {
    for runtime in runtimes() {
        let manager = Manager::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut service = manager.start(with_inherited_socket(listener, &["--runtime", runtime]));
        assert_eq!(manager.next_notification(), "READY=1");
        let mut client = Client::connect(address).unwrap();
        client.expect("Welcome!");
        client.converse("haha");
        terminate(&service);
        assert_eq!(manager.next_notification(), "STOPPING=1");
        assert_eq!(client.rest(), "");
        drop(client);
        assert!(service.wait().unwrap().success());
    }
}

#[test]
fn it_also_listens_on_the_addresses_given_beside_an_inherited_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::spawn_from(with_inherited_socket(listener, &["--listen", "127.0.0.1:0"]));
    assert_eq!(server.address, address);
    assert!(server.line().starts_with("Waiting for connection on 127.0.0.1:"));
    server.greeted().converse("haha");
}

#[test]
fn an_inherited_descriptor_that_is_no_listening_socket_is_an_error() {
    let output = with_inherited_socket(File::open("/dev/null").unwrap(), &[]).output().unwrap();
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
fn no_client_is_refused_while_the_service_restarts() {
    const CLIENTS: usize = 1000;
    const THREADS: usize = 4;
    for runtime in runtimes() {
        let manager = Manager::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let options = ["--quiet", "--runtime", runtime];
        let start = || manager.start_and_wait(with_inherited_socket(listener.try_clone().unwrap(), &options));
        let mut service = start();
        let (done, ended_early) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut restarts = 0;
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while done.fetch_add(1, Ordering::Relaxed) < CLIENTS {
                        // Retries, as any client does, if the conversation was ended before its name was read.
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
