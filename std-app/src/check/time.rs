//! Time: how long round trips take, idle and under load, and what their length points at.

use core::{mem, time::Duration};
use std::{io::Write, net::Shutdown, sync::Mutex, thread, time::Instant};

use crate::export::number::{ByteRate, Time};

use super::{
    probe::{Failure, Group, Level, Notes, Probe, Stop, Unit},
    room,
    talk::Talk,
    target::Target,
};

/// What a network's own clocks make of a round trip that waits for one of them.
struct Plateau {
    /// From here to there, in microseconds.
    range: core::ops::RangeInclusive<u128>,
    name: &'static str,
    /// Such a share of the trips makes it one, in thousandths.
    share: usize,
    /// Where it comes from if other trips are shorter.
    now_and_then: &'static str,
    /// And if none is.
    each_time: &'static str,
}

const PLATEAUS: [Plateau; 4] = [
    Plateau {
        range: 8_000..=12_500,
        name: "10 ms",
        share: 400,
        now_and_then: "a delayed acknowledgement of the board's stack (10 ms), or a stack that is polled every 10 ms instead of \
                       when a frame comes",
        each_time: "a stack or a task that is polled every 10 ms instead of when a frame comes, or replies that are held back for so long",
    },
    Plateau {
        range: 38_000..=47_000,
        name: "40 ms",
        share: 50,
        now_and_then: "Nagle's algorithm at the server against the delayed acknowledgement of the client (40 ms): write a reply \
                       at once, and set TCP_NODELAY",
        each_time: "Nagle's algorithm at the server against the delayed acknowledgement of the client (40 ms): write a reply at \
                    once, and set TCP_NODELAY; or replies that are held back for so long",
    },
    Plateau {
        range: 190_000..=260_000,
        name: "200 ms",
        share: 7,
        now_and_then: "lost segments that are sent again after 200 ms: the driver drops frames, or the wire loses them; or a \
                       delayed acknowledgement of 200 ms",
        each_time: "replies that are held back for so long, or Nagle's algorithm against a delayed acknowledgement of 200 ms",
    },
    Plateau {
        range: 980_000..=1_100_000,
        name: "1,000 ms",
        share: 2,
        now_and_then: "segments that are sent again after 1 s: lost ones, or a SYN that was dropped while no socket listened",
        each_time: "replies that are held back for so long",
    },
];

const TRIPS: u64 = 500;
/// For throughput, so many bytes go one way.
const BULK: usize = 4 << 20;
/// And no more than a slow wire takes in this time.
const BULK_LASTS: Duration = Duration::from_secs(2);

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, shows, causes, run: fn(&Target, &mut Notes<'_>) -> Result<String, Stop>| {
        Probe::new(Group::Time, name, Level::Should, shows, causes, run)
    };
    vec![
        probe(
            "greeting",
            "a connection is greeted about as soon as a name is answered",
            &[
                "the client's name is looked up before it is greeted (a reverse lookup that times out)",
                "new connections are looked for at a clock's ticks, or only when the task before is done",
            ],
            greeting,
        ),
        probe("idle", "a round trip waits for no clock, with one client and nothing else to do", &[], idle),
        probe("load", "a round trip waits for no clock, with several clients at once", &[], load),
        probe(
            "throughput",
            "bulk goes up, down and both ways, and does not stand still for lost segments for most of the time",
            &["segments are lost under bursts and sent again: count what the receive FIFO drops, and bound bursts"],
            throughput,
        ),
        probe(
            "silence",
            "the first round trip after 70 s of silence is as fast as others",
            &["the neighbour's hardware address is forgotten, and asked again too late or never (ARP)"],
            silence,
        ),
    ]
}

