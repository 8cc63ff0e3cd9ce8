//! A server for one conversation that follows a script.

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

use super::TIMEOUT;

/// A script is a list of steps:
///
/// - `S BYTES`: the server sends these bytes. `S` alone: it half-closes.
/// - `C BYTES`: the server's next read delivers exactly these. `C` alone: the client has half-closed.
/// - `pause`: nothing is sent for a tenth of a second.
/// - `reset`: the server resets the connection, as the kernel does if a server is killed with unread input.
///
/// At the end of the script the server closes the connection.
pub struct Peer {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Peer {
    pub fn new(script: &[impl AsRef<[u8]>]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub fn on(listener: TcpListener, script: &[impl AsRef<[u8]>]) -> Self {
        let address = listener.local_addr().unwrap();
        let script: Vec<Vec<u8>> = script.iter().map(|step| step.as_ref().to_owned()).collect();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            for step in script {
                play(&mut stream, &step);
            }
        });
        Self { address, thread }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits for the end of the script. Fails if a step has failed.
    pub fn end(self) {
        self.thread.join().unwrap();
    }
}

fn play(stream: &mut TcpStream, step: &[u8]) {
    match step {
        b"S" => stream.shutdown(Shutdown::Write).unwrap(),
        b"C" => expect_read(stream, b""),
        [b'S', b' ', bytes @ ..] => stream.write_all(bytes).unwrap(),
        [b'C', b' ', bytes @ ..] => expect_read(stream, bytes),
        b"pause" => thread::sleep(Duration::from_millis(100)),
        b"reset" => socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap(),
        _ => panic!("this is no step of a script: {}", step.escape_ascii()),
    }
}

fn expect_read(stream: &mut TcpStream, bytes: &[u8]) {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).unwrap();
    assert_eq!(buffer[..count].escape_ascii().to_string(), bytes.escape_ascii().to_string());
}
