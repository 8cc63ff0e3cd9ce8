//! The command line, input and output of `greet chat`, against correct, defective and silent servers.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
};

use crate::common::{GREET, assert_fails, full_device, listen_on_ipv6, peer::Peer};

fn start(arguments: &[&str]) -> Child {
    Command::new(GREET)
        .arg("chat")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn chat(arguments: &[&str]) -> Output {
    chat_with(arguments, b"")
}

/// Runs the program with this standard input.
fn chat_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input); // the program may end before it has read everything
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Runs the program against a server that follows the script to its end. The argument `HOST` is replaced by its address.
fn chat_by(script: &[impl AsRef<[u8]>], arguments: &[&str]) -> Output {
    chat_by_with(script, arguments, b"")
}

fn chat_by_with(script: &[impl AsRef<[u8]>], arguments: &[&str], input: &[u8]) -> Output {
    let peer = Peer::new(script);
    let host = peer.host();
    let arguments: Vec<&str> = arguments.iter().map(|&word| if word == "HOST" { &host } else { word }).collect();
    let output = chat_with(&arguments, input);
    peer.end();
    output
}

/// Asserts exit status 0 and this output.
#[track_caller]
fn assert_prints(output: &Output, printed: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
    assert_eq!(output.status.code(), Some(0));
}

/// Asserts this output and exit status 1, because a name was answered by an error.
#[track_caller]
fn assert_prints_error_reply(output: &Output, printed: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
    assert_eq!(output.status.code(), Some(1));
}

/// Asserts exit status 1, one line on standard error that contains all of these, and this output.
#[track_caller]
fn assert_fails_after(output: &Output, status: i32, printed: &str, said: &[&str]) {
    assert_fails(output, status, said);
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
}

#[test]
fn replies_to_names_on_the_command_line_are_printed_one_per_line() {
    let script =
        ["S Welcome!", "C haha", "S Hello, haha!", "C you are loser", "S Hello, you are loser!", "C exit", "S", "C"];
    assert_prints(
        &chat_by(&script, &["HOST", "haha", "you are loser"]),
        "Welcome!\nHello, haha!\nHello, you are loser!\n",
    );
}

#[test]
fn with_line_framing_names_and_exit_end_with_a_line_feed() {
    let script = ["S Welcome!\n", "C haha\n", "S Hello, haha!\n", "C \n", "S Hello, !\n", "C exit\n"];
    assert_prints(&chat_by(&script, &["--framing", "line", "HOST", "haha", ""]), "Welcome!\nHello, haha!\nHello, !\n");
}

#[test]
fn by_default_the_framing_is_detected_from_the_greeting() {
    for (end, eol) in [("", ""), ("\n", "\n"), ("\r\n", "\n")] {
        let script = [
            format!("S Welcome!{end}"),
            format!("C haha{eol}"),
            format!("S Hello, haha!{eol}"),
            format!("C byebye{eol}"),
            format!("S Hello, byebye!{eol}"),
            format!("C exit{eol}"),
        ];
        assert_prints(&chat_by(&script, &["HOST", "haha", "byebye"]), "Welcome!\nHello, haha!\nHello, byebye!\n");
    }
}

#[test]
fn a_conversation_received_byte_by_byte_gives_the_same_output() {
    let one_by_one = |text: &str| text.chars().map(|character| format!("S {character}")).collect::<Vec<_>>();
    let client_sends = |text: &str| vec![format!("C {text}")];
    let script =
        [one_by_one("Welcome!\r\n"), client_sends("haha\n"), one_by_one("Hello, haha!\n"), client_sends("exit\n")]
            .concat();
    assert_prints(&chat_by(&script, &["--framing", "line", "HOST", "haha"]), "Welcome!\nHello, haha!\n");
}

#[test]
fn an_error_reply_is_printed_and_the_exit_status_is_1() {
    let long = "a".repeat(1025);
    let script = [
        "S Welcome!\n",
        &format!("C {long}\n"),
        "S Error: name longer ",
        "pause",
        "S than 1024 bytes\n",
        "C haha\n",
        "S Hello, haha!\n",
        "C exit\n",
    ];
    assert_prints_error_reply(
        &chat_by(&script, &["--framing", "line", "HOST", &long, "haha"]),
        "Welcome!\nError: name longer than 1024 bytes\nHello, haha!\n",
    );
}

