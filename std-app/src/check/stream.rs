//! The bytes: many of them, of every length, cut anywhere, fast and slow, and each compared.

use core::time::Duration;
use std::{io::Write, thread, time::Instant};

use crate::export::number::{ByteRate, Bytes, Time};
use greet_core::Framing;

use super::{
    difference,
    probe::{Failure, Group, Kind, Level, Notes, Probe, Stop, Unit, so_many},
    talk::Talk,
    target::Target,
};

const MEBIBYTE: usize = 1 << 20;
/// After so many bytes their replies are read, or after one name; every pair of buffers between two hosts holds them.
const WINDOW: usize = 2048;

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, shows, causes, run: fn(&Target, &mut Notes<'_>) -> Result<String, Stop>| {
        Probe::new(Group::Stream, name, Level::Must, shows, causes, run)
    };
    vec![
        probe(
            "lengths",
            "names of every length come back whole, with bytes that depend on their position",
            &[
                "a name is cut at a buffer's or a segment's size (536 and 1,460 are usual ones)",
                "a copy that is a word too short for lengths that are no multiple of 4",
                "cache lines that are not written back or invalidated around DMA",
            ],
            lengths,
        ),
        probe(
            "segments",
            "payloads around the segment size (MSS - 1, MSS, MSS + 1) arrive whole",
            &["the driver's longest frame is a few bytes too short: 1,514 without the checksum, 1,518 with it"],
            segments,
        ),
        probe(
            "cuts",
            "names that are cut at any byte are put together",
            &["a line that ends in another read than it began in is taken for two"],
            cuts,
        ),
        probe(
            "pipelined",
            "many names in one segment are all answered, in order",
            &[
                "only the first name of a read is looked at",
                "replies are merged or lost where the send buffer is full",
                "more than one task writes, and replies come out of order",
            ],
            pipelined,
        ),
        probe(
            "slow-writer",
            "a client that writes a byte at a time is answered as any other",
            &["a read of one byte is taken for a name, or resets a timer that it should not"],
            slow_writer,
        ),
        probe(
            "stopped-reader",
            "a client that stops reading until the window is zero disturbs nobody, and gets everything when it reads again",
            &[
                "one client's full send buffer blocks the task that serves all: a write that waits has to wait alone",
                "what did not fit into the send buffer is dropped",
            ],
            stopped_reader,
        ),
        probe(
            "both-ways",
            "with both directions full at once, a mebibyte each way is right to the last byte",
            &[
                "receive and transmit share a buffer, a descriptor or a lock",
                "the FIFO overruns under bursts: bound them (max_burst_size), and count overruns",
            ],
            both_ways,
        ),
    ]
}

/// What names are made of: printable, no blank, and no letter of `exit`.
const BYTES: &[u8] = b"!#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdfghjklmnopqrsuvwyz{|}~";

/// A name of that length; each of its bytes tells at which place of the conversation it is.
fn name(position: usize, length: usize) -> Vec<u8> {
    (position..position + length)
        .map(|place| {
            let mixed = difference::mixed(place);
            BYTES.get(mixed % BYTES.len()).copied().unwrap_or_default()
        })
        .collect()
}

/// A conversation in which several names may be under way.
struct Pipeline<'a> {
    talk: Talk<'a>,
    /// How many bytes of names were made.
    position: usize,
    asked: Vec<u8>,
    owed: Vec<u8>,
    /// How many names that are.
    names: usize,
}

impl<'a> Pipeline<'a> {
    fn open(target: &'a Target) -> Result<Self, Failure> {
        Ok(Self { talk: Talk::settled(target)?, position: 0, asked: Vec::new(), owed: Vec::new(), names: 0 })
    }

    /// The next name is to have this length.
    fn ask(&mut self, length: usize) {
        let name = name(self.position, length);
        self.position += length;
        self.asked.extend(self.talk.asked(&name));
        self.owed.extend(self.talk.owed(&name));
        self.names += 1;
    }

    /// Sends what was asked, in one write, and takes the replies.
    fn flush(&mut self) -> Result<(), Failure> {
        if self.asked.is_empty() {
            return Ok(());
        }
        self.talk.send(&core::mem::take(&mut self.asked))?;
        self.talk.expect_replies(core::mem::take(&mut self.names), &core::mem::take(&mut self.owed))
    }
}

fn lines_only(target: &Target) -> Result<(), Stop> {
    match target.framing() {
        Framing::Chunk => Err(Stop::Skipped("framing chunk has one name under way at a time".to_owned())),
        Framing::Auto | Framing::Line => Ok(()),
    }
}

