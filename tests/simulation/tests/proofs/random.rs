//! Random conversations: the server is compared with the oracle, and with the client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is how a failure is reported"
)]

use greet_core::{
    Client, ClientEvent, ClientSettings, Expected, Framing, Instant, Machine, Outcome, Server, ServerSettings, State,
    WaitingFor,
};
use greet_tests::{
    frontend::Connection,
    machine::BareConversation,
    oracle::{Said, serve},
};
use proptest::prelude::*;

const NOW: Instant = Instant::ZERO;

fn framings() -> impl Strategy<Value = Framing> {
    prop::sample::select(vec![Framing::Chunk, Framing::Line, Framing::Auto])
}

/// Parts of names, and line ends.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"exit",
        b"exit\n",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"haha",
        "é".as_bytes(),
        "€".as_bytes(),
        "🦀".as_bytes(),
    ];
    prop_oneof![
        4 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        2 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        1 => (any::<u8>(), 1..80_usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

/// An input, and the sizes of its reads, used in a cycle.
fn reads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let sizes = prop::collection::vec(prop_oneof![1..4_usize, 1..100_usize], 1..20);
    (prop::collection::vec(fragment(), 0..24), sizes).prop_map(|(fragments, sizes)| cut(&fragments.concat(), &sizes))
}

fn cut(input: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut reads = Vec::new();
    let mut rest = input;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (read, after) = rest.split_at(rest.len().min(*size));
        reads.push(read.to_vec());
        rest = after;
    }
    reads
}

/// The machine's output for these reads.
fn converse<const N: usize>(framing: Framing, reads: &[&[u8]], output_size: usize) -> Said {
    let settings = ServerSettings { framing, ..ServerSettings::DEFAULT };
    let server: Server<N> = Server::new(settings, NOW);
    let mut conversation = BareConversation::new(server, output_size).unwrap();
    for read in reads {
        conversation.send(read).unwrap();
    }
    let mut said = Said { output: Vec::new(), exit: false, farewell: Vec::new() };
    said.exit = conversation.receive(usize::MAX, &mut said.output).is_ok();
    conversation.half_close().unwrap();
    conversation.receive(usize::MAX, &mut said.farewell).unwrap();
    conversation.check_closed().unwrap();
    said
}

fn converse_at(capacity: usize, framing: Framing, reads: &[&[u8]], output_size: usize) -> Said {
    match capacity {
        1 => converse::<1>(framing, reads, output_size),
        2 => converse::<2>(framing, reads, output_size),
        3 => converse::<3>(framing, reads, output_size),
        4 => converse::<4>(framing, reads, output_size),
        5 => converse::<5>(framing, reads, output_size),
        16 => converse::<16>(framing, reads, output_size),
        64 => converse::<64>(framing, reads, output_size),
        1024 => converse::<1024>(framing, reads, output_size),
        _ => panic!("no such machine here"),
    }
}

fn capacities() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1, 2, 3, 4, 5, 16, 64, 1024])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_server_sends_the_same_bytes_as_the_oracle(
        framing in framings(), capacity in capacities(), reads in reads(), output_size in 1..100_usize,
    ) {
        let reads: Vec<&[u8]> = reads.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(converse_at(capacity, framing, &reads, output_size), serve(framing, capacity, &reads));
    }

    #[test]
    fn with_line_framing_reads_of_any_size_give_the_same_bytes(
        capacity in capacities(), reads in reads(), sizes in prop::collection::vec(1..50_usize, 1..20),
        output_size in 1..100_usize,
    ) {
        let whole = reads.concat();
        let others = cut(&whole, &sizes);
        let others: Vec<&[u8]> = others.iter().map(Vec::as_slice).collect();
        let one = converse_at(capacity, Framing::Line, &[&whole], 4096);
        prop_assert_eq!(converse_at(capacity, Framing::Line, &others, output_size), one);
    }

    #[test]
    fn server_and_client_agree_over_every_transport(
        line in any::<bool>(),
        names in prop::collection::vec("[ -~é€🦀\t]{1,12}", 0..12),
        sizes in prop::collection::vec(1..40_usize, 1..20),
        output_size in 64..100_usize,
    ) {
        let framing = if line { Framing::Line } else { Framing::Chunk };
        let names: Vec<String> = names.into_iter().filter(|name| name != "exit").collect();
        let answered = talk(framing, &names, &sizes, output_size);
        prop_assert_eq!(answered, (names, Some(Outcome::Complete)));
    }
}

