//! Tests of `greet check` with several runs: `--targets`, `--jobs`, `--repeat`, `--until-failure`, and the JUnit report.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "in a test a panic is how a failure is reported"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use greet_broken::greeter::Defect;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    check::broken,
    common::{GREET, Server, assert_fails},
};

/// A file with this text, in a temporary folder that is removed when the returned guard is dropped.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("servers.txt");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn check(arguments: &[&str]) -> Output {
    Command::new(GREET).arg("check").args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_check_of_several_servers_has_one_summary_and_one_exit_status() {
    let server = Server::start(&["--quiet"]);
    let (good, bad) = (server.address.to_string(), broken(Defect::NulBehindGreeting).to_string());
    let (_folder, path) = file(&format!("# a shelf\n{good}\n{bad} # the new one\n"));
    let targets = ["--targets", path.to_str().unwrap(), "--only", "reach"];
    for jobs in ["1", "2"] {
        let output = check(&[&targets[..], &["--jobs", jobs]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let summary = text.rsplit_once("\n\n").unwrap().1;
        let lines: Vec<&str> = summary.lines().collect();
        assert!(lines[0].starts_with(&format!("ok   {good}")) && lines[0].contains("PASSED ("), "{text}");
        assert!(lines[1].starts_with(&format!("FAIL {bad}")) && lines[1].contains("FAILED: reach.greeting"), "{text}");
        assert_eq!(lines[2..], ["1 of 2 servers passed"], "{text}");
        // The lines of one server are not interleaved with those of another.
        assert!(text.contains(&format!("{bad}:\nload: ")), "{text}");
        assert_eq!(text.matches("FAIL reach.greeting").count(), 1, "{text}");
    }
    let output = check(&[&targets[..], &["--json", "--jobs", "2"]].concat());
    let mut hosts: Vec<(String, bool)> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|run| (run["host"].as_str().unwrap().to_owned(), run["passed"].as_bool().unwrap()))
        .collect();
    hosts.sort_by_key(|(_, passed)| !passed);
    assert_eq!((output.status.code(), hosts), (Some(1), vec![(good.clone(), true), (bad, false)]));

    let (_folder, path) = file(&good);
    let output = check(&["--targets", path.to_str().unwrap(), "--only", "reach"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn an_invalid_line_in_the_targets_file_is_reported_and_nothing_is_checked() {
    let (_folder, path) = file("127.0.0.1\n\nboard:99999\n");
    let output = check(&["--targets", path.to_str().unwrap()]);
    assert_fails(&output, 2, &["servers.txt:3: the port is a number from 1 to 65535"]);
    assert_eq!(output.stdout.len(), 0);
    assert_fails(&check(&["--targets", "/nowhere/servers.txt"]), 2, &["`/nowhere/servers.txt` cannot be read"]);
    assert_fails(&check(&["host", "--targets", path.to_str().unwrap()]), 2, &["--targets"]);
    assert_fails(&check(&["host", "--jobs", "2"]), 2, &["--jobs"]);
    assert_fails(&check(&["host", "--repeat", "0"]), 2, &["at least 1"]);
}

#[test]
fn a_repeated_check_counts_its_failures_and_shows_the_first() {
    let address = broken(Defect::NulBehindGreeting).to_string();
    let output = check(&[&address, "--only", "reach.greeting", "--repeat", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("FAIL reach.greeting").count(), 1, "{text}");
    assert!(text.contains("run 3: FAILED: reach.greeting"), "{text}");
    assert!(text.contains("3 of 3 runs failed: reach.greeting in 3; the first was run 1"), "{text}");
}

#[test]
fn until_failure_runs_until_the_server_fails() {
    let server = Server::start(&["--quiet"]);
    let mut command = Command::new(GREET);
    command.args(["check", &server.address.to_string(), "--only", "reach", "--until-failure"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("run 1: PASSED"), "{line}");
    drop(server);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    assert_eq!(rest.matches(": FAILED").count(), 1, "{rest}");
    assert!(rest.contains("1 of ") && rest.contains(" runs failed"), "{rest}");
}

#[test]
fn the_junit_report_has_a_suite_for_each_server_and_a_case_for_each_probe() {
    let server = Server::start(&["--quiet"]);
    let (good, bad) = (server.address.to_string(), broken(Defect::NulBehindGreeting).to_string());
    let (folder, path) = file(&format!("{good}\n{bad}\n"));
    let junit = folder.path().join("check.xml");
    let options = ["--only", "reach.greeting", "--junit", junit.to_str().unwrap()];
    let output = check(&[&["--targets", path.to_str().unwrap()], &options[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let xml = fs::read_to_string(&junit).unwrap();
    for part in [
        &format!(r#"<testsuite name="{good}""#),
        &format!(r#"<testsuite name="{bad}""#),
        r#"<testcase name="reach.greeting" classname="greet.check.reach""#,
        r#"<failure message="more bytes follow the greeting"#,
        "look at:  the NUL that ends a C string",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    assert_eq!(xml.matches("<failure").count(), 1, "{xml}");
    assert_fails(&check(&[&good, "--junit", "/nowhere/check.xml"]), 23, &["cannot write `/nowhere/check.xml`"]);
}
