//! Connections: how many, how often, how they end; and that each slot is free again afterwards.

use core::time::Duration;
use std::{sync::RwLock, thread, time::Instant};

use crate::export::number::{Rate, Time};

use super::leaving::{
    WAITS_FOR_ACK, abandoned, client_closes, early, half_close, reset, server_closes, slots_are_freed, vanished,
};
use crate::check::{
    context::Context,
    difference,
    facts::{Fact, Slots, WhenFull},
    failure::{Failure, Kind},
    local,
    loss::LINGER,
    probe::{Group, Level, Need, Notes, Probe, Value, Verdict},
    service::Service,
    session::Session,
    slots::{RETRY, await_free_slots, exit_all, open_one_more, open_ready},
};

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, requirement, needs, causes, run: fn(Context<'_>, &mut Notes<'_>) -> Result<String, Verdict>| {
        Probe::new(Group::Connections, name, Level::Must, requirement, needs, causes, run)
    };
    let ends = |name, requirement, causes: &'static [&'static str], end: fn(Session<'_>) -> Result<(), Failure>| {
        let cause = causes.first().copied().unwrap_or_default();
        let needs = &[Need::Conversation, Need::Slots];
        Probe::new(Group::Connections, name, Level::Must, requirement, needs, causes, move |context, notes| {
            slots_are_freed(context, notes, cause, Session::served_with_retries, end)
        })
        .losing_slots()
    };
    // The number of slots comes first, as a fresh server has them all. Then what no server can do without. Then each way in
    // which a connection can end.
    vec![
        probe(
            "concurrent",
            "the server serves two clients or more at the same time, or queues the second",
            &[Need::Conversation, Need::Slots],
            &["the server accepts one client at a time: another socket has to listen while a client is served"],
            concurrent,
        )
        .only_for(Service::Greet)
        .establishing(Fact::Slots),
        Probe::new(
            Group::Connections,
            "concurrent",
            Level::Should,
            "the server serves two clients or more at the same time",
            &[Need::Conversation, Need::Slots],
            &["the example is written for one client: its task accepts the next one when the first has left"],
            concurrent_echo,
        )
        .only_for(Service::Echo)
        .establishing(Fact::Slots),
        ends(
            "server-closes",
            "a slot is free again after the server has closed first, in answer to `exit`",
            &["TIME-WAIT or FIN-WAIT-2 holds the slot: reuse the socket, and limit the wait"],
            server_closes,
        )
        .only_for(Service::Greet),
        probe(
            "sequential",
            "the server serves hundreds of clients one after the other",
            &[Need::Conversation],
            &[
                "something is used up and not released: sockets, descriptors, heap, slots",
                "a closed socket does not listen again before the next client comes",
                "the server limits connections per minute, as inetd does (256)",
            ],
            sequential,
        ),
        ends(
            "client-closes",
            "a slot is free again after the client has closed first",
            &["the client's FIN is not handled, or not completely"],
            client_closes,
        ),
        ends(
            "half-close",
            "a client that closes its side still gets its replies, and its slot is free again",
            &[
                "data that came with the FIN is dropped: read all data before handling the end",
                "the server closes both directions, though only the client has closed its side",
            ],
            half_close,
        ),
        ends(
            "reset",
            "a slot is free again after the client has reset the connection in the middle of a reply",
            &["a read error is not treated as the end of the connection: the slot of every client that resets is lost"],
            reset,
        ),
        ends(
            "abandoned",
            "a slot is free again after the client has closed in the middle of a message, with replies unread",
            &["the state machine waits for the rest of the name, and never checks whether the connection still exists"],
            abandoned,
        ),
        Probe::new(
            Group::Connections,
            "early",
            Level::Must,
            "a slot is free again after the client has closed or reset before it read anything, or in the middle of a message",
            &[Need::Conversation, Need::Slots],
            &["the first write or read of a connection fails, and its end is not handled there: the slot is lost"],
            early,
        )
        .losing_slots(),
        probe(
            "vanished",
            "while clients have vanished, without FIN or RST, others are served",
            &[Need::Conversation, Need::Slots, Need::TwoSlots],
            &[
                WAITS_FOR_ACK,
                "the segments that are kept for retransmission use up the memory of all connections",
            ],
            vanished,
        ),
        Probe::new(
            Group::Connections,
            "kept",
            Level::Should,
            "a client stays served when others come",
            &[Need::Conversation, Need::Slots],
            &[
                "the stack gives up old connections for new ones when it has no more of them (lwIP does for those of the lowest \
                 priority): listen for no more clients than there are connections, or raise their priority",
            ],
            kept,
        ),
        probe(
            "unfinished",
            "a client that has sent half a name blocks no other client",
            &[Need::Conversation, Need::Several, Need::Slots, Need::TwoSlots],
            &["the server waits for the rest of the line before it serves anybody else"],
            unfinished,
        )
        .only_for(Service::Greet),
        probe(
            "overflow",
            "a client that comes when all slots are taken is served once a slot is free",
            &[Need::Conversation, Need::Slots, Need::LimitedSlots],
            &["a client that was refused or queued is not accepted later: the listening socket is lost"],
            overflow,
        ),
        Probe::new(
            Group::Connections,
            "silent",
            Level::Should,
            "a client that sends nothing for 3 s is served afterwards",
            &[Need::Conversation],
            &["the task or the stack sleeps, and a frame does not wake it"],
            silent,
        ),
        probe(
            "isolation",
            "each of several clients gets its own replies, and none of another client",
            &[Need::Conversation, Need::Slots, Need::TwoSlots],
            &["clients share a reply buffer, or a reply is written to the wrong socket"],
            isolation,
        ),
        probe(
            "burst",
            "clients that connect in the same instant are all served",
            &[Need::Conversation, Need::Slots, Need::TwoSlots],
            &[
                "one socket listens, and a SYN that comes while it is busy is dropped: the client tries again after 1 s",
                "the receive FIFO is too short for a burst of SYNs",
                "QEMU's user networking has a backlog of one: use a TAP device, or --skip connections.burst",
            ],
            burst,
        ),
    ]
}

