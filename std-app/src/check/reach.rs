//! The first group: whether there is a greeting server at all. And what has to be known of it before anything else is tried.

use core::time::Duration;
use std::{
    io::{BufRead, Read},
    thread,
    time::Instant,
};

use greet::report::number::Time;
use greet_core::Framing;

use super::{
    probe::{Failure, Group, Level, Notes, Probe, Stop, Unit, shown},
    talk::Talk,
    target::Target,
};

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, shows, causes, run: fn(&Target, &mut Notes<'_>) -> Result<String, Stop>| {
        Probe::new(Group::Reach, name, Level::Must, shows, causes, run)
    };
    vec![
        probe("name", "the server's name leads to an address", &[], name),
        probe(
            "connect",
            "a connection can be opened",
            &["the server is not running, or at another port", "the board's address, its netmask, the cable"],
            connect,
        ),
        probe(
            "greeting",
            "the greeting comes before the client has said anything",
            &[
                "the server reads before it writes",
                "what it wrote is not flushed, or stays in a buffer until the stack is polled again",
            ],
            greeting,
        ),
        probe(
            "reply",
            "a name is answered, and `exit` ends the conversation",
            &["it is another protocol's server", "only the first segment gets through: look at the transmit path"],
            reply,
        ),
    ]
}

/// Without an address there is no check at all.
fn name(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    notes.time("looked up", target.looked_up);
    Ok(format!("{} is {}, looked up within {}", target.host, target.address, Time::from(target.looked_up)))
}

fn connect(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    let begin = Instant::now();
    let talk = Talk::open(target)?;
    let took = begin.elapsed();
    notes.time("connect", took);
    drop(talk);
    Ok(format!("{} answers within {}", target.address, Time::from(took)))
}

fn greeting(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    pause();
    let begin = Instant::now();
    let mut talk = Talk::greeted(target)?;
    let took = begin.elapsed();
    notes.time("connect and greeting", took);
    // Only under framing `line` something comes behind it: one LF.
    let more = talk.more_within(MORE_WITHIN);
    if !more.is_empty() && more != b"\n" {
        let failure = Failure {
            offset: Some(talk.offset),
            expected: Some(Vec::new()),
            received: Some(more.clone()),
            ..Failure::new("more came behind the greeting, before the client has said anything")
        };
        return Err(match more.as_slice() {
            [0, ..] => failure.because("the NUL that ends a C string is sent too: the greeting has 8 bytes"),
            [b'\r', ..] => failure.because("the line ends of a terminal: the greeting is followed by LF or by nothing"),
            _ => failure.because("more is written than the greeting: what a buffer held before, or the greeting twice"),
        }
        .into());
    }
    Ok(format!("after {}", Time::from(took)))
}

/// What comes with the greeting, or right behind it, comes within that time.
const MORE_WITHIN: Duration = Duration::from_millis(200);

fn reply(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    pause();
    let begin = Instant::now();
    Talk::settled(target)?.leave()?;
    notes.measure("conversations of one name a second", begin.elapsed().as_secs_f64().recip(), Unit::PerSecond);
    Ok("greeted, answered, ended".to_owned())
}

/// A server that has one place may need a moment until it is free again.
fn pause() {
    thread::sleep(Duration::from_millis(100));
}

