//! Messages whose bytes depend on their position, so that stale, missing and repeated bytes can be distinguished.

use core::ops::Range;

use super::{context::Context, difference::mixed, service::Service};

/// Printable, no blank, and no letter of `exit`.
const PRINTABLE: &[u8] = b"!#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdfghjklmnopqrsuvwyz{|}~";

/// The bytes at these positions of a stream of messages: printable ones in names, and any in other messages, unless the user
/// excludes them or they are known not to be returned.
pub(crate) fn payload(context: Context<'_>, positions: Range<usize>) -> Vec<u8> {
    let facts = context.facts;
    let carries_any = facts.protocol.is_none_or(|protocol| protocol.carries_any_byte);
    let is_text = context.settings.text || facts.service() == Service::Greet || !carries_any;
    let byte = |position| match (is_text, mixed(position)) {
        (true, mixed) => PRINTABLE.get(mixed % PRINTABLE.len()).copied().unwrap_or_default(),
        (false, mixed) => mixed.to_le_bytes()[0],
    };
    positions.map(byte).collect()
}
