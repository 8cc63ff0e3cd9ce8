//! Accept errors, such as running out of file descriptors, memory or threads: which are temporary, and when to log them.

use core::time::Duration;
use std::{io, time::Instant};

use nix::libc;

/// How long to wait before the next attempt if no connection ends in the meantime.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// Minimum time between two warnings.
const SILENCE: Duration = Duration::from_secs(3600);

/// Whether the error concerns only the connection that was being accepted, so that the next accept may succeed.
pub(super) fn concerns_one_connection(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => true,
        // Linux reports pending network errors of the new connection: accept(2).
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

/// Logs accept errors, at most one per [`SILENCE`].
#[derive(Debug, Default)]
pub(super) struct AcceptWarning(Option<Instant>);

impl AcceptWarning {
    pub(super) fn log(&mut self, error: &io::Error) {
        if self.0.is_none_or(|logged| logged.elapsed() >= SILENCE) {
            self.0 = Some(Instant::now());
            let help = match error.raw_os_error() {
                Some(libc::EMFILE) => "; `ulimit -n` sets how many files a process may open",
                _ => "",
            };
            tracing::warn!("cannot accept more connections for now: {error}{help}. Open connections are not affected");
        }
    }
}
