//! `greet fetch` as its user sees it, against web servers that do well, badly, or nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use core::{net::SocketAddr, time::Duration};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Instant,
};

use common::{GREET, PATIENCE};
use tempfile::TempDir;

/// One answer of a web server, by a script.
type Script = Box<dyn FnOnce(TcpStream) + Send>;

/// A web server that answers each connection by the next script, and keeps the requests.
struct Web {
    address: SocketAddr,
    requests: mpsc::Receiver<String>,
    thread: JoinHandle<()>,
}

impl Web {
    fn new(scripts: Vec<Script>) -> Self {
        Self::on("127.0.0.1:0", scripts)
    }

    fn on(address: &str, scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, requests) = mpsc::channel();
        let thread = thread::spawn(move || {
            for script in scripts {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                heard.send(read_request(&mut stream)).unwrap();
                script(stream);
            }
        });
        Self { address, requests, thread }
    }

    /// Answers the one connection with these bytes, and ends it.
    fn saying(answer: impl Into<Vec<u8>>) -> Self {
        Self::new(vec![say(answer)])
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn request(&self) -> String {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    /// Every script is through; here it fails if one did.
    fn end(self) {
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

/// Sends these bytes, and ends the connection. The client may leave before it has read all.
fn say(answer: impl Into<Vec<u8>>) -> Script {
    let answer = answer.into();
    Box::new(move |mut stream| {
        let _ = stream.write_all(&answer);
    })
}

fn redirect(status: u16, target: &str) -> Script {
    say(format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"))
}

fn whole(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A folder of a test's own, in which `greet fetch` runs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One in which there is a file `page` already.
    fn with_older_page() -> Self {
        let folder = Self::new();
        fs::write(folder.0.path().join("page"), "older").unwrap();
        folder
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(GREET);
        command.current_dir(self.0.path()).arg("fetch").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn fetch(&self, arguments: &[&str]) -> Output {
        self.start(arguments).wait_with_output().unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// What is in it, in order.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Nothing is in it but the page as it was.
    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!((self.names(), self.read("page")), (vec!["page".to_owned()], "older".to_owned()));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// It ended well, having printed this head.
#[track_caller]
fn assert_fetched(output: &Output, head: &str) {
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), head), "{}", text(&output.stderr));
}

/// It ended so, with one line that says all of this.
#[track_caller]
fn assert_fails(output: &Output, status: i32, said: &[&str]) {
    let line = text(&output.stderr);
    for said in said {
        assert!(line.contains(said), "{said:?} is not in {line:?}");
    }
    assert!(line.starts_with("greet: ") && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    assert_eq!(output.status.code(), Some(status), "{line}");
}

#[test]
fn the_head_is_printed_and_the_body_saved_under_the_last_part_of_the_path() {
    let web = Web::saying(whole("haha"));
    let folder = Folder::new();
    let output = folder.fetch(&[&web.url("/a/page.txt?b=c#d"), "-H", "Accept: text/plain"]);
    assert_fetched(&output, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(text(&output.stderr), "4 bytes saved as page.txt\n");
    assert_eq!((folder.names(), folder.read("page.txt")), (vec!["page.txt".to_owned()], "haha".to_owned()));
    let expected = format!(
        "GET /a/page.txt?b=c HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: text/plain\r\nUser-Agent: greet/{}\r\n\r\n",
        web.address,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(web.request(), expected);
    web.end();
}

#[test]
fn a_folder_s_page_is_index_html() {
    let web = Web::saying(whole("haha"));
    let folder = Folder::new();
    assert_fetched(&folder.fetch(&[&web.url("/a/")]), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(folder.read("index.html"), "haha");
}

#[test]
fn the_body_may_go_to_standard_output_and_the_head_is_on_standard_error_then() {
    let web = Web::saying(whole("haha"));
    let folder = Folder::new();
    let output = folder.fetch(&[&web.url("/page"), "-o", "-"]);
    assert_fetched(&output, "haha");
    assert_eq!(text(&output.stderr), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    assert!(folder.names().is_empty());
}

#[test]
fn what_a_slow_server_sends_is_on_standard_output_before_it_goes_on() {
    let (go_on, may_go_on) = mpsc::channel();
    let web = Web::new(vec![Box::new(move |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nha").unwrap();
        may_go_on.recv_timeout(PATIENCE).unwrap();
        stream.write_all(b"ha").unwrap();
    })]);
    let mut child = Folder::new().start(&[&web.url("/"), "-o", "-"]);
    let mut begin = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut begin).unwrap();
    go_on.send(()).unwrap();
    assert_eq!((&begin, text(&child.wait_with_output().unwrap().stdout)), (b"ha", "ha".to_owned()));
}

/// Every way to tell where a body ends, whole and a byte at a time.
#[test]
fn every_kind_of_body_arrives_whole_however_it_is_cut() {
    for (head, rest, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "haha", "haha"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", "", ""),
        ("HTTP/1.0 200 OK\r\n\r\n", "haha\r\n", "haha\r\n"),
        ("HTTP/1.1 200 OK\nServer: x\n\n", "haha", "haha"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3;a=b\r\nhah\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
            "haha",
        ),
    ] {
        for informational in ["", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"] {
            for by_byte in [false, true] {
                let answer = [informational, head, rest].concat();
                let script: Script = Box::new(move |mut stream| {
                    for part in answer.as_bytes().chunks(if by_byte { 1 } else { answer.len() }) {
                        stream.write_all(part).unwrap();
                    }
                });
                let web = Web::new(vec![script]);
                let folder = Folder::new();
                assert_fetched(&folder.fetch(&[&web.url("/page")]), head);
                assert_eq!(folder.read("page"), body, "{head:?} {rest:?}");
                web.end();
            }
        }
    }
}

#[test]
fn what_is_no_response_is_told_by_kind_and_place_and_leaves_nothing() {
    let field = |field: &str, rest: &str| format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n{rest}");
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for (answer, said) in [
        ("Welcome!".to_owned(), &["the head of the response is not there"][..]),
        ("Welcome!\n\n".to_owned(), &["does not begin like `HTTP/1.1 200 OK`", "at byte 0"]),
        ("HTTP/2 200 OK\r\n\r\n".to_owned(), &["neither HTTP/1.0 nor HTTP/1.1", "at byte 5"]),
        (field("A: b\r\n c", ""), &["goes on in the next", "at byte 23"]),
        (field("A b: c", ""), &["no field with a name", "at byte 18"]),
        (field("A: \u{1b}[2J", ""), &["control character", "at byte 20"]),
        (
            field("Content-Length: 4\r\nTransfer-Encoding: chunked", "haha"),
            &["both Content-Length and Transfer-Encoding", "at byte 36"],
        ),
        (field("Content-Length: 4\r\nContent-Length: 5", "haha"), &["two lengths", "at byte 36"]),
        (field("Content-Length: -4", "haha"), &["no number", "at byte 17"]),
        (field("Content-Length: 18446744073709551616", "haha"), &["too large", "at byte 17"]),
        (field("Transfer-Encoding: gzip, chunked", ""), &["Transfer-Encoding is not `chunked` alone"]),
        ("HTTP/1.1 101 Switching\r\n\r\n".to_owned(), &["switches to another protocol", "at byte 9"]),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), &["HTTP/1.0, which has no", "at byte 17"]),
        ("\r\n".repeat(40_000), &["over 65536 bytes of informational responses", "at byte 65536"]),
        (field("Content-Length: 4", "ha"), &["ended the connection", "2 more bytes are due", "2 of 4 bytes had come"]),
        (chunked("4\r\nha"), &["ended the connection", "the body is not at its end", "2 bytes had come"]),
        (chunked("x\r\n"), &["the size of a chunk is no number", "at byte 47", "0 bytes had come"]),
        (chunked("fffffffffffffffff\r\n"), &["the size of a chunk"]),
        (chunked("1\r\nhaha"), &["a chunk is longer than it said", "at byte 51", "1 byte had come"]),
        (chunked("1\nh"), &["the size of a chunk"]),
    ] {
        let web = Web::saying(answer.clone());
        let folder = Folder::with_older_page();
        assert_fails(&folder.fetch(&[&web.url("/page"), "--force"]), 1, &[said, &["page is as it was"]].concat());
        folder.assert_untouched();
        web.end();
    }
}

#[test]
fn a_head_of_a_megabyte_is_not_waited_for() {
    let web = Web::saying(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)));
    let folder = Folder::new();
    assert_fails(&folder.fetch(&[&web.url("/page")]), 1, &["longer than 8192 bytes"]);
    assert!(folder.names().is_empty());
}

/// Sends zeros for as long as anybody takes them.
fn without_end(head: &'static str) -> Script {
    Box::new(move |mut stream| {
        stream.write_all(head.as_bytes()).unwrap();
        while stream.write_all(&[b'0'; 65536]).is_ok() {}
    })
}

#[test]
fn a_body_without_end_is_given_up_at_the_wanted_size() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", // a chunk's size that does not end
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let web = Web::new(vec![without_end(head)]);
        let folder = Folder::new();
        let output = folder.fetch(&[&web.url("/page"), "--max-size", "1M"]);
        let said = if head.ends_with("chunked\r\n\r\n") { "out of order" } else { "longer than 1048576 bytes" };
        assert_fails(&output, 1, &[said]);
        assert!(folder.names().is_empty());
        web.end();
    }
}

#[test]
fn a_body_of_just_the_wanted_size_is_taken() {
    let web = Web::new(vec![say(whole("haha")), say(whole("hahah"))]);
    let folder = Folder::new();
    assert_eq!(folder.fetch(&[&web.url("/page"), "--max-size", "4"]).status.code(), Some(0));
    assert_fails(&folder.fetch(&[&web.url("/other"), "--max-size", "4"]), 1, &["raise --max-size"]);
    assert_eq!(folder.names(), ["page"]);
}

#[test]
fn a_server_that_falls_silent_runs_into_the_timeout() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha"] {
        let (done, until_done) = mpsc::channel::<()>();
        let web = Web::new(vec![Box::new(move |mut stream| {
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = until_done.recv();
        })]);
        let folder = Folder::with_older_page();
        let output = folder.fetch(&[&web.url("/page"), "--force", "--timeout", "300ms"]);
        assert_fails(&output, 1, &["nothing came for 300ms", "or raise --timeout", "page is as it was"]);
        folder.assert_untouched();
        drop(done);
        web.end();
    }
}

