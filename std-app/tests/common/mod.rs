//! A `greet serve` of a test's own, and clients for it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "each test file uses its part of this, and fails by panicking"
)]

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Instant,
};

/// Longer than anything that works takes, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The program that is tested.
pub const GREET: &str = env!("CARGO_BIN_EXE_greet");

/// A server on ports of its own; ended with the test.
pub struct Server {
    pub child: Child,
    pub output: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Server {
    /// On a free port of 127.0.0.1.
    pub fn start(options: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", options)
    }

    pub fn start_on(address: &str, options: &[&str]) -> Self {
        let mut command = Command::new(GREET);
        command.args(["serve", "--listen", address]).args(options);
        Self::spawn(command)
    }

    /// From any command that becomes a server in the end.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("Waiting for connection on ")
            .and_then(|rest| rest.strip_suffix("...\n"))
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

    /// Waits for the end of the process: its status, and what it said on standard error.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }

    /// Ticks of processor time that the process has used, a hundred to the second.
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

/// A plain client that waits for nothing longer than its patience.
pub struct Client(pub TcpStream);

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
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

    /// Reads to the server's FIN.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }

    pub fn converse(&mut self, name: &str) {
        self.send(name);
        self.expect(&format!("Hello, {name}!"));
    }

    /// Nothing comes for a while.
    pub fn expect_silence(&mut self) {
        self.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let error = loop {
            match self.0.read(&mut [0]).expect_err("something came") {
                // A read with a time limit ends so when the system froze the process for a moment.
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        socket2::Socket::from(self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
