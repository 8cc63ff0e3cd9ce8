//! Throughput: bulk data in each direction, and the pauses in it.

use core::{mem, ops::RangeInclusive, time::Duration};
use std::{io::Write, net::Shutdown, thread, time::Instant};

use crate::check::{
    context::Context,
    failure::Failure,
    host::{CpuPressure, Host, retransmissions},
    probe::{Notes, Value, Verdict},
    service::Service,
    session::Session,
};
use crate::export::number::{ByteRate, Time};

/// Bytes in one direction.
const BULK: usize = 4 << 20;
/// A slow network transfers fewer, in this time.
const BULK_TIME: Duration = Duration::from_secs(2);

/// Pauses of about the same length.
#[derive(Debug)]
struct Plateau {
    /// The pauses, in microseconds.
    range: RangeInclusive<u128>,
    name: &'static str,
    cause: &'static str,
}

const PLATEAUS: [Plateau; 3] = [
    Plateau { range: 38_000..=47_000, name: "40 ms", cause: "a delayed ACK of 40 ms for each segment" },
    Plateau {
        range: 190_000..=260_000,
        name: "200 ms",
        cause: "lost segments, retransmitted after 200 ms: the driver drops frames, or the network loses them; or a delayed ACK of \
                200 ms",
    },
    Plateau {
        range: 980_000..=1_100_000,
        name: "1,000 ms",
        cause: "segments that are retransmitted after 1 s: lost ones, or a SYN that was dropped while no socket listened",
    },
];

impl Plateau {
    /// Whether it is the time of a retransmission, not of a delayed ACK.
    const fn is_retransmission(&self) -> bool {
        *self.range.start() > 100_000
    }

    /// Whether it explains this pause, of which the network itself causes a part.
    fn contains(&self, pause: Duration, network: Duration) -> bool {
        self.range.contains(&pause.saturating_sub(network).as_micros())
    }
}

pub(super) fn throughput(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let bulk = if context.settings.stress { 16 * BULK } else { BULK };
    let network = context.target.handshake();
    let mut rates = Vec::new();
    let mut flows = Vec::new();
    let mut session;
    let longest = context.facts.capacity().min(1000);
    if context.facts.service() == Service::Greet {
        let up = upload(context, bulk, notes)?;
        notes.measure("bytes per second, up", Value::ByteRate(up));
        rates.push(format!("up {}", ByteRate(up)));
        // Two bytes of a name and its line feed are answered by ten.
        let down;
        (down, session) = flow(Session::ready(context)?, 1, bulk / 4, notes)?;
        notes.measure("bytes per second, down", Value::ByteRate(down.rate));
        rates.push(format!("down {}", ByteRate(down.rate)));
        flows.push(("down", down));
    } else {
        session = Session::ready(context)?;
    }
    // Messages as long as possible.
    let both;
    (both, session) = flow(session, longest, bulk, notes)?;
    session.exit()?;
    notes.measure("bytes per second, both ways", Value::ByteRate(both.rate));
    rates.push(format!("both ways {} each", ByteRate(both.rate)));
    flows.push(("both ways", both));
    let mut text = rates.join(", ");
    for (direction, flow) in flows {
        let Some(still) = flow.standstill(network) else { continue };
        let what = format!(
            "{direction}: no data for {} of {}, in {} pauses of mostly {}",
            Time::from(still.time),
            Time::from(flow.took),
            still.pauses,
            still.plateau.name
        );
        if !still.plateau.is_retransmission() {
            // The choice of a server with little memory, and no fault. It is worth knowing.
            text += &format!(
                "; {what}: the server's window or send buffer holds a segment or less, or Nagle's algorithm is on, and each waits \
                 for a delayed ACK"
            );
        } else if flow.host.explains(still.pauses) {
            text += &format!("; {what}, but {}", flow.host);
        } else {
            return Err(Failure::new(format!("{what}: {text}")).because(still.plateau.cause).into());
        }
    }
    Ok(text)
}

