//! Slots: how many conversations the server holds at the same time, what the next client sees, and whether all are free again.

use core::time::Duration;
use std::{thread, time::Instant};

use crate::export::number::Time;

use super::{
    context::Context,
    facts::{Slots, WhenFull},
    failure::{Failure, Kind},
    loss::LINGER,
    session::Session,
};

/// A client that waits this long for its greeting counts as queued: the greeting's second retransmission has come by then.
const QUEUED: Duration = Duration::from_secs(4);
/// A slot that is free serves a client within this time.
const SOON: Duration = Duration::from_millis(500);
/// Interval at which a full server is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(50);

/// Opens `count` conversations at the same time, all of them served.
fn open_all(context: Context<'_>, count: usize) -> Result<Vec<Session<'_>>, Failure> {
    /// On a network with longer handshakes several are opened together. A board may not take more of them in the same instant.
    const LONG: Duration = Duration::from_millis(20);
    let together = if context.target.handshake() < LONG { 1 } else { 4 };
    let mut open = Vec::new();
    while open.len() < count {
        let group = open.len() + 1..=count.min(open.len() + together);
        let client = |number| {
            Session::served(context).map_err(|failure| failure.during(format_args!("client {number} of {count}")))
        };
        let outcomes: Vec<Result<Session<'_>, Failure>> = match together {
            1 => group.map(client).collect(),
            _ => thread::scope(|scope| {
                let running: Vec<_> = group.map(|number| scope.spawn(move || client(number))).collect();
                let panicked = |_| Err(Failure::new("a thread of the check panicked"));
                running.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
            }),
        };
        let mut failed = None;
        for outcome in outcomes {
            match outcome {
                Ok(session) => open.push(session),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        if let Some(failure) = failed {
            exit_all(open); // how they end must not take a slot: other probes test that
            return Err(failure);
        }
    }
    Ok(open)
}

/// The number of conversations that show whether all slots are free. If no limit was found, it is the number that a slow network
/// opens in some seconds.
pub(crate) fn count_to_open(context: Context<'_>) -> usize {
    const SHARE: u32 = 5;
    const FEWEST: usize = 4;
    match context.facts.slots {
        Some(Slots::AtLeast(count)) => {
            let each = context.target.handshake().max(Duration::from_micros(1));
            let affordable = (context.settings.probe_budget() / SHARE).as_nanos() / each.as_nanos();
            count.min(usize::try_from(affordable).unwrap_or(usize::MAX).max(FEWEST))
        }
        _ => context.facts.slot_count(),
    }
}

/// Opens `count` conversations at the same time, in which names are lines where they can be.
pub(crate) fn open_ready(context: Context<'_>, count: usize) -> Result<Vec<Session<'_>>, Failure> {
    await_free_slots(context)?;
    (0..count).map(|_| Session::ready(context)).collect()
}

/// Finds out how many conversations the server holds at the same time.
pub(crate) fn discover(context: Context<'_>) -> Result<Slots, Failure> {
    let begin = Instant::now();
    // The client before may have left a moment ago.
    let mut open = vec![Session::served_with_retries(context)?.0];
    while open.len() < context.settings.concurrent() && context.has_time() {
        let mut next = open_one_more(context);
        if next.as_ref().is_err_and(|refusal| refusal.0 != Some(WhenFull::Queued))
            && let Err(refusal) = next
        {
            thread::sleep(LINGER); // slots of earlier clients may become free only now
            if open.last_mut().is_some_and(|newest| newest.exchange(STILL_HERE).is_ok()) {
                let _ = context.target.measured.silence.set(LINGER); // once
            }
            next = open_one_more(context);
            // This does not count if the slot is free because the server closed another client's connection.
            if next.is_ok() && !open.iter_mut().all(|session| session.exchange(STILL_HERE).is_ok()) {
                next = Err(refusal);
            }
        }
        // It was queued, or forgotten, because the slot of an earlier client was not free yet.
        if next.as_ref().is_err_and(|refusal| refusal.0 == Some(WhenFull::Queued)) {
            next = open_within(context, SOON).or(next);
        }
        match next {
            Ok(session) => open.push(session),
            Err(refusal) => {
                let count = open.len();
                let replaced = replaced(context, &mut open, begin.elapsed());
                exit_all(open);
                if replaced > 0 {
                    return Ok(Slots::Exactly(count - replaced, WhenFull::Replaces(count)));
                }
                let (when_full, failure) = *refusal;
                let when_full = when_full.ok_or_else(|| {
                    failure.during(format_args!("client {} at the same time", count + 1)).because(
                        "a full server sends bytes that the protocol does not have: queue the client, or refuse the connection",
                    )
                })?;
                return Ok(Slots::Exactly(count, when_full));
            }
        }
    }
    let count = open.len();
    let replaced = replaced(context, &mut open, begin.elapsed());
    exit_all(open);
    Ok(if replaced > 0 { Slots::Exactly(count - replaced, WhenFull::Replaces(count)) } else { Slots::AtLeast(count) })
}

/// How many of these clients the server has given up while it let in the others, which took `time`.
fn replaced(context: Context<'_>, open: &mut [Session<'_>], time: Duration) -> usize {
    /// No idle timeout is shorter.
    const NO_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
    // A message is sent on all connections before a reply is read, because a slow server answers them at the same time. The
    // newest connection is certainly open.
    let Some((newest, older)) = open.split_last_mut() else { return 0 };
    let is_gone = |failure: Failure| matches!(failure.kind, Kind::Reset | Kind::Closed);
    let asked: Vec<bool> = older.iter_mut().map(|session| session.ask(STILL_HERE).is_err_and(is_gone)).collect();
    let answered = older
        .iter_mut()
        .zip(asked)
        .map(|(session, is_gone_already)| is_gone_already || session.hear(STILL_HERE).is_err_and(is_gone));
    let gone = answered.filter(|is_gone| *is_gone).count();
    if gone == 0 || newest.exchange(STILL_HERE).is_err() {
        return 0;
    }
    // A client that was silent for as long may have been closed by an idle timeout.
    let is_idle_timeout = || {
        let Ok((mut session, _)) = Session::served_with_retries(context) else { return true };
        thread::sleep(time);
        session.exchange(STILL_HERE).is_err()
    };
    if time >= NO_IDLE_TIMEOUT && is_idle_timeout() { 0 } else { gone }
}

const STILL_HERE: &[u8] = b"still here";

/// Ends all conversations. A slow server is asked by all at the same time.
pub(crate) fn exit_all(mut sessions: Vec<Session<'_>>) {
    // Other probes test how conversations end.
    for session in &mut sessions {
        let _ = session.leave();
    }
    let ends =
        |session: &Session<'_>| session.context.facts.closes_after_client() && !session.context.settings.ends_late();
    if !sessions.first().is_some_and(ends) {
        return;
    }
    for session in &mut sessions {
        session.set_timeout(Duration::from_millis(500) + 4 * session.context.facts.rtt());
        let _ = session.expect_end();
    }
}

/// Opens one more conversation. The error is what a client of a full server sees; `None` for anything else, a fault.
pub(crate) fn open_one_more(context: Context<'_>) -> Result<Session<'_>, Box<(Option<WhenFull>, Failure)>> {
    open_within(context, QUEUED)
}

/// The same; a client that is not served within this time, or four round trips, counts as queued.
fn open_within(context: Context<'_>, queued: Duration) -> Result<Session<'_>, Box<(Option<WhenFull>, Failure)>> {
    let timeout = context.timeout();
    let mut session = Session::open(context).map_err(|failure| {
        let when_full = if failure.kind == Kind::NoAnswer { WhenFull::NoAnswer } else { WhenFull::Refused };
        Box::new((Some(when_full), failure))
    })?;
    session.set_timeout(timeout.min(queued.max(4 * context.facts.rtt())));
    let served = session.expect_service();
    let nothing_came = session.offset == 0;
    session.set_timeout(timeout);
    served.map(|()| session).map_err(|failure| {
        let when_full = match failure.kind {
            Kind::Reset => Some(WhenFull::Refused),
            Kind::Closed => Some(WhenFull::Closed),
            Kind::Timeout if nothing_came => Some(WhenFull::Queued),
            _ => None,
        };
        Box::new((when_full, failure))
    })
}

/// When slots were free again.
pub(crate) fn when_free(time: Duration) -> String {
    const AT_ONCE: Duration = Duration::from_millis(100);
    if time < AT_ONCE { "at once".to_owned() } else { format!("within {}", Time::from(time)) }
}

/// Waits until all slots are free. Returns how long that took, without the time to open the connections that showed it.
pub(crate) fn await_free_slots(context: Context<'_>) -> Result<Duration, Failure> {
    let begin = Instant::now();
    let count = count_to_open(context);
    loop {
        let took = begin.elapsed();
        match open_all(context, count) {
            Ok(sessions) => {
                exit_all(sessions);
                return Ok(took);
            }
            Err(failure) if begin.elapsed() >= context.timeout() => {
                return Err(failure
                    .during(format_args!("not all of the {count} slots are free after {}", Time::from(begin.elapsed())))
                    .because("slots are lost, or stay taken after the client has left"));
            }
            Err(_) => thread::sleep(RETRY),
        }
    }
}