fn sequential(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let count = context.settings.sequential();
    let with_names = context.affordable(count); // a slow server only has to greet the others
    let begin = Instant::now();
    let mut served = 0;
    for number in 1..=count {
        if !context.has_time() {
            break;
        }
        served = number;
        let visit = || {
            let (mut session, _) = Session::served_with_retries(context)?; // the only slot may be free in a moment
            if number <= with_names {
                let connection = context.target.connections();
                let begin = Instant::now();
                session.exchange(b"sequential")?;
                context.target.measured.visit(connection, begin.elapsed());
                return session.exit();
            }
            session.half_close()
        };
        visit().map_err(|failure| {
            // Otherwise the server is there, and sends wrong bytes.
            let is_gone = failure.kind != Kind::Other && !failure.is_missing_end();
            let before = context.target.connections().saturating_sub(1);
            failure.during(format_args!("client {number} of {count}, one after the other")).because_if(
                is_gone,
                format!(
                    "after {before} connections something is used up, or the server is dead: look at sockets, descriptors, heap \
                     and slots"
                ),
            )
        })?;
        notes.progress(number, count);
    }
    let rate = served as f64 / begin.elapsed().as_secs_f64();
    notes.measure("sequential clients per second", Value::Rate(rate));
    Ok(format!("{}, {}", context.counted(served, count, "clients"), Rate(rate)))
}

fn concurrent(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    match context.facts.slots {
        None => Err(Verdict::Skipped("the number of slots is not known".to_owned())),
        Some(Slots::Exactly(1, WhenFull::Queued)) => {
            Ok("1 slot; the next client is queued until it is free".to_owned())
        }
        Some(Slots::Exactly(1, when_full)) => {
            let what = format!("the server serves one client; the second is {}", when_full.text());
            Err(Failure::new(what).because("a second client is refused while one is served").into())
        }
        Some(Slots::Exactly(count, when_full)) => {
            notes.measure("slots", Value::Count(count));
            Ok(format!("{count} slots; the next client is {}", when_full.text()))
        }
        Some(Slots::AtLeast(count)) => Ok(format!("{count} slots or more")),
    }
}

/// An example may serve one client at a time. It is worth knowing.
fn concurrent_echo(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    match context.facts.slots {
        Some(Slots::Exactly(1, when_full)) => {
            Err(Failure::new(format!("serves 1 at a time; the next client is {}", when_full.text())).into())
        }
        _ => concurrent(context, notes),
    }
}

