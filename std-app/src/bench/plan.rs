//! The plan of a run: the options, checked against each other.

use core::time::Duration;

use greet_core::{ClientSettings, Framing, NAME_CAPACITY, Service};
use greet_host::client::{CAPACITY, check};

use super::{error::UsageError, names::Names, options::BenchOptions};

/// The settings of every connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) connections: usize,
    pub(super) size: usize,
    pub(super) pipeline: usize,
    pub(super) service: Service,
    pub(super) framing: Framing,
    /// Names per second on all connections (open loop); `None` for a closed loop.
    pub(super) rate: Option<f64>,
    /// The number of names; `None` for a run of fixed duration.
    pub(super) names: Option<u64>,
    /// The maximum time for sending names.
    pub(super) duration: Duration,
    pub(super) warmup: Duration,
    pub(super) timeout: Option<Duration>,
    /// The number of turns of each server, with `--against`.
    pub(super) turns: u32,
    pub(super) turn: Duration,
    pub(super) interval: Option<Duration>,
}

/// The default warm-up of a run of fixed duration.
const WARMUP: Duration = Duration::from_millis(500);

/// The default length of a turn.
const TURN: Duration = Duration::from_millis(500);

/// The capacity of a client machine in bytes: the smallest of these that fits, because each connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capacity {
    Small,
    Middle,
    Large,
}

impl Capacity {
    pub(super) const SMALL: usize = 512;
    pub(super) const MIDDLE: usize = 8192;
    pub(super) const LARGE: usize = CAPACITY;
}

/// The machine stores the length of each name.
const LENGTH_BYTES: usize = 2;

impl Plan {
    pub(super) fn new(options: &BenchOptions) -> Result<Self, UsageError> {
        let pipeline = options.pipeline.get();
        let service = options.service;
        let reads_matter = service == Service::Greet; // F1, B2
        let framing = match options.framing {
            Some(Framing::Line) => Framing::Line,
            None if pipeline > 1 && reads_matter => Framing::Line,
            Some(_) if pipeline > 1 && reads_matter => return Err(UsageError::ChunkPipeline), // F1
            Some(_) | None => Framing::Chunk,
        };
        let size = options.size;
        if framing == Framing::Chunk && reads_matter && size > NAME_CAPACITY {
            return Err(UsageError::LongChunk { size, limit: NAME_CAPACITY }); // L2
        }
        let settings = ClientSettings { service, framing, timeout: options.timeout.timeout.0 };
        check(settings, Names::new(size.min(CAPACITY)).next(), true)
            .map_err(|reason| UsageError::Size { size, reason })?;
        let turn = options.turn.unwrap_or(TURN);
        let turns = options.duration.as_nanos().checked_div(turn.as_nanos()).unwrap_or(0);
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        if options.against.is_some() && turns < 2 {
            return Err(UsageError::TooFewTurns);
        }
        let plan = Self {
            connections: options.connections.get(),
            size,
            pipeline,
            service,
            framing,
            rate: options.rate,
            names: options.names.map(|names| u64::try_from(names.get()).unwrap_or(u64::MAX)),
            duration: match (options.names, &options.against) {
                (Some(_), _) => Duration::MAX,
                (None, Some(_)) => turn.saturating_mul(turns), // whole turns alone
                (None, None) => options.duration,
            },
            warmup: options.warmup.unwrap_or(if options.names.is_some() { Duration::ZERO } else { WARMUP }),
            timeout: options.timeout.timeout.0,
            turns,
            turn,
            interval: options.interval,
        };
        plan.capacity().map(|_| plan)
    }

    /// The smallest capacity that fits.
    pub(super) fn capacity(&self) -> Result<Capacity, UsageError> {
        let Self { pipeline, size, .. } = *self;
        let needed = size.saturating_add(LENGTH_BYTES).saturating_mul(pipeline);
        // Twice as much if possible: then answered names are removed from the buffer less often.
        match needed {
            _ if needed.saturating_mul(2) <= Capacity::SMALL => Ok(Capacity::Small),
            _ if needed.saturating_mul(2) <= Capacity::MIDDLE => Ok(Capacity::Middle),
            ..=Capacity::LARGE => Ok(Capacity::Large),
            _ => Err(UsageError::InFlight { pipeline, size, limit: Capacity::LARGE }),
        }
    }

    /// The settings of each connection's state machine.
    pub(super) const fn client(&self) -> ClientSettings {
        ClientSettings { service: self.service, framing: self.framing, timeout: self.timeout }
    }

    /// The bytes sent and received per name, with line ends.
    pub(super) fn bytes_a_name(&self) -> (usize, usize) {
        let line_end = usize::from(self.framing == Framing::Line);
        let name = self.size.saturating_add(line_end);
        let around = match self.service {
            Service::Greet => "Hello, !".len(),
            Service::Echo => 0,
        };
        (name, name.saturating_add(around))
    }
}
