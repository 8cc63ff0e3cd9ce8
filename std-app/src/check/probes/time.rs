//! Time: RTTs when idle and under load, throughput, and what their distribution points at.

use core::{fmt, mem, time::Duration};
use std::{io::Write, net::Shutdown, sync::Mutex, thread, time::Instant};

use crate::export::number::{ByteRate, Figure, Time};

use crate::check::{
    context::Context,
    failure::Failure,
    host::{CpuPressure, retransmissions},
    probe::{Group, Level, Need, Notes, Probe, Value, Verdict},
    service::Service,
    session::Session,
    slots,
};

/// Delays of about the same length, which a timer causes.
#[derive(Debug)]
struct Plateau {
    /// The delays, in microseconds.
    range: core::ops::RangeInclusive<u128>,
    name: &'static str,
    /// The share of all delays that makes a plateau, in thousandths.
    share: usize,
    /// The cause if other delays are shorter.
    sometimes: &'static str,
    /// The cause if none is.
    always: &'static str,
}

const PLATEAUS: [Plateau; 4] = [
    Plateau {
        range: 8_000..=12_500,
        name: "10 ms",
        share: 400,
        sometimes: "a delayed ACK of the board's stack (10 ms), or a stack that is polled every 10 ms instead of when a frame \
                    comes",
        always: "a stack or a task that is polled every 10 ms instead of when a frame comes, or replies that are delayed by a \
                 timer",
    },
    Plateau {
        range: 38_000..=47_000,
        name: "40 ms",
        share: 50,
        sometimes: "Nagle's algorithm at the server together with the client's delayed ACK (40 ms): write a reply at once, and \
                    set TCP_NODELAY",
        always: "Nagle's algorithm at the server together with the client's delayed ACK (40 ms): write a reply at once, and set \
                 TCP_NODELAY; or replies that are delayed by a timer",
    },
    Plateau {
        range: 190_000..=260_000,
        name: "200 ms",
        share: 7,
        sometimes: "lost segments, retransmitted after 200 ms: the driver drops frames, or the network loses them; or a delayed \
                    ACK of 200 ms",
        always: "replies that are delayed by a timer, or Nagle's algorithm together with a delayed ACK of 200 ms",
    },
    Plateau {
        range: 980_000..=1_100_000,
        name: "1,000 ms",
        share: 2,
        sometimes: "segments that are retransmitted after 1 s: lost ones, or a SYN that was dropped while no socket listened",
        always: "replies that are delayed by a timer",
    },
];

const NAMES: u64 = 500;
/// Bytes in one direction, for throughput.
const BULK: usize = 4 << 20;
/// A slow network transfers fewer, in this time.
const BULK_TIME: Duration = Duration::from_secs(2);

const NEEDS_SLOTS: &[Need] = &[Need::Conversation, Need::Slots, Need::TwoSlots];

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, requirement, needs, causes, run: fn(Context<'_>, &mut Notes<'_>) -> Result<String, Verdict>| {
        Probe::new(Group::Time, name, Level::Should, requirement, needs, causes, run)
    };
    vec![
        probe(
            "greeting",
            "a new connection is served about as fast as a message on an open one",
            &[Need::Conversation],
            &[
                "the server looks the client's name up before it greets (a reverse lookup that times out)",
                "new connections are accepted when a timer expires, or when another task is done",
            ],
            greeting,
        ),
        probe("idle", "no timer delays a reply, with one client", &[Need::Conversation], &[], idle),
        probe("load", "no timer delays a reply, with several clients", NEEDS_SLOTS, &[], load),
        probe(
            "throughput",
            "bulk data flows, without pauses for lost segments most of the time",
            &[Need::Conversation, Need::Several],
            &["segments are lost in bursts: count what the receive FIFO drops, and limit bursts"],
            throughput,
        ),
        probe(
            "silence",
            "the first reply after 70 s of silence is as fast as others",
            &[Need::Conversation, Need::Long],
            &["the neighbor cache entry expired, and ARP asks again too late or never"],
            silence,
        ),
    ]
}