fn overflow(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    let Some(Slots::Exactly(count, when_full)) = context.facts.slots else {
        return Err(Verdict::Skipped("no client was refused or queued".to_owned()));
    };
    await_free_slots(context)?;
    let greeted = |_| Session::served_with_retries(context).map(|(session, _)| session);
    let mut open = (0..count).map(greeted).collect::<Result<Vec<_>, _>>()?;
    let Some(last) = open.pop() else { return Err(Verdict::Skipped("there is no slot".to_owned())) };
    let text = match when_full {
        WhenFull::Queued => {
            let mut waiting = Session::open(context)?;
            last.exit()?;
            waiting.expect_service().map_err(|failure| failure.during("the queued client"))?;
            waiting.exchange(b"next")?;
            waiting.exit()?;
            "the queued client was served when a slot was free"
        }
        WhenFull::Replaces(_) => return Err(Verdict::Skipped(format!("the next client is {}", when_full.text()))),
        WhenFull::Refused | WhenFull::Closed | WhenFull::NoAnswer => {
            last.exit()?;
            let begin = Instant::now();
            let mut session = loop {
                match open_one_more(context) {
                    Ok(session) => break session,
                    Err(refusal) if begin.elapsed() >= context.timeout() => return Err(refusal.1.into()),
                    Err(_) => thread::sleep(RETRY),
                }
            };
            session.exchange(b"next")?;
            session.exit()?;
            "the next client was served when a slot was free"
        }
    };
    exit_all(open);
    Ok(text.to_owned())
}

/// It was found out with the number of slots.
fn kept(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    match context.facts.slots {
        None => Err(Verdict::Skipped("the number of slots is not known".to_owned())),
        Some(Slots::Exactly(count, WhenFull::Replaces(let_in))) => {
            Err(Failure::new(format!("{let_in} clients were let in, and {count} of them are still served")).into())
        }
        Some(Slots::Exactly(count, _) | Slots::AtLeast(count)) => {
            Ok(format!("{count} at once, all of them still served"))
        }
    }
}

fn unfinished(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    let [half, rest] = [b"unfini", b"shed n"];
    let mut sessions = open_ready(context, 2)?;
    let [first, other] = sessions.as_mut_slice() else {
        return Err(Verdict::Skipped("it needs two conversations at the same time".to_owned()));
    };
    first.send(half)?;
    for _ in 0..5 {
        other
            .exchange(b"another client")
            .map_err(|failure| failure.during("another client, while the first has sent half a name"))?;
    }
    first.send(&first.request(rest))?;
    first.hear(&[*half, *rest].concat())?;
    exit_all(sessions);
    Ok("another client was served in the middle of a name".to_owned())
}

fn silent(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const SECONDS: u64 = 3;
    // Nobody sent anything while the number of slots was found out.
    let silence = context.target.measured.silence.get().filter(|silence| silence.as_secs() >= SECONDS);
    if silence.is_some() {
        return Ok(format!("served after {SECONDS} s of silence"));
    }
    let mut session = Session::ready(context)?;
    for second in 0..SECONDS {
        thread::sleep(Duration::from_secs(1));
        notes.progress(second, SECONDS);
    }
    let served = session.exchange(b"after a pause");
    served.and_then(|()| session.exit()).map_err(|failure| {
        let is_closed = matches!(failure.kind, Kind::Closed | Kind::Reset);
        failure
            .during(format_args!("after {SECONDS} s of silence"))
            .because_if(is_closed, "the idle timeout is a few seconds; the protocol has 300 s (rule T2)")
    })?;
    Ok(format!("served after {SECONDS} s of silence"))
}