#[test]
fn a_reset_in_the_middle_says_how_much_had_come_and_leaves_the_older_file() {
    let web = Web::new(vec![Box::new(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").unwrap();
        thread::sleep(Duration::from_millis(300)); // for what was sent to be read before the reset destroys it
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })]);
    let folder = Folder::with_older_page();
    let output = folder.fetch(&[&web.url("/page"), "--force"]);
    assert_fails(&output, 1, &["the connection broke", "2 of 4 bytes had come", "page is as it was"]);
    folder.assert_untouched();
}

#[test]
fn a_signal_says_how_much_had_come_and_leaves_the_older_file() {
    for (answer, signal, said) in [
        ("", "INT", "stopped by a signal; page is as it was"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha",
            "INT",
            "stopped by a signal; 2 of 4 bytes had come; page is as it was",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nha", "TERM", "stopped by a signal; 2 bytes had come; page is as it was"),
    ] {
        let (done, until_done) = mpsc::channel::<()>();
        let web = Web::new(vec![Box::new(move |mut stream| {
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = until_done.recv();
        })]);
        let folder = Folder::with_older_page();
        let child = folder.start(&[&web.url("/page"), "--force"]);
        web.request();
        if !answer.is_empty() {
            await_bytes_beside(&folder);
        }
        kill(&child, signal);
        assert_fails(&child.wait_with_output().unwrap(), 130, &[said]);
        folder.assert_untouched();
        drop(done);
        web.end();
    }
}

/// Waits until a body has begun; and a moment more, as it is counted when it is read and is not in the file before its end.
fn await_bytes_beside(folder: &Folder) {
    while folder.names().len() < 2 {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(300));
}

/// Waits for the end, and reads nothing: how it ended.
fn end(mut child: Child) -> Option<i32> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    panic!("it does not end");
}

