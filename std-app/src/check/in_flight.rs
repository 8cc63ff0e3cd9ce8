//! In flight: how many bytes an echo server may owe before it loses some.

use core::time::Duration;
use std::time::Instant;

use super::{
    context::Context,
    difference::{self, Damage},
    facts::InFlight,
    failure::{Failure, Kind},
    payload::payload,
    session::Session,
};

/// The first amount: one message.
const FIRST: usize = 64;
/// The last: more than boards have buffers for, and less than what overflows a counter of 16 bits.
const LAST: usize = 32 * 1024;
/// No larger amount is tried after one took this long.
const SLOW: Duration = Duration::from_secs(2);
/// If bytes are not received within this time and four round trips, a further message is sent.
const QUIET: Duration = Duration::from_millis(500);

/// Sends twice as many bytes again and again, each time at once and on a new connection, until some are lost.
pub(crate) fn discover(context: Context<'_>) -> InFlight {
    if let Some(stated) = context.settings.in_flight {
        return InFlight {
            passed: stated,
            failure: together(context, stated).err().map(|loss| *loss.failure),
            is_stated: true,
        };
    }
    let mut passed = FIRST;
    let mut count = FIRST;
    while count <= LAST && !context.settings.is_interrupted() {
        let begin = Instant::now();
        if let Some(loss) = loss(context, count, passed) {
            return limit(context, passed, count, loss);
        }
        passed = count;
        count *= 2;
        if begin.elapsed() >= SLOW {
            break;
        }
    }
    InFlight { passed, failure: None, is_stated: false }
}

/// Tests whether `count` bytes in flight are lost. Messages of `size` bytes are known to be returned.
fn loss(context: Context<'_>, count: usize, size: usize) -> Option<Loss> {
    together(context, count).err()?;
    // What does not occur each time has another cause, and so has what happens to small messages, too.
    let loss = together(context, count).err()?;
    // Bytes that are changed are not lost: other probes find out more.
    let failure = &loss.failure;
    if let (Some(expected), Some(received)) = (&failure.expected, &failure.received)
        && difference::damage(expected, received) == Some(Damage::Changed)
    {
        return None;
    }
    one_at_a_time(context, count, size).ok()?;
    Some(loss)
}

/// Closes in on the limit between what passed and what was lost: first at the number of bytes that came back.
fn limit(context: Context<'_>, mut passed: usize, mut lost: usize, mut loss: Loss) -> InFlight {
    let mut guess = loss.received;
    while lost - passed > 1 && context.has_time() {
        let between = guess.filter(|guess| (passed + 1..lost).contains(guess));
        let between = between.unwrap_or_else(|| usize::midpoint(passed, lost));
        match together(context, between) {
            Ok(()) => {
                passed = between;
                guess = guess.map(|guess| guess.max(passed + 1));
            }
            Err(found) => {
                guess = found.received.or(guess);
                (lost, loss) = (between, found);
            }
        }
    }
    let failure = *loss.failure;
    let what = match failure.kind {
        Kind::Reset => "resets the connection",
        Kind::Closed => "closes the connection",
        Kind::Timeout => "stops answering",
        _ => "loses data",
    };
    let what = format!("{what} when more than {passed} bytes are unanswered: {}", failure.what);
    let failure = Failure { what: what.into(), ..failure };
    let failure = match limit_cause(passed, lost) {
        Some(cause) => failure.because(cause),
        None => failure,
    };
    InFlight { passed, failure: Some(failure), is_stated: false }
}

/// The likely cause of an exact limit: this number of bytes in flight is returned, and one more byte is lost.
fn limit_cause(passed: usize, lost: usize) -> Option<String> {
    /// Bytes in a full segment on Ethernet.
    const SEGMENT: usize = 1460;
    if lost != passed + 1 {
        return None;
    }
    if lost.is_power_of_two() {
        return Some(format!(
            "what fills a buffer of {lost} bytes completely is lost: a full ring buffer is taken for an empty one, or a byte is \
             kept for a NUL"
        ));
    }
    (passed < SEGMENT).then(|| {
        format!(
            "of each segment only the first {passed} bytes are sent back: the first buffer of a chain (with lwIP p->len instead of \
             p->tot_len), or one read of that size"
        )
    })
}

/// What was lost of bytes that were sent at once.
struct Loss {
    failure: Box<Failure>,
    /// How many came back before those of the next message, if those came.
    received: Option<usize>,
}

impl From<Failure> for Loss {
    fn from(failure: Failure) -> Self {
        Self { failure: failure.into(), received: None }
    }
}

/// Sends that many bytes at once, and receives them.
fn together(context: Context<'_>, count: usize) -> Result<(), Loss> {
    let mut session = Session::ready(context)?;
    // All fit into this host's buffer.
    let _ = socket2::SockRef::from(&session.stream).set_send_buffer_size(4 * LAST);
    let bytes = payload(context, 0..count);
    session.send(&bytes)?;
    let begin = session.offset;
    session.set_timeout(QUIET + 4 * context.facts.rtt());
    match session.expect("the echo", &bytes) {
        Err(failure) if failure.kind == Kind::Timeout => {}
        outcome => return Ok(outcome.and_then(|()| session.exit())?),
    }
    // An echo keeps the order: if the further message comes next, the missing bytes never do.
    session.set_timeout(context.timeout());
    let next = payload(context, count..count + FIRST);
    session.send(&next)?;
    let received = usize::try_from(session.offset - begin).unwrap_or(count);
    let rest = bytes.get(received..).unwrap_or_default();
    session.expect("the echo", &[rest, &next].concat()).map_err(|failure| {
        let is_next =
            failure.received.as_deref().is_some_and(|received| !received.is_empty() && next.starts_with(received));
        if !is_next {
            return Loss::from(failure);
        }
        let what = format!("of {count} bytes sent at once {received} came back, and then those of the next message");
        let failure = Failure { what: what.into(), causes: Vec::new(), ..failure };
        Loss { failure: failure.into(), received: Some(received) }
    })?;
    Ok(session.exit()?)
}

/// Sends as many bytes in messages of at most `size`, one at a time.
fn one_at_a_time(context: Context<'_>, count: usize, size: usize) -> Result<(), Failure> {
    let mut session = Session::ready(context)?;
    for begin in (0..count).step_by(size) {
        session.exchange(&payload(context, begin..count.min(begin + size)))?;
    }
    session.exit()
}
