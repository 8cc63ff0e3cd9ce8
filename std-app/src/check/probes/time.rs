//! Time: RTTs when idle and under load, stalls, and what their distribution points at.

use core::time::Duration;
use std::{sync::Mutex, thread, time::Instant};

use super::{
    endurance::{self, GROWS},
    throughput::throughput,
};
use crate::check::{
    context::Context,
    delays::{NAGLE, Outliers, Reason, Step, percent},
    drift::Drift,
    failure::Failure,
    host::{CpuPressure, Host, retransmissions},
    probe::{Group, Level, Need, Notes, Probe, Value, Verdict},
    session::Session,
    slots,
    stalls::{Paced, Stalls},
    timing,
};
use crate::export::number::{Figure, Time, counted};

const NAMES: u64 = 500;
const EACH: &str = "each reply";
/// A shorter delay is work, or due to this host.
const LEAST_DELAY: Duration = Duration::from_millis(4);

const NEEDS_SLOTS: &[Need] = &[Need::Conversation, Need::Slots, Need::TwoSlots];

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, requirement, needs, causes, run: fn(Context<'_>, &mut Notes<'_>) -> Result<String, Verdict>| {
        Probe::new(Group::Time, name, Level::Should, requirement, needs, causes, run)
    };
    let mut probes = vec![
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
            "stalls",
            "a client that sends a message every 20 ms never waits long",
            &[Need::Conversation],
            &[
                "another task or an interrupt blocks the server: a flash write, a log line, a DHCP renewal, a garbage collection",
            ],
            stalls,
        ),
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
    ];
    probes.extend(endurance::probes());
    probes
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
    // Where SYNs are lost, half of the handshakes may take a second. What the server waits for delays each.
    let fast = times.get(times.len() / 4).copied().unwrap_or_default();
    if fast > Duration::from_millis(200) + 4 * rtt {
        return Err(Failure::new(format!("{text}; the RTT of a message is {}", Time::from(rtt))).into());
    }
    Ok(text)
}

/// Sends `count` names one at a time; `observe` gets each RTT, and the time since the reply before. Returns the number of segments that this host retransmitted.
fn measure_rtts(
    mut session: Session<'_>,
    client: usize,
    count: u64,
    mut observe: impl FnMut(Duration, Option<Duration>),
) -> Result<u32, Failure> {
    let before = retransmissions(&session.stream).unwrap_or_default();
    let name = format!("client {client:02} speaks"); // 16 bytes, and different for each client
    let mut before_it = None;
    for _ in 0..count {
        if !session.context.has_time_for_messages() {
            break; // there are enough RTTs
        }
        let begin = Instant::now();
        session.exchange(name.as_bytes())?;
        let end = Instant::now();
        observe(end - begin, before_it.map(|before| end - before));
        before_it = Some(end);
    }
    let after = retransmissions(&session.stream).unwrap_or_default();
    session.exit().map(|()| after.saturating_sub(before))
}

