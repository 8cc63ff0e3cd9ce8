//! A soak: a client for as long as the user says.

use core::time::Duration;
use std::{thread, time::Instant};

use crate::check::{
    context::Context,
    failure::Failure,
    loss::LINGER,
    probe::Notes,
    session::Session,
    soak::{Outage, Soak},
    vanish::Vanished,
};
use crate::export::number::Time;

/// Parts of the time.
const PARTS: u32 = 60;
/// A message on the connection that stays open.
const MESSAGE_EVERY: Duration = Duration::from_millis(20);
/// So many messages later there is a visit.
const VISIT_EVERY: u64 = 10;
/// A server that does not serve is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Talks to the server for `time`: a message every 20 ms on a connection that stays open, if there is a second slot, and every
/// 200 ms a visit, which ends in each way in turn.
pub(super) fn run(context: Context<'_>, time: Duration, notes: &Notes<'_>) -> Soak {
    let each = (time / PARTS).max(Duration::from_millis(1));
    let mut soak = Soak::new(each, PARTS);
    let gone = vanish(context);
    soak.vanished = gone.len();
    let stays = context.facts.slot_count() >= 2;
    let begin = Instant::now();
    let mut open = None;
    let mut round = 0;
    while begin.elapsed() < time && !context.settings.is_interrupted() {
        let now = begin.elapsed();
        round += 1;
        // No other probe is running: each step has its own time.
        let context = context.restarted();
        let is_visit = !stays || round % VISIT_EVERY == 0;
        let outcome = match is_visit {
            true => visit(context, round).map(|rtt| (rtt, true)),
            false => talk(context, &mut open).map(|rtt| (rtt, false)),
        };
        match outcome {
            Ok((rtt, is_visit)) => soak.add(now, rtt, is_visit, each, context.target.connections()),
            Err(failure) => {
                open = None;
                soak.outages.add(wait_for_service(context, begin, time, now, failure));
            }
        }
        let pause = if stays { MESSAGE_EVERY } else { MESSAGE_EVERY * 10 };
        thread::sleep(pause.saturating_sub(begin.elapsed().saturating_sub(now)));
        notes.progress(begin.elapsed().as_secs(), time.as_secs());
    }
    if let Some(session) = open {
        let _ = session.exit(); // what it waits for was measured
    }
    soak.took = begin.elapsed();
    soak.still_known = gone.into_iter().map(Vanished::comes_back).filter(|known| *known).count();
    soak
}

/// The server has failed: waits until it serves again, or the time is over.
fn wait_for_service(context: Context<'_>, begin: Instant, time: Duration, since: Duration, failure: Failure) -> Outage {
    loop {
        if visit(context.restarted(), 0).is_ok() || begin.elapsed() >= time || context.settings.is_interrupted() {
            break;
        }
        thread::sleep(RETRY);
    }
    Outage { begin: since, length: begin.elapsed().saturating_sub(since), failure }
}

/// Some clients vanish with a reply under way. They leave most slots to the others.
fn vanish(context: Context<'_>) -> Vec<Vanished> {
    const MOST: usize = 4;
    let count = (context.facts.slot_count() / 4).min(MOST);
    let client = |_| {
        let mut session = Session::ready(context).ok()?;
        session.ask(b"about to vanish").ok()?;
        session.into_stream().and_then(Vanished::new).ok()
    };
    (0..count).filter_map(client).collect()
}

/// A message on the connection that stays open.
fn talk<'a>(context: Context<'a>, open: &mut Option<Session<'a>>) -> Result<Duration, Failure> {
    let session = match open {
        Some(session) => session,
        None => open.insert(Session::ready(context)?),
    };
    session.context = context;
    let begin = Instant::now();
    session.exchange(b"soak")?;
    Ok(begin.elapsed())
}

/// A conversation of its own, which ends in one of three ways. A slot may be free a moment after its client has left.
fn visit(context: Context<'_>, number: u64) -> Result<Duration, Failure> {
    let (mut session, waited) = Session::served_with_retries(context)?;
    if waited > LINGER {
        return Err(Failure::new(format!("no new connection was served for {}", Time::from(waited))));
    }
    let begin = Instant::now();
    session.exchange(b"a visit")?;
    let rtt = begin.elapsed();
    match number % 30 {
        10 => session.reset(),
        20 => drop(session),
        _ => session.exit()?,
    }
    Ok(rtt)
}
