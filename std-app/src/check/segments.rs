//! Whether small segments pass where full ones are lost: then a frame that is too long is the cause (MTU).

use super::{
    context::Context,
    failure::{Failure, Kind},
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

/// Whether a long message and its reply pass in small segments, and not in full ones.
fn lost_segments(context: Context<'_>) -> Option<String> {
    // Each is more than a small segment and less than a full one.
    let message = vec![b'm'; context.facts.capacity().min(1400)];
    if message.len() <= SMALL_SEGMENT as usize {
        return None;
    }
    let mut small = Session::ready_with_segments(context, SMALL_SEGMENT).ok()?;
    small.exchange(&message).ok()?;
    let full = Session::ready(context).and_then(|mut session| session.exchange(&message)).err()?;
    let is_up = full.evidence.as_ref().is_some_and(|evidence| evidence.is_unacknowledged);
    let lost =
        if is_up { "segments to the server are sent again in vain" } else { "segments from the server do not arrive" };
    Some(format!(
        "{lost} if they carry {} bytes, and those of {SMALL_SEGMENT} pass: the maximum frame of the driver or the path is too \
         short (MTU)",
        Count(message.len() as u64)
    ))
}
