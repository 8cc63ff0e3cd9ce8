//! `greet fetch`: redirects, with and without `-L`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::common::{
    assert_fails,
    web::{Folder, Web, redirect, say, text, whole},
};

#[test]
fn a_redirect_is_reported_with_its_target_and_followed_on_request() {
    for status in [301, 302, 303, 307, 308] {
        let web = Web::new(vec![redirect(status, "/there/page?x"), redirect(status, "other"), say(whole("haha"))]);
        let target = web.url("/there/page?x");
        let folder = Folder::new();
        let output = folder.fetch(&[&web.url("/here/mine")]);
        assert_fails(&output, 1, &[&format!("status {status} redirects to {target}"), "-L"]);
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
fn at_most_ten_redirects_are_followed() {
    let circle = |count| (0..count).map(|_| redirect(302, "/again"));
    let web = Web::new(circle(10).chain([say(whole("haha"))]).collect());
    assert_eq!(Folder::new().fetch(&["-L", &web.url("/page")]).status.code(), Some(0));
    web.end();
    let web = Web::new(circle(11).collect());
    assert_fails(&Folder::new().fetch(&["-L", &web.url("/page")]), 1, &["10 redirects", "in a circle"]);
    web.end();
}

#[test]
fn a_redirect_that_cannot_be_followed_is_reported_with_the_reason() {
    for (target, said) in [
        ("ftp://example.org/", "`ftp:` is not supported"),
        ("http://user@example.org/", "user name"),
        ("http://[::1/", "it is not a URL"),
    ] {
        for options in [&["-L"][..], &[]] {
            let web = Web::new(vec![redirect(302, target)]);
            let output = Folder::new().fetch(&[&[web.url("/page").as_str()], options].concat());
            assert_fails(&output, 1, &["status 302", target, said]);
            assert!(!text(&output.stderr).contains("-L"));
        }
    }
    let web = Web::saying("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    assert_fails(&Folder::new().fetch(&["-L", &web.url("/page")]), 1, &["302 Found", "without Location"]);
}

#[test]
fn credentials_are_not_sent_to_another_server() {
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
fn a_redirect_target_that_is_not_utf8_is_percent_encoded() {
    let web = Web::new(vec![
        say(&b"HTTP/1.1 302 Found\r\nLocation: /\xfc b\r\nContent-Length: 0\r\n\r\n"[..]),
        say(whole("haha")),
    ]);
    assert_eq!(Folder::new().fetch(&["-L", &web.url("/page")]).status.code(), Some(0));
    web.request();
    assert!(web.request().starts_with("GET /%FC%20b "));
}
