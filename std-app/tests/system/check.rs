//! Tests of `greet check`: it finds the defect of each broken server and names the cause, and it finds nothing on a correct
//! server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "in a test a panic is how a failure is reported"
)]

use core::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Mutex,
    thread,
};

use crate::common::{GREET, Server, runtimes};
use greet_broken::{Broken, Server as BrokenServer, greeter::Defect};
use serde_json::Value;

/// The failed probes: the id, and the cause that is named first.
pub(crate) fn failures(result: &Value) -> Vec<(String, String)> {
    let probes = result["probes"].as_array().unwrap();
    let failed = probes.iter().filter(|probe| probe["outcome"] == "failed");
    let text = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
    failed.map(|probe| (text(&probe["id"]), text(&probe["failure"]["causes"][0]))).collect()
}

pub(crate) fn check(address: SocketAddr, options: &[&str]) -> Output {
    let mut command = Command::new(GREET);
    command.args(["check", &address.to_string()]).args(options).stdin(Stdio::null());
    command.output().unwrap()
}

pub(crate) fn check_json(address: SocketAddr, options: &[&str]) -> (Option<i32>, Value) {
    let output = check(address, &[&["--json"], options].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), value)
}

/// A broken server, until the process ends.
pub(crate) fn broken(server: impl Into<BrokenServer>) -> SocketAddr {
    let server = server.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || server.serve(&listener));
    address
}

/// Checks every broken server, six at a time, with options that may depend on the probe that has to find its defect.
fn assert_every_defect_is_found(options: impl Fn(&'static str) -> Vec<&'static str> + Sync) {
    const AT_ONCE: usize = 6;
    // What is wrong with the check of a defect.
    let problem = |&Broken { name, server, probe, cause }: &Broken| {
        // Each conversation takes 1.5 s: a whole check takes minutes.
        let is_alone = server == Defect::LateFin.into();
        let only: &[&str] = if is_alone { &["--only", probe] } else { &[] };
        let (_, result) = check_json(broken(server), &[&options(probe), only].concat());
        let found = failures(&result);
        let is_found = found.iter().any(|(id, first)| id == probe && first.contains(cause));
        (!is_found).then(|| format!("{name}: not `{cause}` by {probe}, but {found:#?}"))
    };
    let all: Vec<Broken> = greet_broken::all().collect();
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if problem(row).is_some() {
                        missed.lock().unwrap().push(row);
                    }
                }
            });
        }
    });
    // With five other checks running, RTTs can be so long that a delay of 10 ms is not detected: repeat without them.
    let missed = missed.into_inner().unwrap();
    let problems: Vec<String> = missed.into_iter().filter_map(problem).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_defect_is_found_by_its_probe_alone() {
    assert_every_defect_is_found(|probe| vec!["--timeout", "2s", "--only", probe]);
}

#[test]
#[ignore = "takes minutes: tests/run full"]
fn every_defect_is_found_by_a_whole_check() {
    assert_every_defect_is_found(|_| vec!["--timeout", "2s"]);
}

/// Checks a correct server: nothing may be found.
fn assert_nothing_is_found(runtime: &str, framing: &str, options: &[&str]) {
    let server = Server::start(&[&["--quiet", "--runtime", runtime, "--framing", framing], options].concat());
    let (status, result) = check_json(server.address, &[]);
    assert_eq!((status, failures(&result)), (Some(0), Vec::new()), "{runtime}, {framing}, {options:?}");
    assert_eq!(result["framing"], framing);
}

#[test]
fn nothing_is_found_on_a_correct_server() {
    assert_nothing_is_found("tokio", "auto", &[]);
}

#[test]
#[ignore = "takes minutes: tests/run full"]
fn nothing_is_found_on_a_correct_server_with_other_settings() {
    for runtime in runtimes() {
        for framing in ["auto", "line", "chunk"] {
            for options in [&[][..], &["--max-connections", "4"]] {
                assert_nothing_is_found(runtime, framing, options);
            }
        }
    }
}

