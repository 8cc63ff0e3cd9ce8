//! Facts about the server. Discovery finds them out; probes read them.

use core::{net::SocketAddr, time::Duration};

use greet_core::{Framing, NAME_CAPACITY};

/// A fact that a probe may need, in the order in which they are found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A connection can be opened.
    Reachable,
    /// [`Facts::protocol`].
    Protocol,
    /// [`Facts::slots`].
    Slots,
}

/// What is known about the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// How long the name lookup took.
    pub(crate) lookup_time: Duration,
    /// The other addresses of the name, and what happens to a client there: "refuses connections".
    pub(crate) other_addresses: Vec<(SocketAddr, String)>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) slots: Option<Slots>,
}

/// How the server speaks the greeting protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) framing: Framing,
    /// Maximum length of a name in bytes.
    pub(crate) capacity: usize,
    /// The server or the user stated the capacity. Otherwise it is the usual one.
    pub(crate) capacity_is_certain: bool,
    /// Time from sending one name to its whole reply.
    pub(crate) rtt: Duration,
    /// Maximum segment size of the connection in bytes. A longer write does not arrive as one read.
    pub(crate) mss: usize,
}

/// How many conversations the server holds at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slots {
    /// This many were opened, and no limit was found.
    AtLeast(usize),
    /// This many, and what the next client sees.
    Exactly(usize, WhenFull),
}

/// What a client sees when all slots are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// A reset.
    Refused,
    /// An open connection that the server closes without a greeting.
    Closed,
    /// An open connection that waits for a slot.
    Queued,
    /// No answer to its SYN.
    NoAnswer,
}

impl Facts {
    /// Where a name ends. Before it is known, names are sent in a way that every framing understands.
    pub(crate) fn framing(&self) -> Framing {
        self.protocol.map_or(Framing::Auto, |protocol| protocol.framing)
    }

    /// Whether a line feed can end a name.
    pub(crate) fn takes_lines(&self) -> bool {
        self.framing() != Framing::Chunk
    }

    /// Maximum length of a name in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.protocol.map_or(NAME_CAPACITY, |protocol| protocol.capacity)
    }

    /// Time from sending one name to its whole reply; zero before it is known.
    pub(crate) fn rtt(&self) -> Duration {
        self.protocol.map_or(Duration::ZERO, |protocol| protocol.rtt)
    }

    /// The number of slots that were seen; zero before it is known.
    pub(crate) fn slot_count(&self) -> usize {
        self.slots.map_or(0, Slots::count)
    }
}

impl Slots {
    /// The number of slots that were seen.
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::AtLeast(count) | Self::Exactly(count, _) => count,
        }
    }

    pub(crate) const fn when_full(self) -> Option<WhenFull> {
        match self {
            Self::AtLeast(_) => None,
            Self::Exactly(_, when_full) => Some(when_full),
        }
    }
}

impl WhenFull {
    /// What happens to the client, as the end of "the next client is ...".
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Closed => "accepted and closed without a greeting",
            Self::Queued => "queued until a slot is free",
            Self::NoAnswer => "not answered at all",
        }
    }
}

/// A framing's name, as options and reports write it.
pub(crate) const fn framing_name(framing: Framing) -> &'static str {
    match framing {
        Framing::Auto => "auto",
        Framing::Chunk => "chunk",
        Framing::Line => "line",
    }
}