#[test]
fn standard_input_has_one_name_per_line_until_exit() {
    let script: [&[u8]; 10] = [
        b"S Welcome!",
        b"C haha",
        b"S Hello, haha!",
        b"C windows",
        b"S Hello, windows!",
        b"C \xFF",
        b"S Error: name is not valid UTF-8",
        b"C exit",
        b"S",
        b"C",
    ];
    assert_prints_error_reply(
        &chat_by_with(&script, &["HOST"], b"haha\nwindows\r\n\xFF\nexit\nnever\n"),
        "Welcome!\nHello, haha!\nHello, windows!\nError: name is not valid UTF-8\n",
    );
}

#[test]
fn a_last_line_without_a_line_feed_is_a_name_and_empty_input_has_no_name() {
    let script = ["S Welcome!\n", "C \n", "S Hello, !\n", "C haha\n", "S Hello, haha!\n", "C exit\n"];
    assert_prints(
        &chat_by_with(&script, &["--framing", "line", "HOST"], b"\nhaha"),
        "Welcome!\nHello, !\nHello, haha!\n",
    );
    assert_prints(&chat_by(&["S Welcome!", "C exit"], &["HOST"]), "Welcome!\n");
}

#[test]
fn a_reply_is_printed_before_the_next_name_is_read() {
    let peer = Peer::new(&["S Welcome!", "C first", "S Hello, first!", "C second", "S Hello, second!", "C exit"]);
    let mut child = start(&[&peer.host()]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(output.next().unwrap().unwrap(), "Welcome!");
    for name in ["first", "second"] {
        writeln!(input, "{name}").unwrap();
        assert_eq!(output.next().unwrap().unwrap(), format!("Hello, {name}!"));
    }
    drop(input);
    assert!(output.next().is_none());
    assert!(child.wait().unwrap().success());
    peer.end();
}

#[test]
fn bytes_received_between_two_names_are_reported_with_the_next_name() {
    let script = ["S Welcome!", "C haha", "S Hello, haha!", "pause", "S Error: idle for 0.1 s", "S", "pause"];
    let peer = Peer::new(&script);
    let mut child = start(&[&peer.host()]);
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "haha").unwrap();
    peer.end();
    let _ = writeln!(input, "late");
    drop(input);
    assert_fails_after(
        &child.wait_with_output().unwrap(),
        1,
        "Welcome!\nHello, haha!\nError: idle for 0.1 s\n",
        &["ended the conversation although the client had not sent `exit`"],
    );
}

#[test]
fn a_mismatch_is_reported_with_its_offset_and_the_expected_and_received_bytes() {
    assert_fails_after(
        &chat_by(&["S Welcome!", "C haha", "S Hello, hoho!", "C"], &["HOST", "haha"]),
        8,
        "Welcome!\n",
        &["byte 8 of the reply to `haha`", "expected `aha!`", "received `oho!`"],
    );
    // From a server that does not send lines.
    assert_fails_after(
        &chat_by(&["S Welcome!", "C haha\n", "S Hello, haha\n!", "C"], &["--framing", "line", "HOST", "haha"]),
        8,
        "Welcome!\n",
        &["byte 11 of the reply to `haha`", "expected `!\\n`", "received `\\n!`", "--framing"],
    );
}

#[test]
fn bytes_that_are_no_reply_to_a_name_are_a_mismatch() {
    assert_fails_after(
        &chat_by(&["S Welcome!", "C exit", "S Hello, exit!", "C"], &["HOST"]),
        8,
        "Welcome!\n",
        &["byte 0", "expected nothing", "received `Hello, exit!`"],
    );
}

#[test]
fn a_reply_received_before_its_name_is_sent_is_a_mismatch() {
    assert_fails_after(
        &chat_by(&["S Welcome!", "C haha", "S Hello, haha!Hello, byebye!"], &["HOST", "haha", "byebye"]),
        8,
        "Welcome!\nHello, haha!\n",
        &["byte 0", "expected nothing", "received `Hello, byebye!`"],
    );
}

#[test]
fn an_unknown_greeting_is_a_mismatch() {
    assert_fails_after(
        &chat_by(&["S SSH-2.0-OpenSSH_9.9\r\n", "C"], &["HOST", "haha"]),
        8,
        "",
        &["byte 0 of the greeting", "expected `Welcome!`", "received `SSH-2.0-OpenSSH_9.9\\r\\n`"],
    );
}

