//! What a server counts: connections, how they ended, names, errors and bytes.
//!
//! A conversation counts in its own [`Tally`], and adds that to the shared counters after each write, so that a name needs no
//! access to shared memory. The addition is a few relaxed atomic operations, on a cache line that other threads rarely use.

mod histogram;

use core::{
    array, fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use greet_core::{Instant, ServerEnd, ServerEvent};

use self::histogram::Histogram;
pub use self::histogram::{BOUNDS, Buckets};

/// Number of groups of counters, each on cache lines of its own. Conversations use them in turn.
const STRIPES: usize = 16;

/// Why a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client sent `exit`.
    Exit,
    /// The client sent its FIN.
    Fin,
    /// The idle timeout expired.
    IdleTimeout,
    /// It lasted as long as `--max-duration` allows.
    MaxDuration,
    /// The server was stopped.
    Shutdown,
    /// The client reset the connection.
    Reset,
    /// The client did not acknowledge any more.
    Vanished,
    /// Another error of the connection.
    Error,
}

impl EndReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Exit,
        Self::Fin,
        Self::IdleTimeout,
        Self::MaxDuration,
        Self::Shutdown,
        Self::Reset,
        Self::Vanished,
        Self::Error,
    ];

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Fin => "fin",
            Self::IdleTimeout => "idle-timeout",
            Self::MaxDuration => "max-duration",
            Self::Shutdown => "shutdown",
            Self::Reset => "reset",
            Self::Vanished => "vanished",
            Self::Error => "error",
        }
    }
}

impl From<ServerEnd> for EndReason {
    fn from(end: ServerEnd) -> Self {
        match end {
            ServerEnd::Exit => Self::Exit,
            ServerEnd::ByPeer => Self::Fin,
            ServerEnd::Idle => Self::IdleTimeout,
            ServerEnd::Closed => Self::Shutdown,
        }
    }
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its peer has as many connections as `--max-per-peer` allows.
    MaxPerPeer,
    /// It did not begin with a header of the PROXY protocol.
    ProxyProtocol,
    /// Every socket was busy.
    NoSocket,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MaxPerPeer, Self::ProxyProtocol, Self::NoSocket];

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxPerPeer => "max-per-peer",
            Self::ProxyProtocol => "proxy-protocol",
            Self::NoSocket => "no-socket",
        }
    }

    /// The same as a clause.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::MaxPerPeer => "its peer has as many as --max-per-peer allows",
            Self::ProxyProtocol => {
                "it did not begin with a header of the PROXY protocol, which --proxy-protocol requires"
            }
            Self::NoSocket => "every socket is busy",
        }
    }
}

/// Numbers of names and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Names that were received, those with an error included.
    pub names: u64,
    /// Names that are not UTF-8.
    pub not_utf8: u64,
    /// Names longer than the capacity.
    pub too_long: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

impl Traffic {
    const fn fields(&self) -> [u64; 5] {
        [self.names, self.not_utf8, self.too_long, self.received, self.sent]
    }

    const fn of(fields: [u64; 5]) -> Self {
        let [names, not_utf8, too_long, received, sent] = fields;
        Self { names, not_utf8, too_long, received, sent }
    }

    /// Counts an event of a server.
    pub const fn count(&mut self, event: &ServerEvent<'_>) {
        let error = match event {
            ServerEvent::Exit => return,
            ServerEvent::Name(_) => None,
            ServerEvent::NotUtf8(_) => Some(&mut self.not_utf8),
            ServerEvent::TooLong => Some(&mut self.too_long),
        };
        if let Some(error) = error {
            *error = error.saturating_add(1);
        }
        self.names = self.names.saturating_add(1);
    }
}

/// What all conversations that use it have counted.
#[derive(Debug, Default)]
#[repr(align(128))] // processors fetch two cache lines of 64 bytes at once
struct Stripe {
    traffic: [AtomicU64; 5],
    latency: Histogram,
}

/// The counters of a server.
#[derive(Debug, Default)]
pub struct Counters {
    stripes: [Stripe; STRIPES],
    next: AtomicUsize,
    accepted: AtomicU64,
    ended: [AtomicU64; EndReason::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    /// Whether conversations measure the latency of their replies.
    is_timed: bool,
}

/// The values of all counters at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    /// Connections that were accepted and not refused.
    pub accepted: u64,
    /// Ended conversations by reason.
    pub ended: [(EndReason, u64); EndReason::ALL.len()],
    /// Refused connections by reason.
    pub refused: [(Refusal, u64); Refusal::ALL.len()],
    /// Names and bytes.
    pub traffic: Traffic,
    /// Times from the read that completed a name to the next write.
    pub latency: Buckets,
}

impl Counters {
    /// Counters that are zero. The latency of replies is measured only if `is_timed`: it needs the clock at each write.
    #[must_use]
    pub fn new(is_timed: bool) -> Self {
        Self { is_timed, ..Self::default() }
    }

    /// A connection was accepted: a conversation begins.
    pub fn begin(&self) -> Tally<'_> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let stripe = self.stripes.get(next % STRIPES);
        Tally { counters: self, stripe, traffic: Traffic::default(), told: Traffic::default(), waiting: None }
    }

    /// A connection was refused.
    pub fn refuse(&self, reason: Refusal) {
        if let Some(refused) = self.refused.get(reason as usize) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets how many connections were refused: the caller has counted them itself.
    pub fn set_refused(&self, reason: Refusal, count: u64) {
        if let Some(refused) = self.refused.get(reason as usize) {
            refused.store(count, Ordering::Relaxed);
        }
    }

    /// The values now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut traffic = [0_u64; 5];
        let mut latency = Buckets::default();
        for stripe in &self.stripes {
            for (sum, counter) in traffic.iter_mut().zip(&stripe.traffic) {
                *sum = sum.wrapping_add(load(counter));
            }
            stripe.latency.add_to(&mut latency);
        }
        // Those that ended first: otherwise more may have ended than were accepted.
        let ended = array::from_fn(|index| {
            (EndReason::ALL.get(index).copied().unwrap_or(EndReason::Error), self.ended.get(index).map_or(0, load))
        });
        let refused = array::from_fn(|index| {
            (Refusal::ALL.get(index).copied().unwrap_or(Refusal::NoSocket), self.refused.get(index).map_or(0, load))
        });
        Counts { accepted: load(&self.accepted), ended, refused, traffic: Traffic::of(traffic), latency }
    }
}

