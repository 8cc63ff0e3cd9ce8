//! The machine that fetches a page: its table in reads of any size, every prefix, and its heads compared with another parser.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::{
    Get, GetEvent, GetFailure, GetRequest, GetSettings, HttpMethod, Instant, Machine, RequestError, State,
};
use greet_tests::vectors::{self, fill_in};
use proptest::prelude::*;
use serde::Deserialize;

const CAPACITY: usize = 8192;
const NOW: Instant = Instant::ZERO;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "in")]
    input: String,
    status: Option<u16>,
    #[serde(default)]
    body: String,
    end: String,
    at: Option<u64>,
}

#[derive(Deserialize)]
struct Table {
    case: Vec<Case>,
}

fn table() -> Vec<(Case, Vec<u8>)> {
    let table: Table = toml::from_str(vectors::HTTP).unwrap();
    table
        .case
        .into_iter()
        .map(|case| (fill_in(&case.input, CAPACITY).unwrap(), case))
        .map(|(input, case)| (case, input))
        .collect()
}

/// The result of a response.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fetched {
    status: Option<u16>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    length: Option<u64>,
    body: Vec<u8>,
    at: Option<u64>,
    outcome: Option<Result<(), GetFailure>>,
}

/// A machine whose request is sent.
fn asked<const N: usize>() -> Get<N> {
    let mut get = Get::new(
        GetRequest { method: HttpMethod::Get, host: "h", target: "/", fields: &[] },
        GetSettings::default(),
        NOW,
    )
    .unwrap();
    assert_eq!(get.receive(NOW, b"HTTP/1.1 200 OK\r\n").taken, 0, "it listens before it has asked");
    while get.transmit(NOW, &mut [0; 7]) > 0 {}
    get
}

/// Reads that many bytes at a time, then the end if there is one.
fn fetch<const N: usize>(reads: &[&[u8]], end: bool) -> Fetched {
    let mut get: Get<N> = asked();
    let mut fetched = Fetched::default();
    for read in reads {
        let mut rest = *read;
        while !rest.is_empty() && get.state() == State::Open {
            let received = get.receive(NOW, rest);
            let taken = received.taken;
            match received.event {
                Some(GetEvent::Head { head, length }) => {
                    assert_eq!(fetched.status, None, "a second head");
                    fetched.status = Some(head.status());
                    fetched.fields = head.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                    fetched.length = length;
                    assert!(head.bytes().ends_with(b"\n"));
                }
                Some(GetEvent::Body(data)) => {
                    assert!(!data.is_empty());
                    fetched.body.extend_from_slice(data);
                }
                Some(GetEvent::Wrong { failure, offset, seen }) => {
                    fetched.at = Some(offset);
                    assert_eq!(failure == GetFailure::NotHttp, !seen.is_empty(), "{seen:?}");
                    assert_eq!(get.outcome(), Some(Err(failure)));
                }
                None => assert!(taken > 0, "it neither takes nor tells"),
            }
            rest = &rest[taken..];
        }
    }
    if end {
        get.receive_end(NOW);
        assert_eq!(get.state(), State::Over);
        assert_eq!(get.receive(NOW, b"x").taken, 0, "it is over and takes more");
    }
    fetched.outcome = get.outcome();
    fetched
}

fn check(case: &Case, fetched: &Fetched) {
    let end = match fetched.outcome {
        Some(Ok(())) => "Whole".to_owned(),
        Some(Err(failure)) => format!("{failure:?}"),
        None => "nothing".to_owned(),
    };
    let body = fill_in(&case.body, CAPACITY).unwrap();
    assert_eq!((&end, fetched.at, fetched.status), (&case.end, case.at, case.status), "{}", case.name);
    assert!(fetched.body == body, "{}: {:?}", case.name, fetched.body);
}

#[test]
fn every_case_passes_in_reads_of_any_size() {
    for (case, input) in table() {
        let whole = fetch::<CAPACITY>(&[&input], true);
        check(&case, &whole);
        let step = (input.len() / 500).max(1); // long responses are cut at some positions only
        for cut in (0..input.len()).step_by(step) {
            let (first, second) = input.split_at(cut);
            assert_eq!(fetch::<CAPACITY>(&[first, second], true), whole, "{} cut at {cut}", case.name);
        }
        for size in 1..=8 {
            let reads: Vec<&[u8]> = input.chunks(size).collect();
            assert_eq!(fetch::<CAPACITY>(&reads, true), whole, "{} cut into {size}", case.name);
        }
    }
}

#[test]
fn every_prefix_of_a_valid_response_is_incomplete() {
    for (case, input) in table().into_iter().filter(|(case, _)| case.end == "Whole") {
        let whole = fetch::<CAPACITY>(&[&input], false);
        let by_end = whole.outcome.is_none();
        let needed = (0..=input.len()).find(|&length| fetch::<CAPACITY>(&[&input[..length]], false).outcome.is_some());
        for length in 0..needed.unwrap_or(input.len()) {
            let prefix = fetch::<CAPACITY>(&[&input[..length]], false);
            assert_eq!(prefix.outcome, None, "{} at {length}", case.name);
            let ended = fetch::<CAPACITY>(&[&input[..length]], true).outcome;
            let whole_by_its_end = by_end && prefix.status.is_some();
            assert_eq!(matches!(ended, Some(Ok(()))), whole_by_its_end, "{} ended at {length}", case.name);
        }
    }
}