/// Receives replies to messages of one length.
fn flow<'a>(
    mut session: Session<'a>,
    length: usize,
    bytes: usize,
    notes: &Notes<'_>,
) -> Result<(Flow, Session<'a>), Failure> {
    let context = session.context;
    let flow = flood(&mut session, length, bytes, notes)?;
    if !flow.standstill(context.target.handshake()).is_some_and(|still| still.plateau.is_retransmission()) {
        return Ok((flow, session));
    }
    // A busy host sends an ACK late, which causes a retransmission. Once is an accident.
    session.exit()?;
    let mut session = Session::ready(context)?;
    Ok((flood(&mut session, length, bytes, notes)?, session))
}

/// Bytes per second in one direction: the rest of an overlong line is dropped (rule L3), so that no reply is sent for it.
fn upload(context: Context<'_>, bulk: usize, notes: &Notes<'_>) -> Result<f64, Failure> {
    let mut session = Session::ready(context)?;
    // A slow network still has to transfer what the system buffers: little more than what is in flight.
    let _ = socket2::SockRef::from(&session.stream).set_send_buffer_size(256 * 1024);
    let _ = crate::socket::set_unsent_limit(&session.stream, 16 * 1024);
    let begin = Instant::now();
    let piece = vec![b'u'; 16 * 1024];
    let mut sent = 0;
    while sent < bulk && (context.settings.stress || begin.elapsed() < BULK_TIME) && !context.settings.is_interrupted()
    {
        session.send(&piece)?;
        sent += piece.len();
        notes.progress(sent as u64, bulk as u64);
    }
    session.send(b"\n")?;
    let error = format!("Error: name longer than {} bytes\n", context.facts.capacity());
    session.expect("the error reply to an overlong line", error.as_bytes())?;
    session.exchange(b"up")?; // the server has read everything
    let rate = sent as f64 / begin.elapsed().as_secs_f64();
    session.exit()?;
    Ok(rate)
}

/// A transfer of many replies.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Bytes per second.
    rate: f64,
    took: Duration,
    /// The times in which nothing was received.
    pauses: Vec<Duration>,
    host: Host,
}

impl Flow {
    fn standstill(&self, network: Duration) -> Option<Standstill> {
        Standstill::of(&self.pauses, self.took, network)
    }
}

/// Pauses of a bulk transfer, most of them of one length, that take most of the time.
#[derive(Debug)]
struct Standstill {
    time: Duration,
    pauses: usize,
    /// What most of that time is due to.
    plateau: &'static Plateau,
}

impl Standstill {
    fn of(pauses: &[Duration], took: Duration, network: Duration) -> Option<Self> {
        /// One lost segment is an accident.
        const FEWEST: usize = 2;
        /// Less may be due to this host.
        const LEAST: Duration = Duration::from_millis(500);
        // A retransmission that is lost, too, takes longer.
        let is_of = |plateau: &Plateau, pause: &Duration| {
            plateau.contains((*pause).min(network + Duration::from_secs(1)), network)
        };
        let at = |plateau| pauses.iter().filter(|pause| is_of(plateau, pause)).copied().collect::<Vec<_>>();
        let all = PLATEAUS.iter().flat_map(at).collect::<Vec<_>>();
        let time = all.iter().sum::<Duration>();
        let plateau = PLATEAUS
            .iter()
            .filter(|plateau| at(plateau).len() >= FEWEST)
            .max_by_key(|plateau| at(plateau).iter().sum::<Duration>())?;
        let is_most = time >= LEAST && 2 * time >= took;
        is_most.then_some(Self { time, pauses: all.len(), plateau })
    }
}

