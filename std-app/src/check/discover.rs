//! Discovery of the protocol's parameters: framing, capacity, RTT and segment size, and how a conversation ends.

use core::time::Duration;
use std::{thread, time::Instant};

use greet_conformance::vectors::LEAST_CAPACITY;
use greet_core::{Framing, NAME_CAPACITY};

use super::{
    context::Context,
    difference,
    facts::{Facts, Protocol},
    failure::{Failure, Kind, shown},
    identify,
    probe::Verdict,
    service::Service,
    session::Session,
    settings::Settings,
    target::Target,
};
use crate::export::number::Time;

/// How the error reply to an overlong name begins (rule L3).
pub(crate) const LONGER_THAN: &[u8] = b"Error: name longer than ";

/// A server with one slot may need this long until it is free again.
const SLOT_IS_FREE: Duration = Duration::from_millis(100);

/// Finds out which service it is.
pub(crate) fn service(target: &Target, facts: &Facts, settings: &Settings) -> Result<Service, Verdict> {
    thread::sleep(SLOT_IS_FREE);
    Ok(identify::service(Context::new(target, facts, settings))?)
}

/// Finds out how the server speaks its protocol.
pub(crate) fn protocol(target: &Target, facts: &Facts, settings: &Settings) -> Result<Protocol, Verdict> {
    thread::sleep(SLOT_IS_FREE);
    match facts.service() {
        Service::Greet => greeting_protocol(target, facts, settings),
        Service::Echo => Ok(echo_protocol(Context::new(target, facts, settings))?),
    }
}

/// One message is echoed. Then the client closes its side, and the server should.
fn echo_protocol(context: Context<'_>) -> Result<Protocol, Failure> {
    let opened = Instant::now();
    let (mut session, waited) = Session::served_with_retries(context).map_err(|failure| explained(context, failure))?;
    let begin = Instant::now();
    session.exchange(b"echo")?;
    let rtt = begin.elapsed();
    if let Some(failure) = slow_pieces(&session, session.offset, opened.elapsed().saturating_sub(waited)) {
        return Err(failure);
    }
    let mss = session.mss();
    session.half_close()?;
    session.set_timeout(context.timeout().min(SOON + 4 * rtt));
    let ended = session.expect_end();
    let closes_after_client = match ended {
        Ok(()) => true,
        Err(failure) if failure.kind == Kind::Other => return Err(failure),
        Err(_) => false,
    };
    let mut protocol = Protocol {
        framing: Framing::Auto,
        capacity: context.settings.max_size,
        capacity_is_certain: true,
        rtt,
        mss,
        carries_any_byte: !context.settings.text && carries_any_byte(context),
        closes_after_client,
    };
    if rtt >= MAY_BE_LOSS {
        let facts = Facts { protocol: Some(protocol), ..context.facts.clone() };
        let shortest = shortest_rtt(Context::new(context.target, &facts, context.settings))?;
        protocol.rtt = rtt.min(shortest);
    }
    Ok(protocol)
}

/// Adds why a message without a line end is not returned, or not completely.
fn explained(context: Context<'_>, failure: Failure) -> Failure {
    if failure.kind != Kind::Timeout {
        return failure;
    }
    if failure.offset.is_some_and(|offset| offset > 0) {
        return failure.because(IN_PIECES);
    }
    let line = Session::open(context).and_then(|mut session| session.exchange(b"greet check\n"));
    failure.because_if(
        line.is_ok(),
        "the server waits for a line end: an echo sends back what it has received, line or not",
    )
}

const IN_PIECES: &str = "the reply comes in pieces, and each is held back: write it at once, and set TCP_NODELAY";

/// The failure of a server that takes long for a short reply, because each of its bytes is a segment.
fn slow_pieces(session: &Session<'_>, bytes: u64, took: Duration) -> Option<Failure> {
    const SLOW: Duration = Duration::from_secs(1);
    let segments = session.data_segments().filter(|segments| is_in_pieces(bytes, *segments))?;
    (took >= SLOW).then(|| {
        let what =
            format!("a reply takes long: {bytes} bytes came in {segments} segments, within {}", Time::from(took));
        Failure::new(what).because(IN_PIECES)
    })
}

