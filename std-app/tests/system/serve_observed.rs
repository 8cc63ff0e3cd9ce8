//! `greet serve`: JSON log lines, metrics, the summary on SIGUSR1, and the limits of each client, on each runtime.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

use crate::common::{Client, GREET, Server, TIMEOUT, runtimes};

/// The next log line. Asserts that it is of this event.
fn next(server: &mut Server, event: &str) -> Value {
    let line = server.line();
    let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    assert_eq!(value["event"], event, "{line}");
    value
}

#[test]
fn the_log_line_of_a_closed_connection_has_its_byte_counts_and_the_reason() {
    for runtime in runtimes() {
        let mut server = Server::start_with_json(&["--runtime", runtime]);
        let mut client = server.greeted();
        let own = client.0.local_addr().unwrap().to_string();
        client.converse("haha");
        client.send("exit");
        assert_eq!(client.rest(), "");
        drop(client);
        assert_eq!(next(&mut server, "accepted")["peer"], own.as_str());
        let closed = next(&mut server, "closed");
        assert_eq!((closed["peer"].as_str(), closed["reason"].as_str()), (Some(own.as_str()), Some("exit")));
        let number = |field: &str| closed[field].as_u64().unwrap();
        assert_eq!([number("names"), number("errors"), number("received"), number("sent")], [1, 0, 8, 20], "{closed}");
        assert!(closed["seconds"].as_f64().unwrap() > 0.0 && closed["time"].as_str().unwrap().ends_with('Z'));

        let mut client = server.greeted();
        client.0.write_all(b"\xff").unwrap();
        client.expect("Error: name is not valid UTF-8");
        client.reset();
        next(&mut server, "accepted");
        let closed = next(&mut server, "closed");
        assert_eq!((closed["reason"].as_str(), closed["errors"].as_u64()), (Some("reset"), Some(1)), "{closed}");

        let mut client = server.greeted();
        next(&mut server, "accepted");
        server.signal("TERM");
        assert_eq!(client.rest(), "");
        drop(client);
        assert_eq!(next(&mut server, "closed")["reason"], "shutdown");
    }
}

