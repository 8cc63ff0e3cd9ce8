//! The machine that fetches a page, over both drivers: the trait `Machine` fits another protocol too.

use core::time::Duration;

use embedded_io::ErrorKind;
use greet_core::{Get, GetFailure, GetMissing, GetRequest, GetSettings, HttpMethod, Instant};

use super::{
    STYLES, at,
    mock::{Incoming, Mock, drive},
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nha\r\n2\r\nha\r\n0\r\n\r\n";

fn get() -> Get<128> {
    let request = GetRequest { method: HttpMethod::Get, host: "h", target: "/", fields: &[] };
    Get::new(request, GetSettings { timeout: Some(Duration::from_secs(3)), max_head: None }, Instant::ZERO).unwrap()
}

fn in_reads_of(size: usize) -> Vec<Incoming> {
    ANSWER.chunks(size).map(|read| Incoming::Read(read.to_vec())).chain([Incoming::End]).collect()
}

/// The body in the events, whose debug format is `Body([104, 97])`.
fn body_of(events: &[String]) -> Vec<u8> {
    let lists = events.iter().filter_map(|event| event.strip_prefix("Body([")?.strip_suffix("])"));
    lists.flat_map(|list| list.split(", ").map(|byte| byte.parse::<u8>().unwrap())).collect()
}

#[test]
fn a_page_is_received_complete_in_reads_of_any_size_and_with_interruptions() {
    for style in STYLES {
        for read in [1, 2, 7, ANSWER.len()] {
            for (write, output) in [(1, 1), (5, 16), (100, 100)] {
                let fetch = |interruption: Option<usize>| {
                    let mut get = get();
                    let mut mock = Mock::new(in_reads_of(read));
                    mock.write_sizes = [write].into();
                    mock.fault = interruption.map(|call| (call, ErrorKind::Interrupted));
                    let report = drive(style, &mut get, &mut mock, output);
                    assert_eq!((report.result, get.outcome()), (Ok(()), Some(Ok(()))), "{style:?} {read} {output}");
                    assert_eq!((mock.written(), mock.shutdowns), (REQUEST.to_vec(), 1));
                    (body_of(&report.events), mock.calls)
                };
                let (body, calls) = fetch(None);
                assert_eq!(body, b"haha");
                for call in 1..=calls {
                    assert_eq!(fetch(Some(call)).0, body, "{style:?} {read} {output} {call}");
                }
            }
        }
    }
}

#[test]
fn an_early_close_is_reported_at_once_and_a_silent_server_after_the_timeout() {
    for style in STYLES {
        let reads = |last: Incoming| [Incoming::Read(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha".to_vec()), last];
        for (last, outcome, ended) in [
            (Incoming::End, GetFailure::EndedEarly(GetMissing::Body(Some(2))), at(0)),
            (Incoming::Silence(Duration::from_secs(9)), GetFailure::TimedOut(GetMissing::Body(Some(2))), at(3)),
        ] {
            let mut get = get();
            let mut mock = Mock::new(reads(last));
            let report = drive(style, &mut get, &mut mock, 64);
            assert_eq!((report.result, get.outcome(), mock.clock.now()), (Ok(()), Some(Err(outcome)), ended));
        }
    }
}