fn idle(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let count = context.affordable(NAMES);
    let (mut rtts, mut gaps) = (Vec::new(), Vec::new());
    let pressure = CpuPressure::watch();
    let retransmissions = measure_rtts(Session::ready(context)?, 0, count, |rtt, gap| {
        rtts.push(rtt);
        gaps.extend(gap);
        notes.progress(rtts.len() as u64, count);
    })?;
    let host = Host { is_busy: pressure.is_high(), retransmissions };
    let in_order: Vec<(f64, Duration)> = (0_u32..).map(f64::from).zip(rtts.iter().copied()).collect();
    rtts.sort_unstable();
    if let Some(median) = rtts.get(rtts.len() / 2) {
        let _ = context.target.measured.idle.set(*median); // once
    }
    let median = rtts.get(rtts.len() / 2).copied().unwrap_or_default();
    gaps.sort_unstable();
    let slower = Drift::find(&in_order).filter(|drift| !host.is_busy || drift.late >= LEAST_DELAY);
    if let Some(drift) = slower {
        let (early, late) = (Time::from(drift.early), Time::from(drift.late));
        let what =
            format!("a reply takes {early} to the first messages of a connection and {late} to the last of {count}");
        let cause = "something grows with each message and is searched from its beginning: a list, a log, a buffer that is not cleared";
        return Err(Failure::new(what).because(cause).into());
    }
    let text = judge(
        context,
        notes,
        host,
        rtts,
        Other { gaps: &gaps, alone: None, moments: &[] },
        ["RTT when idle, median", "RTT when idle, p99"],
    )?;
    let network = context.target.handshake();
    let text = format!("{text}; the handshake takes {}", Time::from(network));
    // On a busy host the times show no step, and a timer is found all the same.
    if median >= 2 * network + LEAST_DELAY
        && let Some(Reason::Tick(period)) = delayed_by(context, median)?
    {
        let step = Step { delay: period, count: in_order.len(), is_always: true };
        return Err(Failure::new(format!("{EACH} waits for a timer of {}: {text}", step.name()))
            .because(step.cause())
            .into());
    }
    // Whatever the distribution.
    if !host.is_busy && median >= Duration::from_millis(10) + 10 * network {
        return Err(Failure::new(format!("a reply takes many times as long as the handshake: {text}"))
            .because(
                "the server's program, or how soon it is woken: the network and the stack answer the handshake fast",
            )
            .into());
    }
    Ok(text)
}

