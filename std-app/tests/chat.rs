//! `greet chat` as its user sees it, against servers that do well, badly, or nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::{net::SocketAddr, time::Duration};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    thread::{self, JoinHandle},
};

/// The program that is tested.
const GREET: &str = env!("CARGO_BIN_EXE_greet");

/// Longer than anything that works takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that has one conversation, by a script.
struct Peer {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Peer {
    fn new(script: impl FnOnce(Line) + Send + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    fn on(listener: TcpListener, script: impl FnOnce(Line) + Send + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            script(Line(stream));
        });
        Self { address, thread }
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    /// The script is through; here it fails if it did.
    fn end(self) {
        self.thread.join().unwrap();
    }
}

/// The server's end of the connection.
struct Line(TcpStream);

impl Line {
    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next read delivers exactly this.
    fn hear(&mut self, bytes: &[u8]) {
        let mut buffer = [0; 4096];
        let count = self.0.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], bytes);
    }

    /// The client has ended its side.
    fn hear_the_end(&mut self) {
        self.hear(b"");
    }

    /// As a server that was killed with bytes unread.
    fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

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

/// With this on standard input.
fn chat_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input); // it may end before it has read everything
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// It ended well, and printed this.
#[track_caller]
fn assert_prints(output: &Output, printed: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
    assert_eq!(output.status.code(), Some(0));
}

/// It ended badly, with one line on standard error that has all of these in it, and had printed this.
#[track_caller]
fn assert_fails(output: &Output, printed: &str, said: &[&str]) {
    let line = String::from_utf8_lossy(&output.stderr);
    for said in said {
        assert!(line.contains(said), "{said:?} is not in {line:?}");
    }
    assert!(line.starts_with("greet: ") && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn names_on_the_command_line_are_answered_one_a_line() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.say(b"Hello, haha!");
        line.hear(b"you are loser");
        line.say(b"Hello, you are loser!");
        line.hear(b"exit");
        line.0.shutdown(Shutdown::Write).unwrap();
        line.hear_the_end();
    });
    assert_prints(&chat(&[&peer.host(), "haha", "you are loser"]), "Welcome!\nHello, haha!\nHello, you are loser!\n");
    peer.end();
}

#[test]
fn under_line_names_and_exit_end_with_a_line_feed() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!\n");
        line.hear(b"haha\n");
        line.say(b"Hello, haha!\n");
        line.hear(b"\n");
        line.say(b"Hello, !\n");
        line.hear(b"exit\n");
    });
    assert_prints(&chat(&["--framing", "line", &peer.host(), "haha", ""]), "Welcome!\nHello, haha!\nHello, !\n");
    peer.end();
}

#[test]
fn bytes_that_come_one_by_one_make_the_same_conversation() {
    let peer = Peer::new(|mut line| {
        let dribble = |line: &mut Line, text: &[u8]| text.iter().for_each(|byte| line.say(&[*byte]));
        dribble(&mut line, b"Welcome!\r\n");
        line.hear(b"haha\n");
        dribble(&mut line, b"Hello, haha!\n");
        line.hear(b"exit\n");
    });
    assert_prints(&chat(&["--framing", "line", &peer.host(), "haha"]), "Welcome!\nHello, haha!\n");
    peer.end();
}

#[test]
fn an_error_reply_is_a_reply() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!\n");
        line.hear(&[&[b'a'; 1025][..], b"\n"].concat());
        line.say(b"Error: name longer ");
        thread::sleep(Duration::from_millis(50));
        line.say(b"than 1024 bytes\n");
        line.hear(b"haha\n");
        line.say(b"Hello, haha!\n");
        line.hear(b"exit\n");
    });
    assert_prints(
        &chat(&["--framing", "line", &peer.host(), &"a".repeat(1025), "haha"]),
        "Welcome!\nError: name longer than 1024 bytes\nHello, haha!\n",
    );
    peer.end();
}

#[test]
fn a_pipe_brings_one_name_a_line_up_to_exit() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.say(b"Hello, haha!");
        line.hear(b"windows");
        line.say(b"Hello, windows!");
        line.hear(b"\xFF");
        line.say(b"Error: name is not valid UTF-8");
        line.hear(b"exit");
        drop(line.0.shutdown(Shutdown::Write));
        line.hear_the_end();
    });
    assert_prints(
        &chat_with(&[&peer.host()], b"haha\nwindows\r\n\xFF\nexit\nnever\n"),
        "Welcome!\nHello, haha!\nHello, windows!\nError: name is not valid UTF-8\n",
    );
    peer.end();
}