#[test]
fn only_the_selected_probes_are_run() {
    let server = Server::start(&["--quiet"]);
    let (status, result) =
        check_json(server.address, &["--only", "rules,stream.splits", "--skip", "rules.R1,recovery"]);
    let ids: Vec<&str> =
        result["probes"].as_array().unwrap().iter().map(|probe| probe["id"].as_str().unwrap()).collect();
    assert_eq!(status, Some(0));
    assert_eq!((ids.len(), ids.contains(&"stream.splits"), ids.contains(&"rules.R1")), (19, true, false), "{ids:?}");
    let first = ["reach.connect", "reach.service", "reach.reply"];
    assert_eq!(ids[..3], first, "the others need the facts that these establish");
}

#[test]
fn without_a_server_one_probe_fails_and_the_others_are_skipped() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = check(address, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("FAIL reach.connect"), "{text}");
    assert!(text.contains("refused the connection"), "{text}");
    assert!(text.ends_with("FAILED: reach.connect; no server answers (1 passed, 61 skipped)\n"), "{text}");
    let (status, result) = check_json(address, &["--only", "stream.splits"]);
    let ended = "FAILED: reach.connect; no server answers (0 passed, 3 skipped)";
    assert_eq!((status, result["verdict"].as_str()), (Some(1), Some(ended)), "{result}");
}

#[test]
fn an_invalid_command_line_is_reported_in_one_line_with_status_2() {
    for arguments in [
        &["check"][..],
        &["check", "host", "--only", "nonsense"],
        &["check", "host", "--capacity", "3"],
        &["check", "host", "--timeout", "0"],
        &["check", "host", "--only", "reach", "--skip", "reach"],
    ] {
        let output = Command::new(GREET).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{arguments:?}: {said}");
    }
}

#[test]
fn nothing_is_run_if_the_html_report_cannot_be_written() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = check(address, &["--html", "/nowhere/page.html"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len(), said.lines().count()), (Some(23), 0, 1), "{said}");
}

#[test]
fn every_probe_is_listed() {
    let output = Command::new(GREET).args(["check", "--list"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(0), 74), "{text}");
    for Broken { name, probe, .. } in greet_broken::all() {
        assert!(text.lines().any(|line| line.starts_with(probe)), "{name}: there is no {probe}");
    }
}

