//! Sizes: a segment of every size passes in both directions, or it is told which ones do not.

use core::{fmt, time::Duration};

use crate::check::{
    context::Context,
    evidence,
    failure::{Failure, Kind},
    mss::{self, Announced},
    payload::payload,
    probe::{Notes, Verdict},
    session::Session,
};
use crate::export::number::{Count, Time};

/// What a lost segment of that size costs: its sender repeats it twice on a fast link. And what it costs to see that again: there
/// it repeats it once.
const QUIET: [Duration; 2] = [Duration::from_millis(700), Duration::from_millis(350)];
/// As many lost sizes show the kind of the hole.
const ENOUGH: usize = 8;
/// As many connections that stand still near a limit of bytes show the limit.
const LIMITS: usize = 2;

/// Which way a segment is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    /// The bytes of the segment that is lost, if one of `size` bytes was sent: on the way back they are those of the replies.
    fn bytes(self, context: Context<'_>, size: usize) -> usize {
        let conversation = context.facts.conversation();
        let terminator = conversation.terminator.len();
        let messages = size.div_ceil(context.facts.capacity() + terminator).max(1);
        match self {
            Self::Up => size,
            Self::Down => size + messages * (conversation.owed(b"").len() - terminator),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Up => "to the server",
            Self::Down => "from the server",
        })
    }
}

/// Sends segments of every size, one at a time, and receives the replies.
pub(super) fn sizes(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let mut sizes = Sizes::new(context)?;
    let largest = sizes.largest;
    let announced = sizes.announced.map_or_else(String::new, |announced| format!("; {announced}"));
    // The largest first: if it does not pass, there is a limit to find.
    if let Some(direction) = sizes.lost(largest)? {
        let (passed, failed, direction) = sizes.limit(direction)?;
        return Err(sizes.too_long(passed, failed, direction, &announced).into());
    }
    let mut holes = Vec::new();
    let mut done = 0;
    let least = 1 + context.facts.conversation().terminator.len();
    for size in spread(largest).filter(|size| *size >= least) {
        if !context.has_time() || holes.len() >= ENOUGH {
            break;
        }
        if let Some(direction) = sizes.lost(size)? {
            holes.push((size, direction));
        }
        done += 1;
        notes.progress(done as u64, largest as u64);
    }
    holes.sort_unstable_by_key(|(size, _)| *size);
    sizes.session.exit()?;
    match holes.as_slice() {
        [] => {
            let counted = if done + least > largest {
                format!("segments of {least} to {} bytes pass", Count(largest as u64))
            } else {
                format!("{} of {} sizes of segments pass, the largest, too", Count(done as u64), Count(largest as u64))
            };
            Ok(format!("{counted} (frames of up to {} bytes){announced}", Count((largest + sizes.headers) as u64)))
        }
        holes => Err(holes_failure(context, holes, sizes.headers).into()),
    }
}

/// The sizes from 1 to `largest` in an order in which the first ones are spread, however many of them there is time for.
fn spread(largest: usize) -> impl Iterator<Item = usize> {
    const fn common_divisor(one: usize, other: usize) -> usize {
        if other == 0 { one } else { common_divisor(other, one % other) }
    }
    // Near the golden section, which leaves no large gaps.
    let stride = (largest * 618 / 1000..).find(|stride| common_divisor(*stride, largest) == 1).unwrap_or(1);
    (0..largest).map(move |index| 1 + index * stride % largest)
}

struct Sizes<'a> {
    context: Context<'a>,
    session: Session<'a>,
    announced: Option<Announced>,
    /// Bytes of the largest segment.
    largest: usize,
    /// Bytes of Ethernet, IP and TCP before them.
    headers: usize,
    /// How many connections stood still near a limit of bytes.
    limits: usize,
}

impl<'a> Sizes<'a> {
    fn new(context: Context<'a>) -> Result<Self, Failure> {
        const ETHERNET: usize = 14;
        let session = Session::ready(context)?;
        let announced = Announced::of(&session.stream);
        let options = evidence::info(&session.stream).map_or(0, |info| mss::options(&info)) as usize;
        let ip = if context.target.address.is_ipv4() { 40 } else { 60 };
        let largest = session.ethernet_mss().min(context.facts.in_flight());
        // Under `chunk` a segment is a name.
        let largest = if context.facts.takes_several() { largest } else { largest.min(context.facts.capacity()) };
        Ok(Self { context, session, announced, largest, headers: ETHERNET + ip + options, limits: 0 })
    }

    /// Whether a segment of this size is lost each of three times, or its reply.
    fn lost(&mut self, size: usize) -> Result<Option<Direction>, Failure> {
        self.lost_of(3, size)
    }

    fn lost_of(&mut self, attempts: usize, size: usize) -> Result<Option<Direction>, Failure> {
        let mut direction = None;
        for attempt in 0..attempts {
            if attempt > 0 {
                self.session = Session::ready(self.context)?; // the old one waits for what is lost
            }
            let [first, again] = QUIET;
            match self.exchange(size, if attempt == 0 { first } else { again }) {
                Ok(()) => return Ok(None),
                Err(failure) if failure.kind == Kind::Timeout => {
                    // It is not the size, but the number of bytes on this connection: twice is no chance.
                    let is_limit = failure.causes.iter().any(|cause| cause.contains("look for a limit"));
                    self.limits += usize::from(is_limit);
                    if is_limit && self.limits >= LIMITS {
                        return Err(failure);
                    }
                    direction = Some(self.direction());
                }
                Err(failure) => return Err(failure.during(format_args!("a segment of {size} bytes"))),
            }
        }
        self.session = Session::ready(self.context)?;
        Ok(direction)
    }

