//! TCP, closing: FIN in both directions, half-close, and slots that become free.

use core::time::Duration;

use crate::{
    board::LINE,
    connection::Connection,
    host::Host,
    probe::{Group, Level, Probe, Schedule, Seconds, Stop, require},
    tcp::{Tcp, flags},
};

pub(super) const PROBES: &[Probe] = &[
    Probe::new(
        Group::Tcp,
        "fin-acknowledged",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a FIN is acknowledged",
        &["the acknowledgement does not count the FIN"],
        fin,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "fin-answered",
        (Level::Should, "RFC 9293, 3.6"),
        "after the peer's FIN the service closes its side, too, within 10 s",
        &["the service does not notice the end of the input: the slot is lost"],
        fin_answered,
    ),
    Probe::new(
        Group::Tcp,
        "half-close",
        (Level::Must, "RFC 9293, 3.6; RFC 1122, 4.2.2.13"),
        "data that came before the FIN is still answered after it",
        &["the connection is closed in both directions at the peer's FIN: the reply is lost"],
        half_close,
    )
    .quick(),
    Probe::new(
        Group::Tcp,
        "fin-with-data",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "the data of a segment with FIN is answered",
        &["a segment with FIN is handled before its data is read"],
        fin_with_data,
    ),
    Probe::new(
        Group::Tcp,
        "fin-early",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a FIN behind a hole counts only when the hole is filled",
        &["the FIN of a segment out of order is processed at once: the missing data is lost"],
        fin_early,
    ),
    Probe::new(
        Group::Tcp,
        "fin-repeated",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a repeated FIN is acknowledged again",
        &["a FIN after the end of the input is ignored: the peer repeats it until it gives up"],
        fin_repeated,
    ),
    Probe::new(
        Group::Tcp,
        "fin-retransmission",
        (Level::Must, "RFC 9293, 3.8.1"),
        "the board's own FIN is sent again if it is not acknowledged",
        &["the retransmission timer covers data alone"],
        fin_retransmission,
    )
    .waits(3),
    Probe::new(
        Group::Tcp,
        "rst-frees-slot",
        (Level::Must, "RFC 9293, 3.10.7.4"),
        "a reset frees its slot at once: twenty connections after each other are served",
        &["the slot of a connection that was reset waits for a timeout"],
        rst_frees,
    )
    .quick()
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Tcp,
        "close-frees-slot",
        (Level::Should, "RFC 9293, 3.6"),
        "closed connections free their slots: twelve after each other are served",
        &["TIME-WAIT or LAST-ACK holds a slot that new connections need"],
        close_frees,
    )
    .scheduled(Schedule::Alone),
    Probe::new(
        Group::Tcp,
        "port-again",
        (Level::Should, "RFC 9293, MAY-2; RFC 6191"),
        "a new connection from the same port is possible after the peer closed the one before",
        &["the old connection is still there and answers the SYN"],
        port_again,
    ),
    Probe::new(
        Group::Tcp,
        "after-close",
        (Level::Must, "RFC 9293, 3.10.7.1"),
        "a segment to a connection that is closed is answered by a reset or an acknowledgement",
        &["nothing answers: the peer repeats its segment until it gives up"],
        after_close,
    ),
];

impl Connection<'_, '_> {
    /// Sends a FIN with this data.
    pub(super) fn finish(&self, data: &[u8]) -> Result<(), Stop> {
        self.send_with(|segment| {
            segment.flags |= flags::FIN;
            segment.payload = data.to_vec();
        })?;
        self.advance(data.len() + 1);
        Ok(())
    }

    /// Waits for the board's FIN and acknowledges it.
    fn finished(&self, within: Duration) -> Result<Option<Duration>, Stop> {
        let Some((time, tcp)) = self.receive(within, |tcp| tcp.has(flags::FIN) || tcp.has(flags::RST))? else {
            return Ok(None);
        };
        self.expected.set(tcp.end());
        self.acknowledge()?;
        Ok(Some(time))
    }

    /// Fails unless everything that was sent is acknowledged.
    pub(super) fn all_acknowledged(&self, what: &str) -> Result<(), Stop> {
        let end = self.next.get();
        let is_done = self.acknowledged.get() == end || self.reply(|tcp| tcp.acknowledgement == end)?.is_some();
        require(is_done, || format!("{what} is not acknowledged"))
    }
}

fn fin(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    connection.finish(&[])?;
    connection.all_acknowledged("the FIN")?;
    Ok("acknowledged".to_owned())
}

fn fin_answered(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    let begin = host.now();
    connection.finish(&[])?;
    match connection.receive(Duration::from_secs(10), |tcp| tcp.has(flags::FIN))? {
        Some((time, _)) => Ok(format!("after {}", Seconds(time.saturating_sub(begin)))),
        None => Err(Stop::failed("no FIN within 10 s")),
    }
}

