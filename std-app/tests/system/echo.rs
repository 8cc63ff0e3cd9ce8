//! The echo service as its users see it: `greet serve`, `greet chat` and `greet bench` with `--service echo`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::{Command, Output, Stdio},
    thread,
    time::Instant,
};

use greet_conformance::{
    frontend::{Cut, run_table},
    socket::Socket,
    vectors::echo,
};
use greet_core::Framing;

use crate::{
    bench::{assert_refuses, bench, figures, peer},
    common::{GREET, Server, assert_fails, peer::Peer, runtimes},
};

/// Runs a test against an echo server of each runtime.
fn on_each_runtime(options: &[&str], test: impl Fn(Server)) {
    for runtime in runtimes() {
        println!("--runtime {runtime}");
        test(Server::start(&[&["--service", "echo", "--runtime", runtime], options].concat()));
    }
}

// --- greet serve -------------------------------------------------------------------------------------------------

#[test]
fn every_runtime_passes_the_table_cut_at_every_byte() {
    on_each_runtime(&["--quiet"], |mut server| {
        let mut socket = Socket::new(server.address, Framing::Line);
        for cut in [Cut::Steps, Cut::Whole, Cut::Every(1), Cut::Every(7), Cut::At(3)] {
            let failures: Vec<_> =
                run_table(&mut socket, &echo().unwrap(), cut).iter().map(ToString::to_string).collect();
            assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
        }
        assert!(server.child.try_wait().unwrap().is_none(), "the server has ended");
    });
}

#[test]
fn a_connection_is_logged_when_it_is_accepted_and_when_it_is_closed() {
    on_each_runtime(&[], |mut server| {
        let mut client = server.connect();
        let own = client.0.local_addr().unwrap();
        assert_eq!(server.line(), format!("Accept new connection from {own}...\n"));
        client.send("exit\n");
        client.expect("exit\n");
        drop(client);
        assert_eq!(server.line(), format!("Connection from {own} closed.\n"));
    });
}

#[test]
fn a_client_that_sends_32_mib_before_it_reads_gets_every_byte_back_and_then_the_fin() {
    const LENGTH: usize = 32 * 1024 * 1024; // more than all socket buffers hold
    on_each_runtime(&["--quiet"], |server| {
        let client = server.connect();
        let mut writer = client.0.try_clone().unwrap();
        let sender = thread::spawn(move || {
            let bytes: Vec<u8> = pattern().take(LENGTH).collect();
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        thread::sleep(Duration::from_millis(500)); // by now the sender is blocked
        let mut received = Vec::new();
        (&client.0).read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        assert_eq!(received.len(), LENGTH);
        assert_eq!(received.iter().zip(pattern()).position(|(received, sent)| *received != sent), None);
    });
}

/// Bytes with a period that is no power of two, so that misplaced ones do not match by chance.
fn pattern() -> impl Iterator<Item = u8> {
    (0..251).cycle()
}

#[test]
fn a_reset_of_one_client_does_not_affect_the_others() {
    on_each_runtime(&["--quiet"], |server| {
        let mut good = server.connect();
        for round in 0..50 {
            let mut rude = server.connect();
            rude.send("half a mess");
            rude.reset();
            good.send(&format!("round {round}"));
            good.expect(&format!("round {round}"));
        }
    });
}

#[test]
fn an_idle_connection_is_closed_without_an_error_reply() {
    on_each_runtime(&["--quiet", "--idle-timeout", "0.5"], |server| {
        let mut client = server.connect();
        client.send("haha");
        client.expect("haha");
        let start = Instant::now();
        assert_eq!(client.rest(), "");
        assert!(start.elapsed() >= Duration::from_millis(450));
    });
}

#[test]
fn at_the_maximum_number_of_connections_the_next_client_waits() {
    on_each_runtime(&["--quiet", "--max-connections", "1"], |server| {
        let mut first = server.connect();
        first.send("a");
        first.expect("a");
        let mut second = server.connect();
        second.send("b");
        second.expect_silence();
        drop(first);
        second.expect("b");
    });
}

#[test]
fn on_a_signal_received_bytes_are_sent_back_before_the_fin() {
    on_each_runtime(&["--quiet"], |server| {
        let mut silent = server.connect();
        silent.send("a");
        silent.expect("a");
        server.signal("TERM");
        assert_eq!(silent.rest(), "");
        drop(silent);
        let (status, said) = server.wait();
        assert!(status.success(), "{said}");
    });
}

#[test]
fn the_options_of_the_greeting_service_are_refused() {
    for option in [["--framing", "line"], ["--delay", "1s"]] {
        let output = Command::new(GREET).args(["serve", "--service", "echo"]).args(option).output().unwrap();
        assert_fails(&output, 2, &[option[0], "--service greet"]);
    }
    assert_fails(&Command::new(GREET).args(["serve", "--service", "discard"]).output().unwrap(), 2, &["greet or echo"]);
}

// --- greet chat --------------------------------------------------------------------------------------------------

/// Runs `greet chat` with this standard input.
fn chat(host: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(GREET);
    command.args(["chat", "--service", "echo", "--timeout", "500ms"]).args(arguments).arg(host);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input); // the program may end before it has read everything
    child.wait_with_output().unwrap()
}

#[test]
fn chat_prints_the_lines_it_receives_until_the_end_of_input() {
    on_each_runtime(&["--quiet"], |server| {
        let output = chat(&server.address.to_string(), &[], b"haha\n\nexit\na\x1b[2J\xFF\nlast");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "haha\n\nexit\na\\u{1b}[2J\\xff\nlast\n");
        assert_eq!(output.status.code(), Some(0));
    });
}