fn lengths(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    let all = target.capacity();
    // All of them are half as many bytes as the square of the longest.
    let bytes = if target.stress { 256 * MEBIBYTE } else { 8 * MEBIBYTE };
    let polite = all.min(2 * bytes / all);
    let wanted = if target.takes_lines() { polite } else { usize::try_from(target.trips(all as u64)).unwrap_or(all) };
    let mut pipeline = Pipeline::open(target)?;
    let mut asked = 0;
    for index in 0..wanted {
        if !target.has_time() {
            break;
        }
        asked += 1;
        // Where not all can be had, they are spread, and the longest is among them.
        let length = all - index * all / wanted;
        pipeline.ask(length);
        if !target.takes_lines() || pipeline.asked.len() >= WINDOW {
            pipeline.flush().map_err(|failure| failure.during(format_args!("names of {length} bytes and around")))?;
            notes.progress(index as u64, wanted as u64);
        }
    }
    pipeline.flush()?;
    pipeline.talk.leave()?;
    Ok(match asked {
        _ if asked == all => format!("all {all} lengths"),
        _ if asked == polite => format!("{asked} of the {all} lengths, in {}", Bytes(bytes as f64)),
        _ => format!("{asked} of the {all} lengths, for a reply takes {}", Time::from(target.trip())),
    })
}

fn segments(target: &Target, _: &mut Notes<'_>) -> Result<String, Stop> {
    lines_only(target)?;
    let mut pipeline = Pipeline::open(target)?;
    let segment = pipeline.talk.segment_on_ethernet();
    for payload in [segment - 1, segment, segment + 1, 2 * segment - 1, 2 * segment, 2 * segment + 1] {
        // As many names as it takes for these bytes, of which each has a line feed.
        let longest = target.capacity() + 1;
        let mut left = payload;
        while left > 0 {
            let line = left.min(longest);
            pipeline.ask(line - 1);
            left -= line;
        }
        pipeline.flush().map_err(|failure| failure.during(format_args!("a payload of {payload} bytes")))?;
    }
    pipeline.talk.leave()?;
    Ok(format!("the segment size is {segment}"))
}

fn cuts(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    lines_only(target)?;
    const TEXT: &[u8] = b"haha\r\nyou are loser\n\nbyebye\n";
    const REPLIES: &[u8] = b"Hello, haha!\nHello, you are loser!\nHello, !\nHello, byebye!\n";
    let mut talk = Talk::settled(target)?;
    let mut places = 0_u64;
    for position in 1..TEXT.len() {
        if !target.has_time() {
            break;
        }
        places += 1;
        let (first, second) = TEXT.split_at(position);
        talk.send(first)?;
        thread::sleep(Duration::from_millis(3)); // that the server reads it alone
        talk.send(second)?;
        talk.expect_replies(4, REPLIES)
            .map_err(|failure| failure.during(format_args!("cut at byte {position} of {}", TEXT.len())))?;
        notes.progress(position as u64, TEXT.len() as u64);
    }
    talk.leave()?;
    Ok(so_many(places, TEXT.len() as u64 - 1, "places"))
}

fn pipelined(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    lines_only(target)?;
    const NAMES: usize = 200;
    const ROUNDS: usize = 50;
    let mut pipeline = Pipeline::open(target)?;
    let mut rounds = 0;
    for round in 0..ROUNDS {
        if !target.has_time() {
            break;
        }
        rounds += 1;
        for _ in 0..NAMES {
            pipeline.ask(6);
        }
        pipeline.flush()?;
        notes.progress(round as u64, ROUNDS as u64);
    }
    pipeline.talk.leave()?;
    let within = if rounds == ROUNDS { "" } else { " within the time" };
    Ok(format!("{} names, {NAMES} in a segment{within}", NAMES * rounds))
}

fn slow_writer(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    lines_only(target)?;
    let mut talk = Talk::settled(target)?;
    let name = name(0, 60.min(target.capacity()));
    for (index, byte) in talk.asked(&name).into_iter().enumerate() {
        talk.send(&[byte])?;
        thread::sleep(Duration::from_millis(5));
        notes.progress(index as u64, name.len() as u64);
    }
    talk.expect("the reply", &talk.owed(&name))?;
    talk.leave()?;
    Ok(format!("{} bytes, one every 5 ms", name.len() + 1))
}

/// So much is sent to a server at most whose replies nobody reads.
const UNREAD: usize = 12 * MEBIBYTE;
/// So long is read what a slow server then has to say.
const READING_LASTS: Duration = Duration::from_secs(8);