fn greeting(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const CLIENTS: u64 = 9;
    let mut times = Vec::new();
    for number in 0..CLIENTS {
        let begin = Instant::now();
        let (session, _) = Session::served_with_retries(context)?;
        times.push(begin.elapsed());
        session.exit()?;
        notes.progress(number, CLIENTS);
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    notes.median("connect and greeting, median", median);
    let text = format!("median of {CLIENTS} greetings {}", Time::from(median));
    let rtt = context.facts.rtt();
    if median > Duration::from_millis(200) + 4 * rtt {
        return Err(Failure::new(format!("{text}; the RTT of a message is {}", Time::from(rtt))).into());
    }
    Ok(text)
}

/// Sends `count` names one at a time; `observe` gets each RTT. Returns the number of segments that this host retransmitted.
fn measure_rtts(
    mut session: Session<'_>,
    client: usize,
    count: u64,
    mut observe: impl FnMut(Duration),
) -> Result<u32, Failure> {
    let before = retransmissions(&session.stream).unwrap_or_default();
    let name = format!("client {client:02} speaks"); // 16 bytes, and different for each client
    for _ in 0..count {
        if !session.context.has_time_for_messages() {
            break; // there are enough RTTs
        }
        let begin = Instant::now();
        session.exchange(name.as_bytes())?;
        observe(begin.elapsed());
    }
    let after = retransmissions(&session.stream).unwrap_or_default();
    session.exit().map(|()| after.saturating_sub(before))
}

fn idle(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let count = context.affordable(NAMES);
    let mut rtts = Vec::new();
    let pressure = CpuPressure::watch();
    let retransmissions = measure_rtts(Session::ready(context)?, 0, count, |rtt| {
        rtts.push(rtt);
        notes.progress(rtts.len() as u64, count);
    })?;
    let host = Host { is_busy: pressure.is_high(), retransmissions };
    judge(context, notes, host, rtts, ["RTT when idle, median", "RTT when idle, p99"])
}

fn load(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let clients = context.facts.slot_count().min(8);
    slots::await_free_slots(context)?;
    let ready = (0..clients).map(|_| Session::ready(context)).collect::<Result<Vec<_>, _>>()?;
    // A server that greets slowly does not have to answer slowly.
    let context = context.restarted();
    let all = Mutex::new(Vec::new());
    let pressure = CpuPressure::watch();
    let begin = Instant::now();
    let outcomes: Vec<Result<u32, Failure>> = thread::scope(|scope| {
        let all = &all;
        let running: Vec<_> = ready
            .into_iter()
            .enumerate()
            .map(|(client, mut session)| {
                session.context = context;
                scope.spawn(move || {
                    measure_rtts(session, client, context.affordable(NAMES), |rtt| {
                        if let Ok(mut all) = all.lock() {
                            all.push(rtt);
                        }
                    })
                })
            })
            .collect();
        running
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err(Failure::new("a thread of the check panicked"))))
            .collect()
    });
    let retransmissions = outcomes.into_iter().sum::<Result<u32, Failure>>()?;
    let host = Host { is_busy: pressure.is_high(), retransmissions };
    let rtts = all.into_inner().map_err(|_| Failure::new("a thread of the check panicked"))?;
    let rate = rtts.len() as f64 / begin.elapsed().as_secs_f64();
    notes.measure("names per second under load", Value::Rate(rate));
    let text = judge(context, notes, host, rtts, ["RTT under load, median", "RTT under load, p99"])?;
    Ok(format!("{clients} clients, {} {}/s; {text}", Figure(rate), context.facts.service().messages()))
}