#[test]
fn chat_with_chunk_framing_sends_no_line_feeds_and_ends_with_a_fin() {
    let peer = Peer::new(&["C haha", "S ha", "pause", "S ha", "C exit", "S exit", "C", "S"]);
    let output = Command::new(GREET)
        .args(["chat", "--service", "echo", "--framing", "chunk", &peer.host(), "haha", "exit"])
        .output()
        .unwrap();
    peer.end();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "haha\nexit\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn chat_reports_the_first_wrong_missing_or_additional_byte() {
    for (script, said) in [
        (&["C haha\n", "S hahe\n"][..], "byte 3 of the echo of `haha`: expected `a\\n`, received `e\\n`"),
        (
            &["C haha\n", "S haha\nhaha\n"],
            "byte 0 of data that nothing asked for: expected nothing, received `haha\\n`",
        ),
        // Expected is nothing, or the echo of a line that was sent before these bytes were received.
        (&["S Welcome!"], "received `Welcome!`"),
        (&["C haha\n", "S haha"], "ended the conversation before everything came back"),
        (&["C haha\n", "S haha", "C"], "did not send back everything within 500ms"),
        (
            &["C haha\n", "S haha\n", "C", "pause", "pause", "pause", "pause", "pause", "pause", "pause"],
            "after the client's FIN",
        ),
    ] {
        let peer = Peer::new(script);
        let output = chat(&peer.host(), &[], b"haha\n");
        let status = if said.contains("received `") { 8 } else { 1 };
        assert_fails(&output, status, &[said]);
        peer.end();
    }
}

// --- greet bench -------------------------------------------------------------------------------------------------

#[test]
fn bench_compares_every_byte_in_closed_and_open_loop() {
    on_each_runtime(&["--quiet"], |server| {
        for options in [
            &["-n", "500", "--size", "1"][..],
            &["-n", "500", "--size", "65533"],
            &["-n", "2000", "-c", "8", "--pipeline", "16", "--size", "100"],
            &["-n", "500", "--framing", "line", "--size", "0"],
            &["-d", "500ms", "--rate", "2000", "-c", "4", "--size", "64"],
        ] {
            let (figures, status) = figures(server.address, &[&["--service", "echo"], options].concat());
            assert_eq!(status, 0, "{options:?} {figures:#}");
            assert_eq!(
                (figures["settings"]["service"].as_str(), figures["errors"].as_array().unwrap().len()),
                (Some("echo"), 0)
            );
            assert!(figures["answered"].as_u64() >= Some(500), "{options:?} {figures:#}");
            assert_eq!(figures["sent_bytes_per_s"], figures["received_bytes_per_s"]);
        }
    });
}

