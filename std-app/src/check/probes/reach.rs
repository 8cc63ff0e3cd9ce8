//! Reach: whether a server answers at the address, and what it is.

use core::{net::SocketAddr, time::Duration};
use std::{thread, time::Instant};

use crate::export::number::{Count, Rate, Time, counted};

use crate::check::{
    context::Context,
    discover::is_in_pieces,
    explain::ACCEPTS,
    facts::{Fact, framing_name},
    failure::{Failure, Kind},
    loss::LINGER,
    probe::{Group, Level, Need, Notes, Probe, Value, Verdict},
    service::Service,
    session::Session,
    target::Target,
};

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, requirement, needs, causes, run: fn(Context<'_>, &mut Notes<'_>) -> Result<String, Verdict>| {
        Probe::new(Group::Reach, name, Level::Must, requirement, needs, causes, run)
    };
    vec![
        probe("name", "the host name resolves to an address", &[], &[], name),
        probe(
            "connect",
            "a TCP connection can be opened",
            &[],
            &["the server is not running, or listens on another port", "the board's address, its netmask, the cable"],
            connect,
        )
        .establishing(Fact::Reachable),
        probe("service", "the server greets, or sends back what it receives", &[Need::Service], &[], service)
            .establishing(Fact::Service),
        probe(
            "greeting",
            "the server sends the greeting before the client sends anything",
            &[Need::Service],
            &["the greeting is not flushed, or stays in a buffer until the next poll of the stack"],
            greeting,
        )
        .only_for(Service::Greet),
        probe(
            "reply",
            "the server answers, and the conversation ends as it should",
            &[Need::Conversation],
            &["the server speaks another protocol", "only the first segment gets through: look at the transmit path"],
            reply,
        )
        .establishing(Fact::Protocol),
        Probe::new(
            Group::Reach,
            "addresses",
            Level::May,
            "the server serves at every address of its name, over IPv4 and over IPv6",
            &[Need::Conversation],
            &[
                "the server listens over one IP version only: clients that try the other one first wait or fail",
                "an old record in DNS or mDNS",
            ],
            addresses,
        ),
        Probe::new(
            Group::Reach,
            "pieces",
            Level::Should,
            "a short reply comes in one segment, or in a few",
            &[Need::Conversation],
            &["each byte is written alone, by a function like putc or print: collect the reply, and write it at once"],
            pieces,
        ),
    ]
}

/// The lookup was done before the first probe.
fn name(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let took = context.facts.lookup_time;
    notes.time("name lookup", took);
    Ok(format!("{}, name lookup {}", context.target.address, Time::from(took)))
}

fn connect(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let open = || {
        let begin = Instant::now();
        Session::open(context).map(|_| begin.elapsed())
    };
    let patience = if context.facts.other_addresses.is_empty() { Duration::ZERO } else { LINGER };
    // The only slot may still be taken: the addresses of the name were tried a moment ago.
    let first = Instant::now();
    let took = loop {
        match open() {
            Err(failure) if failure.kind == Kind::Refused && first.elapsed() < patience => pause(),
            outcome => break outcome?,
        }
    };
    notes.time("connect", took);
    let others = context.facts.other_addresses.iter().map(|(address, what)| format!("; {address} {what}"));
    Ok(format!("connected to {} in {}{}", context.target.address, Time::from(took), others.collect::<String>()))
}

/// It was found out before.
fn service(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    let server = context.facts.service().server();
    let stated = if context.settings.service.is_some() { ", as stated by --service" } else { "" };
    Ok(format!("{server}{stated}"))
}

fn greeting(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    pause();
    let begin = Instant::now();
    let mut session = Session::served(context).map_err(|failure| explained(context, failure))?;
    let took = begin.elapsed();
    notes.time("connect and greeting", took);
    // One line feed may follow it, under framing `line`.
    let more = session.read_for(FOLLOWS_WITHIN);
    if !more.is_empty() && more != b"\n" {
        let failure = Failure {
            offset: Some(session.offset),
            expected: Some(Vec::new()),
            received: Some(more.clone()),
            ..Failure::new("more bytes follow the greeting before the client has sent anything")
        };
        return Err(match more.as_slice() {
            [0, ..] => failure.because("the NUL that ends a C string is sent: the greeting has 8 bytes"),
            [b'\r', ..] => failure.because("the line ends of a terminal: a single LF or nothing follows the greeting"),
            _ => failure.because("more than the greeting is written: old bytes of a buffer, or the greeting twice"),
        }
        .into());
    }
    Ok(format!("connect and greeting took {}", Time::from(took)))
}

/// Adds why the greeting did not come: the server reads first, or closes the connection.
fn explained(context: Context<'_>, failure: Failure) -> Failure {
    let client_first = || {
        let mut session = Session::open(context)?;
        session.send(b"greet\n")?;
        session.expect_service()
    };
    match failure.kind {
        Kind::Timeout if client_first().is_ok() => {
            failure.because("the greeting comes after the client has sent something: the server reads before it writes")
        }
        Kind::Closed | Kind::Reset => failure.because(
            "the server closes every connection: it has no free slot, or its task fails at the start; or a firewall or an \
             allow list between the hosts does",
        ),
        _ => failure,
    }
}

