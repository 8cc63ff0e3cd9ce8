//! Leaving: the ways in which a client can end a connection, or not end it; and that each slot is free again afterwards.

use core::{cell::Cell, time::Duration};
use std::{io::Read, time::Instant};

use crate::check::{
    context::Context,
    failure::{Failure, Kind},
    probe::{Notes, Verdict},
    session::Session,
    slots::{await_free_slots, open_ready, when_free},
    vanish::Vanished,
};
use crate::export::number::{Time, counted};

/// Clients that leave before the server has served them, in four ways.
pub(super) fn early(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const CAUSE: &str = "the slots of clients that leave early are lost";
    let number = Cell::new(0_usize);
    slots_are_freed(context, notes, CAUSE, Session::open_with_retries, |mut session| {
        number.set(number.get() + 1);
        match number.get() % 4 {
            0 => session.reset(),
            1 => drop(session), // a FIN, or a reset if the greeting is there
            2 => {
                // In the middle of the greeting. An echo server sends none.
                if !session.conversation().greeting.is_empty() {
                    let _ = session.stream.read(&mut [0; 3]);
                }
                session.reset();
            }
            _ => {
                // If the server has closed already, this fails.
                let _ = session.send(b"half of a mes");
                session.reset();
            }
        }
        Ok(())
    })
}

/// Ends connections in one way, more of them than boards have slots, one after the other. If no slot is left in the middle, the
/// earlier clients' end is the reason: `cause`.
pub(super) fn slots_are_freed<'a>(
    context: Context<'a>,
    notes: &mut Notes<'_>,
    cause: &str,
    open: impl Fn(Context<'a>) -> Result<(Session<'a>, Duration), Failure>,
    end: impl Fn(Session<'a>) -> Result<(), Failure>,
) -> Result<String, Verdict> {
    const MORE_THAN_SLOTS: u64 = 33;
    /// With this number of late ends and no early one, chance is excluded.
    const ENOUGH_LATE: u64 = 5;
    let limit = Duration::from_secs(1) + 4 * context.facts.rtt();
    let count = context.affordable(MORE_THAN_SLOTS);
    let mut slowest = Duration::ZERO;
    let mut fastest_end = Duration::MAX;
    let mut done = 0;
    for number in 1..=count {
        if !context.has_time() {
            break;
        }
        done = number;
        let visit = || {
            let (session, waited) = open(context).map_err(|failure| {
                failure.during(format_args!("no slot is free after {} such clients", number - 1)).because(cause)
            })?;
            let begin = Instant::now();
            end(session).map(|()| (waited, begin.elapsed()))
        };
        let (waited, ended) = visit().map_err(|failure| failure.during(format_args!("client {number} of {count}")))?;
        slowest = slowest.max(waited);
        fastest_end = fastest_end.min(ended);
        if number >= ENOUGH_LATE && fastest_end > limit {
            break;
        }
        notes.progress(number, count);
    }
    // A server with enough slots does not miss a few: they are counted.
    let all_free =
        await_free_slots(context).map_err(|failure| failure.during(format_args!("after {done} such clients")))?;
    slowest = slowest.max(all_free);
    notes.time("slot free again after", slowest);
    // Packet loss delays some, and a defect all of them.
    if fastest_end > limit {
        let what = format!("the server's FIN arrived after {} or later each time", Time::from(fastest_end));
        return Err(Failure::new(what)
            .because("a timer or a poll decides when the FIN is sent: send it right after the last reply")
            .into());
    }
    Ok(format!("{}; the slot was free again {}", context.counted(done, count, "clients"), when_free(slowest)))
}

pub(super) fn server_closes(session: Session<'_>) -> Result<(), Failure> {
    session.exit_to_the_end()
}

pub(super) fn client_closes(mut session: Session<'_>) -> Result<(), Failure> {
    session.half_close()?;
    session.expect_client_end()
}

pub(super) fn half_close(mut session: Session<'_>) -> Result<(), Failure> {
    const NAMES: [&[u8]; 3] = [b"half-close", b"in one", b"segment"];
    let names = if session.context.facts.takes_several() { &NAMES[..] } else { &NAMES[..1] };
    let requests: Vec<u8> = names.iter().flat_map(|name| session.request(name)).collect();
    let replies: Vec<u8> = names.iter().flat_map(|name| session.reply(name)).collect();
    // The FIN is in the segment of the names. Without this it follows right behind.
    let _ = crate::socket::set_cork(&session.stream);
    session.send(&requests)?;
    session.half_close()?;
    let before = session.offset;
    let received = session.expect("the last replies", &replies);
    let is_answered = session.offset > before;
    received.and_then(|()| session.expect_end()).map_err(|failure| {
        let cause = if is_answered {
            "a part of what came with the client's FIN is answered: the end is handled before the rest (half-close)"
        } else {
            "the server answers nothing after the client has closed its side (half-close)"
        };
        let is_unanswered = failure.kind != Kind::Other;
        failure.during("after the client has closed its side").because_if(is_unanswered, cause)
    })
}

pub(super) fn reset(mut session: Session<'_>) -> Result<(), Failure> {
    session.send(&session.request(b"reset"))?;
    // In the middle of the reply, or before it.
    let _ = session.stream.read(&mut [0; 3]);
    session.reset();
    Ok(())
}

pub(super) fn abandoned(mut session: Session<'_>) -> Result<(), Failure> {
    session.send(&session.request(b"abandoned"))?;
    session.send(b"aban")
}

/// The usual cause of clients that are not served while others have vanished.
pub(super) const WAITS_FOR_ACK: &str =
    "the server waits until what it has sent is acknowledged: a reply to one client must not block the others";

/// Clients that vanish while their replies are under way, without FIN or RST. Others are served meanwhile.
pub(super) fn vanished(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    const MOST: usize = 8;
    const MESSAGES: usize = 5;
    // One slot is for the client that stays.
    let count = context.facts.slot_count().saturating_sub(1).min(MOST);
    let mut gone = Vec::new();
    let mut sessions = open_ready(context, count + 1)?;
    let Some(mut other) = sessions.pop() else { return Err(Verdict::Skipped("there is no slot".to_owned())) };
    for mut session in sessions {
        let request = session.request(b"about to vanish");
        session.send(&request)?;
        let vanished = session.into_stream().and_then(Vanished::new);
        gone.push(vanished.map_err(|error| {
            Verdict::Skipped(format!("not asked: this host cannot drop the segments of one connection ({error})"))
        })?);
    }
    let clients = counted(count as u64, "client");
    let explained = |failure: Failure| {
        let is_blocked = failure.kind == Kind::Timeout;
        failure.because_if(is_blocked, WAITS_FOR_ACK)
    };
    let is_served =
        |failure: Failure| explained(failure).during(format_args!("another client, after {clients} vanished"));
    for _ in 0..MESSAGES {
        other.exchange(b"still here").map_err(is_served)?;
    }
    other.exit().map_err(is_served)?;
    Session::served_with_retries(context)
        .and_then(|(session, _)| session.exit())
        .map_err(|failure| explained(failure).during(format_args!("a new client, after {clients} vanished")))?;
    drop(gone); // resets, so that later probes have all slots
    let took = await_free_slots(context)?;
    Ok(format!(
        "{clients} vanished with a reply unacknowledged, and others are served; after a reset their slots were free {}",
        when_free(took)
    ))
}
