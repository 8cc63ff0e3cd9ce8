//! Any bytes against the client's machine, which must bear them; and a server's own bytes, cut in any way, which it must
//! understand to the last.

#![no_main]

use core::time::Duration;
use std::collections::VecDeque;

use arbitrary::Arbitrary;
use greet_core::{
    Client, ClientEvent, ClientSettings, Framing, Instant, Machine, NameError, Outcome, Server, ServerSettings, State,
};
use libfuzzer_sys::fuzz_target;

/// What a name may have here: little enough for names to be too long, and for a client to be full.
const SERVER_CAPACITY: usize = 16;
const CLIENT_CAPACITY: usize = 48;

#[derive(Arbitrary, Debug)]
enum Case<'a> {
    Anything { line: bool, steps: Vec<Step<'a>> },
    Server { line: bool, names: Vec<&'a [u8]>, cuts: &'a [u8] },
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Say(&'a [u8]),
    Receive(&'a [u8]),
    /// As a server would have begun.
    Greet,
    Transmit(u8),
    Wait(u16),
    Close,
    ReceiveEnd,
}

fuzz_target!(|case: Case<'_>| {
    match case {
        Case::Anything { line, steps } => bear_anything(framing(line), &steps),
        Case::Server { line, names, cuts } => understand_a_server(framing(line), &names, cuts),
    }
});

fn framing(line: bool) -> Framing {
    if line { Framing::Line } else { Framing::Chunk }
}

fn bear_anything(framing: Framing, steps: &[Step<'_>]) {
    let mut now = Instant::ZERO;
    let settings = ClientSettings { framing, timeout: Some(Duration::from_secs(1)), ..ClientSettings::default() };
    let mut client: Client<CLIENT_CAPACITY> = Client::new(settings, now);
    for step in steps {
        let outcome = client.outcome();
        match *step {
            Step::Say(name) => _ = client.say(name),
            Step::Receive(input) => offer(&mut client, now, input),
            Step::Greet => offer(&mut client, now, b"Welcome!"),
            Step::Transmit(room) => {
                let mut output = vec![0; room.into()];
                let written = client.transmit(now, &mut output);
                assert!(written <= output.len());
                assert!(written == 0 || outcome.is_none(), "a client that is over says nothing");
            }
            Step::Wait(millis) => {
                now = now + Duration::from_millis(millis.into());
                client.handle_timeout(now);
            }
            Step::Close => client.close(now),
            Step::ReceiveEnd => client.receive_end(now),
        }
        if outcome.is_some() {
            assert_eq!(client.outcome(), outcome, "how it ended is said once");
        }
    }
    client.receive_end(now);
    assert_eq!(client.state(), State::Over);
    assert!(client.outcome().is_some());
    assert_eq!((client.waiting_for(), client.deadline()), (None, None));
}

/// Offers a read, and what is left of it again.
fn offer(client: &mut Client<CLIENT_CAPACITY>, now: Instant, mut input: &[u8]) {
    while !input.is_empty() {
        let over = client.state() == State::Over;
        let received = client.receive(now, input);
        let (taken, told) = (received.taken, received.event.is_some());
        if over {
            assert!(taken == 0 && !told, "a client that is over takes nothing");
            return;
        }
        input = &input[taken..];
        if client.state() == State::Over {
            assert!(told, "a mismatch is told");
            return;
        }
        assert!(taken > 0, "an open client takes something");
    }
}

/// A client's answer from a server, and what it has to be.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Hello(Vec<u8>),
    Error(String),
}

fn answer_to(name: &[u8]) -> Answer {
    if name.len() > SERVER_CAPACITY {
        Answer::Error(format!("name longer than {SERVER_CAPACITY} bytes"))
    } else if std::str::from_utf8(name).is_err() {
        Answer::Error("name is not valid UTF-8".to_owned())
    } else {
        Answer::Hello(name.to_owned())
    }
}

fn understand_a_server(framing: Framing, names: &[&[u8]], cuts: &[u8]) {
    let now = Instant::ZERO;
    let mut server: Server<SERVER_CAPACITY> = Server::new(ServerSettings { framing, ..ServerSettings::DEFAULT }, now);
    let mut client: Client<CLIENT_CAPACITY> = Client::new(ClientSettings { framing, ..ClientSettings::default() }, now);
    let mut cuts = cuts.iter().cycle();
    let mut cut = || usize::from(*cuts.next().unwrap_or(&255)).max(1);

    let mut names: VecDeque<&[u8]> = names.iter().copied().collect();
    let (mut expected, mut answers) = (Vec::new(), Vec::new());
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut error = String::new();
    while client.outcome().is_none() {
        while let Some(&name) = names.front() {
            // Under `chunk` a read is a name and an error, whole: such names are for `line`, where nothing depends on it.
            let carried = framing == Framing::Line || matches!(answer_to(name), Answer::Hello(_));
            match if carried { client.say(name) } else { Err(NameError::Closed) } {
                Ok(()) => expected.push(answer_to(name)),
                Err(NameError::Full) => break,
                Err(_) => {}
            }
            names.pop_front();
        }
        if names.is_empty() {
            client.close(now);
        }

        let mut output = [0; 256];
        let room = if framing == Framing::Line { cut() } else { output.len() };
        let sent = client.transmit(now, &mut output[..room]);
        to_server.extend_from_slice(&output[..sent]);
        let taken = server.receive(now, &to_server).taken;
        to_server.drain(..taken);

        let owed = server.transmit(now, &mut output[..cut()]);
        to_client.extend_from_slice(&output[..owed]);
        let read = cut().min(to_client.len());
        let received = client.receive(now, &to_client[..read]);
        let answer = match received.event {
            None | Some(ClientEvent::Greeted) => None,
            Some(ClientEvent::Reply(name)) => Some(Answer::Hello(name.to_owned())),
            Some(ClientEvent::Error { text, complete }) => {
                error.push_str(std::str::from_utf8(text).unwrap());
                complete.then(|| Answer::Error(std::mem::take(&mut error)))
            }
            Some(ClientEvent::Mismatch(mismatch)) => panic!("{mismatch:?}"),
        };
        answers.extend(answer);
        let moved = sent + taken + owed + received.taken > 0;
        to_client.drain(..received.taken);
        if !moved {
            assert_ne!(server.state(), State::Open, "neither side can send or end the conversation");
            client.receive_end(now);
        }
    }
    assert_eq!(client.outcome(), Some(Outcome::Complete));
    assert_eq!(answers, expected);
}
