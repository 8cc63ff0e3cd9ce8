//! What the tests of the program share: a server for one test, clients, and skipped tests.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "each test file uses its part of this, and fails by panicking"
)]

pub mod peer;
pub mod web;

use core::{net::SocketAddr, panic::Location, time::Duration};
use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
    time::Instant,
};

/// Timeout of each wait: longer than a correct program needs on any host.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The program under test.
pub const GREET: &str = env!("CARGO_BIN_EXE_greet");

/// Asserts this exit status, and one line on standard error that contains all of these.
#[track_caller]
pub fn assert_fails(output: &Output, status: i32, said: &[&str]) {
    let line = String::from_utf8_lossy(&output.stderr);
    for said in said {
        assert!(line.contains(said), "{said:?} is not in {line:?}");
    }
    assert!(line.starts_with("greet: ") && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    assert_eq!(output.status.code(), Some(status), "{line}");
}

/// Reports that a test cannot be run on this host, and why, in the file that `tests/run` reads. With `CI=true` in the environment that
/// is a failure. `tests/system/support/skips.py` does the same.
#[track_caller]
pub fn skip(reason: &str) {
    let line = format!("{}: {reason}\n", Location::caller());
    // Not with `eprintln!`: its output is shown only if a test fails.
    io::stderr().write_all(format!("skipped: {line}").as_bytes()).unwrap();
    if let Some(path) = env::var_os("GREET_TESTS_SKIPS") {
        // In one write: other tests run at the same time.
        File::options().append(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
    }
    let strict = env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!strict, "with CI=true in the environment a skipped test is a failure");
}

/// The runtimes of `greet serve`. If the system has no io_uring, that one is skipped.
#[track_caller]
pub fn runtimes() -> Vec<&'static str> {
    let mut runtimes = vec!["threads", "tokio"];
    let has_uring = *HAS_URING.get_or_init(|| {
        let options = ["serve", "--runtime", "uring", "--listen", "127.0.0.1:0"];
        let mut child = Command::new(GREET).args(options).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        // The server prints its address, or ends.
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        read > 0
    });
    if has_uring {
        runtimes.push("uring");
    } else {
        skip("the runtime uring: this system offers no io_uring");
    }
    runtimes
}

static HAS_URING: OnceLock<bool> = OnceLock::new();

/// Listens on a free port of the IPv6 loopback. Without one the test is skipped.
#[track_caller]
pub fn listen_on_ipv6() -> Option<TcpListener> {
    let listener = TcpListener::bind("[::1]:0").ok();
    if listener.is_none() {
        skip("this host has no IPv6 loopback");
    }
    listener
}

/// The device `/dev/full`, to which every write fails. Without it the test is skipped.
#[track_caller]
pub fn full_device() -> Option<File> {
    let device = File::options().write(true).open("/dev/full").ok();
    if device.is_none() {
        skip("this system has no /dev/full");
    }
    device
}

/// A server on free ports, which is killed at the end of the test.
pub struct Server {
    pub child: Child,
    pub output: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Server {
    /// Starts it on a free port of 127.0.0.1.
    pub fn start(options: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", options)
    }

    pub fn start_on(address: &str, options: &[&str]) -> Self {
        let mut command = Command::new(GREET);
        command.args(["serve", "--listen", address]).args(options);
        Self::spawn(command)
    }

    /// As [`start`](Self::start), with `--log json`.
    pub fn start_with_json(options: &[&str]) -> Self {
        Self::start(&[&["--log", "json"], options].concat())
    }

    /// Starts a command that runs a server.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::spawn_from(command)
    }

    /// As [`spawn`](Self::spawn), with the standard input that the command has.
    pub fn spawn_from(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("Waiting for connection on ")
            .and_then(|rest| rest.strip_suffix("...\n"))
            .map(str::to_owned)
            .or_else(|| {
                let listening: serde_json::Value = serde_json::from_str(&line).ok()?;
                listening["address"].as_str().filter(|_| listening["event"] == "listening").map(str::to_owned)
            })
            .unwrap_or_else(|| panic!("instead of where it waits, the server said {line:?}"))
            .parse()
            .unwrap();
        Self { child, output, address }
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// Connects, and reads the greeting.
    pub fn greeted(&self) -> Client {
        let mut client = self.connect();
        client.expect("Welcome!");
        client
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end of the process. Returns its exit status and standard error.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < TIMEOUT, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }

    /// The processor time that the process has used, in hundredths of a second.
    pub fn processor_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client whose reads and writes have a timeout.
pub struct Client(pub TcpStream);

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self(stream))
    }

    pub fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    pub fn expect(&mut self, text: &str) {
        let mut received = vec![0; text.len()];
        self.0.read_exact(&mut received).unwrap();
        assert_eq!(String::from_utf8_lossy(&received), text);
    }

    /// Reads up to the server's FIN.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }

    pub fn converse(&mut self, name: &str) {
        self.send(name);
        self.expect(&format!("Hello, {name}!"));
    }

    /// Asserts that nothing is received for a while.
    pub fn expect_silence(&mut self) {
        self.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let error = loop {
            match self.0.read(&mut [0]).expect_err("something came") {
                // A read with a timeout can end like this after the process was suspended.
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        self.0.set_read_timeout(Some(TIMEOUT)).unwrap();
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        socket2::Socket::from(self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
