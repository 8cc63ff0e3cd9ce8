//! Whether small segments pass where full ones are lost: then a frame that is too long is the cause (MTU).

use core::time::Duration;

use super::{
    context::Context,
    failure::{Failure, Kind},
    payload::payload,
    session::Session,
};
use crate::export::number::Count;

/// Segments of this size pass everywhere (RFC 9293, 3.7.1).
const SMALL_SEGMENT: u32 = 536;

/// For a missing answer: adds to the failure that only small segments pass, if that is the case.
pub(crate) fn compare(context: Context<'_>, failure: Failure) -> Failure {
    if failure.kind != Kind::Timeout || context.facts.protocol.is_none() {
        return failure;
    }
    match context.settings.lost_segments.get_or_init(|| lost_segments(context)) {
        Some(cause) => failure.because(cause.as_str()),
        None => failure,
    }
}

/// How long an answer may take here: a lost segment has been sent again several times by then.
fn timeout(context: Context<'_>) -> Duration {
    context.timeout().min(Duration::from_secs(3) + 10 * context.facts.rtt())
}

/// Whether a full segment and its reply pass in small segments, and not as they are.
fn lost_segments(context: Context<'_>) -> Option<String> {
    let mut full = Session::ready(context).ok()?;
    let size = full.ethernet_mss().min(context.facts.in_flight());
    let mut small = Session::ready_with_segments(context, SMALL_SEGMENT).ok()?;
    exchange(&mut small, size).ok()?;
    let failure = exchange(&mut full, size).err()?;
    let size = if context.facts.takes_several() { size } else { size.min(context.facts.capacity()) };
    if failure.kind != Kind::Timeout || size <= SMALL_SEGMENT as usize {
        return None;
    }
    let lost = if is_up(&failure) {
        "segments to the server are sent again in vain"
    } else {
        "segments from the server do not arrive"
    };
    Some(format!(
        "{lost} if they carry {} bytes, and those of {SMALL_SEGMENT} pass: the maximum frame of the driver or the path is too \
         short (MTU)",
        Count(size as u64)
    ))
}

/// Whether the segment that is lost is one to the server.
fn is_up(failure: &Failure) -> bool {
    failure.evidence.as_ref().is_some_and(|evidence| evidence.is_unacknowledged)
}

/// Sends messages that fill one segment of this size, or one of them if no more may be in flight. Receives the replies.
fn exchange(session: &mut Session<'_>, size: usize) -> Result<(), Failure> {
    let context = session.context;
    let terminator = session.conversation().terminator.len();
    let (mut requests, mut replies, mut left) = (Vec::new(), Vec::new(), size);
    while left > terminator {
        let length = left.min(context.facts.capacity() + terminator) - terminator;
        let message = payload(context, left..left + length);
        requests.extend(session.request(&message));
        replies.extend(session.reply(&message));
        left -= length + terminator;
        if !context.facts.takes_several() {
            break;
        }
    }
    session.set_timeout(timeout(context));
    session.send(&requests)?;
    session.expect("the reply", &replies)
}
