//! The first group: whether there is a greeting server at all.

use core::time::Duration;
use std::{thread, time::Instant};

use crate::export::number::Time;

use super::{
    known,
    probe::{Failure, Group, Kind, Level, Notes, Probe, Stop, Unit},
    talk::Talk,
    target::Target,
};

/// The probe that fails where there is no server.
pub(super) const CONNECT: &str = "reach.connect";
/// The probe that finds out what others have to know.
pub(super) const REPLY: &str = "reach.reply";
/// Those that need not know it.
pub(super) const FIRST: [&str; 3] = ["reach.name", CONNECT, "reach.greeting"];

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, shows, causes, run: fn(&Target, &mut Notes<'_>) -> Result<String, Stop>| {
        Probe::new(Group::Reach, name, Level::Must, shows, causes, run)
    };
    vec![
        probe("name", "the server's name leads to an address", &[], name),
        probe(
            "connect",
            "a connection can be opened",
            &["the server is not running, or at another port", "the board's address, its netmask, the cable"],
            connect,
        ),
        probe(
            "greeting",
            "the greeting comes before the client has said anything",
            &["what it wrote is not flushed, or stays in a buffer until the stack is polled again"],
            greeting,
        ),
        probe(
            "reply",
            "a name is answered, and `exit` ends the conversation",
            &["it is another protocol's server", "only the first segment gets through: look at the transmit path"],
            reply,
        ),
    ]
}

/// Where it does not, nothing else is run, nor is this.
fn name(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    notes.time("looked up", target.looked_up);
    Ok(format!("{}, looked up within {}", target.address, Time::from(target.looked_up)))
}

fn connect(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    let open = || {
        let begin = Instant::now();
        Talk::open(target).map(|_| begin.elapsed())
    };
    let took = open().or_else(|failure| {
        // Its only place may have been taken a moment ago, when its addresses were tried.
        if failure.kind != Kind::Refused {
            return Err(failure);
        }
        pause();
        open()
    })?;
    notes.time("connect", took);
    Ok(format!("{} answers within {}", target.address, Time::from(took)))
}

fn greeting(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    pause();
    let begin = Instant::now();
    let mut talk = Talk::greeted(target).map_err(|failure| explained(target, failure))?;
    let took = begin.elapsed();
    notes.time("connect and greeting", took);
    // Only under framing `line` something comes behind it: one LF.
    let more = talk.more_within(MORE_WITHIN);
    if !more.is_empty() && more != b"\n" {
        let failure = Failure {
            offset: Some(talk.offset),
            expected: Some(Vec::new()),
            received: Some(more.clone()),
            ..Failure::new("more came behind the greeting, before the client has said anything")
        };
        return Err(match more.as_slice() {
            [0, ..] => failure.because("the NUL that ends a C string is sent too: the greeting has 8 bytes"),
            [b'\r', ..] => failure.because("the line ends of a terminal: the greeting is followed by LF or by nothing"),
            _ => failure.because("more is written than the greeting: what a buffer held before, or the greeting twice"),
        }
        .into());
    }
    Ok(format!("after {}", Time::from(took)))
}

/// Why a greeting does not come: because the server reads first, or because it ends the connection.
fn explained(target: &Target, failure: Failure) -> Failure {
    let speaks_first = || {
        let mut talk = Talk::open(target)?;
        talk.send(b"greet\n")?;
        talk.be_greeted()
    };
    match failure.kind {
        Kind::Late if speaks_first().is_ok() => {
            failure.because("it comes when the client has said something: the server reads before it writes")
        }
        Kind::Ended | Kind::Reset => failure.because(
            "the server ends whoever connects: it has no place free, or its task ends or fails as it begins; or something \
             in between does, for which this host or this port is not allowed",
        ),
        _ => failure,
    }
}

/// What comes with the greeting, or right behind it, comes within that time.
const MORE_WITHIN: Duration = Duration::from_millis(200);

fn reply(target: &Target, notes: &mut Notes<'_>) -> Result<String, Stop> {
    pause();
    known::find_out(target)?;
    pause();
    let begin = Instant::now();
    Talk::settled(target)?.leave()?;
    notes.measure("conversations of one name a second", begin.elapsed().as_secs_f64().recip(), Unit::Rate);
    Ok(target.known().map_or_else(String::new, |known| known.text()))
}

/// A server that has one place may need a moment until it is free again.
fn pause() {
    thread::sleep(Duration::from_millis(100));
}
