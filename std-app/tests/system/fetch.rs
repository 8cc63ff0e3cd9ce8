//! `greet fetch`: the requests, the output and the errors.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{io::ErrorKind, net::TcpListener};

use crate::common::{
    assert_fails, listen_on_ipv6,
    web::{Folder, Web, assert_fetched, redirect, say, say_and_wait, text, whole},
};

#[test]
fn the_head_is_printed_and_the_body_saved_with_the_last_segment_of_the_path_as_its_name() {
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
fn a_url_that_ends_with_a_slash_is_saved_as_index_html() {
    let web = Web::saying(whole("haha"));
    let folder = Folder::new();
    assert_fetched(&folder.fetch(&[&web.url("/a/")]), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(folder.read("index.html"), "haha");
}

#[test]
fn with_the_body_on_standard_output_the_head_is_on_standard_error() {
    let web = Web::saying(whole("haha"));
    let folder = Folder::new();
    let output = folder.fetch(&[&web.url("/page"), "-o", "-"]);
    assert_fetched(&output, "haha");
    assert_eq!(text(&output.stderr), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    assert!(folder.names().is_empty());
}

#[test]
fn an_http_error_is_an_error_and_its_body_is_saved_only_on_request() {
    let answer = |status: &str| say(format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\noops"));
    for status in ["404 Not Found", "500 Internal", "300 Choices"] {
        let web = Web::new(vec![answer(status), answer(status)]);
        let folder = Folder::with_older_page();
        let output = folder.fetch(&[&web.url("/page"), "--force"]);
        assert_fails(&output, 1, &[status, "--keep-errors", "page is unchanged"]);
        assert!(text(&output.stdout).starts_with("HTTP/1.1 "));
        folder.assert_untouched();

        let output = folder.fetch(&[&web.url("/page"), "--force", "--keep-errors"]);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), folder.read("page").as_str()), (Some(1), "oops"));
        assert!(said.starts_with("4 bytes saved as page\ngreet: ") && said.contains(status), "{said}");
        assert!(!said.contains("unchanged") && !said.contains("--keep-errors"), "{said}");
    }
}

#[test]
fn control_characters_of_the_server_are_escaped() {
    let web = Web::saying("HTTP/1.1 404 \u{9b}2J\r\n\r\n");
    assert_fails(&Folder::new().fetch(&[&web.url("/page")]), 1, &["404 \\u{9b}2J"]);
    let web = Web::new(vec![redirect(302, "/\u{9b}2J")]);
    assert_fails(&Folder::new().fetch(&[&web.url("/page")]), 1, &["/%C2%9B2J"]);
}

#[test]
fn status_304_is_no_error_and_keeps_the_file() {
    let web = Web::saying("HTTP/1.1 304 Not Modified\r\n\r\n");
    let folder = Folder::with_older_page();
    let output = folder.fetch(&[&web.url("/page"), "--force", "-H", "If-None-Match: \"x\""]);
    assert_eq!(output.status.code(), Some(0));
    folder.assert_untouched();
}

#[test]
fn ipv6_is_supported_and_one_address_family_can_be_selected() {
    let Some(listener) = listen_on_ipv6() else { return };
    let web = Web::on(listener, vec![say(whole("haha")), say(whole("haha"))]);
    let folder = Folder::new();
    assert_eq!(folder.fetch(&[&web.url("/page")]).status.code(), Some(0));
    assert!(web.request().contains(&format!("\r\nHost: {}\r\n", web.address)));
    assert_fails(&folder.fetch(&[&web.url("/other"), "-4"]), 6, &["no IPv4 address", "-4"]);
    assert_eq!(folder.fetch(&[&web.url("/other"), "-6"]).status.code(), Some(0));
    assert_eq!(folder.names(), ["other", "page"]);
}

#[test]
fn an_unreachable_server_is_reported() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/page");
    assert_fails(&Folder::new().fetch(&[&url]), 7, &["cannot connect to", "refused"]);
    assert_fails(&Folder::new().fetch(&["http://no.such.host.invalid/"]), 6, &["`no.such.host.invalid` is not found"]);
}

#[test]
fn invalid_urls_and_options_are_usage_errors() {
    for (arguments, said) in [
        (&["http://user:password@127.0.0.1/"][..], "use -H"),
        (&["http://127.0.0.1/\r\nX: y"], "control characters"),
        (&["http://127.0.0.1/", "-H", "A: b\r\nC: d"], "a field cannot contain CR"),
        (&["http://127.0.0.1/", "-H", "A: b\nC: d"], "a field cannot contain LF"),
        (&["http://127.0.0.1/", "-H", "A"], "`Name: value`"),
        (&["http://127.0.0.1/", "-H", "A(b): c"], "letters, digits and hyphens"),
        (&["http://127.0.0.1/", "-H", "A: \u{1}"], "cannot contain control characters"),
        (&["http://127.0.0.1/", "-H", "Content-Length: 4"], "this program sets"),
        (&["ftp://127.0.0.1/"], "`ftp:` is not supported"),
        (&["127.0.0.1:x"], "it is not a URL"),
        (&["http://127.0.0.1/", "--max-size", "much"], "a number of bytes"),
        (&["http://127.0.0.1/", "--timeout", "0"], "at least a microsecond"),
        (&["http://127.0.0.1/", "-4", "-6"], "cannot be used with"),
        (&[], "<URL>"),
    ] {
        assert_fails(&Folder::new().fetch(arguments), 2, &[said]);
    }
}