fn half_close(host: &Host<'_>) -> Result<String, Stop> {
    // The reply waits behind a closed window until the FIN is there.
    let connection = host.connect_with_closed_window(|_| {})?;
    connection.push(LINE)?;
    connection.finish(&[])?;
    host.wait(host.board.quiet_time())?;
    connection.open_window()?;
    connection.read(host.board.service.reply)?;
    Ok("answered".to_owned())
}

fn fin_with_data(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    connection.finish(LINE)?;
    connection.read(host.board.service.reply)?;
    connection.all_acknowledged("the FIN")?;
    Ok("answered".to_owned())
}

fn fin_early(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    host.clear();
    let next = connection.next.get();
    connection.send_with(|segment| {
        segment.sequence = next.wrapping_add(u32::try_from(LINE.len()).unwrap_or_default());
        segment.flags |= flags::FIN;
    })?;
    let early = connection.receive(host.board.quiet_time(), |tcp| {
        tcp.has(flags::FIN) || tcp.has(flags::RST) || tcp.acknowledgement != next
    })?;
    require(early.is_none(), || format!("it is answered by {:?}", early.map(|(_, tcp)| tcp.to_string())))?;
    connection.push(LINE)?;
    connection.finish(&[])?;
    connection.read(host.board.service.reply)?;
    connection.all_acknowledged("the FIN behind the data")?;
    Ok("counted after the data".to_owned())
}

fn fin_repeated(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    connection.finish(&[])?;
    connection.all_acknowledged("the FIN")?;
    connection.finished(host.board.reply_time())?;
    host.clear();
    connection.send_with(|segment| {
        segment.flags |= flags::FIN;
        segment.sequence = segment.sequence.wrapping_sub(1);
    })?;
    let answer = connection.reply(|tcp| tcp.has(flags::RST) || tcp.acknowledgement == connection.next.get())?;
    require(answer.is_some(), || "it is not answered".to_owned())?;
    Ok("acknowledged again".to_owned())
}

fn fin_retransmission(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    connection.finish(&[])?;
    let is_fin = |tcp: &Tcp| tcp.has(flags::FIN);
    let Some((first, _)) = connection.receive(Duration::from_secs(10), is_fin)? else {
        return Err(Stop::undecided("the service does not close its side"));
    };
    let Some((second, _)) = connection.receive(Duration::from_secs(5), is_fin)? else {
        return Err(Stop::failed("not sent again within 5 s"));
    };
    Ok(format!("after {}", Seconds(second.saturating_sub(first))))
}

fn rst_frees(host: &Host<'_>) -> Result<String, Stop> {
    const COUNT: usize = 20;
    for number in 1..=COUNT {
        let opened = host.connect();
        opened.map_err(|stop| number_of(number, stop))?;
        host.wait(host.board.rtt * 2)?;
    }
    Ok(format!("{COUNT} connections"))
}

fn number_of(number: usize, stop: Stop) -> Stop {
    match stop {
        Stop::Failed(what) => Stop::Failed(format!("connection {number}: {what}")),
        other => other,
    }
}

fn close_frees(host: &Host<'_>) -> Result<String, Stop> {
    const COUNT: usize = 12;
    let mut closed = Vec::new();
    for number in 1..=COUNT {
        let connection = host.connect().map_err(|stop| number_of(number, stop))?;
        connection.finish(&[])?;
        connection.finished(host.board.reply_time())?;
        closed.push(connection);
    }
    Ok(format!("{COUNT} connections"))
}

fn port_again(host: &Host<'_>) -> Result<String, Stop> {
    let port = {
        let connection = host.connect()?;
        connection.finish(&[])?;
        if connection.finished(host.board.reply_time() * 3)?.is_none() {
            return Err(Stop::undecided("the service does not close its side"));
        }
        host.wait(host.board.quiet_time())?;
        let (port, next) = (connection.port, connection.next.get());
        // Not reset: it is closed.
        connection.acknowledged.set(next);
        port
    };
    let connection = host.open_with(|syn| syn.source_port = port)?;
    Ok(format!("open after {}", Seconds(connection.rtt)))
}

fn after_close(host: &Host<'_>) -> Result<String, Stop> {
    let connection = host.connect()?;
    connection.finish(&[])?;
    if connection.finished(host.board.reply_time() * 3)?.is_none() {
        return Err(Stop::undecided("the service does not close its side"));
    }
    host.wait(host.board.quiet_time())?;
    host.clear();
    connection.send_with(|segment| segment.payload = LINE.to_vec())?;
    match connection.reply(|_| true)? {
        Some((_, tcp)) if tcp.has(flags::RST) => Ok("a reset".to_owned()),
        Some(_) => Ok("an acknowledgement".to_owned()),
        None => Err(Stop::failed("it is not answered")),
    }
}