fn greeting(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    const CLIENTS: u64 = 9;
    let mut times = Vec::new();
    for number in 0..CLIENTS {
        let begin = Instant::now();
        let (talk, _) = Talk::greeted_patiently(target)?;
        times.push(begin.elapsed());
        talk.leave()?;
        notes.progress(number, CLIENTS);
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    notes.median("connect and greeting, median", median);
    let text = format!("half of {CLIENTS} clients are greeted within {}", Time::from(median));
    if median > Duration::from_millis(200) + 4 * target.trip() {
        return Err(Failure::new(format!("{text}; a name is answered within {}", Time::from(target.trip()))).into());
    }
    Ok(text)
}

/// As many trips as that on one conversation; `tell` hears of each.
fn trips(mut talk: Talk<'_>, number: usize, count: u64, mut tell: impl FnMut(Duration)) -> Result<(), Failure> {
    let name = format!("client {number:02} speaks"); // 16 bytes, and no other client's
    for _ in 0..count {
        if !talk.target.has_time_for_trips() {
            break; // those that there were tell enough
        }
        let begin = Instant::now();
        talk.say(name.as_bytes())?;
        tell(begin.elapsed());
    }
    talk.leave()
}

fn idle(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    let count = target.trips(TRIPS);
    let mut trips_taken = Vec::new();
    trips(Talk::settled(target)?, 0, count, |took| {
        trips_taken.push(took);
        notes.progress(trips_taken.len() as u64, count);
    })?;
    judged(target, notes, trips_taken, ["round trip, idle, median", "round trip, idle, 99 of 100"])
}

fn load(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    let clients = target.several(8)?;
    let talks = room::settled(target, clients)?;
    target.begin_time(); // a server that is slow to let them in is not thereby slow to answer
    let all = Mutex::new(Vec::new());
    let begin = Instant::now();
    let outcomes: Vec<Result<(), Failure>> = thread::scope(|scope| {
        let all = &all;
        let running: Vec<_> = talks
            .into_iter()
            .enumerate()
            .map(|(number, talk)| {
                scope.spawn(move || {
                    trips(talk, number, target.trips(TRIPS), |took| {
                        if let Ok(mut all) = all.lock() {
                            all.push(took);
                        }
                    })
                })
            })
            .collect();
        running
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err(Failure::new("the check's own thread panicked"))))
            .collect()
    });
    outcomes.into_iter().collect::<Result<(), Failure>>()?;
    let trips_taken = all.into_inner().map_err(|_| Failure::new("the check's own thread panicked"))?;
    let rate = trips_taken.len() as f64 / begin.elapsed().as_secs_f64();
    notes.measure("names a second, under load", rate, Unit::Rate);
    let text =
        judged(target, notes, trips_taken, ["round trip, under load, median", "round trip, under load, 99 of 100"])?;
    Ok(format!("{clients} clients, {rate:.0} names a second; {text}"))
}

