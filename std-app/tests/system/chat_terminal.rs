//! `greet chat` on a terminal, where names are typed.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::process::{Command, Output};

use crate::common::{GREET, peer::Peer};

/// Runs `greet chat` on a terminal. Each step waits for an output and then types. Returns the whole output.
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
    expected, typed = step.encode().split(b"=>")
    while expected not in new and read():
        pass
    new = new.partition(expected)[2]
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
fn on_a_terminal_names_are_edited_validated_and_recalled_from_the_history() {
    let peer = Peer::new(&["S Welcome!", "C haha", "S Hello, haha!", "C haha", "S Hello, haha!", "C exit"]);
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
fn on_a_terminal_exit_is_sent_and_control_c_closes_without_it() {
    for (typed, received) in [("exit\r", "C exit"), ("\x03", "C")] {
        let peer = Peer::new(&["S Welcome!", received]);
        assert_eq!(on_a_terminal(&peer.host(), &[&format!("> =>{typed}")]).status.code(), Some(0));
        peer.end();
    }
}

#[test]
fn each_line_that_is_typed_ahead_or_pasted_is_one_name() {
    for typed in
        ["eins\rzwei\rdrei\r", "\x1b[200~eins\nzwei\ndrei\x1b[201~\r", "\x1b[200~eins\r\nzwei\r\ndrei\r\n\x1b[201~\r"]
    {
        let script = ["eins", "zwei", "drei"].map(|name| [format!("C {name}"), format!("S Hello, {name}!")]).concat();
        let peer = Peer::new(&[vec!["S Welcome!".to_owned()], script, vec!["C exit".to_owned()]].concat());
        let output = on_a_terminal(&peer.host(), &[&format!("> =>{typed}"), "Hello, drei!=>", "> =>\x04"]);
        let seen = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{typed:?} {seen:?}");
        peer.end();
    }
}

#[test]
fn control_c_clears_the_line_that_is_being_typed() {
    let peer = Peer::new(&["S Welcome!", "C haha", "S Hello, haha!", "C exit"]);
    let output = on_a_terminal(&peer.host(), &["> =>nobo\x03haha\r", "Hello, haha!=>", "> =>\x04"]);
    assert_eq!(output.status.code(), Some(0), "{:?}", String::from_utf8_lossy(&output.stdout));
    peer.end();
}

#[test]
fn a_server_that_ends_while_the_prompt_waits_is_reported_at_once() {
    for (step, said) in [("S", "ended the conversation"), ("S oops", "departed from the protocol")] {
        let peer = Peer::new(&["S Welcome!", "pause", step, "pause"]);
        let output = on_a_terminal(&peer.host(), &["> =>half a na"]);
        let seen = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(if said.contains("protocol") { 8 } else { 1 }), "{seen:?}");
        assert!(seen.contains(said), "{seen:?}");
        peer.end();
    }
}
