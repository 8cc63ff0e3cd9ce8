//! What all subcommands have in common on the command line: options given twice, completions, manual pages.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    process::{Command, Output},
};

use crate::common::{GREET, Server, assert_fails};

fn greet(arguments: &[&str]) -> Output {
    Command::new(GREET).args(arguments).output().unwrap()
}

#[test]
fn the_last_value_of_an_option_given_twice_is_used() {
    let server = Server::start(&["--quiet", "--framing", "line", "--framing", "chunk"]);
    let host = server.address.to_string();
    let output = greet(&[
        "chat",
        "--timeout",
        "0.000001",
        "--timeout",
        "10s",
        "--framing",
        "line",
        "--framing",
        "chunk",
        &host,
        "a",
    ]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Welcome!\nHello, a!\n");
    assert!(output.status.success());
    // The last value has to be valid, and so have the others.
    assert_fails(&greet(&["chat", "--timeout", "soon", "--timeout", "10s", &host, "a"]), 2, &["soon"]);
}

#[test]
fn a_source_that_cannot_be_another_host_is_refused_before_a_frame_is_sent() {
    for (sources, why) in [
        ("10.0.0.1", "is the board's own address"),
        ("fdaa::2", "is not of the IP version"),
        ("10.0.0.2,224.0.0.5", "--source 224.0.0.5 is not one host's address"),
        ("10.0.0.2,10.0.0.3,10.0.0.2", "--source 10.0.0.2 is given twice"),
    ] {
        assert_fails(&greet(&["check", "10.0.0.1", "--interface", "nosuch0", "--source", sources]), 2, &[why]);
    }
}

#[test]
fn the_completions_of_each_shell_contain_the_options() {
    for shell in ["bash", "zsh", "fish"] {
        let output = greet(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        for word in ["serve", "max-per-peer", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_fails(&greet(&["completions", "tcsh"]), 2, &["tcsh", "bash"]);
}

#[test]
fn the_manual_pages_document_each_subcommand_and_the_exit_statuses() {
    let folder = tempfile::tempdir().unwrap();
    assert!(greet(&["manuals", folder.path().to_str().unwrap()]).status.success());
    for name in ["greet", "greet-serve", "greet-chat", "greet-fetch", "greet-check", "greet-bench", "greet-completions"]
    {
        let page = fs::read_to_string(folder.path().join(format!("{name}.1"))).unwrap();
        assert!(page.contains("EXIT STATUS") && page.contains("The command line is wrong."), "{name}");
    }
    assert_fails(&greet(&["manuals", "/nowhere"]), 23, &["/nowhere/greet"]);
}