/// What is sent with the greeting, or right after it, comes within this time.
const FOLLOWS_WITHIN: Duration = Duration::from_millis(200);

fn reply(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    pause();
    let begin = Instant::now();
    Session::ready(context)?.exit()?;
    let rate = begin.elapsed().as_secs_f64().recip();
    notes.measure("conversations of one name per second", Value::Rate(rate));
    let Some(protocol) = context.facts.protocol else { return Ok(format!("{} conversations", Rate(rate))) };
    let rtt = Time::from(protocol.rtt);
    let capacity = Count(context.facts.capacity() as u64);
    Ok(match context.facts.service() {
        Service::Greet => format!(
            "framing {}, names of up to {capacity} bytes{}, RTT {rtt}",
            framing_name(protocol.framing),
            if protocol.capacity_is_certain { "" } else { " (assumed; state it with --capacity N)" }
        ),
        Service::Echo => format!("echo, messages of up to {capacity} bytes, RTT {rtt}"),
    })
}

/// A plain conversation at each address of the name.
fn addresses(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    let own = describe_address(context.target.address);
    let others = &context.facts.other_addresses;
    if others.is_empty() {
        return Ok(format!("{own}, the only address, serves"));
    }
    let mut parts = vec![format!("{own} serves")];
    let mut serve = true;
    for (address, attempt) in others {
        let outcome = match attempt.as_str() {
            ACCEPTS => serves(context, *address),
            other => Err(other.to_owned()),
        };
        serve &= outcome.is_ok();
        let what = outcome.err().unwrap_or_else(|| "serves".to_owned());
        parts.push(format!("{} {what}", describe_address(*address)));
    }
    let text = parts.join(", ");
    if serve { Ok(text) } else { Err(Failure::new(text).into()) }
}

/// `IPv6 ([::1]:9999)`.
fn describe_address(address: SocketAddr) -> String {
    format!("{} ({address})", if address.is_ipv4() { "IPv4" } else { "IPv6" })
}

/// Whether another address serves like the first, or what it does.
fn serves(context: Context<'_>, address: SocketAddr) -> Result<(), String> {
    let target = Target::new(address);
    let context = Context::new(&target, context.facts, context.settings);
    let talk = || -> Result<(), Failure> {
        let mut session = Session::ready(context)?;
        session.exchange(b"another address")?;
        session.exit()
    };
    talk().map_err(|failure| format!("accepts connections and does not serve the same ({})", failure.what))
}

/// Counts the segments of a short reply.
fn pieces(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    pause();
    let message: &[u8] = if context.facts.service() == Service::Greet { b"piece" } else { b"not in pieces" };
    let mut session = Session::ready(context)?;
    let before = session.data_segments();
    let begin = Instant::now();
    if session.exchange(message).is_err() {
        return Err(Verdict::Skipped("the reply is not correct: see the other probes".to_owned()));
    }
    let took = begin.elapsed();
    let (Some(before), Some(after)) = (before, session.data_segments()) else {
        return Err(Verdict::Skipped("this kernel does not count segments".to_owned()));
    };
    let _ = session.leave(); // other probes test how conversations end
    let (segments, bytes) = (after.saturating_sub(before), context.facts.conversation().owed(message).len() as u64);
    let text = format!("{} for a reply of {bytes} bytes", counted(segments.into(), "segment"));
    if is_in_pieces(bytes, segments) {
        return Err(Failure::new(format!("{text}, in {}", Time::from(took)))
            .because("the reply comes in pieces: write it at once, and set TCP_NODELAY")
            .into());
    }
    Ok(text)
}

/// A server with one slot may need a moment until it is free again.
fn pause() {
    thread::sleep(Duration::from_millis(100));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{facts::Facts, settings::Settings};

    #[test]
    fn each_address_of_a_name_is_told() {
        let (target, settings) = (Target::new(([127, 0, 0, 1], 9999).into()), Settings::for_tests());
        let told = |others: &[(&str, &str)]| {
            let others = others.iter().map(|(address, what)| (address.parse().unwrap(), (*what).to_owned()));
            let facts = Facts { other_addresses: others.collect(), ..Facts::default() };
            match addresses(Context::new(&target, &facts, &settings), &mut Notes::new(&|_, _| {})) {
                Ok(text) => (true, text),
                Err(Verdict::Failed(failure)) => (false, failure.what.into()),
                Err(_) => (false, String::new()),
            }
        };
        assert_eq!(told(&[]), (true, "IPv4 (127.0.0.1:9999), the only address, serves".to_owned()));
        let text = "IPv4 (127.0.0.1:9999) serves, IPv6 ([::1]:9999) refuses connections";
        assert_eq!(told(&[("[::1]:9999", "refuses connections")]), (false, text.to_owned()));
    }
}
