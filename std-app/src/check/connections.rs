//! The connections: how many, how often, how they end; and that each leaves its place to the next.

use core::time::Duration;
use std::{io::Read, sync::RwLock, thread, time::Instant};

use crate::export::number::Time;

use super::{
    probe::{Failure, Group, Kind, Level, Notes, Probe, Stop, Unit, so_many},
    room::{Next, PAUSE, Room, await_room, leave_all, one_more, settled},
    talk::Talk,
    target::Target,
    wire::LEAVING,
};

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, shows, causes, run: fn(&Target, &mut Notes<'_>) -> Result<String, Stop>| {
        Probe::new(Group::Connections, name, Level::Must, shows, causes, run)
    };
    let after = |name, shows, causes: &'static [&'static str], part: fn(Talk<'_>) -> Result<(), Failure>| {
        Probe::new(Group::Connections, name, Level::Must, shows, causes, move |target, notes| {
            after(target, notes, causes.first().copied().unwrap_or_default(), part)
        })
    };
    // How many places there are comes first, as a fresh server has them all; then what no server can do without; and then
    // each way in which a connection may end, and whether all places are free behind it.
    vec![
        probe(
            "at-once",
            "two clients or more are served at once, or the second one waits for its turn",
            &[
                "the server takes one client at a time: a second one needs a socket that listens while the first is served",
            ],
            at_once,
        ),
        after(
            "server-ends",
            "a place is free again when the server ends first, after `exit`",
            &["TIME-WAIT or FIN-WAIT-2 holds the place: the socket has to be used again, and the wait be limited"],
            server_ends,
        ),
        probe(
            "in-turn",
            "hundreds of clients, one after the other, are greeted, answered and let go",
            &[
                "something is used up and not given back: sockets, descriptors, heap, slots",
                "a socket that was closed does not listen again before the next client comes",
            ],
            in_turn,
        ),
        after(
            "client-ends",
            "a place is free again when the client ends first",
            &["what a client's FIN sets going is not done, or not to its end"],
            client_ends,
        ),
        after(
            "half-closed",
            "a client that ends its side gets what it is still owed, and its place is free again",
            &[
                "what came with the FIN is dropped: read until nothing is left before the end is looked at",
                "a close in both directions, where only the client has ended",
            ],
            half_closed,
        ),
        after(
            "reset",
            "a place is free again when the client resets the connection in the middle of a reply",
            &["the error of a read is not treated as an end: the place of every client that resets is lost"],
            reset,
        ),
        after(
            "abandoned",
            "a place is free again when the client leaves in the middle of a name, its replies unread",
            &["the machine waits for the rest of the name, and never looks whether the connection is still there"],
            abandoned,
        ),
        probe(
            "next",
            "a client that comes when all places are taken is served when one is free",
            &["a client that was refused or queued is not let in later: the listening socket is lost"],
            next,
        ),
        Probe::new(
            Group::Connections,
            "quiet",
            Level::Should,
            "a client that says nothing for 3 s is served when it speaks again",
            &["the task or the stack sleeps, and a frame does not wake it"],
            quiet,
        ),
        probe(
            "own-replies",
            "each of several clients gets what it is owed, and nothing that is another one's",
            &["clients share a buffer for replies, or a reply is written to the wrong socket"],
            own_replies,
        ),
        probe(
            "same-instant",
            "clients that come in the same instant are all greeted",
            &[
                "one socket listens, and the SYN that comes while it is taken is dropped: a client tries again after 1 s",
                "the receive FIFO is too short for a burst of SYNs",
            ],
            same_instant,
        ),
    ]
}

fn in_turn(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    let count = target.in_turn();
    let talks = target.trips(count); // a slow server is asked for nothing but its greeting after that
    let begin = Instant::now();
    let mut came = 0;
    for number in 1..=count {
        if !target.has_time() {
            break; // a wire that loses SYNs has shown enough
        }
        came = number;
        let visit = || {
            let (mut talk, _) = Talk::greeted_patiently(target)?; // the only place may be free in a moment
            if number <= talks {
                talk.say(b"in turn")?;
                return talk.leave();
            }
            talk.half_close()
        };
        visit().map_err(|failure| {
            // Else the server is there, and says something wrong.
            let is_gone = failure.kind != Kind::Other;
            let before = target.connections.load(core::sync::atomic::Ordering::Relaxed).saturating_sub(1);
            failure.during(format_args!("client {number} of {count} that came one after the other")).because_if(
                is_gone,
                format!(
                    "after {before} connections something is used up, or the server is dead: sockets, descriptors, heap or slots"
                ),
            )
        })?;
        notes.progress(number, count);
    }
    let rate = came as f64 / begin.elapsed().as_secs_f64();
    notes.measure("clients a second, in turn", rate, Unit::Rate);
    Ok(format!("{}, {rate:.0} a second", so_many(came, count, "clients")))
}

