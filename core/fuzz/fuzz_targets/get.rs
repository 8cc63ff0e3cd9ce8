//! Any bytes against the machine that fetches a page: cut in any way they come to the same.

#![no_main]

use greet_core::{Get, GetEvent, GetFailure, GetRequest, GetSettings, HttpMethod, Instant, Machine, State};
use libfuzzer_sys::fuzz_target;

const NOW: Instant = Instant::ZERO;

/// Little enough for heads to be too long.
const CAPACITY: usize = 128;

/// What a response came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fetched {
    head: Option<(u16, Option<u64>)>,
    body: Vec<u8>,
    wrong: Option<u64>,
    outcome: Option<Result<(), GetFailure>>,
}

fuzz_target!(|case: (&[u8], &[u8])| {
    let (cuts, input) = case;
    let mut rest = input;
    let mut reads = Vec::new();
    for &cut in cuts {
        let (read, later) = rest.split_at(usize::from(cut).min(rest.len()));
        reads.push(read);
        rest = later;
    }
    reads.push(rest);
    assert_eq!(fetch(&reads), fetch(&[input]));
});

fn fetch(reads: &[&[u8]]) -> Fetched {
    let request = GetRequest { method: HttpMethod::Get, host: "h", target: "/", fields: &[] };
    let mut get: Get<CAPACITY> = Get::new(request, GetSettings::default(), NOW).expect("it is short");
    assert!(get.transmit(NOW, &mut [0; CAPACITY]) > 0);
    let mut fetched = Fetched::default();
    for read in reads {
        let mut rest = *read;
        while !rest.is_empty() && get.state() == State::Open {
            let received = get.receive(NOW, rest);
            let taken = received.taken;
            match received.event {
                Some(GetEvent::Head { head, length }) => {
                    assert!(head.bytes().len() <= CAPACITY && head.fields().count() <= CAPACITY);
                    fetched.head = Some((head.status(), length));
                }
                Some(GetEvent::Body(data)) => fetched.body.extend_from_slice(data),
                Some(GetEvent::Wrong { offset, .. }) => fetched.wrong = Some(offset),
                None => assert!(taken > 0),
            }
            rest = &rest[taken..];
        }
    }
    get.receive_end(NOW);
    assert_eq!(get.state(), State::Over);
    fetched.outcome = get.outcome();
    fetched
}