/// An echo server that sends back `change(number of the read, bytes)`; `None` closes the connection.
fn changed(change: impl Fn(usize, &[u8]) -> Option<Vec<u8>> + Clone + Send + 'static) -> SocketAddr {
    peer(move |mut stream: TcpStream, _| {
        let mut buffer = [0; 4096];
        for number in 0.. {
            let Ok(count @ 1..) = stream.read(&mut buffer) else { return };
            let Some(bytes) = change(number, &buffer[..count]) else { return };
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    })
}

#[test]
fn bench_reports_wrong_missing_and_additional_bytes_and_servers_of_another_protocol() {
    let bench = |address| figures(address, &["--service", "echo", "-n", "20", "--timeout", "300ms"]);
    let kind = |figures: &serde_json::Value| figures["errors"][0]["kind"].as_str().unwrap_or_default().to_owned();

    let (figures, status) = bench(changed(|_, bytes| Some(bytes.to_ascii_uppercase())));
    assert_eq!((status, kind(&figures)), (1, "wrong bytes".to_owned()));
    let example = figures["errors"][0]["example"].as_str().unwrap();
    assert!(example.contains("byte 0 of the echo of `abcdefgh00000001`: expected `abcdefgh00000001`"), "{example}");

    let (figures, status) = bench(changed(|_, bytes| Some([bytes, b"\0"].concat())));
    assert_eq!((status, kind(&figures)), (1, "wrong bytes".to_owned()));

    let (figures, status) = bench(changed(|_, bytes| Some(bytes[1..].to_vec())));
    assert_eq!((status, kind(&figures)), (1, "wrong bytes".to_owned()));

    let (figures, status) = bench(changed(|_, bytes| Some(bytes[..bytes.len() - 1].to_vec())));
    assert_eq!((status, kind(&figures)), (1, "no complete reply in time".to_owned()));

    let (figures, status) = bench(changed(|number, bytes| (number < 5).then(|| bytes.to_vec())));
    let expected = "connection closed by the server before the end of the conversation".to_owned();
    assert_eq!((status, kind(&figures)), (1, expected), "{figures:#}");

    let greeter = Server::start(&["--quiet"]);
    let output = crate::bench::bench(greeter.address, &["--service", "echo", "-n", "20"]);
    // The greeting arrives before or after the first message is sent.
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(printed.contains("received `Welcome!"), "{printed}");
    // If the greeting arrives first, no connection is served: the server speaks another protocol.
    assert!(matches!(output.status.code(), Some(1 | 8)), "{:?}", output.status);
}

#[test]
fn bench_closes_its_connections_with_a_fin_and_reports_a_server_that_does_not_answer_it() {
    let address = peer(|mut stream: TcpStream, _| {
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return thread::sleep(Duration::from_secs(2)),
                Ok(count) => stream.write_all(&buffer[..count]).unwrap(),
                Err(_) => return,
            }
        }
    });
    let (figures, status) = figures(address, &["--service", "echo", "-n", "5", "--timeout", "300ms"]);
    assert_eq!((status, figures["answered"].as_u64()), (1, Some(5)));
    assert_eq!(figures["errors"][0]["kind"], "no FIN in time at the end of the conversation");
}

#[test]
fn bench_refuses_echo_message_sizes_out_of_range() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    assert_refuses(&bench(nowhere, &["--service", "echo", "--size", "0"]), 2, &["0 bytes"]);
    assert_refuses(&bench(nowhere, &["--service", "echo", "--size", "65535"]), 2, &["65535 bytes"]);
}
