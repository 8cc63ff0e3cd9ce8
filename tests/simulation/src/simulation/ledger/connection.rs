//! The state of a TCP connection, derived from its segments, and a check of how the pool says that it ended.

use core::time::Duration;

use greet_core::{Instant, ServerEnd};
use greet_smoltcp::pool::Outcome;
use smoltcp::wire::TcpSeqNumber;

use super::conversation::Served;
use crate::simulation::{segment::Segment, settings::Settings};

/// What was observed between the server and one endpoint since the server answered its SYN.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) began: Instant,
    pub(super) conversation: Option<usize>,
    /// The initial sequence numbers: the client's, the server's.
    pub(super) client: TcpSeqNumber,
    pub(super) server: TcpSeqNumber,
    /// The highest sequence number that the server received, and when it last received a segment that was not old.
    pub(super) arrived: TcpSeqNumber,
    pub(super) current_at: Instant,
    /// The highest acknowledgement of the client, and the highest that the server cannot have ignored.
    pub(super) acknowledged_by_client: TcpSeqNumber,
    pub(super) surely_acknowledged: TcpSeqNumber,
    pub(super) acknowledged_by_server: TcpSeqNumber,
    pub(super) client_fin: Option<TcpSeqNumber>,
    pub(super) server_fin: Option<TcpSeqNumber>,
    /// The server sent its FIN before it knew of the client's, so the server enters TIME-WAIT.
    pub(super) server_ends_first: bool,
    /// When an acknowledgement of all output and the FIN reached the server. It may have ignored the segment.
    pub(super) delivered_at: Option<Instant>,
    pub(super) reset_by_client: bool,
    pub(super) reset_by_server: bool,
}

/// Maximum distance of sequence numbers in one connection. A greater one means another connection.
pub(super) const FAR: i32 = 1 << 24;

pub(super) fn advance(furthest: &mut TcpSeqNumber, now: TcpSeqNumber) {
    if now > *furthest {
        *furthest = now;
    }
}

impl Connection {
    /// Whether the client's segment belongs to this connection, and not to an earlier one.
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

/// Describes what is wrong with the reported outcome of a connection, if anything.
pub(super) fn outcome_error(
    now: Instant,
    connection: &Connection,
    served: &Served,
    outcome: Outcome,
    settings: &Settings,
) -> Option<&'static str> {
    let limits = settings.pool.limits;
    let idle = settings.pool.server.idle_timeout;
    // The client must be able to notice the end. After 30 s its neighbor cache entry may have expired.
    let known = now.since(connection.current_at) < Duration::from_secs(30);
    if known && !connection.client_fin_acknowledged() && !connection.reset_by_client && !connection.reset_by_server {
        return Some(
            "the slot is free, but the server sent the client neither an acknowledgement of its FIN nor a reset",
        );
    }
    match outcome {
        Outcome::Completed(_) if connection.server_fin.is_none_or(|fin| connection.acknowledged_by_client < fin) => {
            Some("the client has not acknowledged all output")
        }
        Outcome::Completed(ServerEnd::Idle) if idle.is_none_or(|idle| now < served.taken_at + idle) => {
            Some("it was not idle for the idle timeout")
        }
        Outcome::Completed(_) => None,
        Outcome::Reset => (!connection.reset_by_client).then_some("the client sent no reset"),
        Outcome::Vanished => {
            // Either the client was silent, or it did not acknowledge output.
            let silent = now >= connection.current_at + limits.vanished;
            let limit = idle.map_or(limits.delivery, |idle| idle.min(limits.delivery));
            let stuck = !connection.server_fin_acknowledged() && now >= served.taken_at + limit;
            (!silent && !stuck).then_some("it was not silent, and has acknowledged all output")
        }
    }
}