/// Sends names of one length, until this many bytes of replies have come.
pub(super) fn flood(
    session: &mut Session<'_>,
    length: usize,
    bytes: usize,
    notes: &Notes<'_>,
) -> Result<Flow, Failure> {
    /// Batches between two looks at the clock.
    const BATCHES: u32 = 4;
    let context = session.context;
    let name = vec![b'd'; length.min(context.facts.in_flight() / BATCHES as usize)];
    let (request, reply) = (session.request(&name), session.reply(&name));
    // As many batches are in flight at most.
    let limit = context.facts.in_flight() / (BATCHES as usize * request.len());
    let largest = (16 * 1024 / reply.len()).min(limit).max(1);
    // A slow server or network gets small batches.
    let mut batch = (1024 / reply.len()).clamp(1, largest);
    let network = context.target.handshake();
    // Time in which no reply can arrive: at the start of each round the names are in flight.
    let mut idle = Duration::ZERO;
    session.pauses.clear();
    let pressure = CpuPressure::watch();
    let retransmitted_before = retransmissions(&session.stream).unwrap_or_default();
    let begin = Instant::now();
    let mut done = 0;
    let mut sent = 0;
    while done == 0 || (done < bytes && (context.settings.stress || begin.elapsed() < BULK_TIME)) {
        let (requests, replies) = (request.repeat(batch), reply.repeat(batch));
        let round = Instant::now();
        let mut writer = session.stream.try_clone().map_err(|error| Failure::new(error.to_string()))?;
        thread::scope(|scope| {
            let writing = scope.spawn(|| (0..BATCHES).try_for_each(|_| writer.write_all(&requests)));
            let received = (0..BATCHES).try_for_each(|_| session.expect_replies(batch, &replies));
            if received.is_err() {
                let _ = session.stream.shutdown(Shutdown::Both); // ends the writer
            }
            let written = writing.join();
            received?;
            match written {
                Ok(Ok(())) => Ok(()),
                _ => Err(Failure::new("the names could not be sent")),
            }
        })?;
        done += BATCHES as usize * replies.len();
        sent += BATCHES as usize * requests.len();
        idle += network;
        if round.elapsed() < BULK_TIME / 8 + network {
            batch = (4 * batch).min(largest);
        }
        notes.progress(done as u64, bytes as u64);
    }
    context.target.count_bytes(sent);
    let took = begin.elapsed();
    let busy = took.saturating_sub(idle).max(took / 10);
    Ok(Flow {
        rate: done as f64 / busy.as_secs_f64(),
        took,
        pauses: mem::take(&mut session.pauses),
        host: Host {
            is_busy: pressure.is_high(),
            retransmissions: retransmissions(&session.stream).unwrap_or_default().saturating_sub(retransmitted_before),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(pauses: &[u64], took: u64) -> Flow {
        let pauses = pauses.iter().copied().map(Duration::from_millis).collect();
        Flow { pauses, took: Duration::from_millis(took), ..Flow::default() }
    }

    #[test]
    fn pauses_most_of_the_time_are_distinguished_from_slow_bulk() {
        let standstill = |pauses: &[u64], took| {
            flow(pauses, took).standstill(Duration::ZERO).map(|still| (still.pauses, still.plateau.name))
        };
        assert_eq!(standstill(&[41; 40], 2000), Some((40, "40 ms")));
        assert_eq!(standstill(&[41, 41, 205, 205, 205, 205], 1500), Some((6, "200 ms")));
        assert_eq!(standstill(&[41; 20], 2000), None, "less than half of the time");
        assert_eq!(standstill(&[1000, 3000], 4100), Some((2, "1,000 ms")), "retransmitted, and lost again");
        assert_eq!(standstill(&[1000], 1200), None, "once");
        assert_eq!(standstill(&[&[1200][..], &[41; 16]].concat(), 2000), Some((17, "40 ms")), "once, among others");
        assert_eq!(standstill(&[41; 4], 200), None, "a moment's other work");
        assert_eq!(standstill(&[146; 14], 2100), None, "a slow network");
    }
}