#[test]
fn a_head_can_be_as_long_as_the_capacity() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(fetch::<64>(&[head], false).outcome, Some(Ok(())));
    let padding = "a".repeat(64 - head.len() - 4);
    let full = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA:{padding}\r\n\r\n");
    assert_eq!(full.len(), 64);
    assert_eq!(fetch::<64>(&[full.as_bytes()], false).outcome, Some(Ok(())));
    let longer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA:{padding}a\r\n\r\n");
    assert_eq!(fetch::<64>(&[longer.as_bytes()], false).outcome, Some(Err(GetFailure::HeadTooLong { limit: 64 })));
}

#[test]
fn the_head_limit_can_be_below_the_capacity() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (limit, outcome) in [
        (head.len(), Ok(())),
        (head.len() - 1, Err(GetFailure::HeadTooLong { limit: head.len() - 1 })),
        (usize::MAX, Ok(())), // the capacity is the limit then
    ] {
        let settings = GetSettings { max_head: Some(limit), ..GetSettings::default() };
        let request = GetRequest { method: HttpMethod::Get, host: "h", target: "/", fields: &[] };
        let mut get: Get<128> = Get::new(request, settings, NOW).unwrap();
        while get.transmit(NOW, &mut [0; 128]) > 0 {}
        let _ = get.receive(NOW, head);
        assert_eq!(get.outcome(), Some(outcome), "limit {limit}");
    }
}

#[test]
fn a_server_of_another_protocol_is_recognized_at_its_first_wrong_byte() {
    for (sent, at) in [
        (&b"SSH-2.0-Example_1.0\r\n"[..], 0),
        (b"Welcome!", 0),
        (b"Hello, haha!", 1),
        (b"HTTPS", 4),
        (b"\x15\x03\x01\x00\x02\x02\x46", 0),
        (b"\0\0\0", 0),
        (b"\r\n220 mail.example ESMTP\r\n", 2),
        (b"\rHTTP/1.1 200 OK\r\n", 1),
    ] {
        let fetched = fetch::<64>(&[sent], false);
        assert_eq!((fetched.outcome, fetched.at), (Some(Err(GetFailure::NotHttp)), Some(at)), "{sent:?}");
        let mut get: Get<64> = asked();
        let Some(GetEvent::Wrong { seen, .. }) = get.receive(NOW, sent).event else { panic!("{sent:?}") };
        assert!(sent.ends_with(seen), "{seen:?} of {sent:?}");
    }
}

#[test]
fn line_folds_in_a_field_value_are_replaced_by_spaces() {
    let head = b"HTTP/1.1 200 OK\r\nA: b\r\n\t c \n d\r\nE: f\r\n \r\nContent-Length: 0\r\n\r\n";
    let fields = fetch::<CAPACITY>(&[head], false).fields;
    let expected = [(&b"A"[..], &b"b    c   d"[..]), (b"E", b"f"), (b"Content-Length", b"0")];
    let expected: Vec<_> = expected.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    assert_eq!(fields, expected);
}

#[test]
fn the_number_of_informational_responses_is_limited() {
    let informational = "HTTP/1.1 100 Go on\r\n\r\n";
    let answer = informational.repeat(65_536 / informational.len()) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(fetch::<CAPACITY>(&[answer.as_bytes()], false).outcome, Some(Ok(())));
    let more = informational.repeat(65_536 / informational.len() + 1) + "HTTP/1.1 200 OK\r\n\r\n";
    let outcome = fetch::<CAPACITY>(&[more.as_bytes()], false).outcome;
    assert_eq!(outcome, Some(Err(GetFailure::TooMuchBefore { limit: 65_536 })));
}

#[test]
fn a_request_is_written_once_with_any_buffer_size_and_refused_if_its_parts_could_change_it() {
    let fields = [("Accept", "text/html"), ("X-Empty", "")];
    let request = GetRequest { method: HttpMethod::Get, host: "[::1]:8080", target: "/a?b=c", fields: &fields };
    let expected =
        b"GET /a?b=c HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\nAccept: text/html\r\nX-Empty: \r\n\r\n";
    for size in 1..=expected.len() + 1 {
        let mut get: Get<256> = Get::new(request, GetSettings::default(), NOW).unwrap();
        let mut sent = Vec::new();
        let mut output = vec![0; size];
        loop {
            match get.transmit(NOW, &mut output) {
                0 => break,
                length => sent.extend_from_slice(&output[..length]),
            }
        }
        assert_eq!(sent, expected);
    }
    let refused = |request: GetRequest<'_>| Get::<64>::new(request, GetSettings::default(), NOW).map(drop).unwrap_err();
    let plain = GetRequest { method: HttpMethod::Get, host: "h", target: "/", fields: &[] };
    assert_eq!(refused(GetRequest { method: HttpMethod::Get, host: "", ..plain }), RequestError::Host { offset: 0 });
    assert_eq!(
        refused(GetRequest { method: HttpMethod::Get, host: "h\r\nX: y", ..plain }),
        RequestError::Host { offset: 1 }
    );
    assert_eq!(refused(GetRequest { target: "x", ..plain }), RequestError::Target { offset: 0 });
    assert_eq!(refused(GetRequest { target: "/a b", ..plain }), RequestError::Target { offset: 2 });
    assert_eq!(refused(GetRequest { fields: &[("A b", "c")], ..plain }), RequestError::FieldName { field: 0 });
    assert_eq!(
        refused(GetRequest { fields: &[("A", "b"), ("C", "d\ne")], ..plain }),
        RequestError::FieldValue { field: 1 }
    );
    assert_eq!(refused(GetRequest { target: &"/".repeat(64), ..plain }), RequestError::TooLong { limit: 64 });
}