#[test]
fn a_last_line_without_its_end_is_a_name_and_an_empty_pipe_has_none() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!\n");
        line.hear(b"\n");
        line.say(b"Hello, !\n");
        line.hear(b"haha\n");
        line.say(b"Hello, haha!\n");
        line.hear(b"exit\n");
    });
    assert_prints(&chat_with(&["--framing", "line", &peer.host()], b"\nhaha"), "Welcome!\nHello, !\nHello, haha!\n");
    peer.end();
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"exit");
    });
    assert_prints(&chat(&[&peer.host()]), "Welcome!\n");
    peer.end();
}

#[test]
fn a_reply_is_printed_before_the_next_name_is_read() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"first");
        line.say(b"Hello, first!");
        line.hear(b"second");
        line.say(b"Hello, second!");
        line.hear(b"exit");
    });
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
fn what_the_server_said_meanwhile_is_told_with_the_next_name() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.say(b"Hello, haha!");
        thread::sleep(Duration::from_millis(100));
        line.say(b"Error: idle for 0.1 s");
        line.0.shutdown(Shutdown::Write).unwrap();
        thread::sleep(Duration::from_millis(100));
    });
    let mut child = start(&[&peer.host()]);
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "haha").unwrap();
    peer.end();
    let _ = writeln!(input, "late");
    drop(input);
    assert_fails(
        &child.wait_with_output().unwrap(),
        "Welcome!\nHello, haha!\nError: idle for 0.1 s\n",
        &["ended the conversation before it was asked to"],
    );
}

#[test]
fn a_mismatch_is_told_with_its_offset_and_both_sides() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.say(b"Hello, hoho!");
        line.hear_the_end();
    });
    assert_fails(
        &chat(&[&peer.host(), "haha"]),
        "Welcome!\n",
        &["byte 8 of the reply to `haha`", "expected `aha!`", "received `oho!`"],
    );
    peer.end();
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha\n");
        line.say(b"Hello, haha\n!"); // a server that knows no lines
        line.hear_the_end();
    });
    assert_fails(
        &chat(&["--framing", "line", &peer.host(), "haha"]),
        "Welcome!\n",
        &["byte 11 of the reply to `haha`", "expected `!\\n`", "received `\\n!`", "--framing"],
    );
    peer.end();
}

#[test]
fn what_nobody_asked_for_is_a_mismatch() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"exit");
        line.say(b"Hello, exit!");
        line.hear_the_end();
    });
    assert_fails(&chat(&[&peer.host()]), "Welcome!\n", &["byte 0", "expected nothing", "received `Hello, exit!`"]);
    peer.end();
}

#[test]
fn the_reply_to_a_name_before_it_is_said_is_a_mismatch() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.say(b"Hello, haha!Hello, byebye!");
    });
    let output = chat(&[&peer.host(), "haha", "byebye"]);
    assert_fails(&output, "Welcome!\nHello, haha!\n", &["byte 0", "expected nothing", "received `Hello, byebye!`"]);
    peer.end();
}

#[test]
fn another_greeting_is_a_mismatch() {
    let peer = Peer::new(|mut line| {
        line.say(b"SSH-2.0-OpenSSH_9.9\r\n");
        line.hear_the_end();
    });
    assert_fails(
        &chat(&[&peer.host(), "haha"]),
        "",
        &["byte 0 of the greeting", "expected `Welcome!`", "received `SSH-2.0-OpenSSH_9.9\\r\\n`"],
    );
    peer.end();
}

#[test]
fn no_control_character_of_a_peer_reaches_the_terminal() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.say(b"Error: \x1b[2J\x07\xFF\n");
        line.hear(b"bell\x07");
        line.say(b"Hello, bell\x07!");
        line.hear(b"last");
        line.say(&[&b"\x1b]0;"[..], &[b'a'; 100]].concat());
        line.hear_the_end();
    });
    assert_fails(
        &chat(&[&peer.host(), "haha", "bell\x07", "last"]),
        "Welcome!\nError: \\u{1b}[2J\\u{7}\\xff\\n\nHello, bell\\u{7}!\n",
        &[&format!("received `\\u{{1b}}]0;{}...`", "a".repeat(60))],
    );
    peer.end();
}

#[test]
fn a_server_that_ends_too_early_is_told_by_what_is_missing() {
    let peer = Peer::new(drop);
    assert_fails(&chat(&[&peer.host(), "haha"]), "", &["ended the conversation before its greeting"]);
    peer.end();
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.say(b"Hello, ha");
    });
    assert_fails(&chat(&[&peer.host(), "haha"]), "Welcome!\n", &["ended the conversation before its reply"]);
    peer.end();
}

#[test]
fn a_reset_is_told() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.reset();
    });
    let host = peer.host();
    assert_fails(&chat(&[&host, "haha"]), "Welcome!\n", &["broke before the reply", "reset by peer", &host]);
    peer.end();
}

