//! What a run does: the options, once they are known to fit together.

use core::time::Duration;

use greet_core::{Framing, NAME_CAPACITY};
use greet_host::client::{CAPACITY, check};

use super::{error::UsageError, names::Names, options::BenchOptions};

/// What every connection does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) connections: usize,
    pub(super) size: usize,
    pub(super) pipeline: usize,
    pub(super) framing: Framing,
    /// Names a second on all connections; `None` for as many as are answered.
    pub(super) rate: Option<f64>,
    /// How many names; `None` for as many as the time allows.
    pub(super) names: Option<u64>,
    /// How long names are sent at the most.
    pub(super) duration: Duration,
    pub(super) warmup: Duration,
    pub(super) timeout: Option<Duration>,
    /// How many turns each of two servers has.
    pub(super) turns: u32,
    pub(super) turn: Duration,
    pub(super) interval: Option<Duration>,
}

/// How long the warm-up takes if nobody says, where names are sent for a time.
const WARMUP: Duration = Duration::from_millis(500);

/// How long a turn takes if nobody says.
const TURN: Duration = Duration::from_millis(500);

/// How many bytes a client's machine has to have room for: it is chosen among these, as each connection has one.
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

/// A machine keeps the length of each name with it.
const LENGTH_BYTES: usize = 2;

impl Plan {
    pub(super) fn new(options: &BenchOptions) -> Result<Self, UsageError> {
        let pipeline = options.pipeline.get();
        let framing = match options.framing {
            Some(Framing::Line) => Framing::Line,
            None if pipeline > 1 => Framing::Line,
            Some(_) if pipeline > 1 => return Err(UsageError::ChunkPipeline), // F1
            Some(_) | None => Framing::Chunk,
        };
        let size = options.size;
        if framing == Framing::Chunk && size > NAME_CAPACITY {
            return Err(UsageError::LongChunk { size, limit: NAME_CAPACITY }); // L2
        }
        check(framing, Names::new(size.min(CAPACITY)).next(), true)
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

    /// The least capacity that does.
    pub(super) fn capacity(&self) -> Result<Capacity, UsageError> {
        let Self { pipeline, size, .. } = *self;
        let needed = size.saturating_add(LENGTH_BYTES).saturating_mul(pipeline);
        // Twice that, where it can be had: then what was answered is moved out of the way less often.
        match needed {
            _ if needed.saturating_mul(2) <= Capacity::SMALL => Ok(Capacity::Small),
            _ if needed.saturating_mul(2) <= Capacity::MIDDLE => Ok(Capacity::Middle),
            ..=Capacity::LARGE => Ok(Capacity::Large),
            _ => Err(UsageError::InFlight { pipeline, size, limit: Capacity::LARGE }),
        }
    }

    /// How many bytes of names and of replies go by for each name, with the ends of their lines.
    pub(super) fn bytes_a_name(&self) -> (usize, usize) {
        let line_end = usize::from(self.framing == Framing::Line);
        let name = self.size.saturating_add(line_end);
        (name, name.saturating_add("Hello, !".len()))
    }
}
