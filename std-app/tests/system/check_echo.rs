//! Tests of `greet check` with echo servers: it recognizes them, finds nothing on correct ones, and finds the defects of others.
#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::{net::SocketAddr, time::Duration};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Weak},
    thread,
    time::Instant,
};

use crate::{
    check::{check, check_json, failures},
    common::{Server, runtimes},
};

/// A server that calls `serve` for each client: concurrently, each in its own thread, or one client at a time.
fn server(is_concurrent: bool, serve: impl Fn(TcpStream) -> io::Result<()> + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serving = thread::spawn(move || serve(stream));
            if !is_concurrent {
                let _ = serving.join();
            }
        }
    });
    address
}

/// An echo server that receives at most `N` bytes at a time, and sends the result of `change`.
fn echo<const N: usize>(mut stream: &TcpStream, change: fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; N];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&change(&buffer[..count]))?,
        }
    }
}

#[test]
fn nothing_is_found_on_a_correct_echo_server() {
    let (status, result) = check_json(server(true, |stream| echo::<4096>(&stream, <[u8]>::to_vec)), &[]);
    assert_eq!((status, failures(&result)), (Some(0), Vec::new()));
    assert_eq!((&result["service"], &result["framing"]), (&"echo".into(), &serde_json::Value::Null));
}

#[test]
fn nothing_is_found_on_the_echo_service_on_any_runtime() {
    for runtime in runtimes() {
        let server = Server::start(&["--quiet", "--service", "echo", "--runtime", runtime]);
        let (status, result) = check_json(server.address, &[]);
        assert_eq!((status, failures(&result)), (Some(0), Vec::new()), "{runtime}");
        assert_eq!(result["service"], "echo");
    }
}

#[test]
#[ignore = "takes minutes: tests/run full"]
fn nothing_is_found_on_an_echo_server_with_small_reads_or_with_printable_bytes_only() {
    let (status, result) = check_json(server(true, |stream| echo::<127>(&stream, <[u8]>::to_vec)), &[]);
    assert_eq!((status, failures(&result)), (Some(0), Vec::new()));
    let printable: fn(&[u8]) -> Vec<u8> = |bytes| bytes.iter().copied().filter(|byte| *byte < 0x80).collect();
    let (status, result) = check_json(server(true, move |stream| echo::<512>(&stream, printable)), &["--text"]);
    assert_eq!((status, failures(&result)), (Some(0), Vec::new()));
}

#[test]
fn an_echo_server_for_one_client_at_a_time_gets_one_warning() {
    let address = server(false, |stream| echo::<1024>(&stream, <[u8]>::to_vec));
    let (status, result) = check_json(address, &["--only", "connections.concurrent,connections.reset,echo"]);
    let found = failures(&result);
    assert_eq!(status, Some(0), "{found:?}");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "connections.concurrent");
    assert!(result.to_string().contains("serves 1 at a time"), "{result}");
}

/// As a board does whose only socket listens again some time after its client has left.
#[test]
fn a_server_with_one_slot_that_refuses_the_next_client_for_a_moment_is_reached() {
    const MOMENT: Duration = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = echo::<1024>(&stream, <[u8]>::to_vec);
            drop(stream);
            let begin = Instant::now();
            listener.set_nonblocking(true).unwrap();
            while begin.elapsed() < MOMENT {
                if let Ok((refused, _)) = listener.accept() {
                    socket2::SockRef::from(&refused).set_linger(Some(Duration::ZERO)).unwrap();
                }
                thread::sleep(Duration::from_millis(5));
            }
            listener.set_nonblocking(false).unwrap();
        }
    });
    let (status, result) = check_json(address, &["--only", "reach"]);
    assert_eq!((status, failures(&result)), (Some(0), Vec::new()));
}

/// As a stack does whose connections are all used up.
#[test]
fn an_echo_server_that_gives_up_old_clients_for_new_ones_gets_one_warning() {
    const CLIENTS: usize = 5;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut clients = VecDeque::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let stream = Arc::new(stream);
            clients.push_back(Arc::downgrade(&stream));
            if clients.len() > CLIENTS {
                let oldest = clients.pop_front().as_ref().and_then(Weak::upgrade);
                let _ = oldest.map(|oldest| oldest.shutdown(Shutdown::Both));
            }
            thread::spawn(move || echo::<1024>(&stream, <[u8]>::to_vec));
        }
    });
    let (status, result) = check_json(address, &["--only", "connections"]);
    let found = failures(&result);
    assert_eq!((status, found.len()), (Some(0), 1), "{found:?}");
    assert_eq!(found[0].0, "connections.kept");
    assert!(result.to_string().contains("32 clients were let in, and 5 of them are still served"), "{result}");
}

/// The usual defect of examples: what does not fit into the send buffer of 1,000 bytes is dropped.
#[test]
fn bytes_that_are_lost_in_flight_are_one_finding() {
    let address = server(true, |stream| echo::<65536>(&stream, |bytes| bytes[..bytes.len().min(1000)].to_vec()));
    let output = check(address, &["--only", "echo,stream", "--timeout", "3s"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("FAIL echo.in-flight"), "{text}");
    assert!(text.contains("loses data when more than 1000 bytes"), "{text}");
    assert_eq!(text.matches("FAIL").count(), 2, "the probe and the verdict alone: {text}");
    // Below the limit nothing is wrong.
    let (status, result) = check_json(address, &["--only", "echo", "--in-flight", "500"]);
    assert_eq!((status, failures(&result)), (Some(0), Vec::new()));
}

#[test]
fn each_defect_of_an_echo_is_found_by_its_probe() {
    for (change, probe, cause) in [
        (
            (|bytes| bytes.iter().map(|byte| byte & 0x7F).collect()) as fn(&[u8]) -> Vec<u8>,
            "echo.bytes",
            "the highest bit",
        ),
        (|bytes| bytes.iter().copied().filter(|byte| *byte != 0).collect(), "echo.text", "C string"),
        (|bytes| [bytes, b"\0"].concat(), "reach.reply", "zero byte"),
    ] {
        let address = server(true, move |stream| echo::<4096>(&stream, change));
        let (status, result) = check_json(address, &["--only", "echo", "--timeout", "1s"]);
        let found = failures(&result);
        assert_eq!(status, Some(1), "{found:?}");
        assert!(found.iter().any(|(id, first)| id == probe && first.contains(cause)), "{probe}: {found:#?}");
    }
}

#[test]
fn a_stated_service_that_the_server_does_not_offer_gets_one_verdict() {
    let echo_server = server(true, |stream| echo::<4096>(&stream, <[u8]>::to_vec));
    let greeting_server = Server::start(&["--quiet"]);
    for (address, stated, seen) in [
        (echo_server, "greet", "an echo server (RFC 862), not a greeting"),
        (greeting_server.address, "echo", "a greeting server, not"),
    ] {
        let output = check(address, &["--service", stated]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("this seems to be {seen}")), "{text}");
        assert!(text.lines().count() <= 12, "{text}");
    }
}

/// A discard server (RFC 863) and a server that sends without end.
#[test]
fn servers_that_only_receive_or_only_send_are_recognized() {
    let discard = server(true, |mut stream| io::copy(&mut stream, &mut io::sink()).map(drop));
    let fountain = server(true, |mut stream| {
        loop {
            stream.write_all(&b"tick\n".repeat(100))?;
        }
    });
    for (address, seen) in [(discard, "a discard server (RFC 863)"), (fountain, "a server that sends without end")] {
        let output = check(address, &["--timeout", "1s"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("this seems to be {seen}")), "{text}");
    }
}