#[test]
fn control_characters_of_a_peer_are_escaped() {
    let title = format!("S \x1b]0;{}", "a".repeat(100));
    let script: [&[u8]; 8] = [
        b"S Welcome!",
        b"C haha",
        b"S Error: \x1b[2J\x07\xFF\n",
        b"C bell\x07",
        b"S Hello, bell\x07!",
        b"C last",
        title.as_bytes(),
        b"C",
    ];
    assert_fails_after(
        &chat_by(&script, &["HOST", "haha", "bell\x07", "last"]),
        8,
        "Welcome!\nError: \\u{1b}[2J\\u{7}\\xff\\n\nHello, bell\\u{7}!\n",
        &[&format!("received `\\u{{1b}}]0;{}...`", "a".repeat(60))],
    );
}

#[test]
fn a_server_that_closes_too_early_is_reported_with_what_is_missing() {
    let nothing: [&str; 0] = [];
    assert_fails_after(&chat_by(&nothing, &["HOST", "haha"]), 1, "", &["ended the conversation before its greeting"]);
    assert_fails_after(
        &chat_by(&["S Welcome!", "C haha", "S Hello, ha"], &["HOST", "haha"]),
        1,
        "Welcome!\n",
        &["ended the conversation before its reply"],
    );
}

#[test]
fn a_reset_is_reported() {
    let peer = Peer::new(&["S Welcome!", "C haha", "reset"]);
    let host = peer.host();
    assert_fails_after(&chat(&[&host, "haha"]), 1, "Welcome!\n", &["broke before the reply", "reset by peer", &host]);
    peer.end();
}

#[test]
fn a_read_timeout_is_reported_with_what_is_missing() {
    for (script, names, printed, said) in [
        (&["C"][..], &["haha"][..], "", "sent no greeting within 300ms"),
        (&["S Welc", "C"], &["haha"], "", "sent no greeting within 300ms"),
        (&["S Welcome!", "C haha", "C"], &["haha"], "Welcome!\n", "sent no whole reply within 300ms"),
        (&["S Welcome!", "C exit", "C"], &[], "Welcome!\n", "did not end the conversation after `exit` within 300ms"),
    ] {
        let output = chat_by(script, &[&["--timeout", "300ms", "HOST"], names].concat());
        assert_fails_after(&output, 1, printed, &[said, "--timeout"]);
    }
}

#[test]
fn connecting_to_a_full_backlog_times_out() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // Fill its backlog: further SYNs get no answer.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
    }
    let said = [&format!("cannot connect to {address}"), "did not answer in time", "--timeout"];
    assert_fails_after(&chat(&["--timeout", "300ms", &address.to_string(), "haha"]), 7, "", &said);
}

#[test]
fn a_refused_connection_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert_fails_after(
        &chat(&[&host, "haha"]),
        7,
        "",
        &[&format!(
            "cannot connect to {host}: {host} refused the connection; is the server running, and is this its port?"
        )],
    );
}

#[test]
fn an_unknown_host_is_reported() {
    assert_fails_after(
        &chat(&["no-such-host.invalid", "haha"]),
        6,
        "",
        &["`no-such-host.invalid` is not found", "check the name"],
    );
}

#[test]
fn an_address_family_that_the_host_does_not_have_is_reported() {
    assert_fails_after(&chat(&["-6", "127.0.0.1", "haha"]), 6, "", &["`127.0.0.1` has no IPv6 address: leave out -6"]);
    assert_fails_after(&chat(&["-4", "::1", "haha"]), 6, "", &["`::1` has no IPv4 address: leave out -4"]);
}

#[test]
fn host_names_are_resolved_and_every_address_is_tried() {
    // If localhost has an IPv6 address too, it is tried first, and refuses.
    for family in [None, Some("-4")] {
        let peer = Peer::new(&["S Welcome!", "C exit"]);
        let host = format!("localhost:{}", peer.port());
        let arguments: Vec<&str> = family.into_iter().chain([host.as_str()]).collect();
        assert_prints(&chat(&arguments), "Welcome!\n");
        peer.end();
    }
}

#[test]
fn an_ipv6_address_before_a_port_is_in_brackets() {
    let Some(listener) = listen_on_ipv6() else { return };
    let peer = Peer::on(listener, &["S Welcome!", "C haha", "S Hello, haha!", "C exit"]);
    let host = peer.host();
    assert!(host.starts_with("[::1]:"));
    assert_prints(&chat(&["-6", &host, "haha"]), "Welcome!\nHello, haha!\n");
    peer.end();
}

