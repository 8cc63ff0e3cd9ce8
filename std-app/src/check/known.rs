//! What most probes have to know of a server: where a name ends for it, how long one may be, and how soon it answers.

use core::time::Duration;
use std::time::Instant;

use crate::export::number::{Count, Time};
use greet_conformance::vectors::LEAST_CAPACITY;
use greet_core::{Framing, NAME_CAPACITY};

use super::{
    difference,
    probe::{Failure, Kind, Stop, shown},
    rules::framing_name,
    talk::Talk,
    target::Target,
};

/// What was found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Where a name ends.
    pub(super) framing: Framing,
    /// How many bytes a name has at most.
    pub(super) capacity: usize,
    /// That is so, and not only what most servers have.
    pub(super) capacity_is_certain: bool,
    /// How long one name took to be answered.
    pub(super) trip: Duration,
    /// How many bytes one segment carries there: more do not come as one read.
    pub(super) segment: usize,
}

impl Known {
    /// In one line.
    pub(super) fn text(&self) -> String {
        format!(
            "framing {}, names of at most {} bytes{}, a reply takes {}",
            framing_name(self.framing),
            Count(self.capacity as u64),
            if self.capacity_is_certain { "" } else { " (assumed: --capacity N says it)" },
            Time::from(self.trip)
        )
    }
}

/// Where the errors for overlong names begin (rule L3).
pub(super) const LONGER_THAN: &[u8] = b"Error: name longer than ";

/// Finds it out, unless it is known already.
pub(super) fn find_out(target: &Target) -> Result<(), Stop> {
    if target.known().is_some() {
        return Ok(());
    }
    let (framing, trip, segment) = first_reply(target)?;
    let mut known = Known {
        framing,
        capacity: target.told_capacity.unwrap_or(NAME_CAPACITY),
        capacity_is_certain: target.told_capacity.is_some(),
        trip,
        segment,
    };
    target.set_known(known); // from here on it is talked to in its framing
    if trip >= MAY_BE_LOST {
        known.trip = trip.min(shortest_trip(target)?);
    }
    if let (None, Some(capacity)) = (target.told_capacity, find_capacity(target)) {
        if capacity < LEAST_CAPACITY {
            return Err(too_small(capacity));
        }
        known.capacity = capacity;
        known.capacity_is_certain = true;
    }
    target.set_known(known);
    Ok(())
}

fn too_small(capacity: usize) -> Stop {
    Stop::Over(format!("names have at most {capacity} bytes there; this check needs {LEAST_CAPACITY}"))
}

/// How the server answers the first name: by that it is known where names end for it.
fn first_reply(target: &Target) -> Result<(Framing, Duration, usize), Stop> {
    // Three servers, three answers, of which none begins as another one.
    const CANDIDATES: [(Framing, &[u8]); 3] = [
        (Framing::Line, b"\nHello, greet!\n"),
        (Framing::Auto, b"Hello, greet!\n"),
        (Framing::Chunk, b"Hello, greet\n!"),
    ];
    let mut talk = Talk::greeted_patiently(target)?.0;
    talk.send(b"greet\n")?;
    let begin = Instant::now();
    let until = begin + target.timeout;
    let mut received = Vec::new();
    let failure = loop {
        if let Some((framing, _)) = CANDIDATES.iter().find(|(_, reply)| received == *reply) {
            return Ok((*framing, begin.elapsed(), talk.segment()));
        }
        if !CANDIDATES.iter().any(|(_, reply)| reply.starts_with(&received)) {
            received.extend(talk.more_within(Duration::from_millis(200)));
            if let Some(capacity) = capacity_in_error(&received) {
                return Err(too_small(capacity));
            }
            let mut failure =
                Failure::new(format!("the name `greet` and a line feed were answered by {}", shown(&received)));
            failure.causes = difference::causes_of(b"Hello, greet!\n", &received, talk.offset);
            break failure;
        }
        let mut byte = [0];
        match talk.read_until(until, &mut byte) {
            Ok(_) => received.extend(byte),
            Err(Kind::Late) if received.is_empty() => {
                break Failure::new("the first name is not answered").of_kind(Kind::Late).because(
                    "the name does not reach the server, or its reply waits: for more names, for a full buffer, for a flush",
                );
            }
            Err(Kind::Late) => {
                break Failure::new(format!("of the reply to the first name only {} came in time", shown(&received)))
                    .of_kind(Kind::Late)
                    .because("a reply comes in pieces, and each waits: write it in one go, and set TCP_NODELAY");
            }
            Err(kind) => {
                let end = if kind == Kind::Ended { "the server ended the conversation" } else { "it was reset" };
                break Failure::new(format!("instead of a whole reply to the first name {end}"))
                    .of_kind(kind)
                    .because_if(
                        received.is_empty(),
                        "it serves nobody beyond the greeting: its task ends or fails there, or at the first name",
                    );
            }
        }
    };
    let offset = Some(talk.offset);
    Err(Failure { offset, expected: Some(b"Hello, greet!\n".to_vec()), received: Some(received), ..failure }.into())
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
fn find_capacity(target: &Target) -> Option<usize> {
    /// So long is a name in this protocol at most (rule L1).
    const LONGEST: usize = 65_535;
    let lines = target.takes_lines();
    let mut talk = Talk::settled(target).ok()?;
    // Under `chunk` it has to be what one read delivers: no more than a segment.
    let sent = if lines { LONGEST } else { talk.segment_on_ethernet() };
    talk.send(&talk.asked(&vec![b'x'; sent])).ok()?;
    let reply = talk.take_answer(if lines { b'\n' } else { b'!' }, 2 * LONGEST)?;
    if let Some(capacity) = capacity_in_error(&reply) {
        return Some(capacity); // under `line` (rule L3)
    }
    let name = reply.strip_prefix(b"Hello, ")?.strip_suffix(if lines { &b"!\n"[..] } else { b"!" })?;
    match name.len() {
        length if length == sent && lines => Some(LONGEST),
        // Under `chunk` a longer read is cut there (rule L2); if it is not, nothing is known.
        length if length < sent && !lines => Some(length),
        _ => None,
    }
}

/// What the error for an overlong name says of how long one may be.
fn capacity_in_error(reply: &[u8]) -> Option<usize> {
    let reply = reply.strip_prefix(b"\n").unwrap_or(reply); // of the greeting, under `line`
    let digits: Vec<u8> = reply.strip_prefix(LONGER_THAN)?.iter().copied().take_while(u8::is_ascii_digit).collect();
    core::str::from_utf8(&digits).ok()?.parse().ok().filter(|capacity| (1..=65_535).contains(capacity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_for_an_overlong_name_tells_the_capacity() {
        assert_eq!(capacity_in_error(b"Error: name longer than 1024 bytes\n"), Some(1024));
        assert_eq!(capacity_in_error(b"\nError: name longer than 4 bytes\n"), Some(4));
        for other in
            ["", "Error: name longer than ", "Error: name longer than 0 bytes", "Error: name longer than 99999999999"]
        {
            assert_eq!(capacity_in_error(other.as_bytes()), None, "{other}");
        }
    }
}
