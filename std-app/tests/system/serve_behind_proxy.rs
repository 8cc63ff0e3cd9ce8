//! `greet serve --proxy-protocol require`, on each runtime: the client address is taken from the PROXY header.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};

use serde_json::Value;

use crate::common::{Server, runtimes};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 127.0.0.1 12345 9999\r\n";
/// A version 2 header for the client `192.0.2.2:12345`.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x02\x7f\0\0\x01\x30\x39\x27\x0f";
/// A version 2 header for a health check of the proxy (LOCAL).
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn next(server: &mut Server) -> (String, String) {
    let line = server.line();
    let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    (field("event"), field("peer"))
}

#[test]
fn the_client_address_is_taken_from_the_header_in_reads_of_any_size() {
    for runtime in runtimes() {
        let mut server = Server::start_with_json(&["--runtime", runtime, "--proxy-protocol", "require"]);
        for (header, peer) in [(V1, Some("192.0.2.1:12345")), (V2, Some("192.0.2.2:12345")), (LOCAL, None)] {
            for piece in [header.len(), 1] {
                let mut client = server.connect();
                for piece in header.chunks(piece) {
                    client.0.write_all(piece).unwrap();
                }
                client.expect("Welcome!");
                client.converse("haha");
                let own = client.0.local_addr().unwrap().to_string();
                drop(client);
                let peer = peer.unwrap_or(&own);
                assert_eq!(next(&mut server), ("accepted".to_owned(), peer.to_owned()), "{runtime}");
                assert_eq!(next(&mut server), ("closed".to_owned(), peer.to_owned()), "{runtime}");
            }
        }
        // Bytes after the header in the same segment belong to the conversation.
        let mut client = server.connect();
        client.0.write_all(&[V1, b"haha\nexit\n"].concat()).unwrap();
        assert_eq!(client.rest(), "Welcome!Hello, haha!\n");
    }
}

#[test]
fn a_client_without_a_header_is_refused_and_logged_in_one_line() {
    for runtime in runtimes() {
        let mut server = Server::start_with_json(&["--runtime", runtime, "--proxy-protocol", "require"]);
        for wrong in [&b"haha\n"[..], b"PROXY TCP4 nonsense\r\n", b""] {
            let mut client = server.connect();
            let own = client.0.local_addr().unwrap().to_string();
            client.0.write_all(wrong).unwrap();
            client.0.shutdown(std::net::Shutdown::Write).unwrap();
            // No greeting: a FIN, or a reset if the server has not read everything.
            assert_eq!(client.0.read(&mut [0; 8]).unwrap_or(0), 0, "{runtime}");
            assert_eq!(next(&mut server), ("refused".to_owned(), own), "{runtime}");
        }
    }
}

#[test]
fn the_connection_limit_applies_to_the_client_not_to_the_proxy() {
    for runtime in runtimes() {
        let options = ["--runtime", runtime, "--proxy-protocol", "require", "--max-per-peer", "1"];
        let server = Server::start_with_json(&options);
        let open = |header: &[u8]| {
            let mut client = server.connect();
            client.0.write_all(header).unwrap();
            client
        };
        let (mut first, mut second) = (open(V1), open(V2));
        first.expect("Welcome!");
        second.expect("Welcome!");
        assert_eq!(open(V1).rest(), "");
        first.converse("haha");
    }
}