#[test]
fn with_json_the_list_of_probes_is_json() {
    let output = Command::new(GREET).args(["check", "--list", "--json"]).output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = Command::new(GREET).args(["check", "--list"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    let probes = list["probes"].as_array().unwrap();
    assert_eq!((output.status.code(), probes.len()), (Some(0), text.lines().count()));
    for (probe, line) in probes.iter().zip(text.lines()) {
        assert!(line.starts_with(probe["id"].as_str().unwrap()), "{probe}, {line}");
        assert!(line.ends_with(probe["requirement"].as_str().unwrap()), "{probe}, {line}");
    }
}

#[test]
fn a_result_worse_than_the_baseline_is_reported() {
    let server = Server::start(&["--quiet"]);
    let folder = std::env::temp_dir().join(format!("greet-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("baseline.json");
    let output = check(server.address, &["--only", "reach", "--json"]);
    let mut baseline: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (probe, figure) = ("reach.reply", "conversations of one name per second");
    let probes = baseline["probes"].as_array_mut().unwrap();
    let reply = probes.iter_mut().find(|entry| entry["id"] == probe).unwrap();
    reply["measures"][0]["value"] = 1e9.into();
    std::fs::write(&path, baseline.to_string()).unwrap();
    let output = check(server.address, &["--only", "reach", "--baseline", path.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("{probe}: {figure}: ")) && text.contains(" times the baseline"), "{text}");
    assert!(!text.contains("reach.connect: connect: "), "a time that was measured once is noise: {text}");

    std::fs::write(&path, "{ \"probes\": [{ \"id\": 7 }] }").unwrap();
    let output = check(server.address, &["--only", "reach", "--baseline", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(23));

    std::fs::write(&path, "{ \"probes\": [] }").unwrap();
    let output = check(server.address, &["--only", "reach", "--baseline", path.to_str().unwrap()]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("none of these probes"), "a file of another kind");

    std::fs::write(&path, "{ \"format\": \"greet check 2\", \"probes\": [] }").unwrap();
    let output = check(server.address, &["--only", "reach", "--baseline", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(23));
    assert!(String::from_utf8(output.stderr).unwrap().contains("this version reads `greet check 5`"));

    std::fs::write(&path, "{}").unwrap();
    let output = check(server.address, &["--baseline", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(23));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is not such a report"), "a file of another kind");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The tutorial's server, without its sleep of 1 s before each reply. It implements fewer rules.
#[test]
fn the_tutorials_server_fails_the_rules_that_it_does_not_implement() {
    let tutorial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/system/tutorial");
    let folder = std::env::temp_dir().join(format!("greet-check-tutorial-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let script = std::fs::read_to_string(tutorial.join("server.py")).unwrap();
    let awake = script.replace("        time.sleep(1)\n", "");
    assert_ne!(script, awake);
    std::fs::write(folder.join("server.py"), awake).unwrap();

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("python3");
    command.args(["-B", "-u"]).arg(tutorial.join("at_port.py")).arg(port.to_string()).arg(folder.join("server.py"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    thread::spawn(move || io::copy(&mut output, &mut io::sink()));
    let (status, result) = check_json(SocketAddr::from(([127, 0, 0, 1], port)), &["--timeout", "3s"]);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();

    let found: Vec<String> = failures(&result).into_iter().map(|(id, _)| id).collect();
    // After `exit` it closes with input unread, which resets (R3, C1); a read of 1,024 bytes may cut a character in two (L2,
    // U2); and what is not UTF-8 ends its thread and leaves the client waiting (U1, E1).
    let must = ["rules.U1", "rules.R3", "rules.L2", "rules.U2", "rules.E1", "rules.C1"];
    // Its backlog of five may be too short for sixteen clients in the same instant.
    let may = ["connections.burst"];
    let others: Vec<&String> = found.iter().filter(|id| !may.contains(&id.as_str())).collect();
    assert_eq!((status, others), (Some(1), must.map(str::to_owned).iter().collect()));
}

#[test]
fn the_html_report_is_self_contained_and_shows_the_findings() {
    let folder = std::env::temp_dir().join(format!("greet-check-page-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("check.html");
    let output = check(broken(Defect::Utf8Crash), &["--timeout", "2s", "--html", path.to_str().unwrap()]);
    let page = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for part in
        ["FAILED", "rules.U1", "Error: name is not valid UTF-8", "crashes on invalid UTF-8", "<svg", "Round-trip times"]
    {
        assert!(page.contains(part), "{part}");
    }
    for part in ["http:", "https:", "src=", "<script", "url("] {
        assert!(!page.contains(part), "{part}");
    }
}

/// A server of another protocol: what it sends first, and what it answers to the first bytes it receives.
fn other_server(banner: &'static [u8], answer: fn(&[u8]) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || -> io::Result<()> {
                stream.write_all(banner)?;
                let mut buffer = [0; 1024];
                let count = stream.read(&mut buffer)?;
                stream.write_all(&answer(&buffer[..count]))?;
                io::copy(&mut stream, &mut io::sink()).map(drop)
            });
        }
    });
    address
}

#[test]
fn a_server_of_another_protocol_gets_one_verdict() {
    for (banner, answer, server) in [
        (&b"SSH-2.0-test\r\n"[..], (|_| Vec::new()) as fn(&[u8]) -> Vec<u8>, "an SSH server"),
        (b"220 test ESMTP\r\n", |_| Vec::new(), "an SMTP server"),
        (b"\xFF\xFD\x18", |_| Vec::new(), "a telnet server"),
        (b"Fri Nov 27 02:05:32 2026\r\n", |_| Vec::new(), "a daytime server"),
        (b"", |_| b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec(), "an HTTP server"),
        (b"", |_| b"\x15\x03\x03\0\x02\x02\x0A".to_vec(), "a TLS server"),
        (b"", |bytes| bytes.iter().rev().copied().collect(), "an echo server that reverses what it receives"),
        (b"", <[u8]>::to_ascii_uppercase, "an echo server that changes the case of letters"),
        (b"", |bytes| [b"You said: ", bytes].concat(), "an echo server that adds text to what it receives"),
        (b"login: ", |_| Vec::new(), "a server of another protocol"),
        (b"", |_| vec![9], "an iperf3 server"),
    ] {
        let output = check(other_server(banner, answer), &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("this seems to be {server}")), "{server}: {text}");
        assert!(
            text.contains("FAIL reach.service") && text.contains("\nskip 60 probes after reach.service\n"),
            "{text}"
        );
        assert!(text.lines().count() <= 12, "{text}");
    }
}