/// Summarizes the RTTs, and finds out whether a timer delays them.
fn judge(
    context: Context<'_>,
    notes: &mut Notes<'_>,
    host: Host,
    mut rtts: Vec<Duration>,
    names: [&'static str; 2],
) -> Result<String, Verdict> {
    rtts.sort_unstable();
    let (Some(&shortest), Some(&longest)) = (rtts.first(), rtts.last()) else {
        return Err(Verdict::Skipped("no reply arrived within the probe's time limit".to_owned()));
    };
    let at = |percent: usize| rtts.get((rtts.len() * percent).div_ceil(100) - 1).copied().unwrap_or(longest);
    let (median, high) = (at(50), at(99));
    let [median_name, high_name] = names;
    notes.median(median_name, median);
    notes.time(high_name, high);
    let text = format!(
        "RTT p50 {}, p90 {}, p99 {}, max {}",
        Time::from(median),
        Time::from(at(90)),
        Time::from(high),
        Time::from(longest)
    );
    let network = context.target.handshake();
    let found = PLATEAUS.iter().find(|plateau| plateau.is_in(&rtts, network));
    let delayed = found.map_or(0, |plateau| plateau.count(&rtts, network));
    notes.rtts = rtts;
    match found {
        None => Ok(text),
        Some(plateau) if plateau.is_retransmission() && host.explains(delayed) => {
            Ok(format!("{text}; {delayed} of about {}, but {host}", plateau.name))
        }
        Some(plateau) => Err(Failure::new(format!("many replies take about {}: {text}", plateau.name))
            .because(if plateau.contains(shortest, network) { plateau.always } else { plateau.sometimes })
            .into()),
    }
}

/// What this host did during a measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    /// Tasks waited for a CPU.
    is_busy: bool,
    /// Segments that its TCP sent again.
    retransmissions: u32,
}

impl Host {
    /// Whether as many delays as that may be its own: it is busy, and has retransmitted for at least half of them. It does so
    /// when an ACK is processed too late; some stacks then wait for their own retransmission timer.
    const fn explains(self, delays: usize) -> bool {
        self.is_busy && 2 * self.retransmissions as usize >= delays
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { retransmissions, .. } = self;
        write!(
            formatter,
            "this host is busy and retransmitted {retransmissions} segments: measure again on an idle host"
        )
    }
}

impl Plateau {
    /// Whether it is the time of a retransmission, not of a delayed ACK.
    const fn is_retransmission(&self) -> bool {
        *self.range.start() > 100_000
    }

    /// Whether it explains this delay, of which the network itself causes a part.
    fn contains(&self, delay: Duration, network: Duration) -> bool {
        self.range.contains(&delay.saturating_sub(network).as_micros())
    }

    fn is_in(&self, rtts: &[Duration], network: Duration) -> bool {
        // Other work of this host makes an RTT long now and then, but hardly ever by a second.
        let fewest = if *self.range.start() < 900_000 { 3 } else { 2 };
        let count = self.count(rtts, network);
        count >= fewest && count * 1000 >= rtts.len() * self.share
    }

    fn count(&self, rtts: &[Duration], network: Duration) -> usize {
        rtts.iter().filter(|rtt| self.contains(**rtt, network)).count()
    }
}

