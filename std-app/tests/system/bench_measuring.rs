//! `greet bench`: the measured time, stalls, intervals, few samples, and the options of its sockets.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use serde_json::Value;

use crate::{
    bench::{answer_each, assert_refuses, bench, correct_reply, figures, peer},
    common::Server,
};

/// A server whose replies are correct.
fn good() -> SocketAddr {
    peer(|stream, _| answer_each(stream, |_, name| Some(correct_reply(name))))
}

#[test]
fn with_a_rate_the_measured_time_is_the_duration_not_the_time_of_the_last_reply() {
    for conditions in [&["-d", "1s", "--rate", "0.5"][..], &["-n", "5", "--rate", "10"]] {
        let (figures, status) = figures(good(), &[conditions, &["--warmup", "0"]].concat());
        let (elapsed, rate) = (figures["elapsed_s"].as_f64().unwrap(), figures["names_per_s"].as_f64().unwrap());
        let least = if conditions[0] == "-d" { 1.0 } else { 0.5 };
        assert!(status == 0 && elapsed >= least && rate <= 10.0, "{conditions:?}: {figures:#}");
    }
}

#[test]
fn a_server_that_stops_answering_is_reported_with_the_time_and_throughput_until_then() {
    let dies = peer(|stream, number| {
        answer_each(stream, |count, name| {
            if number > 0 || count == 200 {
                thread::sleep(Duration::from_secs(3600));
            }
            Some(correct_reply(name))
        });
    });
    let conditions = ["-d", "1h", "--timeout", "400ms", "--warmup", "0"];
    let (figures, status) = figures(dies, &conditions);
    let rate_until_then = figures["last_reply"]["names_per_s_until_then"].as_f64().unwrap();
    assert_eq!((status, &figures["answered"]), (1, &Value::from(200)), "{figures:#}");
    assert!(rate_until_then > figures["names_per_s"].as_f64().unwrap(), "{figures:#}");
    assert!(figures["last_reply"]["at_s"].as_f64().unwrap() < figures["elapsed_s"].as_f64().unwrap(), "{figures:#}");
    let dies = peer(|stream, _| answer_each(stream, |count, name| (count < 200).then(|| correct_reply(name))));
    let text = String::from_utf8(bench(dies, &["-d", "300ms", "--warmup", "0"]).stdout).unwrap();
    assert!(!text.contains("no reply after"), "it goes on with each new connection: {text}");
}

#[test]
fn a_stall_is_reported_with_its_start_and_duration() {
    let stalls = peer(|stream, _| {
        answer_each(stream, |number, name| {
            if number == 50 {
                // So long that most names are due during the stall, and wait.
                thread::sleep(Duration::from_millis(1_100));
            }
            Some(correct_reply(name))
        });
    });
    let conditions = ["-n", "400", "--rate", "300", "--warmup", "0"];
    let (figures, status) = figures(stalls, &conditions);
    let stall = figures["stalls"].as_array().unwrap().first().unwrap_or_else(|| panic!("{figures:#}"));
    let (begin, length) = (stall["begin_s"].as_f64().unwrap(), stall["length_s"].as_f64().unwrap());
    assert!(status == 0 && begin >= 0.0 && length >= 1.09, "{figures:#}");
    let text = String::from_utf8(bench(stalls, &conditions).stdout).unwrap();
    assert!(text.contains("no reply on any connection for "), "{text}");
}

#[test]
fn intervals_are_printed_during_the_run_and_are_part_of_the_json() {
    let conditions = ["-d", "700ms", "--interval", "200ms", "--warmup", "100ms"];
    let (figures, _) = figures(good(), &conditions);
    let intervals = figures["intervals"].as_array().unwrap();
    let sum: u64 = intervals.iter().map(|each| each["names"].as_u64().unwrap()).sum();
    assert_eq!((intervals.len(), &Value::from(sum)), (4, &figures["answered"]), "{figures:#}");
    let text = String::from_utf8(bench(good(), &conditions).stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("seconds") && lines[0].ends_with("errors"), "{text}");
    assert!(lines[1].starts_with("0.0 to 0.2 ") && lines[4].starts_with("0.6 to 0.7 "), "{text}");
    assert!(lines[5].contains("1 connection, "), "{text}");
}

#[test]
fn a_percentile_is_reported_only_with_ten_samples_above_it() {
    let (figures, _) = figures(good(), &["-n", "200"]);
    assert!(figures["latency_ns"]["p95"].is_u64() && figures["latency_ns"]["p99"].is_null(), "{figures:#}");
    let text = String::from_utf8(bench(good(), &["-n", "200"]).stdout).unwrap();
    let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
    assert!(line("p95").ends_with("10 samples above") && line("p99.99").ends_with("too few samples"), "{text}");
}

#[test]
fn the_socket_options_are_set_on_every_connection() {
    let (send, seen) = mpsc::channel();
    let address = peer(move |stream, _| {
        let mss = socket2::SockRef::from(&stream).tcp_mss().unwrap();
        send.send((stream.peer_addr().unwrap().ip().to_string(), mss)).unwrap();
        answer_each(stream, |_, name| Some(correct_reply(name)));
    });
    let options = ["--mss", "536", "--window", "8192", "--bind", "127.0.0.2", "-n", "10"];
    let (figures, status) = figures(address, &options);
    let (ip, mss) = seen.recv().unwrap();
    assert!(status == 0 && ip == "127.0.0.2" && mss <= 536, "{ip} {mss} {figures:#}");
    assert_eq!(figures["settings"]["mss"], 536);
}

#[test]
fn socket_options_that_the_kernel_refuses_are_reported_before_anything_is_sent() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (arguments, said) in [
        (&["--mss", "50"][..], "give a number of bytes from 88 to 32767"),
        (&["--window", "2000000000"], "the kernel allows"),
        (&["--bind", "192.0.2.1"], "`ip address` lists the addresses"),
        (&["--bind", "::1"], "no address of the IP version of --bind"),
        (&["--interface", "nosuch0"], "`ip link` lists the interfaces"),
        (&["--size", "-1"], "give a number of bytes from 0 to 65535"),
    ] {
        assert_refuses(&bench(nobody, arguments), 2, &[said]);
    }
}

#[test]
fn a_second_server_that_is_down_does_not_reset_the_connections_to_the_first() {
    let (send, received) = mpsc::channel();
    let first = peer(move |mut stream, _| {
        stream.write_all(b"Welcome!").unwrap();
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).map_err(|error| error.kind());
        send.send((bytes, end)).unwrap();
    });
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_refuses(&bench(first, &["--against", &nobody, "--timeout", "2s"]), 7, &["refused"]);
    let (bytes, end) = received.recv().unwrap();
    assert_eq!((bytes.as_slice(), end), (&b"exit"[..], Ok::<usize, ErrorKind>(4)));
}

#[test]
fn connections_over_the_given_interface_are_measured() {
    let server = Server::start(&["--quiet"]);
    let (figures, status) = figures(server.address, &["--interface", "lo", "-n", "10"]);
    assert_eq!((status, &figures["answered"]), (0, &Value::from(10)), "{figures:#}");
}
