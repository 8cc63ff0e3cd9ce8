//! What delays each reply: a timer that ticks, a delay of one length, or the wait for an acknowledgement. Messages that are sent
//! at other moments, and acknowledgements that are sent at once, tell them apart.

use core::{f64::consts::TAU, time::Duration};
use std::{thread, time::Instant};

use super::{context::Context, delays::Reason, difference::mixed, failure::Failure, session::Session};

/// An exchange: when the message was sent and when its reply came, from the begin of the series on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exchange {
    sent: Duration,
    received: Duration,
}

/// The reason of replies that take about `rtt`, of which the network's share is `network`.
///
/// # Errors
/// A message is not answered.
pub(crate) fn reason(context: Context<'_>, rtt: Duration, network: Duration) -> Result<Option<Reason>, Failure> {
    let prompt = acknowledged_at_once(context, rtt)?;
    if prompt.is_some_and(|prompt| 3 * prompt.saturating_sub(network) < rtt.saturating_sub(network)) {
        return Ok(prompt.map(Reason::Acknowledgement));
    }
    Ok(reason_of(&at_other_moments(context, rtt)?, rtt, network))
}

fn reason_of(exchanges: &[Exchange], rtt: Duration, network: Duration) -> Option<Reason> {
    const FEWEST: usize = 8;
    if exchanges.len() < FEWEST {
        return None;
    }
    tick(exchanges, rtt).map(Reason::Tick).or_else(|| delay(exchanges, rtt, network).map(Reason::Delay))
}

/// The period of a timer that sends the replies: the moments at which they come are at one phase of it.
fn tick(exchanges: &[Exchange], rtt: Duration) -> Option<Duration> {
    const SHORTEST: f64 = 0.003;
    let moments: Vec<f64> = exchanges.iter().map(|exchange| exchange.received.as_secs_f64()).collect();
    let span = moments.last()? - moments.first()?;
    // The length of the mean of unit vectors whose angles are the phases: 1 if all are equal, and about 1/sqrt(n) by chance.
    let concentration = |period: f64| {
        let (sine, cosine) = moments.iter().fold((0.0, 0.0), |(sine, cosine), moment| {
            let (s, c) = (TAU * moment / period).sin_cos();
            (sine + s, cosine + c)
        });
        f64::hypot(sine, cosine) / moments.len() as f64
    };
    // A tick is no longer than the replies take, and a busy host or server misses some.
    let longest = 1.3 * rtt.as_secs_f64();
    let (first, last) = (longest.recip(), SHORTEST.max(longest / 5.0).recip());
    let step = 0.15 / span.max(0.001);
    let candidates: Vec<(f64, f64)> = (0_u32..)
        .map(|number| first + f64::from(number) * step)
        .take_while(|frequency| *frequency <= last)
        .map(f64::recip)
        .map(|period| (period, concentration(period)))
        .collect();
    let highest = candidates.iter().map(|(_, concentration)| *concentration).fold(0.0, f64::max);
    // The largest of so many candidates by chance, and more.
    let least = 0.4 + 1.5 / (moments.len() as f64).sqrt();
    // A fraction of the period is concentrated as well.
    let at = candidates.iter().position(|(_, concentration)| *concentration >= least.max(0.85 * highest))?;
    let peak = candidates.get(at..(at + 8).min(candidates.len()))?.iter();
    let (period, _) = peak.max_by(|one, other| one.1.total_cmp(&other.1))?;
    Duration::try_from_secs_f64(*period).ok()
}

/// The delay, if most replies take about the same time, which is that of messages that follow each other.
fn delay(exchanges: &[Exchange], rtt: Duration, network: Duration) -> Option<Duration> {
    let mut rtts: Vec<Duration> =
        exchanges.iter().map(|exchange| exchange.received.saturating_sub(exchange.sent)).collect();
    rtts.sort_unstable();
    let median = *rtts.get(rtts.len() / 2)?;
    let near = rtts.iter().filter(|rtt| rtt.abs_diff(median) <= median / 6).count();
    (near * 5 >= rtts.len() * 3 && median * 3 >= rtt * 2).then(|| median.saturating_sub(network))
}

