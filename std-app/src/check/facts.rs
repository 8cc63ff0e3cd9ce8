//! Facts about the server. Discovery finds them out; probes read them.

use core::{net::SocketAddr, time::Duration};

use greet_core::{Framing, NAME_CAPACITY};

use super::{
    failure::Failure,
    service::{Conversation, Service},
};

/// A fact that a probe may need, in the order in which they are found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A connection can be opened.
    Reachable,
    /// [`Facts::service`].
    Service,
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
    pub(crate) service: Option<Service>,
    pub(crate) protocol: Option<Protocol>,
    /// How many bytes may be unanswered, if the service does not promise back-pressure.
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) slots: Option<Slots>,
}

/// How the server speaks its protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    /// Where a name ends; for a greeting server.
    pub(crate) framing: Framing,
    /// Maximum length of a name or message in bytes.
    pub(crate) capacity: usize,
    /// The server or the user stated the capacity. Otherwise it is the usual one.
    pub(crate) capacity_is_certain: bool,
    /// Time from sending one name to its whole reply.
    pub(crate) rtt: Duration,
    /// Maximum segment size of the connection in bytes. A longer write does not arrive as one read.
    pub(crate) mss: usize,
    /// Bytes of every value are returned. Otherwise most probes send printable bytes only.
    pub(crate) carries_any_byte: bool,
    /// The server closes its side after the client has closed its own.
    pub(crate) closes_after_client: bool,
}

/// How many bytes may be unanswered.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    /// What was tried, or stated, without a loss.
    pub(crate) passed: usize,
    /// What happened to more, if that is known.
    pub(crate) failure: Option<Failure>,
    /// The user stated the limit.
    pub(crate) is_stated: bool,
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
    /// It is served, and an older client's connection is gone. That many clients were let in.
    Replaces(usize),
}

impl Facts {
    /// Where a name ends. Before it is known, names are sent in a way that every framing understands.
    pub(crate) fn framing(&self) -> Framing {
        self.protocol.map_or(Framing::Auto, |protocol| protocol.framing)
    }

    /// The service, which is a greeting as long as nothing else is known.
    pub(crate) fn service(&self) -> Service {
        self.service.unwrap_or(Service::Greet)
    }

    /// The form of the server's conversations.
    pub(crate) fn conversation(&self) -> Conversation {
        self.service().conversation(self.framing())
    }

    /// Whether several messages can be in flight.
    pub(crate) fn takes_several(&self) -> bool {
        self.service() == Service::Echo || self.framing() != Framing::Chunk
    }

    /// Whether the server closes its side after the client's FIN, as far as it is known.
    pub(crate) fn closes_after_client(&self) -> bool {
        self.protocol.is_none_or(|protocol| protocol.closes_after_client)
    }

    /// Maximum number of unanswered bytes.
    pub(crate) fn in_flight(&self) -> usize {
        match &self.in_flight {
            // A server that loses more may lose that, too, now and then.
            Some(InFlight { passed, failure: Some(_), .. }) => passed / 2,
            Some(InFlight { passed, is_stated: true, .. }) => *passed,
            _ => usize::MAX,
        }
    }

    /// Maximum length of a name or message in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.protocol.map_or(NAME_CAPACITY, |protocol| protocol.capacity).min(self.in_flight())
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
            Self::Closed => "accepted, and closed at once",
            Self::Queued => "queued until a slot is free",
            Self::NoAnswer => "not answered at all",
            Self::Replaces(_) => "served, and an older connection is given up for it",
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
