//! `greet bench` against the servers of both runtimes and against defective servers.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{Arc, mpsc},
    thread,
};

use serde_json::Value;

use crate::common::{GREET, Server, assert_fails};

/// A server that runs a script for each connection, each on its own thread.
pub(crate) fn peer(script: impl Fn(TcpStream, usize) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, script) = (stream.unwrap(), script.clone());
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || script(stream, number));
        }
    });
    address
}

/// Sends the greeting and answers each read with `answer(number of the read, name)`; `None` closes the connection.
pub(crate) fn answer_each(mut stream: TcpStream, answer: impl Fn(usize, &[u8]) -> Option<Vec<u8>>) {
    if stream.write_all(b"Welcome!").is_err() {
        return;
    }
    let mut name = [0; 1024];
    for number in 0.. {
        let Ok(count) = stream.read(&mut name) else { return };
        if count == 0 || &name[..count] == b"exit" {
            return;
        }
        let Some(reply) = answer(number, &name[..count]) else { return };
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

pub(crate) fn correct_reply(name: &[u8]) -> Vec<u8> {
    [b"Hello, ", name, b"!"].concat()
}

pub(crate) fn bench(address: SocketAddr, arguments: &[&str]) -> Output {
    let address = address.to_string();
    Command::new(GREET).args(["bench", &address]).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The JSON of a run and its exit status.
pub(crate) fn figures(address: SocketAddr, arguments: &[&str]) -> (Value, i32) {
    let output = bench(address, &[arguments, &["--json"]].concat());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).unwrap();
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), output.status.code().unwrap())
}

/// The number of errors whose kind begins with `kind`.
#[track_caller]
fn errors_of(figures: &Value, kind: &str) -> u64 {
    let errors = figures["errors"].as_array().unwrap();
    let of_kind = errors.iter().filter(|error| error["kind"].as_str().unwrap().starts_with(kind));
    of_kind.map(|error| error["count"].as_u64().unwrap()).sum()
}

