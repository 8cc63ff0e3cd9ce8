//! What a wire that loses segments does to connections: no fault of the server's, and worth another try.

use core::time::Duration;
use std::io;

/// Who was there before may be leaving for so long: a little longer than a server waits for a client's end (rule C1). Whether
/// that matters is looked at where it is what is looked at.
pub(super) const LEAVING: Duration = Duration::from_secs(3);
/// A refusal comes at once, but where the server gave up a handshake of which segments were lost.
pub(super) const HANDSHAKE_LOST: Duration = Duration::from_secs(3);
/// A host is unreachable at once, but where its hardware address was asked for in vain, which a wire that loses does too.
const ASKED_IN_VAIN: Duration = Duration::from_secs(1);

/// Whether what came of a try to connect, after so long, may be due to a wire that loses: then it is worth another one.
pub(super) fn is_of_the_wire(error: &io::Error, after: Duration) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable};
    match error.kind() {
        ConnectionRefused | ConnectionReset => after >= HANDSHAKE_LOST,
        HostUnreachable => after >= ASKED_IN_VAIN,
        _ => false,
    }
}