/// What the trips' lengths point at.
fn judged(
    target: &Target,
    notes: &mut Notes<'_>,
    mut trips: Vec<Duration>,
    names: [&'static str; 2],
) -> Result<String, Stop> {
    trips.sort_unstable();
    let (Some(&shortest), Some(&longest)) = (trips.first(), trips.last()) else {
        return Err(Stop::Skipped("no round trip came to its end in time".to_owned()));
    };
    let at = |percent: usize| trips.get((trips.len() * percent).div_ceil(100) - 1).copied().unwrap_or(longest);
    let (median, high) = (at(50), at(99));
    let [median_name, high_name] = names;
    notes.median(median_name, median);
    notes.time(high_name, high);
    let text = format!(
        "half within {}, 9 of 10 within {}, 99 of 100 within {}, all within {}",
        Time::from(median),
        Time::from(at(90)),
        Time::from(high),
        Time::from(longest)
    );
    let way = target.way();
    let found = PLATEAUS.iter().find(|plateau| plateau.is_in(&trips, way));
    notes.trips = trips;
    match found {
        None => Ok(text),
        Some(plateau) => Err(Failure::new(format!("many round trips take about {}: {text}", plateau.name))
            .because(if plateau.has(shortest, way) { plateau.each_time } else { plateau.now_and_then })
            .into()),
    }
}

impl Plateau {
    /// Whether such waits are for what is sent again, not for an acknowledgement that is held back.
    const fn is_of_lost_segments(&self) -> bool {
        *self.range.start() > 100_000
    }

    /// Whether such a wait may come from it, where the way there and back takes so long by itself.
    fn has(&self, wait: Duration, way: Duration) -> bool {
        self.range.contains(&wait.saturating_sub(way).as_micros())
    }

    fn is_in(&self, trips: &[Duration], way: Duration) -> bool {
        // This machine's own work makes a trip long now and then, but hardly ever by a second.
        let fewest = if *self.range.start() < 900_000 { 3 } else { 2 };
        let count = trips.iter().filter(|trip| self.has(**trip, way)).count();
        count >= fewest && count * 1000 >= trips.len() * self.share
    }
}

fn throughput(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    if !target.takes_lines() {
        return Err(Stop::Skipped("framing chunk has one name under way at a time".to_owned()));
    }
    let bulk = if target.stress { 16 * BULK } else { BULK };
    // Up: the rest of an overlong line is dropped (rule L3), so that nothing has to come back for it.
    let mut talk = Talk::settled(target)?;
    // What the system has taken a slow wire has still to carry.
    let _ = socket2::SockRef::from(&talk.stream).set_send_buffer_size(256 * 1024);
    let begin = Instant::now();
    let piece = vec![b'u'; 64 * 1024];
    let mut sent = 0;
    while sent < bulk && (target.stress || begin.elapsed() < BULK_LASTS) && !target.is_stopped() {
        talk.send(&piece)?;
        sent += piece.len();
        notes.progress(sent as u64, bulk as u64);
    }
    talk.send(b"\n")?;
    let error = format!("Error: name longer than {} bytes\n", target.capacity());
    talk.expect("the error for an overlong line", error.as_bytes())?;
    talk.say(b"up")?; // all of it was read
    let up = sent as f64 / begin.elapsed().as_secs_f64();
    let replies = |mut talk, length, bytes| {
        let flow = flood(&mut talk, length, bytes, notes)?;
        if !flow.standstill(target.way()).is_some_and(|still| still.plateau.is_of_lost_segments()) {
            return Ok::<_, Stop>((flow, talk));
        }
        // Once it may be this machine, whose other work made an acknowledgement late: that is sent again, too.
        talk.leave()?;
        let mut talk = Talk::settled(target)?;
        Ok((flood(&mut talk, length, bytes, notes)?, talk))
    };
    // Down: for the two bytes of a name and its line feed come ten. Both: names as long as they may be.
    let (down, talk) = replies(talk, 1, bulk / 4)?;
    let (both, talk) = replies(talk, target.capacity().min(1000), bulk)?;
    talk.leave()?;
    notes.measure("bytes a second, up", up, Unit::ByteRate);
    notes.measure("bytes a second, down", down.rate, Unit::ByteRate);
    notes.measure("bytes a second, both ways", both.rate, Unit::ByteRate);
    let text = format!("up {}, down {}, both ways {} each", ByteRate(up), ByteRate(down.rate), ByteRate(both.rate));
    let mut remarks = String::new();
    for (way, flow) in [("down", down), ("both ways", both)] {
        let Some(still) = flow.standstill(target.way()) else { continue };
        let what = format!(
            "{way} it stands still for {} of {}, in {} pauses, most of about {}",
            Time::from(still.time),
            Time::from(flow.took),
            still.pauses,
            still.plateau.name
        );
        if still.plateau.is_of_lost_segments() {
            return Err(Failure::new(format!("{what}: {text}")).because(still.plateau.now_and_then).into());
        }
        // A choice of whoever has little memory, and no fault; but worth knowing.
        remarks += &format!(
            "; {what}: the server's window or send buffer holds a segment or less, and each waits for a delayed acknowledgement"
        );
    }
    Ok(text + &remarks)
}

/// Replies as they came one behind the other.
struct Flow {
    /// Bytes a second.
    rate: f64,
    took: Duration,
    /// When nothing came, each.
    pauses: Vec<Duration>,
}

impl Flow {
    fn standstill(&self, way: Duration) -> Option<Standstill> {
        Standstill::of(&self.pauses, self.took, way)
    }
}

/// Bulk that waits for a clock for most of the time.
struct Standstill {
    time: Duration,
    pauses: usize,
    /// What most of that time is due to.
    plateau: &'static Plateau,
}

impl Standstill {
    fn of(pauses: &[Duration], took: Duration, way: Duration) -> Option<Self> {
        /// One lost segment is an accident.
        const FEWEST: usize = 2;
        /// Less may be due to this machine.
        const LEAST: Duration = Duration::from_millis(500);
        // What is sent again and lost again waits for longer.
        let of = |plateau: &Plateau, pause: &Duration| plateau.has((*pause).min(way + Duration::from_secs(1)), way);
        let at = |plateau| pauses.iter().filter(|pause| of(plateau, pause)).copied().collect::<Vec<_>>();
        let all = PLATEAUS.iter().flat_map(at).collect::<Vec<_>>();
        let time = all.iter().sum::<Duration>();
        let plateau = PLATEAUS
            .iter()
            .filter(|plateau| at(plateau).len() >= FEWEST)
            .max_by_key(|plateau| at(plateau).iter().sum::<Duration>())?;
        let stands = time >= LEAST && 2 * time >= took;
        stands.then_some(Self { time, pauses: all.len(), plateau })
    }
}

/// Names of one length, until so many bytes of replies have come.
fn flood(talk: &mut Talk<'_>, length: usize, bytes: usize, notes: &Notes<'_>) -> Result<Flow, Failure> {
    /// Between two looks at the clock.
    const BATCHES: u32 = 4;
    let name = vec![b'd'; length];
    let (asked, owed) = (talk.asked(&name), talk.owed(&name));
    let affordable = usize::try_from(talk.target.trips_in(BULK_LASTS / BATCHES)).unwrap_or(usize::MAX);
    let batch = affordable.min(16 * 1024 / owed.len()).max(1);
    let (asked, owed) = (asked.repeat(batch), owed.repeat(batch));
    talk.pauses.clear();
    let begin = Instant::now();
    let mut done = 0;
    while done == 0 || (done * owed.len() < bytes && (talk.target.stress || begin.elapsed() < BULK_LASTS)) {
        let mut writer = talk.stream.try_clone().map_err(|error| Failure::new(error.to_string()))?;
        thread::scope(|scope| {
            let writing = scope.spawn(|| (0..BATCHES).try_for_each(|_| writer.write_all(&asked)));
            let came = (0..BATCHES).try_for_each(|_| talk.expect_replies(batch, &owed));
            if came.is_err() {
                let _ = talk.stream.shutdown(Shutdown::Both); // so that the writer ends
            }
            let written = writing.join();
            came?;
            match written {
                Ok(Ok(())) => Ok(()),
                _ => Err(Failure::new("the names could not be sent")),
            }
        })?;
        done += BATCHES as usize;
        notes.progress((done * owed.len()) as u64, bytes as u64);
    }
    talk.target.count_bytes(done * asked.len());
    let took = begin.elapsed();
    let rate = (done * owed.len()) as f64 / took.as_secs_f64();
    Ok(Flow { rate, took, pauses: mem::take(&mut talk.pauses) })
}

fn silence(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    const SILENCE: u64 = 70;
    if !target.long {
        return Err(Stop::Skipped("it takes 70 s: --long".to_owned()));
    }
    let mut talk = Talk::settled(target)?;
    for second in 0..SILENCE {
        thread::sleep(Duration::from_secs(1));
        notes.progress(second, SILENCE);
    }
    let begin = Instant::now();
    talk.say(b"after silence")?;
    let took = begin.elapsed();
    talk.leave()?;
    notes.time("first round trip after silence", took);
    let limit = Duration::from_millis(500) + 4 * target.trip();
    if took > limit {
        return Err(Failure::new(format!("the first round trip after {SILENCE} s took {}", Time::from(took))).into());
    }
    Ok(format!("{} after {SILENCE} s", Time::from(took)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trips(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_micros).collect()
    }

    fn named(trips: &[Duration], way: u64) -> Option<&'static str> {
        PLATEAUS.iter().find(|plateau| plateau.is_in(trips, Duration::from_millis(way))).map(|plateau| plateau.name)
    }

    #[test]
    fn a_plateau_is_named_and_noise_is_not() {
        let some = |one_in: u64, long: u64| trips((0..500).map(|index| if index % one_in == 0 { long } else { 90 }));
        assert_eq!(named(&trips((0..500).map(|index| 100 + index * 20)), 0), None);
        assert_eq!(named(&some(10, 41_000), 0), Some("40 ms"));
        assert_eq!(named(&trips((0..500).map(|_| 10_100)), 0), Some("10 ms"));
        assert_eq!(named(&some(50, 205_000), 0), Some("200 ms"));
        assert_eq!(named(&some(100, 1_005_000), 0), Some("1,000 ms"));
        // Two slow ones among many are an accident.
        assert_eq!(named(&some(250, 205_000), 0), None);
    }

    #[test]
    fn a_long_way_is_no_plateau_and_hides_none() {
        for way in [10, 40, 200] {
            assert_eq!(named(&trips((0..500).map(|_| way * 1000 + 90)), way), None, "{way} ms");
            assert_eq!(named(&trips((0..500).map(|_| way * 1000 + 41_000)), way), Some("40 ms"), "behind {way} ms");
        }
    }

    #[test]
    fn bulk_that_stands_still_for_most_of_the_time_is_told_from_bulk_that_is_slow() {
        let standstill = |pauses: &[u64], took| {
            let pauses: Vec<Duration> = pauses.iter().copied().map(Duration::from_millis).collect();
            Standstill::of(&pauses, Duration::from_millis(took), Duration::ZERO)
                .map(|still| (still.pauses, still.plateau.name))
        };
        assert_eq!(standstill(&[41; 40], 2000), Some((40, "40 ms")));
        assert_eq!(standstill(&[41, 41, 205, 205, 205, 205], 1500), Some((6, "200 ms")));
        assert_eq!(standstill(&[41; 20], 2000), None, "for less than half of the time");
        assert_eq!(standstill(&[1000, 3000], 4100), Some((2, "1,000 ms")), "sent again, and again");
        assert_eq!(standstill(&[1000], 1200), None, "once");
        assert_eq!(standstill(&[&[1200][..], &[41; 16]].concat(), 2000), Some((17, "40 ms")), "once, among others");
        assert_eq!(standstill(&[41; 4], 200), None, "a moment's other work");
        assert_eq!(standstill(&[146; 14], 2100), None, "a slow wire");
    }
}