/// Whether so many bytes, in so many segments, were written one by one or nearly so.
pub(crate) const fn is_in_pieces(bytes: u64, segments: u32) -> bool {
    /// A few are those of a text in front of the message, the message, and what follows.
    const FEW: u32 = 4;
    const LONGEST_PIECE: u64 = 3;
    segments > FEW && bytes <= segments as u64 * LONGEST_PIECE
}

/// Whether the server sends back bytes of all 256 values.
fn carries_any_byte(context: Context<'_>) -> bool {
    const SHORT: usize = 64;
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let exchanged = Session::served_with_retries(context)
        .and_then(|(mut session, _)| all.chunks(SHORT).try_for_each(|part| session.exchange(part)));
    exchanged.is_ok()
}

/// What a server does at all, it does within this time and four round trips.
const SOON: Duration = Duration::from_secs(3);

fn greeting_protocol(target: &Target, facts: &Facts, settings: &Settings) -> Result<Protocol, Verdict> {
    let mut protocol = first_reply(Context::new(target, facts, settings))?;
    if protocol.rtt >= MAY_BE_LOSS {
        let facts = Facts { protocol: Some(protocol), ..facts.clone() };
        protocol.rtt = protocol.rtt.min(shortest_rtt(Context::new(target, &facts, settings))?);
    }
    let facts = Facts { protocol: Some(protocol), ..facts.clone() };
    if let (None, Some(capacity)) = (settings.capacity, capacity(Context::new(target, &facts, settings))) {
        if capacity < LEAST_CAPACITY {
            return Err(too_small(capacity));
        }
        protocol.capacity = capacity;
        protocol.capacity_is_certain = true;
    }
    Ok(protocol)
}

fn too_small(capacity: usize) -> Verdict {
    Verdict::Aborted(format!(
        "the server's names are limited to {capacity} bytes; this check needs at least {LEAST_CAPACITY}"
    ))
}

/// Sends the first name. How the server answers it shows the framing.
fn first_reply(context: Context<'_>) -> Result<Protocol, Verdict> {
    // Three framings, three answers. None is the beginning of another.
    const ANSWERS: [(Framing, &[u8]); 3] = [
        (Framing::Line, b"\nHello, greet!\n"),
        (Framing::Auto, b"Hello, greet!\n"),
        (Framing::Chunk, b"Hello, greet\n!"),
    ];
    let mut session = Session::served_with_retries(context)?.0;
    session.send(b"greet\n")?;
    let begin = Instant::now();
    let until = begin + context.timeout();
    let mut received = Vec::new();
    let failure = loop {
        if let Some((framing, answer)) = ANSWERS.iter().find(|(_, answer)| received == *answer) {
            if let Some(failure) = slow_pieces(&session, session.offset + answer.len() as u64, begin.elapsed()) {
                break failure;
            }
            return Ok(Protocol {
                framing: *framing,
                capacity: context.settings.capacity.unwrap_or(NAME_CAPACITY),
                capacity_is_certain: context.settings.capacity.is_some(),
                rtt: begin.elapsed(),
                mss: session.mss(),
                carries_any_byte: false,
                closes_after_client: true,
            });
        }
        if !ANSWERS.iter().any(|(_, answer)| answer.starts_with(&received)) {
            received.extend(session.read_for(Duration::from_millis(200)));
            if let Some(capacity) = capacity_in_error(&received) {
                return Err(too_small(capacity));
            }
            let what = format!("the name `greet` and a line feed were answered by {}", shown(&received));
            let mut failure = Failure::new(what);
            failure.causes = difference::causes_from(b"Hello, greet!\n", &received, session.offset);
            break failure;
        }
        let mut byte = [0];
        match session.read_until(until, &mut byte) {
            Ok(_) => received.extend(byte),
            Err(Kind::Timeout) if received.is_empty() => {
                break Failure::new("the first name is not answered").with_kind(Kind::Timeout).because(
                    "the name does not reach the server, or its reply is held back: for more names, a full buffer, or a flush",
                );
            }
            Err(Kind::Timeout) => {
                let what =
                    format!("only {} of the reply to the first name was received within the timeout", shown(&received));
                break Failure::new(what).with_kind(Kind::Timeout).because(IN_PIECES);
            }
            Err(kind) => {
                let end = if kind == Kind::Closed { "the server closed the connection" } else { "it was reset" };
                break Failure::new(format!("instead of the whole reply to the first name, {end}"))
                    .with_kind(kind)
                    .because_if(
                        received.is_empty(),
                        "the server serves nobody after the greeting: its task ends or fails there, or at the first name",
                    );
            }
        }
    };
    Err(Failure {
        offset: Some(session.offset),
        expected: Some(b"Hello, greet!\n".to_vec()),
        received: Some(received),
        ..failure
    }
    .into())
}

