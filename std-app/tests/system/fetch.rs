//! `greet fetch` as its user sees it: what is asked, what is printed, and what is an error.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{io::ErrorKind, net::TcpListener};

use crate::common::{
    assert_fails, listen_on_ipv6,
    web::{Folder, Web, assert_fetched, redirect, say, text, whole},
};

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
    let Some(listener) = listen_on_ipv6() else { return };
    let web = Web::on(listener, vec![say(whole("haha")), say(whole("haha"))]);
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
    assert_fails(&Folder::new().fetch(&[&url]), 1, &["cannot connect to", "refused"]);
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
