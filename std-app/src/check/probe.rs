//! A probe: one requirement, what it needs to know, how it is tested, and what to look at when it fails.

use core::{fmt, time::Duration};

use super::{
    context::Context,
    facts::{Fact, Facts, Slots},
    failure::Failure,
    service::Service,
    settings::Settings,
};

/// Probes that belong together. A recovery probe follows each group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Reach,
    Connections,
    Rules,
    Echo,
    Stream,
    Time,
    Soak,
    Link,
    Ip,
    Icmp,
    Tcp,
}

impl Group {
    /// The groups about the service.
    pub(crate) const SERVICE: [Self; 7] =
        [Self::Reach, Self::Connections, Self::Rules, Self::Echo, Self::Stream, Self::Time, Self::Soak];

    /// The service of these probes, if they are for only one.
    pub(crate) const fn service(self) -> Option<Service> {
        match self {
            Self::Rules => Some(Service::Greet),
            Self::Echo => Some(Service::Echo),
            _ => None,
        }
    }
    /// The groups about the network stack, which `--interface` runs.
    pub(crate) const STACK: [Self; 4] = [Self::Link, Self::Ip, Self::Icmp, Self::Tcp];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::Connections => "connections",
            Self::Rules => "rules",
            Self::Echo => "echo",
            Self::Stream => "stream",
            Self::Time => "time",
            Self::Soak => "soak",
            Self::Link => "link",
            Self::Ip => "ip",
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
        }
    }
}

/// How bad it is when a probe fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The server must not be used (FAIL).
    Must,
    /// The server works, and something should be looked at (WARN).
    Should,
    /// The server may do without; it is worth knowing (note).
    May,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        })
    }
}

/// What must be known, or must hold, for a probe to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is known which service the server offers.
    Service,
    /// A plain conversation works: framing, capacity and RTT are known.
    Conversation,
    /// Several messages can be in flight: not with framing `chunk`.
    Several,
    /// Any number of unanswered bytes is kept: none is lost.
    BackPressure,
    /// Messages may contain any byte.
    AnyByte,
    /// The capacity is known for certain.
    Capacity,
    /// The number of slots is known.
    Slots,
    /// There are two slots or more.
    TwoSlots,
    /// A limit of the slots was found.
    LimitedSlots,
    /// The user allows probes that take more than a minute.
    Long,
    /// The user has given a time for the soak.
    Soak,
}

impl Need {
    /// The fact to find out first.
    pub(crate) const fn fact(self) -> Option<Fact> {
        match self {
            Self::Service => Some(Fact::Service),
            Self::Conversation | Self::Several | Self::BackPressure | Self::Capacity => Some(Fact::Protocol),
            Self::Slots | Self::TwoSlots | Self::LimitedSlots => Some(Fact::Slots),
            Self::AnyByte | Self::Long | Self::Soak => None,
        }
    }

    /// Why a probe with this need is skipped, if it is.
    pub(crate) fn unmet(self, facts: &Facts, settings: &Settings) -> Option<&'static str> {
        let certain = facts.protocol.is_some_and(|protocol| protocol.capacity_is_certain);
        match self {
            Self::Several if !facts.takes_several() => Some("framing chunk allows one name in flight"),
            Self::BackPressure if facts.in_flight() < usize::MAX => {
                Some("it needs more unanswered bytes than the limit in flight: see echo.in-flight")
            }
            Self::AnyByte if settings.text => Some("it sends bytes that are not printable, and --text excludes them"),
            Self::Capacity if !certain => Some("the capacity is not known; state it with --capacity N"),
            Self::TwoSlots if facts.slot_count() < 2 => Some("it needs two conversations at the same time"),
            Self::LimitedSlots if !matches!(facts.slots, Some(Slots::Exactly(..))) => {
                Some("no client was refused or queued")
            }
            Self::Long if !settings.long => Some("it takes 70 s; --long runs it"),
            Self::Soak if settings.soak.is_none() => Some("--for TIME runs it"),
            _ => None,
        }
    }
}

/// How a probe is run, by one thread for each server. The result is what it measured, in one line.
pub(crate) type Run = Box<dyn Fn(Context<'_>, &mut Notes<'_>) -> Result<String, Verdict> + Send + Sync>;