/// Finds out where a name ends for the server, and how long one takes.
pub(super) fn find_framing(target: &mut Target) -> Result<(), Failure> {
    const NAME: &[u8] = b"greet";
    pause();
    let (framing, trip) = {
        let mut talk = Talk::greeted_patiently(target)?.0;
        talk.send(b"greet\n")?;
        let begin = Instant::now();
        // Three servers, three answers, of which none begins as another one.
        let candidates = [
            (Framing::Line, &b"\nHello, greet!\n"[..]),
            (Framing::Auto, b"Hello, greet!\n"),
            (Framing::Chunk, b"Hello, greet\n!"),
        ];
        let mut received = Vec::new();
        let framing = loop {
            let found = candidates.iter().find(|(_, reply)| received == *reply);
            if let Some((framing, _)) = found {
                break *framing;
            }
            if !candidates.iter().any(|(_, reply)| reply.starts_with(&received)) {
                return Err(Failure {
                    offset: Some(talk.offset),
                    expected: Some(b"Hello, greet!\n".to_vec()),
                    received: Some(received.clone()),
                    ..Failure::new(format!("the name `greet` and a line feed were answered by {}", shown(&received)))
                });
            }
            if begin.elapsed() >= target.timeout {
                return Err(Failure {
                    expected: Some(b"Hello, greet!\n".to_vec()),
                    received: Some(received.clone()),
                    ..Failure::new(format!("of the first reply only {} came in time", shown(&received)))
                });
            }
            let mut byte = [0];
            match talk.stream.read(&mut byte) {
                Ok(1) => received.extend_from_slice(&byte),
                Ok(_) => {
                    return Err(Failure::new(format!(
                        "the server ended the conversation after {} instead of a reply to the name {}",
                        shown(&received),
                        shown(NAME)
                    )));
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Failure {
                        expected: Some(b"Hello, greet!\n".to_vec()),
                        received: Some(received),
                        ..Failure::new(format!("no reply to the first name: {}", super::probe::of(&error)))
                    });
                }
            }
        };
        (framing, begin.elapsed())
    };
    target.framing = framing;
    target.trip = trip;
    if trip >= MAY_BE_LOST {
        target.trip = trip.min(shortest_trip(target)?);
    }
    Ok(())
}

/// So long a round trip takes of which a segment was lost.
const MAY_BE_LOST: Duration = Duration::from_millis(150);

/// The shortest of some more round trips: how long a reply takes if no segment is lost.
fn shortest_trip(target: &Target) -> Result<Duration, Failure> {
    const TRIPS: usize = 3;
    let mut talk = Talk::settled(target)?;
    let mut shortest = Duration::MAX;
    for _ in 0..TRIPS {
        let begin = Instant::now();
        talk.say(b"greet")?;
        shortest = shortest.min(begin.elapsed());
    }
    Ok(shortest)
}

/// Finds out how long a name may be, as far as the server says it.
pub(super) fn find_capacity(target: &Target) -> Option<usize> {
    /// So long is a name in this protocol at most (rule L1).
    const LONGEST: usize = 65_535;
    /// What one segment carries everywhere.
    const SEGMENT: usize = 1400;
    /// The least capacity that the table of cases is made for.
    const LEAST: usize = 16;
    pause();
    let lines = target.takes_lines();
    let mut talk = Talk::settled(target).ok()?;
    let sent = if lines { LONGEST } else { SEGMENT };
    talk.send(&talk.asked(&vec![b'x'; sent])).ok()?;
    let end = if lines { b'\n' } else { b'!' };
    let mut reply = Vec::new();
    let mut source = std::io::BufReader::new(&talk.stream).take(2 * LONGEST as u64);
    source.read_until(end, &mut reply).ok()?;
    let capacity = if let Some(text) = reply.strip_prefix(b"Error: name longer than ") {
        // Under `line` the error names it (rule L3).
        let digits: Vec<u8> = text.iter().copied().take_while(u8::is_ascii_digit).collect();
        core::str::from_utf8(&digits).ok()?.parse().ok()?
    } else {
        let name = reply.strip_prefix(b"Hello, ")?.strip_suffix(if lines { &b"!\n"[..] } else { b"!" })?;
        match name.len() {
            length if length == sent && lines => LONGEST,
            // Under `chunk` a longer read is cut there (rule L2); if it is not, nothing is known.
            length if length < sent && !lines => length,
            _ => return None,
        }
    };
    (LEAST..=LONGEST).contains(&capacity).then_some(capacity)
}
