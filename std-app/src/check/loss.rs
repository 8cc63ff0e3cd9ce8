//! What packet loss does to connections. It is not the server's fault, and worth another attempt.

use core::time::Duration;
use std::io;

/// A slot may be held this long after its client has left: a little more than a server waits for the client's FIN (rule C1).
/// Probes that do not measure that wait for it.
pub(crate) const LINGER: Duration = Duration::from_secs(3);
/// A reset that comes this late is not a refusal: the server gave up a handshake of which segments were lost.
pub(crate) const HANDSHAKE_LOST: Duration = Duration::from_secs(3);
/// "Host unreachable" after this time means that ARP or neighbor requests were not answered; packet loss causes that, too.
const RESOLUTION_LOST: Duration = Duration::from_secs(1);

/// Whether a failed attempt to connect, after this time, may be due to packet loss.
pub(crate) fn may_be_loss(error: &io::Error, after: Duration) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable};
    match error.kind() {
        ConnectionRefused | ConnectionReset => after >= HANDSHAKE_LOST,
        HostUnreachable => after >= RESOLUTION_LOST,
        _ => false,
    }
}
