//! Reach: whether a server answers at the address, and what it is.

use core::time::Duration;
use std::{thread, time::Instant};

use crate::export::number::{Count, Rate, Time};

use crate::check::{
    context::Context,
    facts::{Fact, framing_name},
    failure::{Failure, Kind},
    probe::{Group, Level, Need, Notes, Probe, Value, Verdict},
    service::Service,
    session::Session,
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
    let took = open().or_else(|failure| {
        // The only slot may still be taken: the addresses of the name were tried a moment ago.
        if failure.kind != Kind::Refused {
            return Err(failure);
        }
        pause();
        open()
    })?;
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

/// A server with one slot may need a moment until it is free again.
fn pause() {
    thread::sleep(Duration::from_millis(100));
}