/// Asserts that the program fails with this status and message, and prints no figures.
#[track_caller]
pub(crate) fn assert_refuses(output: &Output, status: i32, said: &[&str]) {
    assert_fails(output, status, said);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn every_name_gets_the_correct_reply_in_both_runtimes_and_framings() {
    for runtime in ["threads", "tokio"] {
        let server = Server::start(&["--quiet", "--runtime", runtime]);
        for conditions in [
            &["-c", "1", "--size", "1"][..],
            &["-c", "5"],
            &["-c", "5", "--size", "1024"],
            &["-c", "3", "--pipeline", "16"],
            &["-c", "2", "--pipeline", "40", "--size", "1000"],
            &["-c", "2", "--framing", "line", "--size", "0"],
            &["-c", "2", "--rate", "20000"],
        ] {
            let (figures, status) = figures(server.address, &[conditions, &["-n", "2000"]].concat());
            assert_eq!(status, 0, "{runtime} {conditions:?}: {figures:#}");
            assert_eq!(figures["answered"], 2000, "{runtime} {conditions:?}");
            assert_eq!(figures["latency_ns"]["count"], 2000, "{runtime} {conditions:?}");
            assert_eq!((&figures["errors"], &figures["unanswered"]), (&Value::Array(vec![]), &Value::from(0)));
        }
    }
}

#[test]
fn a_server_in_framing_line_sends_its_greeting_as_a_line() {
    let server = Server::start(&["--quiet", "--framing", "line"]);
    let (figures, status) = figures(server.address, &["--framing", "line", "-c", "4", "-n", "100"]);
    assert_eq!((status, &figures["answered"]), (0, &Value::from(100)));
}

#[test]
fn it_runs_for_the_duration_and_reports_the_throughput() {
    let server = Server::start(&["--quiet"]);
    let (figures, status) = figures(server.address, &["-d", "300ms", "--warmup", "50ms", "-c", "2"]);
    assert_eq!((status, &figures["elapsed_s"]), (0, &Value::from(0.3)));
    let (answered, rate) = (figures["answered"].as_f64().unwrap(), figures["names_per_s"].as_f64().unwrap());
    assert!(answered > 0.0 && (answered / 0.3 / rate - 1.0).abs() < 1e-9);
    assert!(!figures["over_time"].as_array().unwrap().is_empty());
    assert!(!figures["distribution"].as_array().unwrap().is_empty());
}

#[test]
fn names_longer_than_the_servers_limit_are_counted_as_error_replies() {
    let server = Server::start(&["--quiet", "--framing", "line"]);
    let (figures, status) = figures(server.address, &["--framing", "line", "--size", "65533", "-c", "2", "-n", "20"]);
    assert_eq!(status, 1);
    assert_eq!(errors_of(&figures, "error reply: name longer than 1024 bytes"), 20);
    assert_eq!(figures["errors"].as_array().unwrap().len(), 1, "{figures:#}");
}

#[test]
fn a_wrong_byte_is_an_error_with_its_position() {
    let address = peer(|stream, _| {
        answer_each(stream, |number, name| {
            let mut reply = correct_reply(name);
            if number == 6 {
                reply[9] ^= 1;
            }
            Some(reply)
        });
    });
    let (figures, status) = figures(address, &["-n", "10"]);
    assert_eq!((status, errors_of(&figures, "wrong bytes")), (1, 1));
    let example = figures["errors"][0]["example"].as_str().unwrap();
    assert!(example.contains("byte 9 of the reply to `abcdefgh00000007`"), "{example}");
    assert!(!example.contains("is it a greeting server"), "{example}"); // it has sent a greeting
    // The connection is closed, and a new one is opened.
    assert_eq!((&figures["answered"], &figures["unanswered"]), (&Value::from(9), &Value::from(1)));
}

/// What a server sees of the connection of a bench with these options: the client's address, the size of the segments that the
/// client takes, and its window, in bytes.
#[cfg(target_os = "linux")]
fn seen_by_the_server(options: &[&str]) -> (IpAddr, u32, u32) {
    let (sender, receiver) = mpsc::channel();
    let address = peer(move |stream, _| {
        let (seen, sender) = (stream.try_clone().unwrap(), sender.clone());
        answer_each(stream, move |_, name| {
            let mss = socket2::SockRef::from(&seen).tcp_mss().unwrap();
            let _ = sender.send((seen.peer_addr().unwrap().ip(), mss, window(&seen))); // nobody waits for the later ones
            Some(correct_reply(name))
        });
    });
    let output = bench(address, &[options, &["-n", "3"]].concat());
    assert_eq!(output.status.code(), Some(0), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    receiver.recv().unwrap()
}

/// The window that the peer announced last.
#[cfg(target_os = "linux")]
fn window(stream: &TcpStream) -> u32 {
    use std::os::fd::AsRawFd;

    use nix::libc;

    // SAFETY: `tcp_info` consists of integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { core::mem::zeroed() };
    let mut size = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap();
    // SAFETY: `info` is `size` bytes long and writable, and the descriptor is open as long as `stream` is borrowed.
    let status = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut size)
    };
    assert_eq!(status, 0);
    info.tcpi_snd_wnd
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_sees_the_address_the_segment_size_and_the_window_that_the_options_set() {
    const MSS: u32 = 700;
    const WINDOW: u32 = 6000;
    let (address, mss, window) = seen_by_the_server(&[]);
    assert!(address == IpAddr::from([127, 0, 0, 1]) && mss > MSS && window > WINDOW, "{address} {mss} {window}");
    let (_, mss, _) = seen_by_the_server(&["--mss", &MSS.to_string()]);
    assert!((MSS - 12..=MSS).contains(&mss), "{mss}: without the timestamps in each segment");
    let (_, _, window) = seen_by_the_server(&["--window", &WINDOW.to_string()]);
    assert!((WINDOW / 4..=WINDOW).contains(&window), "{window}");
    let (address, ..) = seen_by_the_server(&["--bind", "127.0.0.3", "--interface", "lo"]);
    assert_eq!(address, IpAddr::from([127, 0, 0, 3]));
}

#[test]
fn a_missing_reply_is_a_timeout() {
    let address = peer(|stream, _| {
        answer_each(stream, |number, name| Some(if number == 3 { Vec::new() } else { correct_reply(name) }));
    });
    let (figures, status) = figures(address, &["-n", "7", "--timeout", "1500ms"]);
    assert_eq!((status, errors_of(&figures, "no complete reply in time")), (1, 1), "{figures:#}");
    assert_eq!((&figures["answered"], &figures["unanswered"]), (&Value::from(6), &Value::from(1)));
}

#[test]
fn swapped_replies_are_an_error() {
    let address = peer(|mut stream, _| {
        stream.write_all(b"Welcome!").unwrap();
        let mut names = [0; 2 * 17];
        stream.read_exact(&mut names).unwrap();
        for name in [&names[17..33], &names[..16]] {
            let _ = stream.write_all(&[&correct_reply(name)[..], b"\n"].concat());
        }
        let _ = stream.read(&mut [0]);
    });
    let (figures, status) = figures(address, &["-n", "2", "--pipeline", "2"]);
    assert_eq!((status, errors_of(&figures, "wrong bytes")), (1, 1));
    assert_eq!(figures["unanswered"], 2);
}

#[test]
fn a_reset_is_counted_with_the_names_in_flight() {
    let address = peer(|mut stream, number| {
        if number == 0 {
            stream.write_all(b"Welcome!").unwrap();
            let _ = stream.read(&mut [0; 4]).unwrap();
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        } else {
            answer_each(stream, |_, name| Some(correct_reply(name)));
        }
    });
    let (figures, status) = figures(address, &["-n", "5"]);
    assert_eq!((status, errors_of(&figures, "connection broken: reset")), (1, 1), "{figures:#}");
    assert_eq!((&figures["answered"], &figures["unanswered"]), (&Value::from(4), &Value::from(1)));
}

#[test]
fn each_close_by_the_server_is_counted_and_the_connection_is_opened_again() {
    let address = peer(|stream, _| {
        answer_each(stream, |number, name| (number < 2).then(|| correct_reply(name)));
    });
    let (figures, status) = figures(address, &["-n", "9"]);
    assert_eq!(status, 1);
    // Two replies and an unanswered name on each of three connections; the third ends the run.
    let ends = errors_of(&figures, "connection closed by the server") + errors_of(&figures, "connection broken");
    assert_eq!((ends, &figures["answered"], &figures["unanswered"]), (3, &Value::from(6), &Value::from(3)));
}

#[test]
fn a_server_that_stops_answering_delays_the_end_by_the_timeout_at_most() {
    let address = peer(|stream, _| {
        answer_each(stream, |number, name| {
            if number == 50 {
                thread::sleep(Duration::from_secs(3600));
            }
            Some(correct_reply(name))
        });
    });
    let (figures, status) = figures(address, &["-c", "2", "-d", "100ms", "--warmup", "0", "--timeout", "1500ms"]);
    assert_eq!((status, errors_of(&figures, "no complete reply in time")), (1, 2), "{figures:#}");
    assert_eq!((&figures["answered"], &figures["unanswered"]), (&Value::from(100), &Value::from(2)));
}

#[test]
fn an_endless_error_reply_is_an_error() {
    let address = peer(|mut stream, _| {
        stream.write_all(b"Welcome!\n").unwrap();
        let _ = stream.read(&mut [0; 64]).unwrap();
        stream.write_all(b"Error: ").unwrap();
        while stream.write_all(&[b'e'; 4096]).is_ok() {}
    });
    let (figures, status) = figures(address, &["-d", "300ms", "--warmup", "0", "--framing", "line"]);
    assert_eq!((status, &figures["answered"]), (1, &Value::from(0)), "{figures:#}");
    assert!(errors_of(&figures, "error reply longer than 4096 bytes") > 0, "{figures:#}");
}

#[test]
fn too_few_slots_are_errors_and_the_other_connections_continue() {
    let server = Server::start(&["--quiet", "--max-connections", "3"]);
    let conditions = ["-c", "5", "-d", "200ms", "--warmup", "0", "--timeout", "2s"];
    let (figures, status) = figures(server.address, &conditions);
    assert_eq!((status, errors_of(&figures, "no greeting in time")), (1, 2), "{figures:#}");
    assert_eq!(figures["greeted"], 3);
    assert!(figures["answered"].as_u64().unwrap() > 0);
}

#[test]
fn a_rate_within_the_servers_speed_has_no_backlog() {
    let server = Server::start(&["--quiet"]);
    let conditions = ["-c", "3", "--rate", "500", "-d", "400ms", "--warmup", "100ms"];
    let (figures, status) = figures(server.address, &conditions);
    assert_eq!(status, 0);
    // Late names were sent, and each of the 200 names that were due in 400 ms is in the figures.
    assert_eq!((&figures["backlog"]["names"], &figures["latency_at_least"]), (&0.into(), &0.into()), "{figures:#}");
    assert_eq!(figures["latency_ns"]["count"], 200);
}

#[test]
fn a_rate_that_is_too_high_shows_in_the_backlog_and_in_the_latencies() {
    // The server can answer 50 names/s.
    let address = peer(|stream, _| {
        answer_each(stream, |_, name| {
            thread::sleep(Duration::from_millis(20));
            Some(correct_reply(name))
        });
    });
    // 250 names were due; the late ones are sent until the timeout.
    let (some, status) = figures(address, &["--rate", "500", "-d", "500ms", "--warmup", "0", "--timeout", "1s"]);
    assert_eq!((status, &some["errors"]), (0, &Value::Array(vec![])));
    let backlog = some["backlog"]["names"].as_u64().unwrap();
    assert!(backlog >= 250 - 76, "{backlog}");
    assert!(some["backlog"]["behind_s"].as_f64().unwrap() > 0.9);
    // The unsent names count with their wait, which is at least a second.
    assert_eq!((&some["latency_ns"]["count"], &some["latency_at_least"]), (&250.into(), &backlog.into()));
    assert!(some["latency_ns"]["p50"].as_u64().unwrap() > 900_000_000, "{some:#}");
    assert!(some["answered"].as_u64().unwrap() <= 25);

    // With a longer timeout there is no backlog, and the last of 50 names waits for the 49 before it.
    let (all, status) = figures(address, &["--rate", "500", "-d", "100ms", "--warmup", "0"]);
    assert_eq!((status, &all["backlog"]["names"], &all["latency_at_least"]), (0, &0.into(), &0.into()), "{all:#}");
    assert_eq!(all["latency_ns"]["count"], 50);
    assert!(all["latency_ns"]["max"].as_u64().unwrap() > 850_000_000, "{all:#}");
}

#[test]
fn lower_bounds_are_marked() {
    let address = peer(|stream, _| {
        answer_each(stream, |number, name| {
            if number == 3 {
                thread::sleep(Duration::from_secs(3600));
            }
            Some(correct_reply(name))
        });
    });
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("at_least.html");
    let conditions = ["--rate", "100", "-d", "100ms", "--warmup", "0", "--timeout", "1s"];
    let output = bench(address, &[&conditions[..], &["--html", path.to_str().unwrap()]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let page = fs::read_to_string(&path).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for printed in [&text, &page] {
        assert!(printed.contains("without a reply count with the time waited"), "{printed}");
        assert!(printed.contains("\u{2265} "), "{printed}");
        assert!(!printed.contains("every reply was right"), "{printed}");
    }
}

#[test]
fn a_backlog_is_reported_and_is_no_error() {
    let server = Server::start(&["--quiet"]);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("backlog.html");
    // More than any host can send: the run does not hang, and its work does not grow with the number of names due.
    let conditions = ["--rate", "1e9", "-d", "100ms", "--timeout", "2s", "--html", path.to_str().unwrap()];
    let output = bench(server.address, &conditions);
    let (text, page) = (String::from_utf8(output.stdout).unwrap(), fs::read_to_string(&path).unwrap());
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("names late and not sent, the oldest by ") && text.contains("errors            none"),
        "{text}"
    );
    assert!(page.contains("every reply was right, but ") && page.contains("the oldest is late by"), "{page}");
}

#[test]
fn a_warm_up_does_not_count_and_its_errors_are_separate() {
    let server = Server::start(&["--quiet"]);
    let warm = ["-n", "1000", "-c", "5", "--pipeline", "16", "--warmup", "100ms"];
    let (good, status) = figures(server.address, &warm);
    assert_eq!((status, &good["answered"], &good["latency_ns"]["count"]), (0, &1000.into(), &1000.into()), "{good:#}");

    let bad = peer(|stream, _| answer_each(stream, |_, _| Some(b"Error: not today".to_vec())));
    let (bad, status) = figures(bad, &["-n", "20", "-c", "2", "--warmup", "100ms"]);
    assert_eq!((status, errors_of(&bad, "error reply: not today")), (1, 20), "{bad:#}");
    assert!(bad["errors"][0]["in_warmup"].as_u64().unwrap() > 0);
}

#[test]
fn a_server_that_never_replies_ends_the_run() {
    let silent = peer(|mut stream, _| {
        stream.write_all(b"Welcome!").unwrap();
        while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    });
    let conditions = ["-n", "1000000", "--timeout", "500ms"];
    let (silence, status) = figures(silent, &conditions);
    assert_eq!((status, &silence["answered"]), (1, &Value::from(0)));
    assert!(silence["given_up_after_s"].as_f64().unwrap() > 1.0, "{silence:#}");
    assert!(silence["latency_ns"]["p50"].is_null() && silence["latency_ns"]["count"] == 0, "{silence:#}");
    let text = String::from_utf8(bench(silent, &conditions).stdout).unwrap();
    assert!(text.contains("without a reply"), "{text}");
    assert!(text.contains("check --framing"), "{text}");
}

#[test]
fn a_server_without_a_greeting_ends_the_run_before_all_connections_are_opened() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let silent = peer(move |mut stream, _| {
        count.fetch_add(1, Ordering::Relaxed);
        let _ = stream.read(&mut [0]);
    });
    let output = bench(silent, &["-c", "1000", "--timeout", "300ms"]);
    assert_refuses(&output, 8, &["no greeting in time; is it a greeting server?"]);
    assert!(asked.load(Ordering::Relaxed) < 500);
}

#[test]
fn a_close_during_the_other_servers_turn_is_no_error() {
    // Its idle timeout is one second: it sends an error reply and closes.
    let impatient = peer(|mut stream, _| {
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        stream.write_all(b"Welcome!").unwrap();
        let mut name = [0; 64];
        loop {
            match stream.read(&mut name) {
                Ok(0) => return,
                Ok(count) if &name[..count] == b"exit" => return,
                Ok(count) => stream.write_all(&correct_reply(&name[..count])).unwrap(),
                Err(_) => return stream.write_all(b"Error: idle for 1 s").unwrap(),
            }
        }
    });
    let server = Server::start(&["--quiet"]);
    let against = impatient.to_string();
    let conditions = ["--against", &against, "-c", "2", "-d", "3s", "--turn", "1500ms", "--warmup", "0"];
    let (comparison, status) = figures(server.address, &conditions);
    assert_eq!((status, &comparison["second"]["errors"]), (0, &Value::Array(vec![])), "{comparison:#}");
    assert_eq!(comparison["second"]["greeted"], 2);
}

#[test]
fn a_server_without_replies_has_no_latency_ratio() {
    let mute = peer(|mut stream, _| {
        let _ = stream.write_all(b"Welcome!");
        let _ = stream.read(&mut [0; 64]); // then it closes
    });
    let server = Server::start(&["--quiet"]);
    let server = server.address.to_string();
    let (comparison, status) = figures(mute, &["--against", &server, "-d", "400ms", "--turn", "100ms"]);
    assert_eq!((status, &comparison["turns"]), (1, &Value::from(4)), "{comparison:#}");
    let ratios = comparison["ratios"].as_array().unwrap();
    assert_eq!(ratios.len(), 1, "{ratios:#?}");
    assert_eq!((&ratios[0]["figure"], &ratios[0]["median"]), (&"throughput".into(), &0.0.into()));
}

#[test]
fn a_stall_adds_to_the_latency_of_every_name_that_was_due_during_it() {
    let address = peer(|stream, _| {
        answer_each(stream, |number, name| {
            if number == 50 {
                thread::sleep(Duration::from_millis(500));
            }
            Some(correct_reply(name))
        });
    });
    let (figures, status) = figures(address, &["--rate", "200", "-d", "1s", "--warmup", "0"]);
    assert_eq!(status, 0);
    // 100 names were due during the stall: half of all. In a closed loop it would be one.
    assert!(figures["latency_ns"]["p90"].as_u64().unwrap() > 250_000_000, "{figures:#}");
}

#[test]
fn two_servers_are_compared_in_alternating_turns() {
    let slow = peer(|stream, _| {
        answer_each(stream, |_, name| {
            thread::sleep(Duration::from_millis(5));
            Some(correct_reply(name))
        });
    });
    let server = Server::start(&["--quiet"]);
    let slow = slow.to_string();
    let conditions = ["--against", &slow, "-d", "600ms", "--turn", "100ms", "-c", "2"];
    let (comparison, status) = figures(server.address, &conditions);
    assert_eq!((status, &comparison["turns"]), (0, &Value::from(6)), "{comparison:#}");
    for (figure, is_right) in [
        ("throughput", (|ratio| ratio > 1.0) as fn(f64) -> bool),
        ("mean latency", |ratio| ratio < 1.0),
        ("p50", |ratio| ratio < 1.0),
    ] {
        let ratios = comparison["ratios"].as_array().unwrap();
        let ratio = ratios.iter().find(|ratio| ratio["figure"] == figure).unwrap();
        let [lower, median, upper] =
            ["lower_quartile", "median", "upper_quartile"].map(|name| ratio[name].as_f64().unwrap());
        assert!(lower <= median && median <= upper && is_right(median), "{ratio:#}");
        assert_eq!(ratio["ratios"].as_array().unwrap().len(), 6);
    }
    assert!(comparison["first"]["answered"].as_u64() > comparison["second"]["answered"].as_u64());
}