fn throughput(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let bulk = if context.settings.stress { 16 * BULK } else { BULK };
    let network = context.target.handshake();
    let mut rates = Vec::new();
    let mut flows = Vec::new();
    let mut session;
    let longest = context.facts.capacity().min(1000);
    if context.facts.service() == Service::Greet {
        let up = upload(context, bulk, notes)?;
        notes.measure("bytes per second, up", Value::ByteRate(up));
        rates.push(format!("up {}", ByteRate(up)));
        // Two bytes of a name and its line feed are answered by ten.
        let down;
        (down, session) = flow(Session::ready(context)?, 1, bulk / 4, notes)?;
        notes.measure("bytes per second, down", Value::ByteRate(down.rate));
        rates.push(format!("down {}", ByteRate(down.rate)));
        flows.push(("down", down));
    } else {
        session = Session::ready(context)?;
    }
    // Messages as long as possible.
    let both;
    (both, session) = flow(session, longest, bulk, notes)?;
    session.exit()?;
    notes.measure("bytes per second, both ways", Value::ByteRate(both.rate));
    rates.push(format!("both ways {} each", ByteRate(both.rate)));
    flows.push(("both ways", both));
    let mut text = rates.join(", ");
    for (direction, flow) in flows {
        let Some(still) = flow.standstill(network) else { continue };
        let what = format!(
            "{direction}: no data for {} of {}, in {} pauses of mostly {}",
            Time::from(still.time),
            Time::from(flow.took),
            still.pauses,
            still.plateau.name
        );
        if !still.plateau.is_retransmission() {
            // The choice of a server with little memory, and no fault. It is worth knowing.
            text += &format!(
                "; {what}: the server's window or send buffer holds a segment or less, or Nagle's algorithm is on, and each waits \
                 for a delayed ACK"
            );
        } else if flow.host.explains(still.pauses) {
            text += &format!("; {what}, but {}", flow.host);
        } else {
            return Err(Failure::new(format!("{what}: {text}")).because(still.plateau.sometimes).into());
        }
    }
    Ok(text)
}

/// Receives replies to messages of one length.
fn flow<'a>(
    mut session: Session<'a>,
    length: usize,
    bytes: usize,
    notes: &Notes<'_>,
) -> Result<(Flow, Session<'a>), Failure> {
    let context = session.context;
    let flow = flood(&mut session, length, bytes, notes)?;
    if !flow.standstill(context.target.handshake()).is_some_and(|still| still.plateau.is_retransmission()) {
        return Ok((flow, session));
    }
    // A busy host sends an ACK late, which causes a retransmission. Once is an accident.
    session.exit()?;
    let mut session = Session::ready(context)?;
    Ok((flood(&mut session, length, bytes, notes)?, session))
}

/// Bytes per second in one direction: the rest of an overlong line is dropped (rule L3), so that no reply is sent for it.
fn upload(context: Context<'_>, bulk: usize, notes: &Notes<'_>) -> Result<f64, Failure> {
    let mut session = Session::ready(context)?;
    // A slow network still has to transfer what the system buffers: little more than what is in flight.
    let _ = socket2::SockRef::from(&session.stream).set_send_buffer_size(256 * 1024);
    let _ = socket2::SockRef::from(&session.stream).set_tcp_notsent_lowat(16 * 1024);
    let begin = Instant::now();
    let piece = vec![b'u'; 16 * 1024];
    let mut sent = 0;
    while sent < bulk && (context.settings.stress || begin.elapsed() < BULK_TIME) && !context.settings.is_interrupted()
    {
        session.send(&piece)?;
        sent += piece.len();
        notes.progress(sent as u64, bulk as u64);
    }
    session.send(b"\n")?;
    let error = format!("Error: name longer than {} bytes\n", context.facts.capacity());
    session.expect("the error reply to an overlong line", error.as_bytes())?;
    session.exchange(b"up")?; // the server has read everything
    let rate = sent as f64 / begin.elapsed().as_secs_f64();
    session.exit()?;
    Ok(rate)
}

/// A transfer of many replies.
#[derive(Debug, Default)]
struct Flow {
    /// Bytes per second.
    rate: f64,
    took: Duration,
    /// The times in which nothing was received.
    pauses: Vec<Duration>,
    host: Host,
}

impl Flow {
    fn standstill(&self, network: Duration) -> Option<Standstill> {
        Standstill::of(&self.pauses, self.took, network)
    }
}

/// Pauses of a bulk transfer, most of them of one length, that take most of the time.
#[derive(Debug)]
struct Standstill {
    time: Duration,
    pauses: usize,
    /// What most of that time is due to.
    plateau: &'static Plateau,
}

