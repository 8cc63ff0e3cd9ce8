//! Any calls in any order: an echo server sends back what it took and nothing else. And its client, over the same bytes or over others,
//! accepts exactly those that it is owed.

#![no_main]

use core::time::Duration;

use arbitrary::Arbitrary;
use greet_core::{Client, ClientEvent, ClientSettings, Echo, EchoSettings, Instant, Machine, Outcome, Service, State};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    capacity: Capacity,
    calls: Vec<Call<'a>>,
    messages: Vec<&'a [u8]>,
    /// What comes back instead of the messages.
    returned: Option<&'a [u8]>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Capacity {
    One,
    Three,
    Sixteen,
    Large,
}

#[derive(Arbitrary, Debug)]
enum Call<'a> {
    Receive(&'a [u8]),
    Transmit(u8),
    Wait(u8),
    Progress,
    Delivered,
    ReceiveEnd,
    Close,
}

fuzz_target!(|case: Case<'_>| {
    match case.capacity {
        Capacity::One => serve::<1>(&case.calls),
        Capacity::Three => serve::<3>(&case.calls),
        Capacity::Sixteen => serve::<16>(&case.calls),
        Capacity::Large => serve::<300>(&case.calls),
    }
    verify(&case.messages, case.returned);
});

fn serve<const N: usize>(calls: &[Call<'_>]) {
    let mut now = Instant::ZERO;
    let settings = EchoSettings { idle_timeout: Some(Duration::from_secs(60)) };
    let mut echo: Echo<N> = Echo::new(settings, now);
    let (mut taken, mut given) = (Vec::new(), Vec::new());
    for call in calls {
        let state = echo.state();
        match *call {
            Call::Receive(input) => {
                let count = echo.receive(now, input).taken;
                match state {
                    State::Open => taken.extend_from_slice(&input[..count]),
                    State::Over => assert_eq!(count, 0),
                    State::Ending => {} // discarded
                }
                assert!(taken.len() - given.len() <= N, "it holds more than its capacity");
            }
            Call::Transmit(room) => {
                let mut output = vec![0; room.into()];
                let count = echo.transmit(now, &mut output);
                assert!(state == State::Open || count == 0);
                given.extend_from_slice(&output[..count]);
            }
            Call::Wait(seconds) => {
                now = now + Duration::from_secs(seconds.into());
                echo.handle_timeout(now);
            }
            Call::Progress => echo.progress(now),
            Call::Delivered => echo.delivered(now),
            Call::ReceiveEnd => echo.receive_end(now),
            Call::Close => echo.close(now),
        }
        assert!(taken.starts_with(&given), "it sends what it did not receive");
        assert!(state != State::Over || echo.state() == State::Over);
        assert!(echo.state() != State::Ending || taken == given, "it ends its side and keeps bytes");
    }
}

fn verify(messages: &[&[u8]], returned: Option<&[u8]>) {
    let now = Instant::ZERO;
    let mut client: Client<300> =
        Client::new(ClientSettings { service: Service::Echo, ..ClientSettings::default() }, now);
    let mut sent = Vec::new();
    for message in messages {
        if client.say(message).is_ok() {
            let mut output = [0; 300];
            let count = client.transmit(now, &mut output);
            assert_eq!(&output[..count], *message);
            sent.extend_from_slice(message);
        }
    }
    let mut rest = returned.unwrap_or(&sent);
    let same = sent.iter().zip(rest).take_while(|(sent, returned)| sent == returned).count();
    let differs = same < rest.len();
    let mut found = false;
    while !rest.is_empty() && client.outcome().is_none() {
        let received = client.receive(now, rest);
        found |= matches!(received.event, Some(ClientEvent::Mismatch(_)));
        let count = received.taken;
        rest = &rest[count..];
    }
    assert_eq!((found, client.verified()), (differs, same as u64));
    client.close(now);
    client.delivered(now);
    client.receive_end(now);
    let expected = match (differs, same == sent.len()) {
        (true, _) => Outcome::Mismatch,
        (false, true) => Outcome::Complete,
        (false, false) => Outcome::EndedEarly(Some(greet_core::WaitingFor::Reply)),
    };
    assert_eq!(client.outcome(), Some(expected));
}
