//! `greet fetch`: the file that a body is saved in, and what becomes of it at a signal or where nothing can be written.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::time::Duration;
use std::{
    io::Write,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use crate::common::{
    GREET, PATIENCE, assert_fails, full_device,
    web::{Folder, Web, assert_fetched, say, say_and_wait, whole, without_end},
};

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
fn a_body_that_fills_the_disk_says_how_much_had_come() {
    if full_device().is_none() {
        return;
    }
    let web = Web::saying(whole("haha"));
    let output = Folder::new().fetch(&[&web.url("/page"), "-o", "/dev/full"]);
    assert_fails(&output, 1, &["/dev/full cannot be written", "room", "4 of 4 bytes had come"]);
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
        let (done, script) = say_and_wait(answer);
        let web = Web::new(vec![script]);
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
fn many_signals_are_one() {
    for _ in 0..20 {
        let (done, script) = say_and_wait("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        let web = Web::new(vec![script]);
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