fn at_once(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    match target.room()? {
        Room::Only(1, Next::Queued) => Ok("one at a time; the next waits for its turn".to_owned()),
        Room::Only(1, next) => {
            let what = format!("one client is served; the second is {}", next.text());
            Err(Failure::new(what).because("a second client is refused while one is served").into())
        }
        Room::Only(count, next) => {
            notes.measure("conversations at once", count as f64, Unit::Number);
            Ok(format!("{count} at once; the next is {}", next.text()))
        }
        Room::AtLeast(count) => Ok(format!("{count} at once, and there may be more")),
    }
}

fn next(target: &Target, _: &mut Notes<'_>) -> Result<String, Stop> {
    let Room::Only(count, next) = target.room()? else {
        return Err(Stop::Skipped("no client was refused or queued".to_owned()));
    };
    await_room(target)?;
    let patient = |_| Talk::greeted_patiently(target).map(|(talk, _)| talk);
    let mut open = (0..count).map(patient).collect::<Result<Vec<_>, _>>()?;
    let Some(leaving) = open.pop() else { return Err(Stop::Skipped("there is no place".to_owned())) };
    let text = match next {
        Next::Queued => {
            let mut waiting = Talk::open(target)?;
            leaving.leave()?;
            waiting.be_greeted().map_err(|failure| failure.during("the client that was queued"))?;
            waiting.say(b"next")?;
            waiting.leave()?;
            "the client that was queued was served as soon as one had left"
        }
        Next::Refused | Next::Ended | Next::Silent => {
            leaving.leave()?;
            let begin = Instant::now();
            let mut talk = loop {
                match one_more(target) {
                    Ok(talk) => break talk,
                    Err(met) if begin.elapsed() >= target.timeout => return Err(met.1.into()),
                    Err(_) => thread::sleep(PAUSE),
                }
            };
            talk.say(b"next")?;
            talk.leave()?;
            "a client that came when one had left was served"
        }
    };
    leave_all(open);
    Ok(text.to_owned())
}

fn quiet(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    const SILENCE: u64 = 3;
    let mut talk = Talk::settled(target)?;
    for second in 0..SILENCE {
        thread::sleep(Duration::from_secs(1));
        notes.progress(second, SILENCE);
    }
    let spoken = talk.say(b"after a pause");
    spoken.and_then(|()| talk.leave()).map_err(|failure| {
        let is_closed = matches!(failure.kind, Kind::Ended | Kind::Reset);
        failure.during(format_args!("after {SILENCE} s of silence")).because_if(
            is_closed,
            "connections are closed after a few seconds of silence: the protocol has 300 s (rule T2)",
        )
    })?;
    Ok(format!("served after {SILENCE} s of silence"))
}

fn own_replies(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    const ROUNDS: u64 = 40;
    /// Long enough that a reply is not one write on every board.
    const LONG: usize = 600;
    let clients = target.several(8)?;
    let name = |client: usize, round: u64, length: usize| {
        let words = format!("{client}'s {round}. ").into_bytes();
        words.into_iter().cycle().take(length.min(target.capacity())).collect::<Vec<u8>>()
    };
    let mut talks = settled(target, clients)?;
    for talk in &mut talks {
        // Whose replies they are is asked, not when they come: what is lost is sent again after ever longer waits.
        talk.set_patience(3 * target.timeout);
    }
    let rounds = target.trips(ROUNDS);
    for round in 0..rounds {
        if !target.has_time() {
            break;
        }
        let length = if round % 2 == 0 { 9 } else { LONG };
        for (client, talk) in talks.iter_mut().enumerate() {
            talk.send(&talk.asked(&name(client, round, length)))?;
        }
        // Who asked last reads first: so every reply waits for its reader beside those of others.
        for (client, talk) in talks.iter_mut().enumerate().rev() {
            talk.expect("the reply", &talk.owed(&name(client, round, length))).map_err(|failure| {
                let others = |received: &[u8]| {
                    (0..clients).filter(|other| *other != client).any(|other| {
                        let words = format!("{other}'s ");
                        received.windows(words.len()).any(|window| window == words.as_bytes())
                    })
                };
                let is_anothers = failure.received.as_deref().is_some_and(others);
                failure.during(format_args!("client {client} of {clients}")).because_if(
                    is_anothers,
                    "what came is another client's: they share a buffer, or replies go to the wrong socket",
                )
            })?;
        }
        notes.progress(round, rounds);
    }
    leave_all(talks);
    Ok(format!("{clients} clients, each with names of its own"))
}