    /// Sends one segment of this size, which consists of messages, and receives the replies.
    fn exchange(&mut self, size: usize, quiet: Duration) -> Result<(), Failure> {
        let terminator = self.session.conversation().terminator.len();
        let longest = self.context.facts.capacity() + terminator;
        let (mut requests, mut replies, mut left) = (Vec::new(), Vec::new(), size);
        while left > 0 {
            // No line is empty: that is about names.
            let is_rest_empty = left > longest && left - longest == terminator;
            let line = left.min(longest) - usize::from(is_rest_empty);
            // It begins unlike those of other sizes: a reply that comes again is no tail of a longer one.
            let from = 7 * size + requests.len();
            let message = payload(self.context, from..from + line.saturating_sub(terminator));
            requests.extend(self.session.request(&message));
            replies.extend(self.session.reply(&message));
            left -= line;
        }
        self.session.set_timeout(quiet + 4 * self.context.facts.rtt());
        self.session.send(&requests)?;
        self.session.expect("the reply", &replies)
    }

    fn direction(&self) -> Direction {
        let is_up = evidence::info(&self.session.stream).is_ok_and(|info| info.unacknowledged_segments > 0);
        if is_up { Direction::Up } else { Direction::Down }
    }

    /// Closes in on the limit: a size that passes, the next one, which does not, and its direction.
    fn limit(&mut self, direction: Direction) -> Result<(usize, usize, Direction), Failure> {
        let (mut passed, mut failed, mut direction) = (0, self.largest, direction);
        while failed - passed > 1 && self.context.has_time() {
            let between = usize::midpoint(passed, failed);
            // Each loss takes its time, and the last one is confirmed.
            match self.lost_of(1, between)? {
                None => passed = between,
                Some(found) => (failed, direction) = (between, found),
            }
        }
        if failed < self.largest && self.lost_of(2, failed)?.is_none() {
            // A segment was lost by chance: the limit is above.
            return Ok((failed, self.largest, direction));
        }
        Ok((passed, failed, direction))
    }

    fn too_long(&self, passed: usize, failed: usize, direction: Direction, announced: &str) -> Failure {
        let is_exact = failed - passed == 1;
        let from = if is_exact { "" } else { "about " };
        let bytes = direction.bytes(self.context, passed);
        let what = format!(
            "segments {direction} with more than {from}{} bytes are lost each time (frames of more than {from}{} bytes), shorter \
             ones pass{announced}",
            Count(bytes as u64),
            Count((bytes + self.headers) as u64)
        );
        Failure::new(what).with_kind(Kind::Timeout).because(match direction {
            Direction::Up => {
                "the largest frame that the board receives: the driver's receive buffer or the MAC's limit is too short, or a VLAN \
                 tag or the checksum does not fit; or the path has a smaller MTU"
            }
            Direction::Down => {
                "the largest frame that the board sends: the driver's transmit buffer or descriptor is too short; or the path has a \
                 smaller MTU"
            }
        })
    }
}

/// Sizes that are lost while others, larger and smaller, pass.
fn holes_failure(context: Context<'_>, holes: &[(usize, Direction)], headers: usize) -> Failure {
    let of = |wanted: Direction| {
        let holes = holes.iter().filter(|(_, direction)| *direction == wanted);
        holes.map(|(size, _)| wanted.bytes(context, *size)).collect::<Vec<_>>()
    };
    let mut parts = Vec::new();
    for direction in [Direction::Up, Direction::Down] {
        let sizes = of(direction);
        if sizes.is_empty() {
            continue;
        }
        let frames: Vec<usize> = sizes.iter().map(|size| size + headers).collect();
        parts.push(format!("segments {direction} with exactly {} bytes (frames of {})", list(&sizes), list(&frames)));
    }
    let and_others = if holes.len() >= ENOUGH { ", and perhaps others" } else { "" };
    let [first, _] = QUIET;
    let waited = Time::from(first + 4 * context.facts.rtt());
    let what = format!("{} are lost each time{and_others}: no reply within {waited}", parts.join(" and "));
    Failure::new(what).with_kind(Kind::Timeout).because(
        "frames of exactly these sizes are lost in the driver, the DMA or a switch: look at lengths that fill a buffer, a cache line \
         or a FIFO, and at the padding of short frames",
    )
}

fn list(sizes: &[usize]) -> String {
    sizes.iter().map(|size| Count(*size as u64).to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_tried_once_and_the_first_ones_are_spread() {
        for largest in [1, 2, 3, 100, 536, 1460] {
            let mut all: Vec<usize> = spread(largest).collect();
            let mut first: Vec<usize> = all.iter().copied().take(20).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(1..=largest), "{largest}");
            first.sort_unstable();
            let widest = first.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            assert!(widest <= largest / 20 * 3 + 1, "{largest}: {first:?}");
        }
    }
}
