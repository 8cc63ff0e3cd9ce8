//! Whether a link loses frames: then what a probe misses says nothing about the board.

use core::time::Duration;

use crate::{host::Host, stop::Stop};

/// How many echo requests are sent.
const REQUESTS: u16 = 40;
/// A board that answers none of so many does not answer echo requests at all.
const UNANSWERED: u16 = 6;

/// Sends echo requests one after the other. Returns how many got no reply, as a text, if some did not and others did.
pub(crate) fn loss(host: &Host<'_>) -> Result<Option<String>, Stop> {
    let mut lost = 0;
    for number in 0..REQUESTS {
        let reply = host.echo(number | 0x4000, &[0x6c; 24], host.board.reply_time())?;
        lost += u16::from(reply.is_none());
        if lost > number && lost >= UNANSWERED {
            return Ok(None);
        }
        host.wait(Duration::from_millis(1))?;
    }
    Ok((lost > 0).then(|| format!("{lost} of {REQUESTS} echo requests got no reply")))
}