#[test]
fn silence_is_told_by_what_is_missing() {
    let silent = |after: &'static [u8], until: &'static [u8]| {
        Peer::new(move |mut line| {
            line.say(after);
            if !until.is_empty() {
                line.hear(until);
            }
            line.hear_the_end();
        })
    };
    for (peer, names, printed, said) in [
        (silent(b"", b""), &["haha"][..], "", "sent no greeting within 300ms"),
        (silent(b"Welc", b""), &["haha"], "", "sent no greeting within 300ms"),
        (silent(b"Welcome!", b"haha"), &["haha"], "Welcome!\n", "sent no whole reply within 300ms"),
        (silent(b"Welcome!", b"exit"), &[], "Welcome!\n", "did not end the conversation after `exit` within 300ms"),
    ] {
        let host = peer.host();
        let arguments = [&["--timeout", "300ms", &host], names].concat();
        assert_fails(&chat(&arguments), printed, &[said, "--timeout"]);
        peer.end();
    }
}

#[test]
fn a_connection_that_does_not_come_about_times_out() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // Fill its backlog: from then on it takes no notice of who knocks.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
    }
    let said = [&format!("no connection to {address}"), "did not answer in time", "--timeout"];
    assert_fails(&chat(&["--timeout", "300ms", &address.to_string(), "haha"]), "", &said);
}

#[test]
fn a_port_where_nobody_listens_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert_fails(
        &chat(&[&host, "haha"]),
        "",
        &[&format!("no connection to {host}: {host} refused it; is the server running, and on this port?")],
    );
}

#[test]
fn a_host_that_does_not_exist_is_told() {
    assert_fails(
        &chat(&["no-such-host.invalid", "haha"]),
        "",
        &["`no-such-host.invalid` is not found", "check the name"],
    );
}

#[test]
fn a_family_that_the_host_does_not_have_is_told() {
    assert_fails(&chat(&["-6", "127.0.0.1", "haha"]), "", &["`127.0.0.1` has no IPv6 address: leave -6 out"]);
    assert_fails(&chat(&["-4", "::1", "haha"]), "", &["`::1` has no IPv4 address: leave -4 out"]);
}

#[test]
fn names_of_hosts_are_looked_up_and_every_address_is_tried() {
    // Where localhost has an IPv6 address as well, it comes first, and refuses.
    for family in [None, Some("-4")] {
        let peer = Peer::new(|mut line| {
            line.say(b"Welcome!");
            line.hear(b"exit");
        });
        let host = format!("localhost:{}", peer.address.port());
        let arguments: Vec<&str> = family.into_iter().chain([host.as_str()]).collect();
        assert_prints(&chat(&arguments), "Welcome!\n");
        peer.end();
    }
}

#[test]
fn ipv6_addresses_stand_in_brackets_before_a_port() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("skipped: this machine has no IPv6 loopback");
        return;
    };
    let peer = Peer::on(listener, |mut line| {
        line.say(b"Welcome!");
        line.hear(b"haha");
        line.say(b"Hello, haha!");
        line.hear(b"exit");
    });
    let host = peer.host();
    assert!(host.starts_with("[::1]:"));
    assert_prints(&chat(&["-6", &host, "haha"]), "Welcome!\nHello, haha!\n");
    peer.end();
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_status_2() {
    for (arguments, said) in [
        (&["localhost:"][..], "the port is a number from 1 to 65535"),
        (&["localhost:99999"], "the port is a number from 1 to 65535"),
        (&[""], "the host is missing"),
        (&["[::1]9999"], "[::1]:9999"),
        (&["a:b:c"], "at most one colon"),
        (&["http://localhost"], "no blanks, slashes"),
        (&["--framing", "auto", "localhost"], "a client's framing is chunk or line"),
        (&["--timeout", "soon", "localhost"], "1.5, 250ms, 5m"),
        (&["--timeout", "0", "localhost"], "`none` is for no limit"),
        (&["--timeout", "1ns", "localhost"], "at least a microsecond"),
        (&["--timout", "1s", "localhost"], "'--timeout'"),
        (&["-4", "-6", "localhost"], "cannot be used with"),
        (&[], "<HOST[:PORT]>"),
    ] {
        let output = chat(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(said), "{arguments:?}: {said:?} is not in {stderr:?}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{arguments:?}");
    }
}

#[test]
fn names_that_cannot_be_sent_are_refused_before_anything_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (long, longer) = ("a".repeat(1025), "a".repeat(65534));
    for (framing, name, said) in [
        ("chunk", "", "the name `` is not sent: framing chunk has no empty name"),
        ("chunk", "exit", "the name `exit` is not sent: `exit` is no name"),
        ("chunk", &long, "aaa...` is not sent: it is longer than 1024 bytes"),
        ("line", &longer, "aaa...` is not sent: it is longer than 65533 bytes"),
        ("line", "a\x1bb\nc", "the name `a\\u{1b}b\\nc` is not sent: the line feed at byte 3"),
        ("chunk", "a\nb", "the name `a\\nb` is not sent: the line feed at byte 1 of the first name"),
        ("line", "a\r", "the name `a\\r` is not sent: the carriage return at the end"),
    ] {
        let first = if said.contains("first name") { &[][..] } else { &["fine"] };
        assert_fails(&chat(&[&["--framing", framing, &host], first, &[name]].concat()), "", &[said]);
    }
    assert!(listener.accept().is_err(), "it connected all the same");
}

