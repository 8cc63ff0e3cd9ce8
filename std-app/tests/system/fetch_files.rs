//! `greet fetch`: the file for the body, also after a signal and if it cannot be written.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::time::Duration;
use std::{
    fs,
    io::Write,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use crate::common::{
    GREET, TIMEOUT, assert_fails, full_device,
    web::{Folder, Web, assert_fetched, say, say_and_wait, whole, without_end},
};

#[test]
fn an_existing_file_is_replaced_only_with_force_and_is_refused_before_connecting() {
    let web = Web::saying(whole("newer"));
    let folder = Folder::with_older_page();
    assert_fails(&folder.fetch(&[&web.url("/page")]), 23, &["page exists", "--force"]);
    folder.assert_untouched();
    assert!(web.requests.try_recv().is_err(), "it was asked for all the same");
    assert_eq!(folder.fetch(&[&web.url("/page"), "--force"]).status.code(), Some(0));
    assert_eq!((folder.names(), folder.read("page")), (vec!["page".to_owned()], "newer".to_owned()));
}

#[test]
fn a_file_that_cannot_be_written_is_reported() {
    let folder = Folder::new();
    let web = Web::new(vec![say(whole("haha")), say(whole("haha"))]);
    assert_fails(
        &folder.fetch(&[&web.url("/page"), "-o", "no/such/folder"]),
        23,
        &["no/such/folder cannot be written", "the folder no/such does not exist"],
    );
    assert_fails(&folder.fetch(&[&web.url("/page"), "-o", "."]), 23, &[". cannot be written", "it names a folder"]);
    assert!(folder.names().is_empty());
}

#[test]
fn a_full_disk_is_reported_with_the_bytes_received() {
    if full_device().is_none() {
        return;
    }
    let web = Web::saying(whole("haha"));
    let output = Folder::new().fetch(&[&web.url("/page"), "-o", "/dev/full"]);
    assert_fails(&output, 23, &["/dev/full cannot be written", "free some space", "received 4 of 4 bytes"]);
}

#[test]
fn an_http_error_is_an_error_even_if_the_reader_closes_standard_output() {
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
fn a_signal_reports_the_bytes_received_and_keeps_the_older_file() {
    for (answer, signal, said) in [
        ("", "INT", "stopped by a signal; page is unchanged"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha",
            "INT",
            "stopped by a signal; received 2 of 4 bytes; page is unchanged",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nha", "TERM", "stopped by a signal; received 2 bytes; page is unchanged"),
    ] {
        let (done, script) = say_and_wait(answer);
        let web = Web::new(vec![script]);
        let folder = Folder::with_older_page();
        let child = folder.start(&[&web.url("/page"), "--force"]);
        web.request();
        if !answer.is_empty() {
            wait_for_body(&child, &folder);
        }
        kill(&child, signal);
        assert_fails(&child.wait_with_output().unwrap(), 130, &[said]);
        folder.assert_untouched();
        drop(done);
        web.end();
    }
}

/// Waits until the file for the body is open (it has no name until it is complete), and a little longer, as a byte is counted
/// when it is read.
fn wait_for_body(child: &Child, folder: &Folder) {
    let descriptors = format!("/proc/{}/fd", child.id());
    let is_in_folder = |entry: std::io::Result<fs::DirEntry>| {
        entry.and_then(|entry| fs::read_link(entry.path())).is_ok_and(|target| target.starts_with(folder.0.path()))
    };
    while !fs::read_dir(&descriptors).unwrap().any(is_in_folder) {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(300));
}

#[test]
fn a_signal_ends_a_download_that_never_waits_for_input() {
    let web = Web::new(vec![without_end("HTTP/1.1 200 OK\r\n\r\n")]);
    let folder = Folder::new();
    let child = folder.start(&[&web.url("/page"), "-o", "/dev/null"]);
    web.request();
    kill(&child, "INT");
    assert_eq!(end(child), Some(130));
    web.end();
}

#[test]
fn repeated_signals_act_as_one() {
    for _ in 0..20 {
        let (done, script) = say_and_wait("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        let web = Web::new(vec![script]);
        let folder = Folder::with_older_page();
        let child = folder.start(&[&web.url("/page"), "--force"]);
        wait_for_body(&child, &folder);
        for signal in ["INT", "INT", "TERM", "HUP"] {
            kill(&child, signal);
        }
        assert_fails(&child.wait_with_output().unwrap(), 130, &["stopped by a signal", "page is unchanged"]);
        folder.assert_untouched();
        drop(done);
    }
}

#[test]
fn a_signal_ends_a_download_that_is_blocked_on_standard_output() {
    let folder = Folder::new();
    let pipe = folder.0.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for destination in ["-", "pipe"] {
        let web = Web::new(vec![without_end("HTTP/1.1 200 OK\r\n\r\n")]);
        let child = folder.start(&[&web.url("/page"), "-o", destination]);
        web.request();
        thread::sleep(Duration::from_millis(300)); // until the pipe is full, or a reader is waited for
        kill(&child, "INT");
        assert_eq!(end(child), Some(130));
    }
}

#[test]
fn an_ignored_sighup_stays_ignored() {
    let (go_on, may_go_on) = mpsc::channel();
    let web = Web::new(vec![Box::new(move |mut stream| {
        may_go_on.recv_timeout(TIMEOUT).unwrap();
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

/// Waits for the end without reading its output. Returns the exit status.
fn end(mut child: Child) -> Option<i32> {
    let begin = Instant::now();
    while begin.elapsed() < TIMEOUT {
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
fn a_killed_download_leaves_no_file() {
    let (done, script) = say_and_wait("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    let web = Web::new(vec![script]);
    let folder = Folder::with_older_page();
    let child = folder.start(&[&web.url("/page"), "--force"]);
    wait_for_body(&child, &folder);
    kill(&child, "KILL");
    assert_eq!(end(child), None);
    folder.assert_untouched();
    drop(done);
}

#[test]
fn a_closed_standard_output_is_an_error() {
    let command = format!("exec {GREET} fetch http://127.0.0.1:1/ -o - >&-");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_fails(&output, 23, &["standard output is closed", "-o FILE"]);
}

#[test]
fn the_null_device_is_accepted_as_standard_output_in_every_open_mode() {
    for write_only in [false, true] {
        let web = Web::saying(whole("haha"));
        let null = fs::OpenOptions::new().read(!write_only).write(true).open("/dev/null").unwrap();
        let output = Command::new(GREET).args(["fetch", "-o", "-", &web.url("/page")]).stdout(null).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_output_folder_is_used_and_must_exist() {
    let web = Web::saying(whole("haha"));
    let folder = Folder::new();
    fs::create_dir(folder.0.path().join("to")).unwrap();
    assert_eq!(folder.fetch(&[&web.url("/page"), "--output-dir", "to"]).status.code(), Some(0));
    assert_eq!(folder.read("to/page"), "haha");
    let output = folder.fetch(&["http://127.0.0.1:1/page", "--output-dir", "from"]);
    assert_fails(&output, 23, &["from/page cannot be written", "the folder from does not exist"]);
}

#[test]
fn an_incomplete_file_is_continued_with_a_range_request() {
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/4\r\nContent-Length: 2\r\n\r\nha";
    let complete = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */4\r\nContent-Length: 0\r\n\r\n";
    let web = Web::new(vec![
        say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha"), // incomplete
        say(part),
        say(complete),
        say(whole("new!!")), // a server without ranges
        say("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-4/9\r\nContent-Length: 1\r\n\r\nx"),
        say("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-4/9\r\nContent-Length: 2\r\n\r\nxx"),
    ]);
    let folder = Folder::new();
    let fetch = || folder.fetch(&[&web.url("/page"), "-C", "-"]);
    assert_fails(&fetch(), 1, &["closed the connection early"]);
    assert!(!web.request().contains("Range"));
    assert_eq!(folder.read("page"), "ha");
    for _ in ["part", "complete"] {
        assert_eq!(fetch().status.code(), Some(0));
        assert!(web.request().contains("\r\nRange: bytes="));
        assert_eq!((folder.read("page").as_str(), folder.names().len()), ("haha", 1));
    }
    assert_fails(&fetch(), 1, &["does not send parts", "without -C"]);
    for _ in ["not to the end", "from another byte on"] {
        assert_fails(&fetch(), 1, &["did not send the part from byte 4", "without -C"]);
    }
    assert_eq!(folder.read("page"), "haha");
    let output = folder.fetch(&["http://127.0.0.1:1/page", "-C", "-", "-H", "Range: bytes=0-1"]);
    assert_fails(&output, 1, &["-C sets the field Range itself"]);
    assert_fails(&folder.fetch(&["http://127.0.0.1:1/page", "-C", "-", "-o", "-"]), 1, &["cannot be continued"]);
}
