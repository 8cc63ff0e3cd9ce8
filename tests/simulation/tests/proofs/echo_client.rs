//! The client of an echo server: it compares every byte, and reports the first wrong, missing or additional one (rule B6).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test a panic is how a failure is reported"
)]

use core::time::Duration;

use greet_core::{
    Client, ClientEvent, ClientSettings, Echo, EchoSettings, Expected, Framing, Instant, Machine, NameError, Outcome,
    Service, State, WaitingFor,
};
use proptest::prelude::*;

const NOW: Instant = Instant::ZERO;
const SETTINGS: ClientSettings = ClientSettings { service: Service::Echo, framing: Framing::Chunk, timeout: None };

/// A client that has sent these messages.
fn having_sent(messages: &[&[u8]]) -> Client<256> {
    let mut client = Client::new(SETTINGS, NOW);
    for message in messages {
        client.say(message).unwrap();
        assert_eq!(client.transmit(NOW, &mut [0; 256]), message.len());
    }
    client
}

/// The offset of a mismatch among all received bytes, and the expected byte, if one was expected.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    Byte(u64, u8),
    Unasked(u64),
}

/// Offers the client these bytes, in reads of that size. Returns the completed messages and the mismatch.
fn receive(client: &mut Client<256>, input: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<Wrong>) {
    let mut replies = Vec::new();
    for mut read in input.chunks(size) {
        while !read.is_empty() {
            let offset = client.verified();
            let received = client.receive(NOW, read);
            match received.event {
                Some(ClientEvent::Reply(message)) => replies.push(message.to_vec()),
                Some(ClientEvent::Mismatch(mismatch)) => {
                    let offset = offset + received.taken as u64;
                    let wrong = match (mismatch.expected, mismatch.owed) {
                        (Expected::Reply(message), Some(owed)) => {
                            assert_eq!(message[mismatch.offset], owed);
                            Wrong::Byte(offset, owed)
                        }
                        (Expected::Nothing, None) => Wrong::Unasked(offset),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(mismatch.received, &read[received.taken..]);
                    assert_eq!((client.verified(), client.outcome()), (offset, Some(Outcome::Mismatch)));
                    return (replies, Some(wrong));
                }
                Some(event) => panic!("{event:?}"),
                None => assert!(received.taken > 0, "it takes nothing"),
            }
            read = &read[received.taken..];
        }
    }
    (replies, None)
}

const MESSAGES: [&[u8]; 4] = [b"ab\0c", b"d", b"exit", b"Error: \n"];

#[test]
fn received_bytes_are_reported_per_message_in_reads_of_any_size() {
    let all = MESSAGES.concat();
    for size in 1..=all.len() {
        let mut client = having_sent(&MESSAGES);
        assert_eq!(receive(&mut client, &all, size), (MESSAGES.map(<[u8]>::to_vec).to_vec(), None));
        assert!(client.is_idle());
        assert_eq!((client.verified(), client.waiting_for()), (all.len() as u64, None));
    }
}

#[test]
fn every_wrong_byte_at_every_offset_is_a_mismatch_there() {
    let all = MESSAGES.concat();
    for offset in 0..all.len() {
        for wrong in (0..=u8::MAX).filter(|wrong| *wrong != all[offset]) {
            let mut bytes = all.clone();
            bytes[offset] = wrong;
            for size in [1, 3, all.len()] {
                let (_, found) = receive(&mut having_sent(&MESSAGES), &bytes, size);
                assert_eq!(found, Some(Wrong::Byte(offset as u64, all[offset])));
            }
        }
    }
}

#[test]
fn a_lost_byte_is_a_mismatch_or_missing_and_an_additional_byte_is_reported() {
    let all = MESSAGES.concat();
    for offset in 0..all.len() {
        let mut bytes = all.clone();
        bytes.remove(offset);
        let mut client = having_sent(&MESSAGES);
        let (_, found) = receive(&mut client, &bytes, 5);
        // If two equal bytes follow each other, it cannot be known which one is lost.
        let first = all.iter().zip(&bytes).position(|(owed, received)| owed != received);
        match found {
            Some(Wrong::Byte(at, owed)) => {
                assert_eq!((usize::try_from(at).ok(), Some(owed)), (first, first.map(|at| all[at])));
            }
            None => {
                client.receive_end(NOW);
                assert_eq!(client.outcome(), Some(Outcome::EndedEarly(Some(WaitingFor::Reply))));
                assert_eq!(client.verified(), all.len() as u64 - 1, "bytes came back");
            }
            other => panic!("{other:?}"),
        }
    }
    let (_, found) = receive(&mut having_sent(&MESSAGES), &[&all[..], b"x"].concat(), 100);
    assert_eq!(found, Some(Wrong::Unasked(all.len() as u64)));
    let (_, found) = receive(&mut having_sent(&[]), b"Welcome!", 100);
    assert_eq!(found, Some(Wrong::Unasked(0)));
}

#[test]
fn a_byte_received_before_it_was_sent_is_a_mismatch() {
    for sent in 0..6 {
        let mut client: Client<256> = Client::new(SETTINGS, NOW);
        client.say(b"haha").unwrap();
        client.say(b"by").unwrap();
        let first = client.transmit(NOW, &mut [0; 6][..sent.min(4)]);
        let second = if sent > 4 { client.transmit(NOW, &mut [0; 6][..sent - 4]) } else { 0 };
        assert_eq!(first + second, sent);
        let (_, found) = receive(&mut client, b"hahaby", 6);
        assert_eq!(found, Some(Wrong::Unasked(sent as u64)), "{sent} bytes are sent");
    }
}

#[test]
fn the_first_bytes_of_a_message_can_be_received_before_the_last_are_sent() {
    let mut client: Client<256> = Client::new(SETTINGS, NOW);
    client.say(b"haha").unwrap();
    let mut byte = [0; 1];
    for expected in b"haha" {
        assert_eq!(client.transmit(NOW, &mut byte), 1);
        assert_eq!(client.waiting_for(), Some(WaitingFor::Reply));
        let (replies, found) = receive(&mut client, &byte, 1);
        assert_eq!((byte, found), ([*expected], None));
        assert_eq!(replies.is_empty(), client.verified() < 4);
    }
    assert!(client.is_idle());
}

#[test]
fn the_fin_can_be_sent_while_bytes_are_in_flight_and_the_end_is_complete_after_the_last_byte() {
    for missing in 0..2 {
        let mut client = having_sent(&[b"haha"]);
        client.say(b"byebye").unwrap();
        client.close(NOW);
        assert_eq!((client.state(), client.say(b"more")), (State::Open, Err(NameError::Closed)));
        assert_eq!(client.transmit(NOW, &mut [0; 64]), 6);
        assert_eq!(client.state(), State::Ending);
        client.delivered(NOW);
        assert_eq!((client.state(), client.waiting_for()), (State::Ending, Some(WaitingFor::Reply)));
        assert_eq!(receive(&mut client, &b"hahabyebye"[..10 - missing], 4).1, None);
        client.receive_end(NOW);
        let expected = if missing > 0 { Outcome::EndedEarly(Some(WaitingFor::Reply)) } else { Outcome::Complete };
        assert_eq!((client.outcome(), client.state()), (Some(expected), State::Over));
    }
    // Its own FIN comes first.
    let mut client = having_sent(&[]);
    client.receive_end(NOW);
    assert_eq!(client.outcome(), Some(Outcome::EndedEarly(None)));
}

#[test]
fn a_server_that_stops_sending_causes_a_timeout() {
    let timeout = Some(Duration::from_secs(1));
    let second = NOW + Duration::from_secs(1);
    let mut client: Client<256> = Client::new(ClientSettings { timeout, ..SETTINGS }, NOW);
    assert_eq!(client.deadline(), None, "nothing is owed");
    client.say(b"haha").unwrap();
    assert_eq!(client.transmit(NOW, &mut [0; 64]), 4);
    assert_eq!(client.deadline(), Some(second));
    let mut closed = client.clone();
    client.handle_timeout(second);
    assert_eq!(client.outcome(), Some(Outcome::TimedOut(WaitingFor::Reply)));
    closed.close(NOW);
    closed.delivered(NOW);
    assert_eq!(receive(&mut closed, b"haha", 4).1, None);
    closed.handle_timeout(second);
    assert_eq!(closed.outcome(), Some(Outcome::TimedOut(WaitingFor::End)));
}

#[test]
fn only_empty_and_too_long_messages_are_refused_and_with_line_framing_those_with_a_line_feed() {
    let mut client: Client<8> = Client::new(SETTINGS, NOW);
    assert_eq!(client.say(b""), Err(NameError::Empty));
    assert_eq!(client.say(b"1234567"), Err(NameError::TooLong { limit: 6 }));
    assert_eq!(client.say(b"\n\xFF\r"), Ok(()));
    assert_eq!(client.say(b"exit"), Err(NameError::Full));
    let mut client: Client<64> = Client::new(ClientSettings { framing: Framing::Line, ..SETTINGS }, NOW);
    assert_eq!(client.say(b"a\nb"), Err(NameError::LineFeed { offset: 1 }));
    for line in [&b""[..], b"exit", b"\r", b"\xC3"] {
        let mut output = [0; 8];
        client.say(line).unwrap();
        let length = client.transmit(NOW, &mut output);
        assert_eq!(&output[..length], [line, b"\n"].concat());
        assert_eq!(client.receive(NOW, &output[..length]).event, Some(ClientEvent::Reply(line)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn server_and_client_agree_over_every_transport(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..20),
        sizes in prop::collection::vec(1..40_usize, 1..20),
    ) {
        let mut server: Echo<16> = Echo::new(EchoSettings::DEFAULT, NOW);
        let mut client: Client<64> = Client::new(SETTINGS, NOW);
        let mut sizes = sizes.iter().copied().cycle();
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let mut waiting = messages.iter();
        let mut next = waiting.next();
        let mut echoed = Vec::new();
        let mut buffer = [0; 64];
        let mut fin_sent = false;
        for _ in 0..10_000 {
            while let Some(message) = next && client.say(message).is_ok() {
                next = waiting.next();
            }
            if next.is_none() {
                client.close(NOW);
            }
            let given = client.transmit(NOW, &mut buffer[..sizes.next().unwrap()]);
            to_server.extend_from_slice(&buffer[..given]);
            let offered = to_server.len().min(sizes.next().unwrap());
            let taken = server.receive(NOW, &to_server[..offered]).taken;
            to_server.drain(..taken);
            if client.state() == State::Ending && !fin_sent && to_server.is_empty() {
                fin_sent = true;
                client.delivered(NOW);
                server.receive_end(NOW);
            }
            let given = server.transmit(NOW, &mut buffer[..sizes.next().unwrap()]);
            to_client.extend_from_slice(&buffer[..given]);
            let offered = to_client.len().min(sizes.next().unwrap());
            let received = client.receive(NOW, &to_client[..offered]);
            match received.event {
                Some(ClientEvent::Reply(message)) => echoed.push(message.to_vec()),
                None => {}
                Some(event) => panic!("{event:?}"),
            }
            let taken = received.taken;
            to_client.drain(..taken);
            if server.state() == State::Ending && to_client.is_empty() {
                server.delivered(NOW);
                client.receive_end(NOW);
                break;
            }
        }
        prop_assert_eq!(client.outcome(), Some(Outcome::Complete));
        prop_assert_eq!(echoed, messages);
        prop_assert_eq!(server.state(), State::Over);
    }
}