#[test]
fn lines_that_cannot_be_sent_are_refused_by_their_number() {
    for (framing, input, said) in [
        ("chunk", b"haha\n\n".to_vec(), "line 2 of standard input is not sent: framing chunk has no empty name"),
        ("chunk", [b"haha\n", &[b'a'; 1025][..]].concat(), "line 2 of standard input is not sent: it is longer"),
        ("line", [b"haha\n", &[b'a'; 1_000_000][..]].concat(), "line 2 of standard input is not sent: it is longer"),
        ("chunk", b"haha\n\xE2\x82\n".to_vec(), "line 2 of standard input is not sent: it ends inside"),
    ] {
        let peer = Peer::new(move |mut line| {
            let end = if framing == "line" { "\n" } else { "" };
            line.say(b"Welcome!");
            line.hear(format!("haha{end}").as_bytes());
            line.say(format!("Hello, haha!{end}").as_bytes());
            line.hear_the_end();
        });
        let output = chat_with(&["--framing", framing, &peer.host()], &input);
        assert_fails(&output, "Welcome!\nHello, haha!\n", &[said]);
        peer.end();
    }
}

#[test]
fn an_output_that_nobody_reads_any_more_ends_it_quietly() {
    let (close, closed) = std::sync::mpsc::channel();
    let peer = Peer::new(move |mut line| {
        closed.recv().unwrap();
        line.say(b"Welcome!");
        line.hear_the_end();
    });
    let mut child = start(&[&peer.host(), "haha"]);
    drop(child.stdout.take());
    close.send(()).unwrap();
    assert_prints(&child.wait_with_output().unwrap(), "");
    peer.end();
}

#[test]
fn an_output_that_takes_nothing_is_told() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        println!("skipped: this system has no /dev/full");
        return;
    };
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear_the_end();
    });
    let output = Command::new(GREET).args(["chat", &peer.host(), "haha"]).stdout(full).output().unwrap();
    assert_fails(&output, "", &["standard output cannot be written"]);
    peer.end();
}

/// Runs `greet chat` on a terminal: in each step waits for what is to be seen next, and types; passes on all it saw.
const ON_A_TERMINAL: &str = r#"
import os, pty, signal, sys
signal.alarm(20)
program, host, *steps = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execv(program, [program, "chat", host])
seen = b""
new = b""
def read():
    global seen, new
    try:
        data = os.read(terminal, 4096)
    except OSError:
        data = b""
    seen += data
    new += data
    return data
for step in steps:
    awaited, typed = step.encode().split(b"=>")
    while awaited not in new and read():
        pass
    new = new.partition(awaited)[2]
    os.write(terminal, typed)
while read():
    pass
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn on_a_terminal(host: &str, steps: &[&str]) -> Output {
    Command::new("python3").args(["-c", ON_A_TERMINAL, GREET, host]).args(steps).output().unwrap()
}

#[test]
fn on_a_terminal_names_are_typed_refused_and_recalled() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        for _ in 0..2 {
            line.hear(b"haha");
            line.say(b"Hello, haha!");
        }
        line.hear(b"exit");
    });
    const UP: &str = "\x1b[A";
    let recall = format!("> =>{UP}\r");
    let answered = "Hello, haha!=>";
    let steps = ["> =>haha\r", answered, "> =>\r", "no empty name=>", &recall, answered, "> =>\x04"];
    let output = on_a_terminal(&peer.host(), &steps);
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen.matches("Hello, haha!\r\n").count(), 2, "{seen:?}");
    assert!(seen.contains("Welcome!\r\n"), "{seen:?}");
    assert!(seen.contains("greet: the name `` is not sent: framing chunk has no empty name"), "{seen:?}");
    assert_eq!(output.status.code(), Some(0), "{seen:?}");
    peer.end();
}

#[test]
fn on_a_terminal_exit_ends_in_order_and_control_c_at_once() {
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear(b"exit");
    });
    assert_eq!(on_a_terminal(&peer.host(), &["> =>exit\r"]).status.code(), Some(0));
    peer.end();
    let peer = Peer::new(|mut line| {
        line.say(b"Welcome!");
        line.hear_the_end();
    });
    assert_eq!(on_a_terminal(&peer.host(), &["> =>\x03"]).status.code(), Some(0));
    peer.end();
}
