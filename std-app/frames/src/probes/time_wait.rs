//! TCP, closing by the board first: FIN-WAIT, CLOSING and TIME-WAIT.
//!
//! These probes need a service that ends a connection: a greeting server, after the line `exit`.

use core::time::Duration;

use crate::{
    board::EXIT,
    connection::Connection,
    host::Host,
    probe::{Group, Level, Probe, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "fin-wait-2",
        (Level::Must, "RFC 9293, 3.6, 3.10.7.4"),
        "a FIN that comes a second after the board's own is acknowledged",
        &["the connection is forgotten when the board's FIN is acknowledged"],
        fin_wait_2,
    ),
    Probe::new(
        Group::Tcp,
        "simultaneous-close",
        (Level::Must, "RFC 9293, 3.6, 3.10.7.4"),
        "FINs that cross are both acknowledged",
        &["in FIN-WAIT-1 a FIN is taken for an acknowledgement of the own one, or is ignored"],
        simultaneous,
    ),
    Probe::new(
        Group::Tcp,
        "time-wait",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a FIN that is sent again to a connection in TIME-WAIT is acknowledged again",
        &["the connection is deleted at once: a peer whose last acknowledgement was lost sees a reset"],
        fin_again,
    ),
    Probe::new(
        Group::Tcp,
        "time-wait-syn",
        (Level::Must, "RFC 9293, MAY-2, 3.10.7.4; RFC 6191"),
        "a SYN from the port of a connection in TIME-WAIT is answered: by a new connection or an acknowledgement",
        &["the SYN is ignored: a client that uses its port again waits for its timeout"],
        syn,
    ),
];

/// A connection that the service has closed first, and the board's FIN, which is not acknowledged.
fn closed_first<'h, 'a>(host: &'h Host<'a>) -> Result<(Connection<'h, 'a>, Tcp), Stop> {
    if !host.board.service.exits {
        return Err(Stop::undecided("the service does not end a connection first: use a greeting server"));
    }
    let connection = host.connect()?;
    connection.push(EXIT)?;
    match connection.receive(Duration::from_secs(5), |tcp| tcp.has(flags::FIN))? {
        Some((_, fin)) => Ok((connection, fin)),
        None => Err(Stop::failed("the line `exit` is not followed by a FIN within 5 s")),
    }
}

/// A connection in TIME-WAIT: both FINs are acknowledged.
fn in_time_wait<'h, 'a>(host: &'h Host<'a>) -> Result<Connection<'h, 'a>, Stop> {
    let (connection, fin) = closed_first(host)?;
    connection.expected.set(fin.end());
    connection.finish(&[])?;
    connection.all_acknowledged("the FIN")?;
    host.wait(host.board.rtt * 2)?;
    host.clear();
    Ok(connection)
}

fn fin_wait_2(host: &Host<'_>) -> Result<String, Stop> {
    let (connection, fin) = closed_first(host)?;
    connection.expected.set(fin.end());
    connection.acknowledge()?;
    host.wait(Duration::from_secs(1))?;
    connection.finish(&[])?;
    connection.all_acknowledged("a FIN 1 s later")?;
    Ok("acknowledged".to_owned())
}

fn simultaneous(host: &Host<'_>) -> Result<String, Stop> {
    let (connection, fin) = closed_first(host)?;
    // This host has not seen the board's FIN when it sends its own.
    connection.finish(&[])?;
    connection.all_acknowledged("a FIN that crosses the board's")?;
    connection.expected.set(fin.end());
    connection.acknowledge()?;
    host.wait(host.board.rtt * 2)?;
    host.clear();
    let again = connection.receive(Duration::from_secs(4), |tcp| tcp.has(flags::FIN))?;
    require(again.is_none(), || "the board's FIN was acknowledged, and it is sent again".to_owned())?;
    Ok("both acknowledged".to_owned())
}

fn fin_again(host: &Host<'_>) -> Result<String, Stop> {
    let connection = in_time_wait(host)?;
    connection.send_with(|segment| {
        segment.flags |= flags::FIN;
        segment.sequence = segment.sequence.wrapping_sub(1);
    })?;
    let Some((_, answer)) = connection.reply(|_| true)? else { return Err(Stop::failed("it is not answered")) };
    let is_right = answer.has(flags::ACK) && !answer.has(flags::RST) && answer.acknowledgement == connection.next.get();
    require(is_right, || format!("it is answered by {answer}"))?;
    Ok("acknowledged again".to_owned())
}

fn syn(host: &Host<'_>) -> Result<String, Stop> {
    let connection = in_time_wait(host)?;
    let next = connection.next.get();
    let syn = Tcp { source_port: connection.port, sequence: next.wrapping_add(100_000), ..host.syn() };
    host.send_tcp(&syn)?;
    let Some((_, answer)) = connection.reply(|_| true)? else { return Err(Stop::failed("it is not answered")) };
    require(answer.has(flags::ACK) && !answer.has(flags::RST), || format!("it is answered by {answer}"))?;
    if answer.has(flags::SYN) {
        host.send_tcp(&Tcp { sequence: syn.sequence.wrapping_add(1), flags: flags::RST, ..host.closing(&syn) })?;
    }
    Ok(if answer.has(flags::SYN) { "a new connection" } else { "an acknowledgement" }.to_owned())
}