fn load(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let clients = context.facts.slot_count().min(8);
    let idle = Some(alone(context)?);
    slots::await_free_slots(context)?;
    let ready = (0..clients).map(|_| Session::ready(context)).collect::<Result<Vec<_>, _>>()?;
    // A server that greets slowly does not have to answer slowly.
    let context = context.restarted();
    let all: Mutex<Vec<(Instant, Duration)>> = Mutex::new(Vec::new());
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
                    measure_rtts(session, client, context.affordable(NAMES), |rtt, _| {
                        if let Ok(mut all) = all.lock() {
                            all.push((Instant::now(), rtt));
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
    let moments = all.into_inner().map_err(|_| Failure::new("a thread of the check panicked"))?;
    let mut rtts: Vec<Duration> = moments.iter().map(|(_, rtt)| *rtt).collect();
    let rate = rtts.len() as f64 / begin.elapsed().as_secs_f64();
    notes.measure("names per second under load", Value::Rate(rate));
    rtts.sort_unstable();
    let median = rtts.get(rtts.len() / 2).copied().unwrap_or_default();
    let other = Other { gaps: &[], alone: idle.map(|idle| (idle, clients)), moments: &moments };
    let text = judge(context, notes, host, rtts, other, ["RTT under load, median", "RTT under load, p99"])?;
    let text = format!("{clients} clients, {} {}/s; {text}", Figure(rate), context.facts.service().messages());
    match idle.filter(|idle| is_far_slower(median, *idle, clients)) {
        Some(idle) if !host.is_busy => Err(slower_together(&text, idle).into()),
        _ => Ok(text),
    }
}

/// Whether a reply to one of several clients takes far longer than it would if the server served one after the other.
fn is_far_slower(median: Duration, idle: Duration, clients: usize) -> bool {
    let in_turn = idle.max(Duration::from_micros(200)).saturating_mul(u32::try_from(clients).unwrap_or(u32::MAX));
    median >= Duration::from_millis(5) && median >= 4 * in_turn
}

fn slower_together(text: &str, idle: Duration) -> Failure {
    let what =
        format!("with one client a reply takes {}, with several far more than its share: {text}", Time::from(idle));
    Failure::new(what).because(
        "the server waits while it has several clients: a `select` or poll with a timeout, a sleep between clients, or a lock that \
         is held meanwhile",
    )
}

/// The median RTT with one client.
fn alone(context: Context<'_>) -> Result<Duration, Failure> {
    const MESSAGES: u64 = 30;
    if let Some(median) = context.target.measured.idle.get() {
        return Ok(*median);
    }
    let mut rtts = Vec::new();
    measure_rtts(Session::ready(context)?, 0, context.affordable(MESSAGES), |rtt, _| rtts.push(rtt))?;
    rtts.sort_unstable();
    let median = rtts.get(rtts.len() / 2).copied().unwrap_or_default();
    Ok(*context.target.measured.idle.get_or_init(|| median))
}

/// What is known beside the RTTs.
#[derive(Clone, Copy)]
struct Other<'a> {
    /// The times from one reply to the next, in ascending order.
    gaps: &'a [Duration],
    /// The median RTT with one client, and the number of clients, if there are several.
    alone: Option<(Duration, usize)>,
    /// When each reply came, and its RTT, if there are several clients.
    moments: &'a [(Instant, Duration)],
}

/// Summarizes the RTTs, which are in ascending order, and finds out whether a timer delays them.
fn judge(
    context: Context<'_>,
    notes: &mut Notes<'_>,
    host: Host,
    rtts: Vec<Duration>,
    other: Other<'_>,
    names: [&'static str; 2],
) -> Result<String, Verdict> {
    let Some(&longest) = rtts.last() else {
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
    // A slow server or network serves one after the other: then all of them wait about the same time.
    let is_in_turn = |step: &Step| {
        step.is_always
            && other
                .alone
                .is_some_and(|(alone, clients)| step.delay <= alone * u32::try_from(clients).unwrap_or(u32::MAX))
    };
    let step = Step::find(&rtts, network).or_else(|| Step::between_replies(other.gaps, network));
    let is_accident = |step: &Step| !other.moments.is_empty() && step.is_accident(other.moments, network);
    let step = step.filter(|step| !is_in_turn(step) && !is_accident(step));
    let outliers = Outliers::find(&rtts, network);
    let all = rtts.len();
    notes.rtts = rtts;
    match (step, outliers) {
        (Some(step), _) if step.is_retransmission() && host.explains(step.count) => {
            Ok(format!("{text}; {} of about {}, but {host}", step.count, step.name()))
        }
        (Some(step), _) => {
            let share = if step.is_always && 5 * step.count >= 4 * all {
                EACH.to_owned()
            } else {
                format!("{} of the replies", percent(step.count, all))
            };
            let verb = if share == EACH { "takes" } else { "take" };
            let failure = Failure::new(format!("{share} {verb} about {}: {text}", step.name()));
            Err(match other.alone.filter(|(alone, _)| step.is_always && 3 * alone.saturating_sub(network) < step.delay)
            {
                Some((alone, _)) => slower_together(&failure.what, alone),
                None if step.is_always => failure.because(cause_of_each(context, &step)?),
                None => failure.because(step.cause()),
            }
            .into())
        }
        (None, Some(Outliers { count, shortest, longest })) if !host.is_busy => {
            let (share, shortest, longest) = (percent(count, all), Time::from(shortest), Time::from(longest));
            let what =
                format!("{share} of the replies take {shortest} to {longest}, far longer than the others: {text}");
            let is_lost = 2 * host.retransmissions as usize >= count;
            Err(Failure::new(what)
                .because(if is_lost {
                    "lost segments, which were sent again: the driver drops frames, or the network loses them"
                } else {
                    "something blocks the server now and then: another task or interrupt, a flash write, a log line"
                })
                .into())
        }
        _ => Ok(text),
    }
}

/// Why each reply takes as long as this step.
fn cause_of_each(context: Context<'_>, step: &Step) -> Result<String, Failure> {
    let network = context.target.handshake();
    let growth = context.target.measured.growth_until(context.target.connections());
    if growth.is_some_and(|growth| 2 * growth >= step.delay) {
        return Ok(GROWS.to_owned());
    }
    let is_of_step = |period: Duration| period.abs_diff(step.delay) <= step.delay / 4;
    Ok(match delayed_by(context, step.delay + network)? {
        Some(Reason::Acknowledgement(prompt)) => {
            format!("{NAGLE}. A reply takes {} if this host acknowledges at once", Time::from(prompt))
        }
        Some(Reason::Tick(period)) if !is_of_step(period) => Step { delay: period, ..*step }.cause(),
        Some(Reason::Delay(_)) if !step.is_of_delayed_ack() => format!(
            "replies that take {} at whatever moment the message comes: the server's program sleeps, waits for something, or \
             computes that long before it answers",
            step.name()
        ),
        _ => step.cause(),
    })
}

/// What delays each reply. It is found out once.
fn delayed_by(context: Context<'_>, rtt: Duration) -> Result<Option<Reason>, Failure> {
    let known = &context.target.measured.delayed_by;
    match known.get() {
        Some(reason) => Ok(*reason),
        None => {
            let reason = timing::reason(context, rtt, context.target.handshake())?;
            Ok(*known.get_or_init(|| reason))
        }
    }
}

/// Sends a message every 20 ms for some seconds. Returns the exchanges, and how long that took.
fn watch(context: Context<'_>, notes: &mut Notes<'_>) -> Result<(Vec<Paced>, Duration), Failure> {
    const INTERVAL: Duration = Duration::from_millis(20);
    const WATCHED: Duration = Duration::from_secs(6);
    let mut session = Session::ready(context)?;
    let begin = Instant::now();
    let mut exchanges = Vec::new();
    let mut retransmitted = retransmissions(&session.stream).unwrap_or_default();
    while begin.elapsed() < WATCHED && context.has_time() {
        let sent = begin.elapsed();
        session.exchange(b"every 20 ms")?;
        let rtt = begin.elapsed().saturating_sub(sent);
        let now = retransmissions(&session.stream).unwrap_or_default();
        exchanges.push(Paced { begin: sent, rtt, retransmitted: now.saturating_sub(retransmitted) });
        retransmitted = now;
        thread::sleep(INTERVAL.saturating_sub(rtt));
        notes.progress(begin.elapsed().as_secs(), WATCHED.as_secs());
    }
    let watched = begin.elapsed();
    session.exit()?;
    Ok((exchanges, watched))
}

fn stalls(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let network = context.target.handshake();
    let pressure = CpuPressure::watch();
    let (exchanges, watched) = watch(context, notes)?;
    let longest = exchanges.iter().map(|exchange| exchange.rtt).max().unwrap_or_default();
    notes.time("longest wait for a reply", longest);
    let text = format!(
        "{} in {}, the longest wait {}",
        counted(exchanges.len() as u64, "reply").replace("replys", "replies"),
        Time::from(watched),
        Time::from(longest)
    );
    let Some(found) = Stalls::find(&exchanges, network) else { return Ok(text) };
    let times: Vec<String> = found
        .all
        .iter()
        .take(5)
        .map(|(begin, length)| format!("{} at {}", Time::from(*length), Time::from(*begin)))
        .collect();
    let every = found.period.map_or_else(String::new, |period| format!(", every {}", Time::from(period)));
    let what = format!("{}{every}: {}; {text}", counted(found.all.len() as u64, "stall"), times.join(", "));
    // A short one, or one on a busy host, may be the host's own. Those of a server come again.
    const LONG: Duration = Duration::from_millis(400);
    if pressure.is_high() && found.longest() < LONG {
        return Ok(format!("{what}, but this host is busy: measure again on an idle host"));
    }
    if pressure.is_high() || found.longest() < LONG {
        let (again, _) = watch(context.restarted(), notes)?;
        if Stalls::find(&again, network).is_none_or(|again| 2 * again.longest() < found.longest()) {
            return Ok(format!("{what}, but not again: another program on this host may be the reason"));
        }
    }
    Err(Failure::new(what).into())
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

    #[test]
    fn a_server_that_serves_its_clients_in_turn_is_not_far_slower() {
        let ms = Duration::from_millis;
        assert!(is_far_slower(ms(15), Duration::from_micros(16), 2), "15 ms with two clients, 16 us alone");
        assert!(!is_far_slower(ms(8), ms(1), 8), "in turn");
        assert!(!is_far_slower(ms(3), Duration::from_micros(16), 8), "other work of this host");
        assert!(is_far_slower(ms(90), ms(2), 8));
    }
}