/// A round trip in which a segment is lost takes at least this long.
const MAY_BE_LOSS: Duration = Duration::from_millis(150);

/// The shortest of several round trips: the RTT without packet loss.
fn shortest_rtt(context: Context<'_>) -> Result<Duration, Failure> {
    const NAMES: usize = 3;
    let mut session = Session::ready(context)?;
    let mut shortest = Duration::MAX;
    for _ in 0..NAMES {
        let begin = Instant::now();
        session.exchange(b"greet")?;
        shortest = shortest.min(begin.elapsed());
    }
    Ok(shortest)
}

/// The maximum name length, if the server reveals it.
fn capacity(context: Context<'_>) -> Option<usize> {
    /// The longest name of the protocol (rule L1).
    const LONGEST: usize = 65_535;
    let lines = context.facts.takes_several();
    let mut session = Session::ready(context).ok()?;
    // Under `chunk` the name has to arrive as one read: no more than a segment.
    let sent = if lines { LONGEST } else { session.ethernet_mss() };
    session.send(&session.request(&vec![b'x'; sent])).ok()?;
    let reply = session.read_answer(if lines { b'\n' } else { b'!' }, 2 * LONGEST)?;
    if let Some(capacity) = capacity_in_error(&reply) {
        return Some(capacity); // under `line` (rule L3)
    }
    let length = name_length(&reply, lines)?;
    match lines {
        true if length == sent => Some(LONGEST),
        // Under `chunk` a longer read is cut at the capacity (rule L2). If it is not cut, the capacity is not known.
        false if length < sent => Some(length),
        _ => None,
    }
}

/// The length of the name in the first reply. Under `chunk` others may follow: for the rest of a name that was cut.
fn name_length(reply: &[u8], lines: bool) -> Option<usize> {
    let end: &[u8] = if lines { b"!\n" } else { b"!" };
    let name = reply.strip_prefix(b"Hello, ")?;
    name.windows(end.len()).position(|window| window == end)
}

/// The capacity in the error reply to an overlong name.
fn capacity_in_error(reply: &[u8]) -> Option<usize> {
    let reply = reply.strip_prefix(b"\n").unwrap_or(reply); // of the greeting, under `line`
    let digits: Vec<u8> = reply.strip_prefix(LONGER_THAN)?.iter().copied().take_while(u8::is_ascii_digit).collect();
    core::str::from_utf8(&digits).ok()?.parse().ok().filter(|capacity| (1..=65_535).contains(capacity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reply_contains_the_capacity() {
        assert_eq!(name_length(b"Hello, xxxx!", false), Some(4));
        assert_eq!(name_length(b"Hello, xxxx!Hello, xxxx!Hello, xx!", false), Some(4));
        assert_eq!(name_length(b"Hello, xxxx!\n", true), Some(4));
        assert_eq!(name_length(b"Hello, xxxx", true), None);
        assert_eq!(name_length(b"Error", false), None);
    }

    #[test]
    fn the_error_for_an_overlong_name_contains_the_capacity() {
        assert_eq!(capacity_in_error(b"Error: name longer than 1024 bytes\n"), Some(1024));
        assert_eq!(capacity_in_error(b"\nError: name longer than 4 bytes\n"), Some(4));
        for other in
            ["", "Error: name longer than ", "Error: name longer than 0 bytes", "Error: name longer than 99999999999"]
        {
            assert_eq!(capacity_in_error(other.as_bytes()), None, "{other}");
        }
    }
}
