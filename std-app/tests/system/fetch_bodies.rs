//! `greet fetch`: the end of a body, invalid responses, and bodies that are too long, too late or incomplete.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::time::Duration;
use std::{
    io::{Read, Write},
    sync::mpsc,
    thread,
};

use crate::common::{
    TIMEOUT, assert_fails,
    web::{Folder, Script, Web, assert_fetched, say, say_and_wait, text, whole, without_end},
};

/// Each method that marks the end of a body (RFC 9112, 6.3), sent whole and byte by byte.
#[test]
fn every_kind_of_body_is_received_complete_in_reads_of_any_size() {
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
fn an_invalid_response_is_reported_with_its_kind_and_position_and_leaves_no_file() {
    let field = |field: &str, rest: &str| format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n{rest}");
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for (answer, said) in [
        ("HTTP/1.1 200".to_owned(), &["the head of the response is incomplete"][..]),
        ("HTTP/1.1 OK\n\n".to_owned(), &["no valid status line such as `HTTP/1.1 200 OK`", "at byte 8"]),
        ("HTTP/2 200 OK\r\n\r\n".to_owned(), &["neither HTTP/1.0 nor HTTP/1.1", "at byte 5"]),
        ("HTTP/1.1 200 OK\r\n A: b\r\n\r\n".to_owned(), &["white space follows the status line", "at byte 17"]),
        (field("A b: c", ""), &["no valid name", "at byte 18"]),
        (field("A: \u{1b}[2J", ""), &["control character", "at byte 20"]),
        (
            field("Content-Length: 4\r\nTransfer-Encoding: chunked", "haha"),
            &["both Content-Length and Transfer-Encoding", "at byte 36"],
        ),
        (
            field("Content-Length: 4\r\nContent-Length: 5", "haha"),
            &["two different values of Content-Length", "at byte 36"],
        ),
        (field("Content-Length: -4", "haha"), &["not a number", "at byte 17"]),
        (field("Content-Length: 18446744073709551616", "haha"), &["too large", "at byte 17"]),
        (field("Transfer-Encoding: gzip, chunked", ""), &["Transfer-Encoding is not `chunked` alone"]),
        ("HTTP/1.1 101 Switching\r\n\r\n".to_owned(), &["switches to another protocol", "at byte 9"]),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            &["an HTTP/1.0 response has a Transfer-Encoding", "at byte 17"],
        ),
        ("\r\n".repeat(40_000), &["more than 65536 bytes of informational responses", "at byte 65536"]),
        (
            field("Content-Length: 4", "ha"),
            &["closed the connection early", "2 bytes of the body are missing", "received 2 of 4 bytes"],
        ),
        (chunked("4\r\nha"), &["closed the connection early", "the end of the body is missing", "received 2 bytes"]),
        (chunked("x\r\n"), &["a chunk size is not a number", "at byte 47", "received 0 bytes"]),
        (chunked("fffffffffffffffff\r\n"), &["a chunk size"]),
        (chunked("1\r\nhaha"), &["a chunk has not the length that its size says", "at byte 51", "received 1 byte"]),
        (chunked("1\nh"), &["a chunk size"]),
    ] {
        let web = Web::saying(answer.clone());
        let folder = Folder::with_older_page();
        let is_incomplete = said.iter().any(|said| said.contains("early") || said.contains("incomplete"));
        let status = if is_incomplete { 1 } else { 8 };
        assert_fails(&folder.fetch(&[&web.url("/page"), "--force"]), status, &[said, &["page is unchanged"]].concat());
        folder.assert_untouched();
        web.end();
    }
}

#[test]
fn a_head_that_is_too_long_is_refused_before_its_end() {
    let web = Web::saying(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)));
    let folder = Folder::new();
    assert_fails(&folder.fetch(&[&web.url("/page")]), 8, &["longer than 65536 bytes", "--max-head"]);
    assert!(folder.names().is_empty());
}

#[test]
fn a_body_longer_than_the_maximum_is_refused_at_the_maximum() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", // a chunk size without an end
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let web = Web::new(vec![without_end(head)]);
        let folder = Folder::new();
        let output = folder.fetch(&[&web.url("/page"), "--max-size", "1M"]);
        let (status, said) = if head.ends_with("chunked\r\n\r\n") {
            (8, "a chunk-size line or a trailer is not valid")
        } else {
            (1, "longer than 1048576 bytes")
        };
        assert_fails(&output, status, &[said]);
        assert!(folder.names().is_empty());
        web.end();
    }
}

#[test]
fn a_body_of_exactly_the_maximum_size_is_accepted() {
    let web = Web::new(vec![say(whole("haha")), say(whole("hahah"))]);
    let folder = Folder::new();
    assert_eq!(folder.fetch(&[&web.url("/page"), "--max-size", "4"]).status.code(), Some(0));
    assert_fails(&folder.fetch(&[&web.url("/other"), "--max-size", "4"]), 1, &["raise --max-size"]);
    assert_eq!(folder.names(), ["page"]);
}

#[test]
fn a_server_that_stops_sending_causes_a_timeout() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha"] {
        let (done, script) = say_and_wait(answer);
        let web = Web::new(vec![script]);
        let folder = Folder::with_older_page();
        let output = folder.fetch(&[&web.url("/page"), "--force", "--timeout", "300ms"]);
        assert_fails(&output, 1, &["no byte arrived for 300ms", "or raise --timeout", "page is unchanged"]);
        folder.assert_untouched();
        drop(done);
        web.end();
    }
}

#[test]
fn a_reset_during_the_body_reports_the_bytes_received_and_keeps_the_older_file() {
    let web = Web::new(vec![Box::new(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").unwrap();
        thread::sleep(Duration::from_millis(300)); // so that the client reads the sent bytes before the reset discards them
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })]);
    let folder = Folder::with_older_page();
    let output = folder.fetch(&[&web.url("/page"), "--force"]);
    assert_fails(&output, 1, &["the connection was lost", "received 2 of 4 bytes", "page is unchanged"]);
    folder.assert_untouched();
}

#[test]
fn a_reader_of_standard_output_can_be_slower_than_the_timeout() {
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
fn received_bytes_are_written_to_standard_output_before_the_next_read() {
    let (go_on, may_go_on) = mpsc::channel();
    let web = Web::new(vec![Box::new(move |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nha").unwrap();
        may_go_on.recv_timeout(TIMEOUT).unwrap();
        stream.write_all(b"ha").unwrap();
    })]);
    let mut child = Folder::new().start(&[&web.url("/"), "-o", "-"]);
    let mut begin = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut begin).unwrap();
    go_on.send(()).unwrap();
    assert_eq!((&begin, text(&child.wait_with_output().unwrap().stdout)), (b"ha", "ha".to_owned()));
}