/// Lets a client with a capacity of 64 bytes send the names to a server. Returns the answered names and the outcome.
///
/// The server's output is cut into reads of those sizes; under `line` the client's output too.
fn talk(framing: Framing, names: &[String], sizes: &[usize], output_size: usize) -> (Vec<String>, Option<Outcome>) {
    let mut server: Server<64> = Server::new(ServerSettings { framing, ..ServerSettings::DEFAULT }, NOW);
    let mut client: Client<64> = Client::new(ClientSettings { framing, ..ClientSettings::default() }, NOW);
    let mut sizes = sizes.iter().copied().cycle();
    let mut answered = Vec::new();
    let mut names = names.iter();
    let mut next = names.next();
    let mut buffer = vec![0; output_size];
    while client.outcome().is_none() {
        match next {
            Some(name) => match client.say(name.as_bytes()) {
                Ok(()) => next = names.next(),
                Err(refused) => assert_eq!(refused, greet_core::NameError::Full),
            },
            None => client.close(NOW),
        }
        let mut moved = false;
        loop {
            let given = server.transmit(NOW, &mut buffer);
            if given == 0 {
                break;
            }
            moved = true;
            let mut rest = &buffer[..given];
            while !rest.is_empty() {
                let piece = &rest[..rest.len().min(sizes.next().unwrap())];
                let received = client.receive(NOW, piece);
                assert!(received.taken > 0, "the client takes nothing");
                rest = &rest[received.taken..];
                match received.event {
                    Some(ClientEvent::Reply(name)) => answered.push(String::from_utf8(name.to_vec()).unwrap()),
                    None | Some(ClientEvent::Greeted) => {}
                    Some(event) => panic!("{event:?}"),
                }
            }
        }
        if server.state() == State::Ending {
            client.receive_end(NOW);
            break;
        }
        let given = client.transmit(NOW, &mut buffer);
        let mut rest = &buffer[..given];
        while !rest.is_empty() {
            moved = true;
            let size = if framing == Framing::Line { sizes.next().unwrap() } else { given };
            let taken = server.receive(NOW, &rest[..rest.len().min(size)]).taken;
            rest = &rest[taken..];
            if taken == 0 {
                // A reply is due: the client receives all of it.
                let mut reply = [0; 128];
                let length = server.transmit(NOW, &mut reply);
                assert!(length > 0, "the server neither takes nor gives");
                let received = client.receive(NOW, &reply[..length]);
                assert_eq!(received.taken, length);
                match received.event {
                    Some(ClientEvent::Reply(name)) => answered.push(String::from_utf8(name.to_vec()).unwrap()),
                    event => panic!("{event:?}"),
                }
            }
        }
        assert!(moved || next.is_none(), "nothing moves");
    }
    (answered, client.outcome())
}

/// A client that has received the greeting, has sent `haha`, and waits for the reply.
fn asking(framing: Framing) -> Client<64> {
    let mut client = Client::new(ClientSettings { framing, ..ClientSettings::default() }, NOW);
    assert_eq!(client.receive(NOW, b"Welcome!").event, Some(ClientEvent::Greeted));
    assert_eq!(client.receive(NOW, b"\n").event, None); // K1
    client.say(b"haha").unwrap();
    assert!(client.transmit(NOW, &mut [0; 64]) > 0);
    client
}

const ANSWERS: [(Framing, &[u8]); 2] = [(Framing::Chunk, b"Hello, haha!"), (Framing::Line, b"Hello, haha!\n")];

#[test]
fn every_prefix_of_a_correct_reply_is_incomplete() {
    for (framing, answer) in ANSWERS {
        for length in 0..answer.len() {
            let mut client = asking(framing);
            let received = client.receive(NOW, &answer[..length]);
            assert_eq!((received.taken, received.event), (length, None));
            assert_eq!((client.waiting_for(), client.outcome()), (Some(WaitingFor::Reply), None));
            assert_eq!(client.receive(NOW, &answer[length..]).event, Some(ClientEvent::Reply(b"haha")));
            assert!(client.is_idle());
        }
    }
}

#[test]
fn every_prefix_of_the_greeting_is_incomplete() {
    for length in 0..8 {
        let mut client: Client<64> = Client::new(ClientSettings::default(), NOW);
        assert_eq!(client.receive(NOW, &b"Welcome!"[..length]).event, None);
        assert_eq!(client.waiting_for(), Some(WaitingFor::Greeting));
        assert_eq!(client.receive(NOW, &b"Welcome!"[length..]).event, Some(ClientEvent::Greeted));
    }
}

#[test]
fn every_single_wrong_byte_is_a_mismatch_with_its_offset() {
    for (framing, answer) in ANSWERS {
        for offset in 0..answer.len() {
            for wrong in 0..=u8::MAX {
                if wrong == answer[offset] || (offset, wrong) == (0, b'E') {
                    continue; // `E` may be the beginning of an error (rule K1)
                }
                for cut in 0..=offset {
                    let mut client = asking(framing);
                    let mut bytes = answer.to_vec();
                    bytes[offset] = wrong;
                    assert_eq!(client.receive(NOW, &bytes[..cut]).event, None);
                    let Some(ClientEvent::Mismatch(mismatch)) = client.receive(NOW, &bytes[cut..]).event else {
                        panic!("{offset} {wrong}");
                    };
                    assert_eq!(mismatch.expected, Expected::Reply(b"haha"));
                    assert_eq!((mismatch.offset, mismatch.owed), (offset, Some(answer[offset])));
                    assert_eq!(mismatch.received, &bytes[offset..]);
                    assert_eq!((client.outcome(), client.state()), (Some(Outcome::Mismatch), State::Over));
                    assert_eq!(client.receive(NOW, answer).taken, 0);
                }
            }
        }
    }
}

#[test]
fn every_single_wrong_byte_of_a_greeting_is_a_mismatch_with_its_offset() {
    for offset in 0..8 {
        let mut client: Client<64> = Client::new(ClientSettings::default(), NOW);
        let mut bytes = b"Welcome!".to_vec();
        bytes[offset] ^= 0x20;
        let Some(ClientEvent::Mismatch(mismatch)) = client.receive(NOW, &bytes).event else { panic!("{offset}") };
        assert_eq!((mismatch.expected, mismatch.offset), (Expected::Greeting, offset));
        assert_eq!((mismatch.owed, mismatch.received), (Some(b"Welcome!"[offset]), &bytes[offset..]));
    }
}

#[test]
fn input_before_any_name_is_sent_is_a_mismatch() {
    let mut client = asking(Framing::Chunk);
    assert!(client.receive(NOW, b"Hello, haha!").event.is_some());
    let Some(ClientEvent::Mismatch(mismatch)) = client.receive(NOW, b"Hello, haha!").event else { panic!() };
    assert_eq!((mismatch.expected, mismatch.offset, mismatch.owed), (Expected::Nothing, 0, None));
}