/// Sends messages after waits of 0 to `rtt`.
fn at_other_moments(context: Context<'_>, rtt: Duration) -> Result<Vec<Exchange>, Failure> {
    const MOST: usize = 60;
    const FEWEST: usize = 10;
    const TIME: Duration = Duration::from_secs(3);
    let mut session = Session::ready(context)?;
    let begin = Instant::now();
    let mut exchanges = Vec::new();
    while exchanges.len() < MOST && (begin.elapsed() < TIME || exchanges.len() < FEWEST) {
        if context.settings.is_interrupted() {
            break;
        }
        thread::sleep(rtt.mul_f64(mixed(exchanges.len()) as f64 / f64::from(u16::MAX)));
        let sent = begin.elapsed();
        session.exchange(b"at any moment")?;
        exchanges.push(Exchange { sent, received: begin.elapsed() });
    }
    session.exit()?;
    Ok(exchanges)
}

/// The median of replies to messages in a row, while this host acknowledges each segment at once. `None` if it cannot.
fn acknowledged_at_once(context: Context<'_>, rtt: Duration) -> Result<Option<Duration>, Failure> {
    const MOST: usize = 15;
    const FEWEST: usize = 5;
    const TIME: Duration = Duration::from_secs(1);
    const MESSAGE: &[u8] = b"acknowledged at once";
    let mut session = Session::ready(context)?;
    let begin = Instant::now();
    let mut rtts = Vec::new();
    let mut is_possible = true;
    while rtts.len() < MOST && (begin.elapsed() < TIME.max(rtt) || rtts.len() < FEWEST) && is_possible {
        let sent = Instant::now();
        session.ask(MESSAGE)?;
        is_possible = crate::socket::acknowledge_at_once(&session.stream).is_ok(); // for a moment only
        session.hear(MESSAGE)?;
        rtts.push(sent.elapsed());
    }
    session.exit()?;
    rtts.sort_unstable();
    Ok(rtts.get(rtts.len() / 2).copied().filter(|_| is_possible))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exchanges after waits of 0 to `rtt` ms. `reply` is when a message that was sent at this time is answered, in ms.
    fn series(rtt: f64, reply: impl Fn(usize, f64) -> f64) -> Vec<Exchange> {
        let mut now = 3.3;
        let exchange = |number: usize| {
            let sent = now + rtt * mixed(number) as f64 / 65_535.0;
            now = reply(number, sent);
            let [sent, received] = [sent, now].map(|time| Duration::from_secs_f64(time / 1e3));
            Exchange { sent, received }
        };
        (0..60).map(exchange).collect()
    }

    fn noise(number: usize) -> f64 {
        mixed(number * 31 + 7) as f64 / 65_535.0
    }

    /// Its name, and the time in ms.
    fn found(exchanges: &[Exchange], rtt: f64) -> Option<(&'static str, f64)> {
        let reason = reason_of(exchanges, Duration::from_secs_f64(rtt / 1e3), Duration::ZERO)?;
        let (name, time) = match reason {
            Reason::Tick(period) => ("tick", period),
            Reason::Delay(delay) => ("delay", delay),
            Reason::Acknowledgement(rtt) => ("acknowledgement", rtt),
        };
        Some((name, (time.as_secs_f64() * 1e3).round()))
    }

    #[test]
    fn a_tick_and_a_delay_of_any_length_are_told_apart() {
        for length in [5.0, 10.0, 25.0, 50.0, 200.0] {
            let tick = series(length, |number, sent| (sent / length).ceil() * length + 0.3 * noise(number));
            assert_eq!(found(&tick, length), Some(("tick", length)));
            let delay = series(length, |number, sent| sent + length + 0.3 * noise(number));
            assert_eq!(found(&delay, length).map(|found| found.0), Some("delay"), "{length}");
        }
    }

    #[test]
    fn a_tick_is_found_on_a_busy_host_whose_replies_come_late() {
        for length in [10.0, 50.0] {
            // A third of the replies are up to a period late, and the RTT of messages in a row is longer for that.
            let late = |number| if number % 3 == 0 { length * noise(number) } else { 0.1 * length * noise(number) };
            let tick = series(length, |number, sent| (sent / length).ceil() * length + late(number));
            assert_eq!(found(&tick, 1.2 * length), Some(("tick", length)));
        }
    }

    #[test]
    fn replies_that_take_any_time_have_no_reason() {
        let any = series(20.0, |number, sent| sent + 40.0 * noise(number));
        assert_eq!(found(&any, 20.0), None);
        assert_eq!(found(&[], 20.0), None);
    }
}