fn stopped_reader(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    lines_only(target)?;
    target.several(2)?;
    let mut talk = Talk::settled(target)?;
    // Not so the receive buffer: a window that shrinks would be this client's own fault.
    let _ = socket2::SockRef::from(&talk.stream).set_send_buffer_size(16 * 1024);
    let _ = talk.stream.set_write_timeout(Some(Duration::from_millis(500)));
    let name = name(0, 48.min(target.capacity()));
    let (asked, owed) = (talk.asked(&name), talk.owed(&name));
    let batch = asked.repeat(50);
    let (mut sent, mut stopped) = (0, false);
    while sent < UNREAD && target.has_time() {
        match talk.stream.write(batch.get(sent % asked.len()..).unwrap_or_default()) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                stopped = true;
                break;
            }
            Err(error) => {
                return Err(Failure::new(format!(
                    "after {sent} bytes of names whose replies were not read, {}",
                    super::probe::of(&error)
                ))
                .into());
            }
        }
        notes.progress(sent as u64, UNREAD as u64);
    }
    target.count_bytes(sent);
    // Meanwhile another one is served.
    Talk::settled(target).and_then(Talk::leave).map_err(|failure| {
        failure
            .during("another client, while the first one does not read")
            .because("one client that stops reading blocks the server for all others")
    })?;
    let _ = talk.stream.set_write_timeout(Some(target.timeout));
    // The last name may be sent in part.
    let rest = asked.len() - sent % asked.len();
    let names = sent.div_ceil(asked.len());
    let last = asked.get(asked.len() - rest..).filter(|_| rest < asked.len()).unwrap_or_default().to_vec();
    let mut writer = talk.stream.try_clone().map_err(|error| Failure::new(error.to_string()))?;
    let begin = Instant::now();
    let left = thread::scope(|scope| {
        let writing = scope.spawn(move || writer.write_all(&last));
        let mut left = names;
        let mut outcome = Ok(());
        while left > 0 && outcome.is_ok() && (target.stress || begin.elapsed() < READING_LASTS) && !target.is_stopped() {
            let count = left.min(50);
            outcome = talk.expect_replies(count, &owed.repeat(count));
            left -= count;
            notes.progress((names - left) as u64, names as u64);
        }
        if outcome.is_err() || left > 0 {
            let _ = talk.stream.shutdown(std::net::Shutdown::Both); // so that the writer ends
        }
        match (outcome, writing.join()) {
            (Ok(()), Ok(Err(_))) if left == 0 => Err(Failure::new("the rest of the last name could not be sent")),
            (outcome, _) => outcome.map(|()| left),
        }
    })
    .map_err(|failure| {
        let is_late = failure.kind == Kind::Late;
        failure.during("reading again").because_if(
            is_late,
            "a write that had to wait is never gone on with when the window opens: the window probe is not answered, its update \
             is lost, or nothing wakes the task that waits to write",
        )
    })?;
    let stopped = if stopped { "the server stopped after" } else { "the server did not stop: it took" };
    let stopped = format!("{stopped} {}", Bytes(sent as f64));
    if left > 0 {
        talk.reset();
        return Ok(format!("{stopped}; of {names} replies the first {} came back within 8 s", names - left));
    }
    talk.leave()?;
    Ok(format!("{stopped}; all came back"))
}

/// For so long both directions are kept full at most.
const BOTH_WAYS_LAST: Duration = Duration::from_secs(60);

fn both_ways(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    const TOGETHER: usize = 8;
    lines_only(target)?;
    let total = if target.stress { 64 * MEBIBYTE } else { MEBIBYTE };
    let length = target.capacity().min(500);
    let names = total.div_ceil(length + 1);
    let mut talk = Talk::settled(target)?;
    let writer = talk.stream.try_clone().map_err(|error| Failure::new(error.to_string()))?;
    let begin = Instant::now();
    let came = thread::scope(|scope| {
        let writing = scope.spawn(move || -> std::io::Result<()> {
            let mut writer = std::io::BufWriter::with_capacity(16 * 1024, writer);
            for index in 0..names {
                writer.write_all(&name(index * length, length))?;
                writer.write_all(b"\n")?;
            }
            writer.flush()
        });
        let mut outcome = Ok(());
        let mut came = 0;
        // Several at a time: should a byte be wrong, those behind it tell what has happened.
        while came < names
            && outcome.is_ok()
            && (target.stress || begin.elapsed() < BOTH_WAYS_LAST)
            && !target.is_stopped()
        {
            let next = names.min(came + TOGETHER);
            let owed: Vec<u8> = (came..next).flat_map(|index| talk.owed(&name(index * length, length))).collect();
            outcome = talk.expect_replies(TOGETHER, &owed);
            came = next;
            notes.progress(came as u64, names as u64);
        }
        if outcome.is_err() || came < names {
            let _ = talk.stream.shutdown(std::net::Shutdown::Both); // so that the writer ends
        }
        let written = writing.join();
        outcome?;
        match written {
            Ok(Err(error)) if came == names => {
                Err(Failure::new(format!("the names could not be sent: {}", super::probe::of(&error))))
            }
            Ok(_) => Ok(came),
            Err(_) => Err(Failure::new("the check's own thread panicked")),
        }
    })?;
    let took = begin.elapsed().as_secs_f64();
    let bytes = came * (length + 1);
    target.count_bytes(bytes);
    let rate = bytes as f64 / took;
    notes.measure("verified bytes a second, each way", rate, Unit::ByteRate);
    if came < names {
        talk.reset();
        return Ok(format!(
            "{} each way within {}, {}",
            Bytes(bytes as f64),
            Time::from(begin.elapsed()),
            ByteRate(rate)
        ));
    }
    talk.leave()?;
    Ok(format!("{} MiB each way, {}", total / MEBIBYTE, ByteRate(rate)))
}