impl Standstill {
    fn of(pauses: &[Duration], took: Duration, network: Duration) -> Option<Self> {
        /// One lost segment is an accident.
        const FEWEST: usize = 2;
        /// Less may be due to this host.
        const LEAST: Duration = Duration::from_millis(500);
        // A retransmission that is lost, too, takes longer.
        let is_of = |plateau: &Plateau, pause: &Duration| {
            plateau.contains((*pause).min(network + Duration::from_secs(1)), network)
        };
        let at = |plateau| pauses.iter().filter(|pause| is_of(plateau, pause)).copied().collect::<Vec<_>>();
        let all = PLATEAUS.iter().flat_map(at).collect::<Vec<_>>();
        let time = all.iter().sum::<Duration>();
        let plateau = PLATEAUS
            .iter()
            .filter(|plateau| at(plateau).len() >= FEWEST)
            .max_by_key(|plateau| at(plateau).iter().sum::<Duration>())?;
        let is_most = time >= LEAST && 2 * time >= took;
        is_most.then_some(Self { time, pauses: all.len(), plateau })
    }
}

/// Sends names of one length, until this many bytes of replies have come.
fn flood(session: &mut Session<'_>, length: usize, bytes: usize, notes: &Notes<'_>) -> Result<Flow, Failure> {
    /// Batches between two looks at the clock.
    const BATCHES: u32 = 4;
    let context = session.context;
    let name = vec![b'd'; length.min(context.facts.in_flight() / BATCHES as usize)];
    let (request, reply) = (session.request(&name), session.reply(&name));
    // As many batches are in flight at most.
    let limit = context.facts.in_flight() / (BATCHES as usize * request.len());
    let largest = (16 * 1024 / reply.len()).min(limit).max(1);
    // A slow server or network gets small batches.
    let mut batch = (1024 / reply.len()).clamp(1, largest);
    let network = context.target.handshake();
    // Time in which no reply can arrive: at the start of each round the names are in flight.
    let mut idle = Duration::ZERO;
    session.pauses.clear();
    let pressure = CpuPressure::watch();
    let retransmitted_before = retransmissions(&session.stream).unwrap_or_default();
    let begin = Instant::now();
    let mut done = 0;
    let mut sent = 0;
    while done == 0 || (done < bytes && (context.settings.stress || begin.elapsed() < BULK_TIME)) {
        let (requests, replies) = (request.repeat(batch), reply.repeat(batch));
        let round = Instant::now();
        let mut writer = session.stream.try_clone().map_err(|error| Failure::new(error.to_string()))?;
        thread::scope(|scope| {
            let writing = scope.spawn(|| (0..BATCHES).try_for_each(|_| writer.write_all(&requests)));
            let received = (0..BATCHES).try_for_each(|_| session.expect_replies(batch, &replies));
            if received.is_err() {
                let _ = session.stream.shutdown(Shutdown::Both); // ends the writer
            }
            let written = writing.join();
            received?;
            match written {
                Ok(Ok(())) => Ok(()),
                _ => Err(Failure::new("the names could not be sent")),
            }
        })?;
        done += BATCHES as usize * replies.len();
        sent += BATCHES as usize * requests.len();
        idle += network;
        if round.elapsed() < BULK_TIME / 8 + network {
            batch = (4 * batch).min(largest);
        }
        notes.progress(done as u64, bytes as u64);
    }
    context.target.count_bytes(sent);
    let took = begin.elapsed();
    let busy = took.saturating_sub(idle).max(took / 10);
    Ok(Flow {
        rate: done as f64 / busy.as_secs_f64(),
        took,
        pauses: mem::take(&mut session.pauses),
        host: Host {
            is_busy: pressure.is_high(),
            retransmissions: retransmissions(&session.stream).unwrap_or_default().saturating_sub(retransmitted_before),
        },
    })
}

