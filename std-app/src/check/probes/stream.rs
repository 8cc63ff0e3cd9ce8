//! Stream: many bytes, of every length, split anywhere, fast and slow, each of them compared.

use core::time::Duration;
use std::thread;

use crate::export::number::{Count, Time};

use super::{
    back_pressure::{MEBIBYTE, full_duplex, stopped_reader},
    sizes::sizes,
};
use crate::check::{
    context::Context,
    failure::Failure,
    mss::Announced,
    payload::payload,
    probe::{Group, Level, Need, Notes, Probe, Verdict},
    service::Service,
    session::Session,
};

/// Names are in flight up to this many bytes, or a single one: the buffers of any two hosts hold them.
const IN_FLIGHT: usize = 2048;

const NEEDS_SEVERAL: &[Need] = &[Need::Conversation, Need::Several];

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, requirement, needs, causes, run: fn(Context<'_>, &mut Notes<'_>) -> Result<String, Verdict>| {
        Probe::new(Group::Stream, name, Level::Must, requirement, needs, causes, run)
    };
    vec![
        probe("sizes", "a segment of every size passes in both directions", &[Need::Conversation], &[], sizes),
        probe(
            "lengths",
            "names of every length are echoed completely, with bytes that depend on their position",
            &[Need::Conversation],
            &[
                "a name is cut at the size of a buffer or a segment (536 and 1,460 are common)",
                "a copy is a word too short for lengths that are no multiple of 4",
                "cache lines are not written back or invalidated around DMA",
            ],
            lengths,
        ),
        probe(
            "segments",
            "payloads around the segment size (MSS - 1, MSS, MSS + 1) arrive completely",
            NEEDS_SEVERAL,
            &["the driver's maximum frame is a few bytes too short: 1,514 without the checksum, 1,518 with it"],
            segments,
        ),
        probe(
            "splits",
            "names that are split at any byte are reassembled",
            NEEDS_SEVERAL,
            &["a line that continues in the next read is taken for two"],
            splits,
        ),
        probe(
            "pipelined",
            "many names in one segment are all answered, in order",
            NEEDS_SEVERAL,
            &[
                "only the first name of a read is handled",
                "replies are merged or lost when the send buffer is full",
                "more than one task writes, and replies are reordered",
            ],
            pipelined,
        ),
        probe(
            "slow-writer",
            "a client that writes one byte at a time is answered like any other",
            NEEDS_SEVERAL,
            &["a read of one byte is taken for a name, or resets a timer by mistake"],
            slow_writer,
        ),
        probe(
            "stopped-reader",
            "a client that stops reading until its window is zero blocks no other client, and gets all replies later",
            &[Need::Conversation, Need::Several, Need::BackPressure, Need::Slots, Need::TwoSlots],
            &[
                "one client's full send buffer blocks the task that serves all: only that client may wait",
                "data that did not fit into the send buffer is dropped",
            ],
            stopped_reader,
        ),
        probe(
            "full-duplex",
            "with both directions full at the same time, one mebibyte each way is correct",
            &[Need::Conversation, Need::Several, Need::BackPressure],
            &[
                "receive and transmit share a buffer, a descriptor or a lock",
                "the FIFO overruns under bursts: limit them (max_burst_size), and count overruns",
            ],
            full_duplex,
        ),
    ]
}

/// A conversation in which several names may be in flight.
struct Pipeline<'a> {
    session: Session<'a>,
    /// Number of name bytes so far.
    position: usize,
    requests: Vec<u8>,
    replies: Vec<u8>,
    /// Number of names in `requests`.
    names: usize,
}

impl<'a> Pipeline<'a> {
    fn open(context: Context<'a>) -> Result<Self, Failure> {
        let session = Session::ready(context)?;
        Ok(Self { session, position: 0, requests: Vec::new(), replies: Vec::new(), names: 0 })
    }

