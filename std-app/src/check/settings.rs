//! What the user allows a check to do, and how long it may take.

use core::{
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use greet_host::stop::Stop;

use super::{options::CheckOptions, service::Service};
use crate::export::number::{Bytes, Count};

/// Maximum number of connections open at the same time, and of connections opened one after the other, without `--stress`.
const CONCURRENT: usize = 32;
const SEQUENTIAL: u64 = 300;

/// Time for each probe.
const BUDGET: Duration = Duration::from_secs(10);
/// All probes together have this many budgets: most need little of theirs.
const BUDGETS: u32 = 15;
/// The least that a probe gets of the time that is left.
const LEAST_BUDGET: Duration = Duration::from_secs(2);

/// The options of a check that probes depend on.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The timeout of one answer, until the first answer that exceeds it.
    timeout: Duration,
    /// Time for each probe; `None` for any time.
    budget: Option<Duration>,
    begin: Instant,
    /// Time since then that does not count, in milliseconds.
    excluded: AtomicU64,
    /// Time for the probe that is running, in milliseconds.
    probe_budget: AtomicU64,
    /// An answer did not come within the whole timeout.
    has_timed_out: AtomicBool,
    /// How many conversations in a row ended late, or not at all, after the client's farewell.
    late_ends: AtomicU32,
    /// The cause of missing answers, if small segments pass and full ones are lost. Found out once.
    pub(crate) lost_segments: OnceLock<Option<String>>,
    /// Use more connections and bytes.
    pub(crate) stress: bool,
    /// Run the probes that take more than a minute, too.
    pub(crate) long: bool,
    /// How long the soak takes, if there is one.
    pub(crate) soak: Option<Duration>,
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
            budget: options.budget.or((!options.stress).then_some(BUDGET)),
            begin: Instant::now(),
            excluded: AtomicU64::new(0),
            probe_budget: AtomicU64::new(u64::MAX),
            has_timed_out: AtomicBool::new(false),
            late_ends: AtomicU32::new(0),
            lost_segments: OnceLock::new(),
            stress: options.stress,
            long: options.long,
            soak: options.soak,
            service: options.service.stated(),
            capacity: options.capacity.map(|capacity| capacity.get().into()),
            in_flight: options.in_flight.map(NonZeroUsize::get),
            max_size: options.max_size.get(),
            text: options.text,
            stop,
        }
    }

    /// How long one answer may take on a network with this RTT. A server that is known not to answer is not waited for again and
    /// again.
    pub(crate) fn timeout_for(&self, rtt: Duration) -> Duration {
        const KNOWN: Duration = Duration::from_secs(2);
        if self.has_timed_out.load(Relaxed) { self.timeout.min(KNOWN + 10 * rtt) } else { self.timeout }
    }

    /// An answer did not come in time.
    pub(crate) fn note_timeout(&self) {
        self.has_timed_out.store(true, Relaxed);
    }

    /// Whether an answer did not come in time.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.has_timed_out.load(Relaxed)
    }

    /// The server's FIN came, late or not, or it did not come.
    pub(crate) fn note_end(&self, is_late: bool) {
        if is_late {
            self.late_ends.fetch_add(1, Relaxed);
        } else {
            self.late_ends.store(0, Relaxed);
        }
    }

    /// Whether it is known that the server ends conversations late or never. Then only the probes of that wait for it.
    pub(crate) fn ends_late(&self) -> bool {
        /// Packet loss delays one, or two.
        const ENOUGH: u32 = 3;
        self.late_ends.load(Relaxed) >= ENOUGH
    }

    /// Gives the next probe its time: its budget, or its share of what is left for `probes`. False if nothing is left.
    pub(crate) fn begin_probe(&self, probes: usize) -> bool {
        let Some(budget) = self.budget else { return true };
        let excluded = Duration::from_millis(self.excluded.load(Relaxed));
        let left = (budget * BUDGETS + excluded).saturating_sub(self.begin.elapsed());
        let share = left / u32::try_from(probes.max(1)).unwrap_or(u32::MAX);
        let time = share.max(LEAST_BUDGET).min(budget);
        self.probe_budget.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Relaxed);
        !left.is_zero()
    }

    /// The soak took this long, which does not count for the time of the check.
    pub(crate) fn exclude(&self, time: Duration) {
        self.excluded.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How long the probe that is running may begin something new.
    pub(crate) fn probe_budget(&self) -> Duration {
        Duration::from_millis(self.probe_budget.load(Relaxed))
    }

    /// Maximum number of connections open at the same time.
    pub(crate) const fn concurrent(&self) -> usize {
        if self.stress { 1000 } else { CONCURRENT }
    }

    /// Number of connections opened one after the other.
    pub(crate) const fn sequential(&self) -> u64 {
        if self.stress { 10_000 } else { SEQUENTIAL }
    }

    /// Number of connections and bytes that a check uses: the probe `time.endurance` uses what the others have left.
    pub(crate) const fn announced(&self) -> (u64, u64) {
        if self.stress { (20_000, 800_000_000) } else { (1_500, 60_000_000) }
    }

    /// The load on the server, in one line. Without the probe that uses what is left, it is a limit.
    pub(crate) fn load(&self, is_whole: bool) -> String {
        let (connections, bytes) = self.announced();
        let (connections, bytes) = (Count(connections), Bytes(bytes as f64));
        let up_to = if is_whole { "" } else { "up to " };
        let less = if is_whole { ", or less on a slow server" } else { "" };
        let more = if self.stress { "" } else { "; --stress uses more" };
        format!(
            "load: {up_to}{connections} connections ({} at the same time) and {bytes}{less}{more}",
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
    pub(crate) fn for_tests() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            budget: Some(BUDGET),
            begin: Instant::now(),
            excluded: AtomicU64::new(0),
            probe_budget: AtomicU64::new(10_000),
            has_timed_out: AtomicBool::new(false),
            late_ends: AtomicU32::new(0),
            lost_segments: OnceLock::new(),
            stress: false,
            long: false,
            soak: None,
            service: None,
            capacity: None,
            in_flight: None,
            max_size: 2048,
            text: false,
            stop: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_gets_its_budget_or_a_share_of_the_remaining_time() {
        let settings = Settings::for_tests();
        assert!(settings.begin_probe(10));
        assert_eq!(settings.probe_budget(), BUDGET, "much is left");
        assert!(settings.begin_probe(100));
        assert!(
            settings.probe_budget() <= Duration::from_secs(2),
            "a hundredth of 150 s is less than the least budget"
        );
        let late = Settings { begin: Instant::now() - 16 * BUDGET, ..Settings::for_tests() };
        assert!(!late.begin_probe(1), "nothing is left");
    }

    #[test]
    fn a_server_that_did_not_answer_is_waited_for_less() {
        let settings = Settings::for_tests();
        assert_eq!(settings.timeout_for(Duration::ZERO), Duration::from_secs(10));
        settings.note_timeout();
        assert_eq!(settings.timeout_for(Duration::ZERO), Duration::from_secs(2));
        assert_eq!(settings.timeout_for(Duration::from_millis(600)), Duration::from_secs(8));
    }
}