fn kill(child: &Child, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_signal_ends_what_never_waits() {
    let web = Web::new(vec![without_end("HTTP/1.1 200 OK\r\n\r\n")]);
    let folder = Folder::new();
    let child = folder.start(&[&web.url("/page"), "-o", "/dev/null"]);
    web.request();
    kill(&child, "INT");
    assert_eq!(end(child), Some(130));
    web.end();
}

#[test]
fn an_existing_file_is_replaced_only_by_force_and_nobody_is_asked_before() {
    let web = Web::saying(whole("newer"));
    let folder = Folder::with_older_page();
    assert_fails(&folder.fetch(&[&web.url("/page")]), 1, &["page exists", "--force"]);
    folder.assert_untouched();
    assert!(web.requests.try_recv().is_err(), "it was asked for all the same");
    assert_eq!(folder.fetch(&[&web.url("/page"), "--force"]).status.code(), Some(0));
    assert_eq!((folder.names(), folder.read("page")), (vec!["page".to_owned()], "newer".to_owned()));
}

#[test]
fn what_cannot_be_written_says_so() {
    let folder = Folder::new();
    let web = Web::new(vec![say(whole("haha")), say(whole("haha"))]);
    assert_fails(&folder.fetch(&[&web.url("/page"), "-o", "no/such/folder"]), 1, &["no/such/folder cannot be written"]);
    assert_fails(&folder.fetch(&[&web.url("/page"), "-o", "."]), 1, &[". cannot be written"]);
    assert!(folder.names().is_empty());
}

#[test]
fn a_redirect_is_reported_with_its_target_and_followed_where_that_is_wanted() {
    for status in [301, 302, 303, 307, 308] {
        let web = Web::new(vec![redirect(status, "/there/page?x"), redirect(status, "other"), say(whole("haha"))]);
        let target = web.url("/there/page?x");
        let folder = Folder::new();
        let output = folder.fetch(&[&web.url("/here/mine")]);
        assert_fails(&output, 1, &[&format!("status {status} sends us to {target}"), "-L"]);
        assert!(text(&output.stdout).starts_with(&format!("HTTP/1.1 {status} Elsewhere\r\n")));
        web.request();

        let output = folder.fetch(&["-L", &web.url("/here/mine")]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(web.request().starts_with("GET /here/mine "));
        assert!(web.request().starts_with("GET /here/other "));
        assert_eq!((folder.names(), folder.read("mine")), (vec!["mine".to_owned()], "haha".to_owned()));
        web.end();
    }
}

#[test]
fn ten_redirects_are_followed_and_no_eleventh() {
    let circle = |count| (0..count).map(|_| redirect(302, "/again"));
    let web = Web::new(circle(10).chain([say(whole("haha"))]).collect());
    assert_eq!(Folder::new().fetch(&["-L", &web.url("/page")]).status.code(), Some(0));
    web.end();
    let web = Web::new(circle(11).collect());
    assert_fails(&Folder::new().fetch(&["-L", &web.url("/page")]), 1, &["10 redirects", "in circles"]);
    web.end();
}

#[test]
fn a_redirect_to_where_nobody_can_go_says_why() {
    for (target, said) in [
        ("ftp://example.org/", "`ftp:` is not spoken here"),
        ("http://user@example.org/", "leave it out"),
        ("http://[::1/", "it is no URL"),
    ] {
        let web = Web::new(vec![redirect(302, target)]);
        assert_fails(&Folder::new().fetch(&["-L", &web.url("/page")]), 1, &["status 302", target, said]);
    }
    let web = Web::saying("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    assert_fails(&Folder::new().fetch(&["-L", &web.url("/page")]), 1, &["302 Found", "does not say where"]);
}

#[test]
fn what_says_who_asks_does_not_go_to_another_server() {
    let there = Web::saying(whole("haha"));
    let here = Web::new(vec![redirect(302, "/again"), redirect(302, &there.url("/page"))]);
    let fields = ["-H", "Authorization: secret", "-H", "cookie: secret", "-H", "X-Other: kept"];
    let output = Folder::new().fetch(&[&["-L", &here.url("/page")], &fields[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for _ in 0..2 {
        let request = here.request();
        assert!(request.contains("Authorization: secret") && request.contains("cookie: secret"), "{request}");
    }
    let request = there.request();
    assert!(!request.contains("secret") && request.contains("X-Other: kept"), "{request}");
}

#[test]
fn an_error_of_the_server_is_an_error_and_its_body_kept_only_where_that_is_wanted() {
    let answer = |status: &str| say(format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\noops"));
    for status in ["404 Not Found", "500 Internal", "300 Choices"] {
        let web = Web::new(vec![answer(status), answer(status)]);
        let folder = Folder::with_older_page();
        let output = folder.fetch(&[&web.url("/page"), "--force"]);
        assert_fails(&output, 1, &[status, "--keep-errors", "page is as it was"]);
        assert!(text(&output.stdout).starts_with("HTTP/1.1 "));
        folder.assert_untouched();

        let output = folder.fetch(&[&web.url("/page"), "--force", "--keep-errors"]);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), folder.read("page").as_str()), (Some(1), "oops"));
        assert!(said.starts_with("4 bytes saved as page\ngreet: ") && said.contains(status), "{said}");
        assert!(!said.contains("as it was") && !said.contains("--keep-errors"), "{said}");
    }
}

#[test]
fn what_the_server_says_reaches_no_terminal_unescaped() {
    let web = Web::saying("HTTP/1.1 404 \u{9b}2J\r\n\r\n");
    assert_fails(&Folder::new().fetch(&[&web.url("/page")]), 1, &["404 \\u{9b}2J"]);
    let web = Web::new(vec![redirect(302, "/\u{9b}2J")]);
    assert_fails(&Folder::new().fetch(&[&web.url("/page")]), 1, &["/%C2%9B2J"]);
}

#[test]
fn a_page_that_did_not_change_is_no_error_and_leaves_the_file() {
    let web = Web::saying("HTTP/1.1 304 Not Modified\r\n\r\n");
    let folder = Folder::with_older_page();
    let output = folder.fetch(&[&web.url("/page"), "--force", "-H", "If-None-Match: \"x\""]);
    assert_eq!(output.status.code(), Some(0));
    folder.assert_untouched();
}

#[test]
fn ipv6_is_spoken_and_each_family_can_be_asked_for_alone() {
    let web = Web::on("[::1]:0", vec![say(whole("haha")), say(whole("haha"))]);
    let folder = Folder::new();
    assert_eq!(folder.fetch(&[&web.url("/page")]).status.code(), Some(0));
    assert!(web.request().contains(&format!("\r\nHost: {}\r\n", web.address)));
    assert_fails(&folder.fetch(&[&web.url("/other"), "-4"]), 1, &["no IPv4 address", "-4"]);
    assert_eq!(folder.fetch(&[&web.url("/other"), "-6"]).status.code(), Some(0));
    assert_eq!(folder.names(), ["other", "page"]);
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/page");
    assert_fails(&Folder::new().fetch(&[&url]), 1, &["no connection to", "refused"]);
    assert_fails(&Folder::new().fetch(&["http://no.such.host.invalid/"]), 1, &["`no.such.host.invalid` is not found"]);
}

#[test]
fn what_must_not_be_asked_for_is_wrong_usage() {
    for (arguments, said) in [
        (&["http://user:password@127.0.0.1/"][..], "leave it out"),
        (&["http://127.0.0.1/\r\nX: y"], "control characters"),
        (&["http://127.0.0.1/", "-H", "A: b\r\nC: d"], "a field has no CR"),
        (&["http://127.0.0.1/", "-H", "A: b\nC: d"], "a field has no LF"),
        (&["http://127.0.0.1/", "-H", "A"], "with a colon between"),
        (&["http://127.0.0.1/", "-H", "A(b): c"], "letters, digits and hyphens"),
        (&["http://127.0.0.1/", "-H", "A: \u{1}"], "no control characters"),
        (&["http://127.0.0.1/", "-H", "Content-Length: 4"], "not for you to say"),
        (&["ftp://127.0.0.1/"], "is not spoken here"),
        (&["127.0.0.1"], "it is no URL"),
        (&["http://127.0.0.1/", "--max-size", "much"], "a number of bytes"),
        (&["http://127.0.0.1/", "--timeout", "0"], "at least a microsecond"),
        (&["http://127.0.0.1/", "-4", "-6"], "cannot be used with"),
        (&[], "<URL>"),
    ] {
        assert_fails(&Folder::new().fetch(arguments), 2, &[said]);
    }
}

#[test]
fn a_request_that_is_too_long_is_told_before_anybody_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let long = format!("A: {}", "b".repeat(5_000));
    assert_fails(&Folder::new().fetch(&[&url, "-H", &long, "-H", &long]), 1, &["longer than 8192 bytes"]);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_reader_may_be_slower_than_the_timeout() {
    let body = "haha".repeat(200_000);
    let web = Web::saying(whole(&body));
    let mut child = Folder::new().start(&[&web.url("/"), "-o", "-", "--timeout", "300ms"]);
    web.request();
    thread::sleep(Duration::from_secs(1));
    let mut came = String::new();
    child.stdout.as_mut().unwrap().read_to_string(&mut came).unwrap();
    assert_eq!((child.wait().unwrap().code(), came == body), (Some(0), true));
}

#[test]
fn many_signals_are_one() {
    for _ in 0..20 {
        let (done, until_done) = mpsc::channel::<()>();
        let web = Web::new(vec![Box::new(move |mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").unwrap();
            let _ = until_done.recv();
        })]);
        let folder = Folder::with_older_page();
        let child = folder.start(&[&web.url("/page"), "--force"]);
        while folder.names().len() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        for signal in ["INT", "INT", "TERM", "HUP"] {
            kill(&child, signal);
        }
        assert_fails(&child.wait_with_output().unwrap(), 130, &["stopped by a signal", "page is as it was"]);
        folder.assert_untouched();
        drop(done);
    }
}

#[test]
fn a_signal_ends_it_also_where_nobody_reads_what_it_writes() {
    let folder = Folder::new();
    let pipe = folder.0.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for destination in ["-", "pipe"] {
        let web = Web::new(vec![without_end("HTTP/1.1 200 OK\r\n\r\n")]);
        let child = folder.start(&[&web.url("/page"), "-o", destination]);
        web.request();
        thread::sleep(Duration::from_millis(300)); // until the pipe is full, or waited for
        kill(&child, "INT");
        assert_eq!(end(child), Some(130));
    }
}

#[test]
fn a_program_that_is_to_stay_when_its_terminal_goes_stays() {
    let (go_on, may_go_on) = mpsc::channel();
    let web = Web::new(vec![Box::new(move |mut stream| {
        may_go_on.recv_timeout(PATIENCE).unwrap();
        stream.write_all(whole("haha").as_bytes()).unwrap();
    })]);
    let folder = Folder::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" fetch \"$1\" -o -", GREET, &web.url("/page")]);
    let child = command.current_dir(folder.0.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    web.request();
    kill(&child, "HUP");
    go_on.send(()).unwrap();
    assert_fetched(&child.wait_with_output().unwrap(), "haha");
}

#[test]
fn an_error_of_the_server_is_one_also_for_a_reader_that_has_seen_enough() {
    let web = Web::new(vec![
        say(format!("HTTP/1.1 404 Not Found\r\nContent-Length: 2000000\r\n\r\n{}", "x".repeat(2_000_000))),
        say(whole(&"x".repeat(2_000_000))),
    ]);
    for status in [1, 0] {
        let mut child = Folder::new().start(&[&web.url("/page"), "--keep-errors", "-o", "-"]);
        drop(child.stdout.take());
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(status));
    }
}

#[test]
fn a_body_that_fills_the_disk_says_how_much_had_come() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let web = Web::saying(whole("haha"));
    let output = Folder::new().fetch(&[&web.url("/page"), "-o", "/dev/full"]);
    assert_fails(&output, 1, &["/dev/full cannot be written", "room", "4 of 4 bytes had come"]);
}

#[test]
fn a_target_that_is_no_text_is_followed_byte_by_byte() {
    let web = Web::new(vec![
        say(&b"HTTP/1.1 302 Found\r\nLocation: /\xfc b\r\nContent-Length: 0\r\n\r\n"[..]),
        say(whole("haha")),
    ]);
    assert_eq!(Folder::new().fetch(&["-L", &web.url("/page")]).status.code(), Some(0));
    web.request();
    assert!(web.request().starts_with("GET /%FC%20b "));
}
