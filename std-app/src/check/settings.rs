//! What the user allows a check to do, and how long it may take.

use core::{num::NonZeroUsize, time::Duration};
use std::sync::Arc;

use greet_host::stop::Stop;

use super::{options::CheckOptions, service::Service};

/// Maximum number of connections open at the same time, and of connections opened one after the other, without `--stress`.
const CONCURRENT: usize = 32;
const SEQUENTIAL: u64 = 300;

/// The options of a check that probes depend on.
#[derive(Debug)]
pub(crate) struct Settings {
    /// How long one answer may take.
    pub(crate) timeout: Duration,
    /// Use more connections and bytes.
    pub(crate) stress: bool,
    /// Run the probes that take more than a minute, too.
    pub(crate) long: bool,
    /// The service, as stated by the user.
    pub(crate) service: Option<Service>,
    /// The server's maximum name length in bytes, as stated by the user.
    pub(crate) capacity: Option<usize>,
    /// Maximum number of unanswered bytes, as stated by the user.
    pub(crate) in_flight: Option<usize>,
    /// Maximum length of a message to an echo server, in bytes.
    pub(crate) max_size: usize,
    /// Messages consist of printable ASCII only.
    pub(crate) text: bool,
    /// Set by a signal; `None` where signals cannot be handled, and Ctrl-C ends the program.
    stop: Option<Arc<Stop>>,
}

impl Settings {
    /// A signal, which sets `stop`, ends the check after the probe that is running.
    pub(crate) fn new(options: &CheckOptions, stop: Option<Arc<Stop>>) -> Self {
        Self {
            timeout: options.timeout,
            stress: options.stress,
            long: options.long,
            service: options.service.stated(),
            capacity: options.capacity.map(|capacity| capacity.get().into()),
            in_flight: options.in_flight.map(NonZeroUsize::get),
            max_size: options.max_size.get(),
            text: options.text,
            stop,
        }
    }

    /// Maximum number of connections open at the same time.
    pub(crate) const fn concurrent(&self) -> usize {
        if self.stress { 1000 } else { CONCURRENT }
    }

    /// Number of connections opened one after the other.
    pub(crate) const fn sequential(&self) -> u64 {
        if self.stress { 10_000 } else { SEQUENTIAL }
    }

    /// The load on the server, in one line.
    pub(crate) fn load(&self) -> String {
        let (connections, mebibytes, more) =
            if self.stress { ("20,000", 800, "") } else { ("1,500", 60, "; --stress uses more") };
        format!(
            "load: up to about {connections} connections ({} at the same time) and {mebibytes} MiB{more}",
            self.concurrent()
        )
    }

    /// Whether a signal has asked the check to end.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.is_wished())
    }
}

#[cfg(test)]
impl Settings {
    /// The defaults, without signal handlers.
    pub(crate) const fn for_tests() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            stress: false,
            long: false,
            service: None,
            capacity: None,
            in_flight: None,
            max_size: 2048,
            text: false,
            stop: None,
        }
    }
}