    /// Adds a message of this length. If there are too many for this one to be in flight with them, they are sent first.
    fn push(&mut self, length: usize) -> Result<(), Failure> {
        let message = payload(self.session.context, self.position..self.position + length);
        let request = self.session.request(&message);
        if self.requests.len() + request.len() > self.session.context.facts.in_flight() {
            self.flush()?;
        }
        self.position += length;
        self.requests.extend(request);
        self.replies.extend(self.session.reply(&message));
        self.names += 1;
        Ok(())
    }

    /// Sends the names in one write, and receives their replies.
    fn flush(&mut self) -> Result<(), Failure> {
        if self.requests.is_empty() {
            return Ok(());
        }
        self.session.send(&core::mem::take(&mut self.requests))?;
        self.session.expect_replies(core::mem::take(&mut self.names), &core::mem::take(&mut self.replies))
    }
}

fn lengths(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let all = context.facts.capacity();
    let lines = context.facts.takes_several();
    // All lengths together are half as many bytes as the square of the longest.
    let bytes = if context.settings.stress { 256 * MEBIBYTE } else { 8 * MEBIBYTE };
    let within_load = all.min(2 * bytes / all);
    let planned = if lines { within_load } else { usize::try_from(context.affordable(all as u64)).unwrap_or(all) };
    let mut pipeline = Pipeline::open(context)?;
    let mut done = 0;
    for index in 0..planned {
        if !context.has_time() {
            break;
        }
        done += 1;
        // If not all lengths are tested, they are spread, and the longest is one of them.
        let length = all - index * all / planned;
        pipeline.push(length)?;
        if !lines || pipeline.requests.len() >= IN_FLIGHT {
            pipeline.flush().map_err(|failure| failure.during(format_args!("names of about {length} bytes")))?;
            notes.progress(index as u64, planned as u64);
        }
    }
    pipeline.flush()?;
    pipeline.session.exit()?;
    Ok(tested_lengths(context, [done, planned, all]))
}

/// How many lengths were tested, and why not all of them.
fn tested_lengths(context: Context<'_>, [done, planned, all]: [usize; 3]) -> String {
    let [done, planned, all] = [done, planned, all].map(|count| count as u64);
    if done < planned {
        return context.counted(done, all, "lengths");
    }
    match (done == all, context.facts.takes_several()) {
        (true, _) => format!("all {} lengths", Count(all)),
        (false, true) => format!("{} of {} lengths; --stress tests more", Count(done), Count(all)),
        (false, false) => {
            let rtt = Time::from(context.facts.rtt());
            format!("{} of {} lengths; one name is in flight, and the RTT is {rtt}", Count(done), Count(all))
        }
    }
}

fn segments(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    let mut pipeline = Pipeline::open(context)?;
    let mss = pipeline.session.ethernet_mss();
    let announced =
        Announced::of(&pipeline.session.stream).map_or_else(String::new, |announced| format!("; {announced}"));
    let mut longest_payload = 0;
    for payload in [mss - 1, mss, mss + 1, 2 * mss - 1, 2 * mss, 2 * mss + 1] {
        if payload > context.facts.in_flight() {
            break;
        }
        longest_payload = payload;
        // As many messages as fill these bytes, each with what ends it.
        let terminator = pipeline.session.conversation().terminator.len();
        let longest = context.facts.capacity() + terminator;
        let mut left = payload;
        while left > 0 {
            let line = left.min(longest);
            pipeline.push(line - terminator)?;
            left -= line;
        }
        pipeline.flush().map_err(|failure| failure.during(format_args!("a payload of {payload} bytes")))?;
    }
    pipeline.session.exit()?;
    Ok(match longest_payload {
        0 => return Err(Verdict::Skipped(format!("segments of {mss} bytes are more than the limit in flight"))),
        longest if longest > 2 * mss => format!("payloads around {mss} and {} bytes{announced}", 2 * mss),
        longest => format!("payloads of up to {longest} bytes around {mss}, below the limit in flight{announced}"),
    })
}

