//! A web server that follows scripts, and a folder in which `greet fetch` runs.

use core::net::SocketAddr;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use tempfile::TempDir;

use super::{GREET, TIMEOUT};

/// A script that answers one request.
pub type Script = Box<dyn FnOnce(TcpStream) + Send>;

/// A web server that answers each connection with the next script, and keeps the requests.
pub struct Web {
    pub address: SocketAddr,
    pub requests: mpsc::Receiver<String>,
    thread: JoinHandle<()>,
}

impl Web {
    pub fn new(scripts: Vec<Script>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), scripts)
    }

    pub fn on(listener: TcpListener, scripts: Vec<Script>) -> Self {
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        let thread = thread::spawn(move || {
            for script in scripts {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(TIMEOUT)).unwrap();
                sender.send(read_request(&mut stream)).unwrap();
                script(stream);
            }
        });
        Self { address, requests, thread }
    }

    /// Answers one connection with these bytes, and closes it.
    pub fn saying(answer: impl Into<Vec<u8>>) -> Self {
        Self::new(vec![say(answer)])
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self) -> String {
        self.requests.recv_timeout(TIMEOUT).unwrap()
    }

    /// Waits for the end of every script. Fails if one has failed.
    pub fn end(self) {
        self.thread.join().unwrap();
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the request ends early: {request:?}");
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

/// Sends these bytes and closes the connection. The client may close it earlier.
pub fn say(answer: impl Into<Vec<u8>>) -> Script {
    let answer = answer.into();
    Box::new(move |mut stream| {
        let _ = stream.write_all(&answer);
    })
}

/// Sends these bytes, and then nothing until the sender is dropped.
pub fn say_and_wait(answer: &'static str) -> (mpsc::Sender<()>, Script) {
    let (done, until_done) = mpsc::channel();
    let script: Script = Box::new(move |mut stream| {
        stream.write_all(answer.as_bytes()).unwrap();
        let _ = until_done.recv();
    });
    (done, script)
}

/// Sends zeros until the client closes the connection.
pub fn without_end(head: &'static str) -> Script {
    Box::new(move |mut stream| {
        stream.write_all(head.as_bytes()).unwrap();
        while stream.write_all(&[b'0'; 65536]).is_ok() {}
    })
}

pub fn redirect(status: u16, target: &str) -> Script {
    say(format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"))
}

pub fn whole(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A temporary folder in which `greet fetch` runs.
pub struct Folder(pub TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder that contains a file `page` already.
    pub fn with_older_page() -> Self {
        let folder = Self::new();
        fs::write(folder.0.path().join("page"), "older").unwrap();
        folder
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(GREET);
        command.current_dir(self.0.path()).arg("fetch").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn fetch(&self, arguments: &[&str]) -> Output {
        self.start(arguments).wait_with_output().unwrap()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// The names of its files, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Asserts that it contains the older page alone, unchanged.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert_eq!((self.names(), self.read("page")), (vec!["page".to_owned()], "older".to_owned()));
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts exit status 0 and this head on standard output.
#[track_caller]
pub fn assert_fetched(output: &Output, head: &str) {
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), head), "{}", text(&output.stderr));
}
