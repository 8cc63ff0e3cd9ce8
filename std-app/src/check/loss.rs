//! What packet loss does to connections. It is not the server's fault, and worth another attempt.

use core::time::Duration;
use std::io;

use super::target::Target;
use crate::export::number::Count;

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

/// The cause of missing and late answers on a network that loses so many segments that TCP cannot hide it.
pub(crate) fn cause(target: &Target) -> Option<String> {
    cause_of(target.segments())
}

fn cause_of((segments, retransmissions): (u64, u64)) -> Option<String> {
    const ENOUGH: u64 = 100;
    /// One of so many segments.
    const SHARE: u64 = 15;
    (segments >= ENOUGH && retransmissions * SHARE >= segments).then(|| {
        format!(
            "lost segments: this host had to send {} of {} segments again. The link or a driver drops frames: look at the cable, the \
             duplex mode, and what the receive FIFO drops",
            Count(retransmissions),
            Count(segments)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_lost_segments_that_disturbs_connections_is_a_cause() {
        assert!(cause_of((1000, 200)).unwrap().contains("200 of 1,000"));
        assert_eq!(cause_of((1000, 20)), None, "2 percent");
        assert_eq!(cause_of((20, 10)), None, "too few");
    }
}