fn same_instant(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    let count = target.several(if target.stress { 200 } else { 16 })?;
    await_room(target)?;
    let (slowest, talks) = match come_at_once(target, count) {
        // Some of those before may have been leaving still.
        Err(failure) if matches!(failure.kind, Kind::Refused | Kind::Reset) => {
            await_room(target)?;
            thread::sleep(LEAVING);
            come_at_once(target, count)
        }
        outcome => outcome,
    }?;
    leave_all(talks);
    notes.time("slowest greeting", slowest);
    let retried = if slowest >= Duration::from_millis(900) { ", as if a SYN had been lost" } else { "" };
    Ok(format!("{count} clients, the last greeted after {}{retried}", Time::from(slowest)))
}

/// So many clients in one instant: how long the last one's greeting took.
fn come_at_once(target: &Target, count: usize) -> Result<(Duration, Vec<Talk<'_>>), Failure> {
    let gate = RwLock::new(());
    let outcomes: Vec<Result<(Duration, Talk<'_>), Failure>> = thread::scope(|scope| {
        let closed = gate.write();
        let client = || {
            drop(gate.read()); // until all are there
            let begin = Instant::now();
            Talk::greeted(target).map(|talk| (begin.elapsed(), talk))
        };
        let clients: Vec<_> = (0..count).map(|_| thread::Builder::new().spawn_scoped(scope, client)).collect();
        drop(closed);
        clients
            .into_iter()
            .map(|client| match client.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(Failure::new("the check's own thread panicked")),
                Err(error) => Err(Failure::new(format!("this machine has no thread for it ({error})"))),
            })
            .collect()
    });
    let mut slowest = Duration::ZERO;
    let mut talks = Vec::new();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let (took, talk) = outcome.map_err(|failure| {
            failure.during(format_args!("client {} of {count} that came in the same instant", index + 1))
        })?;
        slowest = slowest.max(took);
        talks.push(talk);
    }
    Ok((slowest, talks))
}

/// Does the same with more clients than boards have places, one after the other: each leaves its place to another one.
/// Where no place is left in the midst, that is due to how the clients before have left: `cause`.
fn after(
    target: &Target,
    notes: &mut Notes<'_>,
    cause: &str,
    part: fn(Talk<'_>) -> Result<(), Failure>,
) -> Result<String, Stop> {
    const MORE_THAN_PLACES: u64 = 33;
    const AT_ONCE: Duration = Duration::from_millis(100);
    let count = target.trips(MORE_THAN_PLACES);
    target.room()?; // before any is lost
    let mut slowest = Duration::ZERO;
    let mut came = 0;
    for number in 1..=count {
        if !target.has_time() {
            break;
        }
        came = number;
        let part = || {
            let (talk, waited) = Talk::greeted_patiently(target).map_err(|failure| {
                failure.during(format_args!("no place is free after {} such clients", number - 1)).because(cause)
            })?;
            part(talk).map(|()| waited)
        };
        let waited = part().map_err(|failure| {
            target.forget_room();
            failure.during(format_args!("client {number} of {count}"))
        })?;
        slowest = slowest.max(waited);
        notes.progress(number, count);
    }
    // Who has enough places does not miss a few: they are counted.
    let all_free = await_room(target).map_err(|failure| {
        target.forget_room(); // what comes now is not to blame
        failure.during(format_args!("after {came} such clients"))
    })?;
    slowest = slowest.max(all_free);
    notes.time("a place free again after", slowest);
    let when = if slowest < AT_ONCE { "at once".to_owned() } else { format!("within {}", Time::from(slowest)) };
    Ok(format!("{}, a place was free again {when}", so_many(came, count, "clients")))
}

fn client_ends(mut talk: Talk<'_>) -> Result<(), Failure> {
    talk.half_close()?;
    talk.expect_end().map_err(|failure| {
        let is_late = failure.kind == Kind::Late;
        failure
            .during("after the client's FIN")
            .because_if(is_late, "the server's side is not closed after the client's FIN (CLOSE-WAIT for ever)")
    })
}

fn server_ends(talk: Talk<'_>) -> Result<(), Failure> {
    talk.leave()
}

fn half_closed(mut talk: Talk<'_>) -> Result<(), Failure> {
    let name = b"half-closed";
    talk.send(&talk.asked(name))?;
    talk.half_close()?;
    talk.expect("the reply that is owed", &talk.owed(name)).and_then(|()| talk.expect_end()).map_err(|failure| {
        let is_unanswered = failure.kind != Kind::Other;
        failure
            .during("after the client has ended its side")
            .because_if(is_unanswered, "nothing is answered any more once the client has ended its side (half-close)")
    })
}

fn reset(mut talk: Talk<'_>) -> Result<(), Failure> {
    talk.send(&talk.asked(b"reset"))?;
    // In the middle of the reply, or before it.
    let _ = talk.stream.read(&mut [0; 3]);
    talk.reset();
    Ok(())
}

fn abandoned(mut talk: Talk<'_>) -> Result<(), Failure> {
    talk.send(&talk.asked(b"abandoned"))?;
    talk.send(b"aban")
}