fn isolation(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const ROUNDS: u64 = 40;
    const OTHER_CLIENT: &str =
        "the reply is another client's: the clients share a buffer, or replies go to the wrong socket";
    const OTHER_BYTES: &str = "stale data: some bytes of the reply are another client's, and correct ones follow. A buffer is reused \
                               before it was sent, or a cache line is not written back before the DMA reads it";
    /// Long enough that a reply is not one write on every board.
    const LONG: usize = 600;
    let clients = context.facts.slot_count().min(8);
    let name = |client: usize, round: u64, length: usize| {
        let words = format!("{client}'s {round}. ").into_bytes();
        words.into_iter().cycle().take(length.min(context.facts.capacity())).collect::<Vec<u8>>()
    };
    let mut sessions = open_ready(context, clients)?;
    for session in &mut sessions {
        // This is not about time: lost segments are retransmitted after ever longer waits.
        session.set_timeout(3 * context.timeout());
    }
    let rounds = context.affordable(ROUNDS);
    let mut done = 0;
    for round in 0..rounds {
        if !context.has_time() {
            break;
        }
        done = round + 1;
        let length = if round % 2 == 0 { 9 } else { LONG };
        for (client, session) in sessions.iter_mut().enumerate() {
            session.send(&session.request(&name(client, round, length)))?;
        }
        // The client that sent last reads first, so that the replies of all clients are waiting at the same time.
        for (client, session) in sessions.iter_mut().enumerate().rev() {
            session.expect("the reply", &session.reply(&name(client, round, length))).map_err(|failure| {
                let has_other_client = |received: &[u8]| {
                    (0..clients).filter(|other| *other != client).any(|other| {
                        let words = format!("{other}'s ");
                        received.windows(words.len()).any(|window| window == words.as_bytes())
                    })
                };
                let received = failure.received.as_deref().unwrap_or_default();
                let is_other_client = has_other_client(received);
                let is_short = difference::is_short_run(failure.expected.as_deref().unwrap_or_default(), received);
                failure
                    .during(format_args!("client {client} of {clients}"))
                    .because_if(is_other_client && !is_short, OTHER_CLIENT)
                    .because_if(is_other_client && is_short, OTHER_BYTES)
            })?;
        }
        notes.progress(round, rounds);
    }
    exit_all(sessions);
    Ok(format!("{clients} clients with messages of their own, {}", context.counted(done, rounds, "rounds")))
}

fn burst(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let count = context.facts.slot_count().min(if context.settings.stress { 200 } else { 16 });
    await_free_slots(context)?;
    let outcome = match connect_together(context, count) {
        // Clients of earlier probes may still hold slots.
        Err(failure) if matches!(failure.kind, Kind::Refused | Kind::Reset) => {
            await_free_slots(context)?;
            thread::sleep(LINGER);
            connect_together(context, count)
        }
        outcome => outcome,
    };
    let (slowest, sessions) = outcome.map_err(|failure| match local::listener(context.target.address) {
        // The host accepts the connections for the guest.
        Some(process) if process.starts_with("qemu") => Verdict::Skipped(format!(
            "`{process}` listens here with a backlog of one (QEMU user networking) and drops simultaneous clients; use a TAP \
             device"
        )),
        _ => failure.into(),
    })?;
    exit_all(sessions);
    notes.time("slowest greeting", slowest);
    let retransmitted =
        if slowest >= Duration::from_millis(900) { ", probably after a SYN was retransmitted" } else { "" };
    Ok(format!("{count} clients; the last was served after {}{retransmitted}", Time::from(slowest)))
}

/// Connects `count` clients in the same instant. Returns how long the last greeting took.
fn connect_together(context: Context<'_>, count: usize) -> Result<(Duration, Vec<Session<'_>>), Failure> {
    let gate = RwLock::new(());
    let outcomes: Vec<Result<(Duration, Session<'_>), Failure>> = thread::scope(|scope| {
        let closed = gate.write();
        let client = || {
            drop(gate.read()); // until all threads are there
            let begin = Instant::now();
            Session::served(context).map(|session| (begin.elapsed(), session))
        };
        let clients: Vec<_> = (0..count).map(|_| thread::Builder::new().spawn_scoped(scope, client)).collect();
        drop(closed);
        clients
            .into_iter()
            .map(|client| match client.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(Failure::new("a thread of the check panicked")),
                Err(error) => Err(Failure::new(format!("this host cannot start a thread ({error})"))),
            })
            .collect()
    });
    let mut slowest = Duration::ZERO;
    let mut sessions = Vec::new();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let (took, session) = outcome
            .map_err(|failure| failure.during(format_args!("client {} of {count} in the same instant", index + 1)))?;
        slowest = slowest.max(took);
        sessions.push(session);
    }
    Ok((slowest, sessions))
}
