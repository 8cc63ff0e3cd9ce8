//! How many conversations a server has at once, what the next client meets, and whether all places are free again.

use core::time::Duration;
use std::{thread, time::Instant};

use crate::export::number::Time;

use super::{
    probe::{Failure, Kind},
    talk::Talk,
    target::Target,
    wire::LEAVING,
};

/// So long a client is left waiting before it counts as queued: longer than it takes to send its greeting a third time.
const QUEUED: Duration = Duration::from_secs(4);
/// Between two looks whether there is room again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// How many conversations a server has at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// No end was found up to here.
    AtLeast(usize),
    /// So many, and this is what the next client meets.
    Only(usize, Next),
}

/// What a client meets that comes when a server is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is told so at once, by a reset.
    Refused,
    /// It is let in, and the connection ended without a greeting.
    Ended,
    /// It is let in, and waits.
    Queued,
    /// It gets no answer at all.
    Silent,
}

impl Room {
    /// So many, of those that were tried.
    pub(super) const fn count(self) -> usize {
        match self {
            Self::AtLeast(count) | Self::Only(count, _) => count,
        }
    }

    pub(super) const fn next(self) -> Option<Next> {
        match self {
            Self::AtLeast(_) => None,
            Self::Only(_, next) => Some(next),
        }
    }
}

impl Next {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Refused => "refused at once",
            Self::Ended => "let in and sent away without a word",
            Self::Queued => "queued until there is room",
            Self::Silent => "not answered at all (a black hole)",
        }
    }
}

/// So many conversations at once, all greeted.
pub(super) fn fill(target: &Target, count: usize) -> Result<Vec<Talk<'_>>, Failure> {
    (0..count)
        .map(|index| {
            Talk::greeted(target).map_err(|failure| failure.during(format_args!("client {} at once", index + 1)))
        })
        .collect()
}

/// So many conversations, in which names are what they are for long already. How they come is looked at elsewhere.
pub(super) fn settled(target: &Target, count: usize) -> Result<Vec<Talk<'_>>, Failure> {
    await_room(target)?;
    (0..count).map(|_| Talk::settled(target)).collect()
}

/// Finds out how many conversations the server has at once.
pub(super) fn find_room(target: &Target) -> Result<Room, Failure> {
    // Whoever was there before may have left only just now.
    let mut open = vec![Talk::greeted_patiently(target)?.0];
    while open.len() < target.at_once() {
        let mut more = one_more(target);
        if more.as_ref().is_err_and(|met| met.0 != Some(Next::Queued))
            && let Err(met) = more
        {
            thread::sleep(LEAVING); // places of those that were there before may be free only now
            more = one_more(target);
            // Not so if they are free because others were sent away meanwhile.
            if more.is_ok() && !open.iter_mut().all(|talk| talk.say(b"still here").is_ok()) {
                more = Err(met);
            }
        }
        match more {
            Ok(talk) => open.push(talk),
            Err(met) => {
                let count = open.len();
                leave_all(open);
                let (next, failure) = *met;
                let next = next.ok_or_else(|| {
                    failure.during(format_args!("client {} at once", count + 1)).because(
                        "whoever comes when the server is full is told something that the protocol does not know: leave it \
                         waiting, or refuse the connection",
                    )
                })?;
                return Ok(Room::Only(count, next));
            }
        }
    }
    let count = open.len();
    leave_all(open);
    Ok(Room::AtLeast(count))
}

/// Ends them all, each in good order; a slow server is asked by all at once.
pub(super) fn leave_all(mut talks: Vec<Talk<'_>>) {
    // Whoever wants to know how that ends asks it alone.
    for talk in &mut talks {
        let _ = talk.send(&talk.asked(b"exit"));
    }
    for talk in &mut talks {
        talk.set_patience(Duration::from_millis(500) + 4 * talk.target.trip());
        let _ = talk.expect_end();
    }
}

/// One more client: served, or what it meets. What is none of that is no next but a fault.
pub(super) fn one_more(target: &Target) -> Result<Talk<'_>, Box<(Option<Next>, Failure)>> {
    let limit = target.timeout;
    let mut talk = Talk::open(target).map_err(|failure| {
        let next = if failure.kind == Kind::Silent { Next::Silent } else { Next::Refused };
        Box::new((Some(next), failure))
    })?;
    talk.set_patience(limit.min(QUEUED.max(4 * target.trip())));
    let served = talk.be_greeted();
    let silent = talk.offset == 0;
    talk.set_patience(limit);
    served.map(|()| talk).map_err(|failure| {
        let next = match failure.kind {
            Kind::Reset => Some(Next::Refused),
            Kind::Ended => Some(Next::Ended),
            Kind::Late if silent => Some(Next::Queued),
            _ => None,
        };
        Box::new((next, failure))
    })
}

/// Waits until all places are free; for how long that was.
pub(super) fn await_room(target: &Target) -> Result<Duration, Failure> {
    let begin = Instant::now();
    let count = target.places()?;
    loop {
        match fill(target, count) {
            Ok(talks) => {
                let took = begin.elapsed();
                leave_all(talks);
                return Ok(took);
            }
            Err(failure) if begin.elapsed() >= target.timeout => {
                return Err(failure
                    .during(format_args!(
                        "of {count} places that there were, not all are free after {}",
                        Time::from(begin.elapsed())
                    ))
                    .because("places are lost, or held for longer than the client is there"));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
