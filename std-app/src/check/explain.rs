//! What the errors of connections mean.

use core::{net::SocketAddr, time::Duration};
use std::io;

use super::failure::{Failure, Kind};
use crate::export::number::Time;

/// The kind of failure that an error of an open connection is.
pub(crate) fn kind_of(error: &io::Error) -> Kind {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, WouldBlock};
    match error.kind() {
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected => Kind::Reset,
        TimedOut | WouldBlock => Kind::Timeout,
        _ => Kind::Other,
    }
}

/// An error of an open connection, as part of a sentence.
pub(crate) fn describe(error: &io::Error) -> String {
    match kind_of(error) {
        Kind::Reset => "the connection was reset".to_owned(),
        Kind::Timeout => "nothing was received within the timeout".to_owned(),
        _ => error.to_string(),
    }
}

/// What a server does that accepts a connection.
pub(crate) const ACCEPTS: &str = "accepts connections";

/// What a server does, by the outcome of an attempt to connect.
pub(crate) fn describe_attempt<T>(outcome: &io::Result<T>) -> String {
    use io::ErrorKind::{ConnectionRefused, TimedOut};
    match outcome.as_ref().map_err(io::Error::kind) {
        Ok(_) => ACCEPTS.to_owned(),
        Err(ConnectionRefused) => "refuses connections".to_owned(),
        Err(TimedOut) => "does not answer".to_owned(),
        Err(_) => outcome.as_ref().err().map_or_else(String::new, |error| format!("cannot be reached ({error})")),
    }
}

/// The failure of connection number `number` of the check, which could not be opened.
pub(crate) fn connect_error(address: SocketAddr, timeout: Duration, number: u64, error: &io::Error) -> Failure {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        ConnectionRefused | ConnectionReset => {
            let (text, cause) = if number <= 2 {
                (
                    format!("{address} refused the connection"),
                    "no socket listens: the server is not running, or it has another port",
                )
            } else {
                (
                    format!("{address} refused connection {number} of this check"),
                    "no socket listens: all slots are busy, or the server is not running or is stuck",
                )
            };
            Failure::new(text).with_kind(Kind::Refused).because(cause)
        }
        HostUnreachable if number > 2 => Failure::new(format!("{address} cannot be reached any more ({error})"))
            .with_kind(Kind::NoAnswer)
            .because(format!(
                "after {} connections ARP or neighbor requests are not answered: the board's stack or driver stands still, or \
                 the link is down",
                number - 1
            )),
        HostUnreachable | NetworkUnreachable => {
            Failure::new(format!("{address} is filtered or unreachable ({error})"))
                .because("a firewall, a wrong address or netmask, or a missing route")
        }
        // The network and the address are right: connections were served before.
        TimedOut if number > 2 => {
            Failure::new(format!("{address} did not answer the SYN of connection {number} within {}", Time::from(timeout)))
                .with_kind(Kind::NoAnswer)
                .because(format!(
                    "after {} connections SYNs are not answered: the backlog is full and nobody accepts, no socket listens, or \
                     the stack stands still",
                    number - 1
                ))
        }
        TimedOut => Failure::new(format!(
            "{address} did not answer the SYN of connection {number} within {}",
            Time::from(timeout)
        ))
        .with_kind(Kind::NoAnswer)
        .because(
            "the board's receive path: the stack is not polled, interrupts are lost, no receive descriptor is left, or ARP \
             is not answered",
        )
        .because("a firewall that drops packets, or a full backlog that nobody accepts from"),
        _ => Failure::new(format!("cannot connect to {address}: {error}")),
    }
}