#[test]
fn a_request_that_is_too_long_is_reported_before_anything_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let long = format!("A: {}", "b".repeat(100_000));
    assert_fails(
        &Folder::new().fetch(&[&url, "-H", &long, "-H", &long, "-H", &long]),
        1,
        &["longer than 262144 bytes"],
    );
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_server_of_another_protocol_is_reported_at_once_even_if_it_keeps_the_connection_open() {
    for (first, said) in [
        ("SSH-2.0-Example_1.0\r\n", "`SSH-2.0-Example_1.0\\r\\n`: it seems to be an SSH server"),
        ("220 mail.example ESMTP\r\n", "an SMTP or FTP server"),
        ("Welcome!", "a greeting server"),
        ("\0\0\0", "`\\u{0}\\u{0}\\u{0}`"),
        ("\u{15}\u{3}\u{1}", "https://"),
    ] {
        let (done, script) = say_and_wait(first);
        let web = Web::new(vec![script]);
        let output = Folder::new().fetch(&[&web.url("/page"), "--timeout", "none"]);
        assert_fails(&output, 8, &["is not a web server", said]);
        drop(done);
        web.end();
    }
}

#[test]
fn a_head_of_the_maximum_length_is_accepted() {
    let head = |length: usize| {
        let rest = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: \r\n\r\n".len();
        say(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: {}\r\n\r\nhaha", "x".repeat(length - rest)))
    };
    let web = Web::new(vec![head(8_193), head(65_536), head(65_537), head(65_537), head(262_144)]);
    let folder = Folder::new();
    for (options, status) in
        [(&[][..], 0), (&[], 0), (&[], 8), (&["--max-head", "65537"], 0), (&["--max-head", "256K"], 0)]
    {
        let output = folder.fetch(&[&[&web.url("/page"), "-o", "/dev/null"], options].concat());
        assert_eq!(output.status.code(), Some(status), "{}", text(&output.stderr));
    }
}

#[test]
fn the_advice_fits_the_status_and_an_empty_reason_phrase_prints_no_space() {
    for (answer, said) in [
        ("418 \r\n", "with status 418: the server rejects"),
        ("401 Unauthorized\r\n", "-H 'Authorization: ...'"),
        ("407 Proxy\r\n", "-H 'Proxy-Authorization: ...'"),
        ("416 Range\r\n", "-H 'Range: ...'"),
        ("429 Slow Down\r\nRetry-After: 90\r\n", "try again in 1m 30s, or use --retry"),
    ] {
        let web = Web::saying(format!("HTTP/1.1 {answer}Content-Length: 0\r\n\r\n"));
        assert_fails(&Folder::new().fetch(&[&web.url("/page")]), 1, &[said]);
    }
}

#[test]
fn a_head_request_prints_the_head_and_saves_nothing() {
    let web = Web::saying("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    let folder = Folder::new();
    assert_fetched(&folder.fetch(&["-I", &web.url("/page")]), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    assert!(web.request().starts_with("HEAD /page HTTP/1.1\r\n"));
    assert!(folder.names().is_empty());
}

#[test]
fn a_host_name_can_be_mapped_to_an_address_and_the_default_scheme_is_http() {
    let web = Web::saying(whole("haha"));
    let port = web.address.port();
    let rule = format!("board.invalid:{port}:127.0.0.1");
    let output = Folder::new().fetch(&[&format!("board.invalid:{port}/page"), "--resolve", &rule]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(web.request().contains(&format!("\r\nHost: board.invalid:{port}\r\n")));
}

#[test]
fn a_retry_is_made_only_on_request_and_after_temporary_errors() {
    let web = Web::new(vec![
        say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
        say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha"),
        say(whole("haha")),
        say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let folder = Folder::new();
    let output = folder.fetch(&[&web.url("/page"), "--retry", "2"]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), folder.read("page").as_str()), (Some(0), "haha"), "{said}");
    assert!(said.contains("retry 1 of 2 in 1s") && said.contains("retry 2 of 2 in 2s"), "{said}");
    assert_fails(&folder.fetch(&[&web.url("/other"), "--retry", "2"]), 1, &["404"]);
    web.end();
}

#[test]
fn the_maximum_time_limits_all_attempts_together() {
    let (done, script) = say_and_wait("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    let web = Web::new(vec![script]);
    let output = Folder::new().fetch(&[&web.url("/page"), "--max-time", "400ms"]);
    assert_fails(&output, 1, &["took longer than 400ms", "--max-time", "received 2 of 4 bytes"]);
    drop(done);
}
