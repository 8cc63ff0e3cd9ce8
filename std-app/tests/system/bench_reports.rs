//! `greet bench`: what it reports, and its exit status, when something is wrong or it is interrupted.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::time::Duration;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

use crate::{
    bench::{answer_each, assert_refuses, bench, correct_reply, peer},
    common::{GREET, Server},
};

#[test]
fn a_refused_connection_is_reported_in_one_line() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_refuses(&bench(nobody, &["-c", "3"]), 7, &["refused; is the server running, and on this port?"]);
}

#[test]
fn a_name_without_an_address_has_the_status_of_curl() {
    let output = Command::new(GREET).args(["bench", "no-such-host.invalid", "-n", "1"]).output().unwrap();
    assert_refuses(&output, 6, &["no-such-host.invalid"]);
}

#[test]
fn a_missing_or_wrong_greeting_is_reported_in_one_line() {
    let silent = peer(|mut stream, _| {
        let _ = stream.read(&mut [0]);
    });
    let output = bench(silent, &["--timeout", "200ms"]);
    assert_refuses(&output, 8, &["no greeting in time; is it a greeting server?"]);
    let other = peer(|mut stream, _| stream.write_all(b"220 mail\x1b[2J").unwrap());
    let output = bench(other, &[]);
    assert_refuses(&output, 8, &["byte 0 of the greeting: expected `Welcome!`, received `220 mail\\u{1b}[2J`"]);
}

#[test]
fn impossible_options_are_refused_before_anything_is_sent() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (arguments, said) in [
        (
            &["--framing", "chunk", "--pipeline", "2"][..],
            "takes each read as one name, so only one name can be in flight",
        ),
        (&["--size", "0"], "framing chunk has no empty name"),
        (&["--size", "1025"], "longer than 1024 bytes, the limit of framing chunk: use --framing line"),
        (&["--size", "65534", "--framing", "line"], "longer than the limit of 65533 bytes"),
        (&["--size", "1000", "--pipeline", "66"], "lower --pipeline or --size"),
        (&["-d", "1s", "-n", "5"], "cannot be used with"),
        (&["--turn", "1s"], "--against"),
        (&["--against", "127.0.0.1", "-d", "600ms"], "must be at least two turns"),
        (&["--rate", "0"], "per second"),
        (&["-d", "0"], "at least a millisecond"),
        (&["-c", "0"], "at least 1"),
        (&["-c", "-1"], "at least 1"),
        (&["-d", "-1"], "give a number of seconds"),
        (&["--warmup", "-1"], "give a number of seconds"),
    ] {
        assert_refuses(&bench(nobody, arguments), 2, &[said]);
    }
}

#[test]
fn too_many_connections_for_the_file_limit_are_refused_with_advice() {
    let command = format!("ulimit -n 64; exec '{GREET}' bench 127.0.0.1:1 -c 100");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_refuses(&output, 1, &["`ulimit -n`", "fewer connections with -c"]);
}

#[test]
fn a_signal_ends_the_run_with_the_figures_so_far() {
    let mut server = Server::start(&[]);
    let arguments = ["bench", &server.address.to_string(), "-d", "1h", "--warmup", "0", "--json"];
    let child = Command::new(GREET).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(server.line().starts_with("Accept new connection"));
    thread::sleep(Duration::from_millis(500)); // time for some names
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &figures["ended_early"]), (Some(0), &Value::from(true)), "{figures:#}");
    assert!(figures["answered"].as_u64().unwrap() > 0);
}

#[test]
fn a_pause_of_this_program_is_not_counted_as_a_server_error() {
    let address = peer(|stream, _| answer_each(stream, |_, name| Some(correct_reply(name))));
    let arguments =
        ["bench", &address.to_string(), "-c", "5", "-d", "3s", "--warmup", "0", "--timeout", "1s", "--json"];
    let child = Command::new(GREET).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    for (signal, pause) in [("STOP", Duration::from_millis(1500)), ("CONT", Duration::ZERO)] {
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        thread::sleep(pause);
    }
    let output = child.wait_with_output().unwrap();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &figures["errors"]), (Some(0), &Value::Array(vec![])), "{figures:#}");
    assert!(figures["latency_ns"]["max"].as_u64().unwrap() > 1_000_000_000);
}

#[test]
fn the_html_report_is_self_contained_and_escapes_the_bytes_of_a_peer() {
    let address = peer(|stream, conversation| {
        let hostile = b"<script>alert(1)</script>";
        answer_each(stream, |_, name| Some(if conversation == 0 { hostile.to_vec() } else { correct_reply(name) }));
    });
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench.html");
    let output = bench(address, &["-n", "2", "--html", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains("received `&lt;script&gt;alert(1)&lt;/script&gt;`"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http:") && page.contains("<svg "));
}

#[test]
fn an_html_file_that_cannot_be_written_is_reported_before_anything_is_sent() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = bench(nobody, &["-n", "1", "--json", "--html", "/nowhere/bench.html"]);
    assert_refuses(&output, 23, &["use another file for --html"]);
}

#[test]
fn with_json_a_failed_run_is_a_document_too() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = bench(nobody, &["--json"]);
    let failed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(failed["error"].as_str().unwrap().contains("refused"), "{failed:#}");
    assert_eq!((output.status.code(), &failed["format"]), (Some(7), &"greet bench error 1".into()));
}

#[test]
fn too_much_memory_is_refused_with_advice() {
    let command = format!("ulimit -v 3000000; exec '{GREET}' bench 127.0.0.1:1 -c 9000 --pipeline 32767 --size 0");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_refuses(&output, 1, &["lower -c or --pipeline"]);
}

#[test]
fn a_closed_standard_output_does_not_change_the_exit_status() {
    let good = peer(|stream, _| answer_each(stream, |_, name| Some(correct_reply(name))));
    let bad = peer(|stream, _| answer_each(stream, |_, _| Some(b"Error: not today".to_vec())));
    for (address, status) in [(good, 0), (bad, 1)] {
        let arguments = ["bench", &address.to_string(), "-n", "1", "--json"];
        let mut child =
            Command::new(GREET).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(status), &b""[..]));
    }
}

#[test]
fn the_text_has_every_figure_and_standard_error_is_empty() {
    let server = Server::start(&["--quiet"]);
    let output = bench(server.address, &["-n", "100"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for figure in ["throughput", "sent, received", "p50", "p99.99", "max", "errors            none"] {
        assert!(text.contains(figure), "{figure} is not in {text}");
    }
    assert!(!text.contains('\u{1b}'));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