#[test]
fn a_response_to_head_has_no_body_with_any_content_length() {
    for fields in ["Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n", ""] {
        let request = GetRequest { method: HttpMethod::Head, host: "h", target: "/", fields: &[] };
        let mut get: Get<128> = Get::new(request, GetSettings::default(), NOW).unwrap();
        let mut output = [0; 128];
        let length = get.transmit(NOW, &mut output);
        assert!(output[..length].starts_with(b"HEAD / HTTP/1.1\r\n"));
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert_eq!(get.receive(NOW, head.as_bytes()).taken, head.len());
        assert_eq!((get.state(), get.outcome()), (State::Over, Some(Ok(()))), "{fields}");
    }
}

#[test]
fn a_silent_server_causes_a_timeout() {
    let timeout = Duration::from_secs(3);
    let settings = GetSettings { timeout: Some(timeout), ..GetSettings::default() };
    let mut get: Get<64> =
        Get::new(GetRequest { method: HttpMethod::Get, host: "h", target: "/", fields: &[] }, settings, NOW).unwrap();
    while get.transmit(NOW, &mut [0; 64]) > 0 {}
    assert_eq!(get.deadline(), Some(NOW + timeout));
    let later = NOW + Duration::from_secs(2);
    assert_eq!(get.receive(later, b"HTTP").taken, 4);
    assert_eq!(get.deadline(), Some(later + timeout));
    get.handle_timeout(later + timeout);
    assert!(matches!(get.outcome(), Some(Err(GetFailure::TimedOut(_)))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Known differences between the two, with their reasons.
    #[test]
    fn heads_are_parsed_like_a_second_parser_does(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "HTTP/1.1 200 OK\r\n", "HTTP/1.0 404 Not Found\r\n", "HTTP/1.1 200\r\n", "A: b\r\n", "Content-Type: a; b\r\n", "C:\r\n",
                "D: \t e \r\n", "\r\n", "\n", " ", ":", "x", "\t", "é", "\x07", "\r", "HTTP/1.1 ", "204", "F: g\n",
            ]),
            1..8,
        ),
    ) {
        let text: String = parts.concat() + "\r\n\r\n";
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut theirs = httparse::Response::new(&mut headers);
        let mut config = httparse::ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        let parsed = config.parse_response(&mut theirs, text.as_bytes());
        let ours = fetch::<CAPACITY>(&[text.as_bytes()], true);
        match parsed {
            Ok(httparse::Status::Complete(_)) if ours.status.is_some() => {
                prop_assert_eq!(theirs.code, ours.status);
                // The other parser does not replace obs-fold: white space is compared as one space.
                let fields = theirs.headers.iter().map(|header| (header.name.as_bytes().to_vec(), header.value.to_vec()));
                let one_blank = |(name, value): (Vec<u8>, Vec<u8>)| {
                    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                    (name, words.collect::<Vec<_>>().join(&b' '))
                };
                let theirs: Vec<_> = fields.map(one_blank).collect();
                prop_assert_eq!(theirs, ours.fields.into_iter().map(one_blank).collect::<Vec<_>>());
            }
            Ok(httparse::Status::Complete(_)) => prop_assert!(false, "only they take {:?}: {:?}", text, ours),
            _ => prop_assert!(ours.status.is_none(), "only we take {:?}: {:?}", text, parsed),
        }
    }

    #[test]
    fn reads_of_any_size_give_the_same_result(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n", "\r\n", "\n", "5\r\n", "5;x\r\n", "hello",
                "0\r\n", "A: b\r\n", "\r", "x", "HTTP/1.1 100 Continue\r\n\r\n", "ffffffffffffffff\r\n", "HTTP/1.1 304 x\r\n",
            ]),
            0..14,
        ),
        sizes in prop::collection::vec(1..9_usize, 1..4),
    ) {
        let text: String = parts.concat();
        let mut rest = text.as_bytes();
        let mut reads = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (read, later) = rest.split_at((*size).min(rest.len()));
            reads.push(read);
            rest = later;
        }
        prop_assert_eq!(fetch::<64>(&reads, true), fetch::<64>(&[text.as_bytes()], true));
    }
}
