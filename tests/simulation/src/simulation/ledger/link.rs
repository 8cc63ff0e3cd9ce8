//! A connection, as it can be seen from what passed on the wire; and whether the pool is right about its end.

use core::time::Duration;

use greet_core::{Instant, ServerEnd};
use greet_smoltcp::pool::Outcome;
use smoltcp::wire::TcpSeqNumber;

use super::conversation::Served;
use crate::simulation::{segment::Segment, settings::Settings};

/// What passed between the server and one endpoint, since it answered a SYN from there.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) began: Instant,
    pub(super) conversation: Option<usize>,
    /// The initial sequence numbers: the client's, the server's.
    pub(super) client: TcpSeqNumber,
    pub(super) server: TcpSeqNumber,
    /// The furthest that the server got from the client, and when it last got what was not from the past.
    pub(super) arrived: TcpSeqNumber,
    pub(super) current_at: Instant,
    /// The furthest that the client has acknowledged; and of that, what the server cannot have ignored.
    pub(super) acknowledged_by_client: TcpSeqNumber,
    pub(super) surely_acknowledged: TcpSeqNumber,
    pub(super) acknowledged_by_server: TcpSeqNumber,
    pub(super) client_fin: Option<TcpSeqNumber>,
    pub(super) server_fin: Option<TcpSeqNumber>,
    /// The server's FIN went before it knew of the client's: it is the server that waits in the end (TIME-WAIT).
    pub(super) server_ends_first: bool,
    /// When the server heard that the client has all that it was owed, and its FIN; it may have ignored that.
    pub(super) delivered_at: Option<Instant>,
    pub(super) reset_by_client: bool,
    pub(super) reset_by_server: bool,
}

/// So much can pass at most: what is further away belongs to another connection.
pub(super) const FAR: i32 = 1 << 24;

pub(super) fn advance(furthest: &mut TcpSeqNumber, now: TcpSeqNumber) {
    if now > *furthest {
        *furthest = now;
    }
}

impl Link {
    /// Whether the client's segment is of this connection, and not one that is late.
    pub(super) const fn owns(&self, segment: &Segment) -> bool {
        let offset = segment.sequence.0.wrapping_sub(self.client.0);
        -1 <= offset && offset < FAR
    }

    pub(super) fn client_fin_acknowledged(&self) -> bool {
        self.client_fin.is_some_and(|fin| self.acknowledged_by_server > fin)
    }

    pub(super) fn server_fin_acknowledged(&self) -> bool {
        self.server_fin.is_some_and(|fin| self.surely_acknowledged > fin)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client_fin_acknowledged() && self.server_fin_acknowledged()
    }
}

/// What is wrong with this end of a connection, given what passed.
pub(super) fn wrong_outcome(
    now: Instant,
    link: &Link,
    served: &Served,
    outcome: Outcome,
    settings: &Settings,
) -> Option<&'static str> {
    let limits = settings.pool.limits;
    let idle = settings.pool.server.idle_timeout;
    // The client is to learn that nobody is there any more. Where its hardware address was forgotten, it cannot.
    let known = now.since(link.current_at) < Duration::from_secs(30);
    if known && !link.client_fin_acknowledged() && !link.reset_by_client && !link.reset_by_server {
        return Some("the slot is given back, and the client is told neither by an acknowledgement nor by a reset");
    }
    match outcome {
        Outcome::Completed(_) if link.server_fin.is_none_or(|fin| link.acknowledged_by_client < fin) => {
            Some("the client has not acknowledged all that it was owed")
        }
        Outcome::Completed(ServerEnd::Idle) if idle.is_none_or(|idle| now < served.taken_at + idle) => {
            Some("it was not idle for so long")
        }
        Outcome::Completed(_) => None,
        Outcome::Reset => (!link.reset_by_client).then_some("no reset came from there"),
        Outcome::Vanished => {
            // Given up as silent; or as one that does not take what it is owed.
            let silent = now >= link.current_at + limits.vanished;
            let patience = idle.map_or(limits.delivery, |idle| idle.min(limits.delivery));
            let stuck = !link.server_fin_acknowledged() && now >= served.taken_at + patience;
            (!silent && !stuck).then_some("it was heard of, and has taken all that it was owed")
        }
    }
}