fn splits(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const TEXT: &[u8] = b"haha\r\nyou are loser\n\nbyebye\n";
    const REPLIES: &[u8] = b"Hello, haha!\nHello, you are loser!\nHello, !\nHello, byebye!\n";
    const PRINTABLE: &[u8] = b"An echo has no lines to split";
    let (text, replies) = match context.facts.service() {
        Service::Greet => (TEXT, REPLIES),
        Service::Echo if context.settings.text => (PRINTABLE, PRINTABLE),
        Service::Echo => (TEXT, TEXT),
    };
    let mut session = Session::ready(context)?;
    let mut done = 0;
    for position in 1..text.len() {
        if !context.has_time() {
            break;
        }
        done += 1;
        let (first, second) = text.split_at(position);
        session.send(first)?;
        thread::sleep(Duration::from_millis(3)); // so that the server reads it alone
        session.send(second)?;
        session
            .expect_replies(4, replies)
            .map_err(|failure| failure.during(format_args!("split at byte {position} of {}", text.len())))?;
        notes.progress(position as u64, text.len() as u64);
    }
    session.exit()?;
    Ok(context.counted(done, text.len() as u64 - 1, "positions"))
}

fn pipelined(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const NAMES: u64 = 200;
    const ROUNDS: u64 = 50;
    let mut pipeline = Pipeline::open(context)?;
    let mut rounds = 0;
    while rounds < ROUNDS && context.has_time() {
        rounds += 1;
        for _ in 0..NAMES {
            pipeline.push(6)?;
        }
        pipeline.flush()?;
        notes.progress(rounds, ROUNDS);
    }
    pipeline.session.exit()?;
    let messages = context.facts.service().messages();
    Ok(context.counted(NAMES * rounds, NAMES * ROUNDS, &format!("{messages}, {NAMES} at a time")))
}

fn slow_writer(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let mut session = Session::ready(context)?;
    let name = payload(context, 0..60.min(context.facts.capacity()));
    for (index, byte) in session.request(&name).into_iter().enumerate() {
        session.send(&[byte])?;
        thread::sleep(Duration::from_millis(5));
        notes.progress(index as u64, name.len() as u64);
    }
    session.expect("the reply", &session.reply(&name))?;
    session.exit()?;
    Ok(format!("{} bytes, one every 5 ms", name.len() + 1))
}

#[cfg(test)]
mod tests {
    use greet_core::Framing;

    use super::*;
    use crate::check::{
        facts::{Facts, Protocol},
        settings::Settings,
        target::Target,
    };

    #[test]
    fn the_reason_for_fewer_lengths_is_the_actual_one() {
        let text = |framing, rtt, counts| {
            let rtt = Duration::from_micros(rtt);
            let protocol = Protocol {
                framing,
                capacity: 1024,
                capacity_is_certain: true,
                rtt,
                mss: 1460,
                carries_any_byte: false,
                closes_after_client: true,
            };
            let facts = Facts { protocol: Some(protocol), ..Facts::default() };
            let (target, settings) = (Target::new(([127, 0, 0, 1], 9999).into()), Settings::for_tests());
            tested_lengths(Context::new(&target, &facts, &settings), counts)
        };
        assert_eq!(text(Framing::Line, 34, [1024, 1024, 1024]), "all 1,024 lengths");
        assert_eq!(text(Framing::Line, 34, [62, 1024, 1024]), "62 of 1,024 lengths (stopped at its budget of 10.0 s)");
        assert_eq!(text(Framing::Line, 34, [400, 400, 65535]), "400 of 65,535 lengths; --stress tests more");
        assert_eq!(
            text(Framing::Chunk, 200_000, [62, 62, 1024]),
            "62 of 1,024 lengths; one name is in flight, and the RTT is 200 ms"
        );
    }
}