fn silence(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const SECONDS: u64 = 70;
    let mut session = Session::ready(context)?;
    for second in 0..SECONDS {
        thread::sleep(Duration::from_secs(1));
        notes.progress(second, SECONDS);
    }
    let begin = Instant::now();
    session.exchange(b"after silence")?;
    let took = begin.elapsed();
    session.exit()?;
    notes.time("first RTT after silence", took);
    let limit = Duration::from_millis(500) + 4 * context.facts.rtt();
    if took > limit {
        return Err(Failure::new(format!("the first reply after {SECONDS} s took {}", Time::from(took))).into());
    }
    Ok(format!("{} after {SECONDS} s", Time::from(took)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtts(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_micros).collect()
    }

    fn named(rtts: &[Duration], network: u64) -> Option<&'static str> {
        PLATEAUS.iter().find(|plateau| plateau.is_in(rtts, Duration::from_millis(network))).map(|plateau| plateau.name)
    }

    #[test]
    fn a_plateau_is_named_and_noise_is_not() {
        let some = |one_in: u64, long: u64| rtts((0..500).map(|index| if index % one_in == 0 { long } else { 90 }));
        assert_eq!(named(&rtts((0..500).map(|index| 100 + index * 20)), 0), None);
        assert_eq!(named(&some(10, 41_000), 0), Some("40 ms"));
        assert_eq!(named(&rtts((0..500).map(|_| 10_100)), 0), Some("10 ms"));
        assert_eq!(named(&some(50, 205_000), 0), Some("200 ms"));
        assert_eq!(named(&some(100, 1_005_000), 0), Some("1,000 ms"));
        // Two slow ones among many are an accident.
        assert_eq!(named(&some(250, 205_000), 0), None);
    }

    #[test]
    fn the_latency_of_the_network_is_no_plateau_and_hides_none() {
        for network in [10, 40, 200] {
            assert_eq!(named(&rtts((0..500).map(|_| network * 1000 + 90)), network), None, "{network} ms");
            let delayed = rtts((0..500).map(|_| network * 1000 + 41_000));
            assert_eq!(named(&delayed, network), Some("40 ms"), "behind {network} ms");
        }
    }

    fn flow(pauses: &[u64], took: u64) -> Flow {
        let pauses = pauses.iter().copied().map(Duration::from_millis).collect();
        Flow { pauses, took: Duration::from_millis(took), ..Flow::default() }
    }

    #[test]
    fn pauses_most_of_the_time_are_distinguished_from_slow_bulk() {
        let standstill = |pauses: &[u64], took| {
            flow(pauses, took).standstill(Duration::ZERO).map(|still| (still.pauses, still.plateau.name))
        };
        assert_eq!(standstill(&[41; 40], 2000), Some((40, "40 ms")));
        assert_eq!(standstill(&[41, 41, 205, 205, 205, 205], 1500), Some((6, "200 ms")));
        assert_eq!(standstill(&[41; 20], 2000), None, "less than half of the time");
        assert_eq!(standstill(&[1000, 3000], 4100), Some((2, "1,000 ms")), "retransmitted, and lost again");
        assert_eq!(standstill(&[1000], 1200), None, "once");
        assert_eq!(standstill(&[&[1200][..], &[41; 16]].concat(), 2000), Some((17, "40 ms")), "once, among others");
        assert_eq!(standstill(&[41; 4], 200), None, "a moment's other work");
        assert_eq!(standstill(&[146; 14], 2100), None, "a slow network");
    }

    #[test]
    fn delays_are_the_hosts_own_only_if_it_is_busy_and_has_retransmitted() {
        for (is_busy, retransmissions, expected) in
            [(true, 5, true), (true, 2, false), (false, 5, false), (true, 0, false)]
        {
            let host = Host { is_busy, retransmissions };
            assert_eq!(host.explains(8), expected, "{host:?}");
        }
    }
}
