//! Whether small segments pass where full ones are never acknowledged: then a frame that is too long is lost (MTU).

use core::time::Duration;

use super::{context::Context, failure::Failure, session::Session};
use crate::export::number::Count;

/// Segments of this size pass everywhere (RFC 9293, 3.7.1).
const SMALL_SEGMENT: u32 = 536;

/// If full segments were not acknowledged: whether smaller ones are. Then a limit of the frame length is the cause.
pub(crate) fn compare(context: Context<'_>, failure: Failure) -> Failure {
    let Some(size) = failure.evidence.as_ref().and_then(|evidence| evidence.unacknowledged_segment) else {
        return failure;
    };
    if size <= SMALL_SEGMENT || !smaller_pass(context, size).unwrap_or(false) {
        return failure;
    }
    failure.because(format!(
        "segments of {} bytes are sent again in vain, and those of {SMALL_SEGMENT} pass: the driver's or the path's maximum frame \
         is too short (MTU)",
        Count(size.into())
    ))
}

/// Whether as many bytes are acknowledged in small segments.
fn smaller_pass(context: Context<'_>, size: u32) -> Option<bool> {
    const ENOUGH: Duration = Duration::from_secs(3);
    let mut session = Session::open_with_segments(context, SMALL_SEGMENT).ok()?;
    // An unfinished line: nothing has to be answered.
    session.is_acknowledged(&vec![b'm'; 2 * size as usize], ENOUGH)
}
