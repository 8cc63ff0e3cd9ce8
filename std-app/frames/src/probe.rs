//! A probe: one requirement of an RFC, and how it is tested.

pub use crate::stop::Stop;
pub(crate) use crate::stop::{Seconds, gaps, listed, require};
use crate::{board::Board, frame::Frame, host::Host};

/// Probes that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// ARP, neighbor discovery, frames.
    Link,
    /// IPv4 and IPv6.
    Ip,
    /// ICMP.
    Icmp,
    /// TCP.
    Tcp,
}

impl Group {
    /// All groups, in the order in which they are reported.
    pub const ALL: [Self; 4] = [Self::Link, Self::Ip, Self::Icmp, Self::Tcp];

    /// The name, which begins the ids of its probes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Ip => "ip",
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
        }
    }
}

/// How strong a requirement is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Absolute.
    Must,
    /// There may be reasons against it.
    Should,
    /// Optional; worth knowing.
    May,
}

/// The IP versions that a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// IPv4 and IPv6.
    Both,
    /// Only IPv4.
    V4,
    /// Only IPv6.
    V6,
}

/// When a probe is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schedule {
    /// At first, beside others: it waits for timers.
    Waits,
    /// Beside others.
    Beside,
    /// Alone: it would disturb others, or they it.
    Alone,
    /// Alone and at the end: it may harm the board.
    Last,
}

/// One requirement.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The group.
    pub group: Group,
    /// The id without the group.
    pub name: &'static str,
    /// How strong the requirement is.
    pub level: Level,
    /// The requirement, as a sentence.
    pub requirement: &'static str,
    /// Where it is stated.
    pub clause: &'static str,
    /// What to look at when it is not met, the likeliest first.
    pub causes: &'static [&'static str],
    /// It is one of the core that a bring-up needs.
    pub quick: bool,
    /// It takes more than a minute.
    pub long: bool,
    /// About how many seconds it waits for timers; the longest begin first.
    pub waits: u8,
    /// The IP versions that it is for.
    pub versions: Versions,
    /// When it is run.
    pub schedule: Schedule,
    /// How it is tested.
    pub test: Test,
}

/// How a requirement is tested. The result is what was measured, in one line.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// By frames that a host sends.
    Active(fn(&Host<'_>) -> Result<String, Stop>),
    /// By looking at every frame that the board sent during the other probes.
    Passive(fn(&Board, &[Frame]) -> Result<String, Stop>),
}

impl Probe {
    /// A probe that runs beside others, for both IP versions.
    pub(crate) const fn new(
        group: Group,
        name: &'static str,
        (level, clause): (Level, &'static str),
        requirement: &'static str,
        causes: &'static [&'static str],
        run: fn(&Host<'_>) -> Result<String, Stop>,
    ) -> Self {
        let (versions, schedule, test) = (Versions::Both, Schedule::Beside, Test::Active(run));
        Self {
            group,
            name,
            level,
            requirement,
            clause,
            causes,
            quick: false,
            long: false,
            waits: 0,
            versions,
            schedule,
            test,
        }
    }

    /// One of the core that a bring-up needs, tested by looking at every frame that the board sends.
    pub(crate) const fn passive(
        group: Group,
        name: &'static str,
        level_and_clause: (Level, &'static str),
        requirement: &'static str,
        causes: &'static [&'static str],
        look: fn(&Board, &[Frame]) -> Result<String, Stop>,
    ) -> Self {
        let probe = Self::new(group, name, level_and_clause, requirement, causes, |_| Ok(String::new()));
        Self { test: Test::Passive(look), ..probe }.quick()
    }

    /// One of the core that a bring-up needs.
    pub(crate) const fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    /// It takes more than a minute.
    pub(crate) const fn long(self) -> Self {
        Self { long: true, ..self }
    }

    /// It waits for timers about this many seconds, beside other probes.
    pub(crate) const fn waits(self, seconds: u8) -> Self {
        Self { waits: seconds, schedule: Schedule::Waits, ..self }
    }

    /// For one IP version.
    pub(crate) const fn only(self, versions: Versions) -> Self {
        Self { versions, ..self }
    }

    /// With another schedule.
    pub(crate) const fn scheduled(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }

    /// `group.name`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", self.group.name(), self.name)
    }
}
