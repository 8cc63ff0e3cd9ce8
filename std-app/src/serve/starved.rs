//! Being out of file descriptors, memory or threads: what an accept failed for, and when to say so.

use core::time::Duration;
use std::{io, time::Instant};

use nix::libc;

/// How long to wait before another try where nothing of ours ends meanwhile.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// How long it is said only once.
const SILENCE: Duration = Duration::from_secs(3600);

/// Whether an accept failed for the one connection alone, so that the next may do better at once.
pub(super) fn concerns_one_connection(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => true,
        // Linux hands on what is wrong with the new connection's network: accept(2).
        _ => matches!(
            error.raw_os_error(),
            Some(
                libc::ENETDOWN
                    | libc::EPROTO
                    | libc::ENOPROTOOPT
                    | libc::EHOSTDOWN
                    | libc::ENONET
                    | libc::EHOSTUNREACH
                    | libc::EOPNOTSUPP
                    | libc::ENETUNREACH
            )
        ),
    }
}

/// Says what is short, once in a long while.
#[derive(Debug, Default)]
pub(super) struct Complaint(Option<Instant>);

impl Complaint {
    pub(super) fn say(&mut self, error: &io::Error) {
        if self.0.is_none_or(|said| said.elapsed() >= SILENCE) {
            self.0 = Some(Instant::now());
            let help = match error.raw_os_error() {
                Some(libc::EMFILE) => "; `ulimit -n` sets how many files a process may open",
                _ => "",
            };
            tracing::warn!("cannot accept more connections for now: {error}{help}. Those that are open are served on");
        }
    }
}