/// One requirement.
pub(crate) struct Probe {
    /// `group.name`.
    pub(crate) id: String,
    pub(crate) group: Group,
    /// The service that it is for, if it is for only one.
    pub(crate) service: Option<Service>,
    pub(crate) level: Level,
    /// The requirement, as a sentence.
    pub(crate) requirement: String,
    pub(crate) needs: &'static [Need],
    /// The fact that is known once this probe has passed: reports show the probe before those that need the fact.
    pub(crate) establishes: Option<Fact>,
    /// A failure may leave slots taken: their number is found out again.
    pub(crate) may_lose_slots: bool,
    /// What to look at when it fails, after what the failure itself points at.
    pub(crate) causes: &'static [&'static str],
    pub(crate) run: Run,
}

impl Probe {
    pub(crate) fn new(
        group: Group,
        name: &str,
        level: Level,
        requirement: &str,
        needs: &'static [Need],
        causes: &'static [&'static str],
        run: impl Fn(Context<'_>, &mut Notes<'_>) -> Result<String, Verdict> + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: format!("{}.{name}", group.name()),
            group,
            service: group.service(),
            level,
            requirement: requirement.to_owned(),
            needs,
            establishes: None,
            may_lose_slots: false,
            causes,
            run: Box::new(run),
        }
    }

    /// This probe is only for this service.
    #[must_use]
    pub(crate) fn only_for(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }

    /// Whether it is for servers of this service.
    pub(crate) fn is_for(&self, service: Service) -> bool {
        self.service.is_none_or(|only| only == service)
    }

    /// This probe reports whether `fact` could be found out.
    #[must_use]
    pub(crate) fn establishing(self, fact: Fact) -> Self {
        Self { establishes: Some(fact), ..self }
    }

    /// A failure of this probe may leave slots taken.
    #[must_use]
    pub(crate) fn losing_slots(self) -> Self {
        Self { may_lose_slots: true, ..self }
    }
}

/// What `--list` prints of a probe.
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) group: Group,
    pub(crate) level: Level,
    /// The service that it is for, if it is for only one.
    pub(crate) service: Option<Service>,
    pub(crate) requirement: String,
}

impl From<&Probe> for Listed {
    fn from(probe: &Probe) -> Self {
        let Probe { id, group, level, service, requirement, .. } = probe;
        Self { id: id.clone(), group: *group, level: *level, service: *service, requirement: requirement.clone() }
    }
}

/// The verdict on a probe that has not passed.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The requirement is not met.
    Failed(Box<Failure>),
    /// The probe cannot be run on this server, for this reason.
    Skipped(String),
    /// Neither this probe nor any later one can be run, for this reason.
    Aborted(String),
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// Less is better.
    Time(Duration),
    /// Bytes per second. More is better.
    ByteRate(f64),
    /// Events per second. More is better.
    Rate(f64),
    /// More is better.
    Count(usize),
}

/// A measurement, to compare with that of another run.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    /// The value is a median. Otherwise it was measured once.
    pub(crate) is_median: bool,
}

/// What a probe measures besides its verdict.
pub(crate) struct Notes<'a> {
    pub(crate) measures: Vec<Measure>,
    /// Round-trip times.
    pub(crate) rtts: Vec<Duration>,
    progress: &'a dyn Fn(u64, u64),
}

impl<'a> Notes<'a> {
    /// `progress` is called with the number of steps that are done, and of all steps.
    pub(crate) fn new(progress: &'a dyn Fn(u64, u64)) -> Self {
        Self { measures: Vec::new(), rtts: Vec::new(), progress }
    }

    /// Notes a value that was measured once.
    pub(crate) fn measure(&mut self, name: &'static str, value: Value) {
        self.measures.push(Measure { name, value, is_median: false });
    }

    /// Notes a time that was measured once.
    pub(crate) fn time(&mut self, name: &'static str, time: Duration) {
        self.measure(name, Value::Time(time));
    }

    /// Notes the median of many times.
    pub(crate) fn median(&mut self, name: &'static str, median: Duration) {
        self.measures.push(Measure { name, value: Value::Time(median), is_median: true });
    }

    pub(crate) fn progress(&self, done: u64, total: u64) {
        (self.progress)(done, total);
    }
}