#[test]
fn a_name_in_the_log_is_escaped_so_that_it_cannot_forge_a_field_or_a_line() {
    const NAME: &str = "a\" peer=\"192.0.2.1\\\u{200b}\n2026-01-01T00:00:00Z exit";
    for (format, shown) in [
        ("text", r#" name="a\" peer=\"192.0.2.1\\\u{200b}\n2026-01-01T00:00:00Z exit""#),
        ("json", r#""name":"a\" peer=\"192.0.2.1\\\u200b\n2026-01-01T00:00:00Z exit"}"#),
    ] {
        let options = ["-vv", "--framing", "chunk", "--log", format];
        let mut command = Command::new(GREET);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.next().unwrap();
        let address: String = listening.split(['=', '"']).find(|part| part.starts_with("127.0.0.1:")).unwrap().into();
        let mut client = Client::connect(address.parse().unwrap()).unwrap();
        client.expect("Welcome!");
        client.converse(NAME);
        let line = lines.find(|line| line.contains(" name ") || line.contains(r#""name""#)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(line.ends_with(shown), "{line}");
    }
}

/// The metrics of a server.
fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn the_metrics_and_the_sigusr1_summary_match_the_clients_traffic() {
    for runtime in runtimes() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let metrics = free.local_addr().unwrap();
        drop(free);
        let mut server = Server::start_with_json(&["--runtime", runtime, "--metrics", &metrics.to_string()]);
        let mut client = server.greeted();
        client.converse("haha");
        client.converse("byebye");
        client.0.write_all(b"\xff").unwrap();
        client.expect("Error: name is not valid UTF-8");
        let mut second = server.greeted();
        second.send("exit");
        assert_eq!(second.rest(), "");
        drop(second);
        for event in ["accepted", "accepted", "closed"] {
            next(&mut server, event);
        }
        let body = scrape(metrics);
        for line in [
            "greet_connections_accepted_total 2",
            "greet_connections_open 1",
            "greet_connections_ended_total{reason=\"exit\"} 1",
            "greet_names_total 3",
            "greet_errors_total{kind=\"not-utf8\"} 1",
            "greet_received_bytes_total 15",
            "greet_reply_latency_seconds_count 3",
        ] {
            assert!(body.lines().any(|one| one == line), "{runtime}: {line} is not in\n{body}");
        }
        let mut said = BufReader::new(server.child.stderr.take().unwrap());
        server.signal("USR1");
        let mut summary = String::new();
        while !summary.contains("bytes sent: ") {
            assert!(said.read_line(&mut summary).unwrap() > 0, "{summary}");
        }
        for line in ["connections accepted: 2\n", "connections open: 1\n", "names: 3\n", "bytes received: 15\n"] {
            assert!(summary.contains(line), "{runtime}: {summary}");
        }
        client.converse("it still serves");
    }
}

#[test]
fn a_metrics_address_that_is_in_use_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--metrics", &address];
    let output = Command::new(GREET).args(arguments).output().unwrap();
    crate::common::assert_fails(&output, 1, &["metrics", &address]);
}

#[test]
fn connections_per_peer_are_limited() {
    for runtime in runtimes() {
        let mut server = Server::start_with_json(&["--runtime", runtime, "--max-per-peer", "2"]);
        let (mut first, mut second) = (server.greeted(), server.greeted());
        next(&mut server, "accepted");
        next(&mut server, "accepted");
        let mut third = server.connect();
        assert_eq!(third.rest(), "", "no greeting");
        let refused = next(&mut server, "refused");
        assert_eq!(refused["peer"], third.0.local_addr().unwrap().to_string().as_str());
        assert_eq!(refused["reason"], "max-per-peer");
        first.converse("haha");
        second.send("exit");
        assert_eq!(second.rest(), "");
        drop(second);
        next(&mut server, "closed");
        // The slot becomes free shortly after the log line is written.
        let mut fourth = loop {
            let mut client = server.connect();
            let mut greeting = [0; 8];
            if client.0.read_exact(&mut greeting).is_ok() {
                break client;
            }
            thread::sleep(Duration::from_millis(5));
        };
        fourth.converse("byebye");
    }
}

#[test]
fn a_connection_is_closed_at_its_maximum_duration_with_an_idle_or_an_active_client() {
    for runtime in runtimes() {
        let mut server = Server::start_with_json(&["--runtime", runtime, "--max-duration", "300ms"]);
        // One client sends nothing, and one sends a byte at a time.
        let mut silent = server.greeted();
        let slow = server.greeted();
        let mut sender = slow.0.try_clone().unwrap();
        let sending = thread::spawn(move || {
            while sender.write_all(b"a").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        assert_eq!(silent.rest(), "");
        drop(silent);
        next(&mut server, "accepted");
        next(&mut server, "accepted");
        for _ in 0..2 {
            let closed = next(&mut server, "closed");
            assert_eq!(closed["reason"], "max-duration", "{closed}");
            assert!(closed["seconds"].as_f64().unwrap() >= 0.3);
        }
        drop(slow);
        sending.join().unwrap();
    }
}

#[test]
fn a_client_that_does_not_read_is_disconnected_after_the_maximum_duration() {
    for runtime in runtimes() {
        let options = ["--runtime", runtime, "--framing", "line", "--max-duration", "200ms", "--idle-timeout", "none"];
        let mut server = Server::start_with_json(&options);
        let client = server.greeted();
        client.0.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let names = vec![b'\n'; 64 * 1024];
        while (&client.0).write_all(&names).is_ok() {}
        next(&mut server, "accepted");
        assert_eq!(next(&mut server, "closed")["reason"], "max-duration");
    }
}