#[test]
fn an_invalid_command_line_ends_with_status_2() {
    for (arguments, said) in [
        (&["localhost:"][..], "the port is a number from 1 to 65535"),
        (&["localhost:99999"], "the port is a number from 1 to 65535"),
        (&[""], "the host is missing"),
        (&["[::1]9999"], "[::1]:9999"),
        (&["a:b:c"], "at most one colon"),
        (&["http://localhost"], "no spaces, slashes"),
        (&["--framing", "words", "localhost"], "give chunk, line or auto"),
        (&["--timeout", "soon", "localhost"], "1.5, 250ms, 5m"),
        (&["--timeout", "0", "localhost"], "`none` means no limit"),
        (&["--timeout", "1ns", "localhost"], "at least a microsecond"),
        (&["--timout", "1s", "localhost"], "'--timeout'"),
        (&["-4", "-6", "localhost"], "cannot be used with"),
        (&[], "<HOST[:PORT]>"),
    ] {
        let output = chat(arguments);
        assert_fails(&output, 2, &[said]);
        assert_eq!(&output.stdout[..], b"", "{arguments:?}");
    }
}

#[test]
fn invalid_names_are_refused_before_anything_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (long, longer) = ("a".repeat(1025), "a".repeat(65534));
    for (framing, name, said) in [
        ("chunk", "", "the name `` is not sent: framing chunk has no empty name"),
        ("chunk", "exit", "the name `exit` is not sent: `exit` is no name"),
        ("chunk", &long, "aaa...` is not sent: it is longer than the limit of 1024 bytes"),
        ("line", &longer, "aaa...` is not sent: it is longer than the limit of 65533 bytes"),
        ("line", "a\x1bb\nc", "the name `a\\u{1b}b\\nc` is not sent: the line feed at byte 3"),
        ("chunk", "a\nb", "the name `a\\nb` is not sent: the line feed at byte 1 of the first name"),
        ("auto", "a\nb", "the name `a\\nb` is not sent: the line feed at byte 1 would end the name"),
        ("line", "a\r", "the name `a\\r` is not sent: the carriage return at the end"),
    ] {
        let first = if said.contains("first name") { &[][..] } else { &["fine"] };
        assert_fails_after(&chat(&[&["--framing", framing, &host], first, &[name]].concat()), 1, "", &[said]);
    }
    assert!(listener.accept().is_err(), "it connected all the same");
}

#[test]
fn invalid_lines_are_refused_with_their_number() {
    for (framing, input, said) in [
        ("chunk", b"haha\n\n".to_vec(), "line 2 of standard input is not sent: framing chunk has no empty name"),
        ("chunk", [b"haha\n", &[b'a'; 1025][..]].concat(), "line 2 of standard input is not sent: it is longer"),
        ("line", [b"haha\n", &[b'a'; 1_000_000][..]].concat(), "line 2 of standard input is not sent: it is longer"),
        ("chunk", b"haha\n\xE2\x82\n".to_vec(), "line 2 of standard input is not sent: it ends inside"),
    ] {
        let end = if framing == "line" { "\n" } else { "" };
        let script = ["S Welcome!", &format!("C haha{end}"), &format!("S Hello, haha!{end}"), "C"];
        let output = chat_by_with(&script, &["--framing", framing, "HOST"], &input);
        assert_fails_after(&output, 1, "Welcome!\nHello, haha!\n", &[said]);
    }
}

#[test]
fn a_closed_standard_output_ends_the_program_without_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = start(&[&listener.local_addr().unwrap().to_string(), "haha"]);
    drop(child.stdout.take());
    let peer = Peer::on(listener, &["S Welcome!", "C"]);
    assert_prints(&child.wait_with_output().unwrap(), "");
    peer.end();
}

#[test]
fn an_output_that_cannot_be_written_is_reported() {
    let Some(full) = full_device() else { return };
    let peer = Peer::new(&["S Welcome!", "C"]);
    let output = Command::new(GREET).args(["chat", &peer.host(), "haha"]).stdout(full).output().unwrap();
    assert_fails_after(&output, 23, "", &["standard output cannot be written"]);
    peer.end();
}