impl Counts {
    /// Conversations that have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.ended.iter().map(|(_, count)| count).sum())
    }
}

/// The summary that SIGUSR1 prints, one counter a line.
impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Traffic { names, not_utf8, too_long, received, sent } = self.traffic;
        writeln!(formatter, "connections accepted: {}\nconnections open: {}", self.accepted, self.open())?;
        for (reason, count) in self.ended.iter().filter(|(_, count)| *count > 0) {
            writeln!(formatter, "connections ended, {}: {count}", reason.name())?;
        }
        for (reason, count) in self.refused.iter().filter(|(_, count)| *count > 0) {
            writeln!(formatter, "connections refused, {}: {count}", reason.name())?;
        }
        writeln!(
            formatter,
            "names: {names}\nnames that are not UTF-8: {not_utf8}\nnames that are too long: {too_long}"
        )?;
        writeln!(formatter, "bytes received: {received}\nbytes sent: {sent}")
    }
}

/// What one conversation counts.
#[derive(Debug)]
pub struct Tally<'a> {
    counters: &'a Counters,
    stripe: Option<&'a Stripe>,
    traffic: Traffic,
    /// What of it the shared counters have.
    told: Traffic,
    /// Since when names wait for their replies to be written, and how many.
    waiting: Option<(Instant, u64)>,
}

impl Tally<'_> {
    /// What was counted so far.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Counts an event of the conversation's machine. `now` is called only if latencies are measured.
    pub fn on_event(&mut self, event: &ServerEvent<'_>, now: impl FnOnce() -> Instant) {
        self.traffic.count(event);
        if self.counters.is_timed && !matches!(event, ServerEvent::Exit) {
            let waiting = self.waiting.get_or_insert_with(|| (now(), 0));
            waiting.1 = waiting.1.saturating_add(1);
        }
    }

    /// Sets how many bytes the conversation has received and sent so far. After a write, the shared counters are updated.
    pub fn moved(&mut self, received: u64, sent: u64, now: impl FnOnce() -> Instant) {
        self.traffic.received = received;
        if sent != self.traffic.sent {
            self.traffic.sent = sent;
            if let (Some((since, names)), Some(stripe)) = (self.waiting.take(), self.stripe) {
                stripe.latency.record(now().since(since), names);
            }
            self.hand_over();
        }
    }

    /// The conversation has ended. Returns what it counted.
    pub fn end(mut self, reason: EndReason) -> Traffic {
        self.hand_over();
        if let Some(ended) = self.counters.ended.get(reason as usize) {
            ended.fetch_add(1, Ordering::Relaxed);
        }
        self.traffic
    }

    fn hand_over(&mut self) {
        let (new, old) = (self.traffic.fields(), self.told.fields());
        self.told = self.traffic;
        let counters = self.stripe.iter().flat_map(|stripe| &stripe.traffic);
        for (counter, (new, old)) in counters.zip(new.into_iter().zip(old)) {
            if new != old {
                counter.fetch_add(new.wrapping_sub(old), Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn what_conversations_count_is_in_the_sum_after_each_write() {
        let counters = Counters::new(true);
        let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
        let mut first = counters.begin();
        let mut second = counters.begin();
        first.on_event(&ServerEvent::Name(b"haha"), || at(10));
        first.on_event(&ServerEvent::NotUtf8(b"\xff"), || panic!("the clock is read once"));
        first.moved(5, 0, || panic!("nothing was written"));
        assert_eq!(counters.counts().traffic, Traffic::default());
        first.moved(5, 40, || at(12));
        second.on_event(&ServerEvent::TooLong, || at(0));
        second.moved(1025, 9, || at(1));

        let counts = counters.counts();
        assert_eq!(counts.traffic, Traffic { names: 3, not_utf8: 1, too_long: 1, received: 1030, sent: 49 });
        assert_eq!((counts.accepted, counts.open()), (2, 2));
        assert_eq!((counts.latency.count(), counts.latency.sum), (3, Duration::from_millis(5)));

        first.on_event(&ServerEvent::Exit, || panic!("`exit` has no reply"));
        first.moved(10, 40, || at(20));
        assert_eq!(first.end(EndReason::Exit), Traffic { names: 2, not_utf8: 1, too_long: 0, received: 10, sent: 40 });
        counters.refuse(Refusal::MaxPerPeer);
        let counts = counters.counts();
        assert_eq!((counts.open(), counts.traffic.received), (1, 1035));
        let summary = counts.to_string();
        for line in ["connections ended, exit: 1\n", "connections refused, max-per-peer: 1\n", "bytes sent: 49\n"] {
            assert!(summary.contains(line), "{summary}");
        }
    }

    #[test]
    fn the_clock_is_not_read_unless_latencies_are_measured() {
        let counters = Counters::new(false);
        let mut tally = counters.begin();
        tally.on_event(&ServerEvent::Name(b"haha"), || panic!());
        tally.moved(4, 12, || panic!());
        assert_eq!(counters.counts().latency.count(), 0);
    }

    #[test]
    fn every_reason_is_at_its_own_index() {
        for (index, reason) in EndReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, reason) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
