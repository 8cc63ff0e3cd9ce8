//! `greet check --for`: outages with their times, and the figures of the soak.
#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use core::{net::SocketAddr, time::Duration};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use crate::{
    check::{check_json, failures},
    common::Server,
};

/// An echo server that is away for half a second, once, a second after the first message of the soak.
fn away_once() -> SocketAddr {
    const BEGINS: Duration = Duration::from_secs(1);
    const ENDS: Duration = Duration::from_millis(1500);
    fn serve(mut stream: TcpStream, first: &Mutex<Option<Instant>>) -> std::io::Result<()> {
        let is_away = || {
            let first = *first.lock().unwrap();
            first.is_some_and(|first| first.elapsed() >= BEGINS && first.elapsed() < ENDS)
        };
        stream.set_nodelay(true)?;
        let mut buffer = [0; 4096];
        while !is_away() {
            let count = stream.read(&mut buffer)?;
            if count == 0 || is_away() {
                break;
            }
            if &buffer[..count] == b"soak" {
                first.lock().unwrap().get_or_insert_with(Instant::now);
            }
            stream.write_all(&buffer[..count])?;
        }
        Ok(())
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let first = Arc::new(Mutex::new(None));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let first = Arc::clone(&first);
            thread::spawn(move || serve(stream, &first));
        }
    });
    address
}

#[test]
fn an_outage_is_reported_with_its_time_and_length() {
    let (status, result) = check_json(away_once(), &["--only", "soak", "--for", "4s", "--in-flight", "2048"]);
    let found = failures(&result);
    let soak = &result["soak"];
    assert_eq!((status, found.first().map(|(id, _)| id.as_str())), (Some(1), Some("soak.outages")), "{result:#}");
    assert!(soak["outages"].as_u64().unwrap() >= 1, "{soak:#}");
    let first = &soak["first_outages"][0];
    assert!(first["begin"].as_f64().unwrap() >= 0.9 && first["seconds"].as_f64().unwrap() > 0.0, "{soak:#}");
    assert!(soak["messages"].as_u64().unwrap() > 0 && soak["seconds"].as_f64().unwrap() >= 4.0, "{soak:#}");
}

#[test]
fn nothing_is_found_on_a_correct_server_in_some_seconds() {
    let server = Server::start(&["--quiet", "--max-connections", "4"]);
    let (status, result) = check_json(server.address, &["--only", "soak", "--for", "3s"]);
    assert_eq!((status, failures(&result)), (Some(0), Vec::new()));
    assert!(result["soak"]["conversations"].as_u64().unwrap() > 0, "{result:#}");
    assert_eq!(result["soak"]["parts"].as_array().unwrap().len(), 60);
}
