//! Finds out about the board what probes must know.

use core::{net::IpAddr, time::Duration};

use smoltcp::wire::EthernetAddress;
use thiserror::Error;

use crate::{
    board::{Board, EXIT, LINE, Service},
    connection::Connection,
    frame::{Frame, Packet},
    host::{Host, Identity, Traced},
    link::Medium,
    loss::loss,
    stop::Stop,
    tcp::flags,
};

/// Why a board cannot be tested.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// Nobody has the address.
    #[error(
        "nobody on this link has the address {address}: check the address, the cable and the interface; the board must be on the \
         same link, not behind a router ({lookup})"
    )]
    NoNeighbor {
        /// The address.
        address: IpAddr,
        /// What was sent and what came.
        lookup: String,
    },
    /// The service does not accept connections.
    #[error("no TCP connection to port {port}: {what}. Is the service running on the board?")]
    NoService {
        /// The port.
        port: u16,
        /// What happened.
        what: String,
    },
    /// The board's TCP checksums are wrong on this link.
    #[error(
        "the board's TCP checksums are wrong on this link: if it is a virtual link, switch off checksum offload on the board's \
         side: `ethtool -K INTERFACE tx off tso off gso off gro off`"
    )]
    Offload,
    /// The link failed.
    #[error("the link failed: {0}")]
    Link(String),
}

/// How many seconds the answer to each request for the board's MAC address is waited for: at least one (RFC 1122, 2.3.2.1), and longer
/// for a board that is busy, or whose link has just come up.
const LOOKUP: [u64; 4] = [1, 1, 2, 4];

/// At most this many connections are held at the same time.
const SLOTS: usize = 6;

/// Finds out what the board is and what its service sends, from a host with this identity.
///
/// # Errors
/// If it cannot be tested.
pub fn discover(medium: &dyn Medium, identity: Identity, target: IpAddr, port: u16) -> Result<Board, DiscoveryError> {
    let board = Board { port, ..Board::at(target) };
    let mac = mac(&host(medium, &board, identity))?;
    let board = Board { mac, ..board };
    let is_lossy = loss(&host(medium, &board, identity)).map_err(link_error)?.is_some();
    let board = Board { is_lossy, ..board };
    let (rtt, service) = {
        let host = host(medium, &board, identity);
        service(&host).map_err(|stop| no_service(&host, stop))?
    };
    let board = Board { rtt, service, ..board };
    let slots = slots(&host(medium, &board, identity)).map_err(link_error)?;
    Ok(Board { slots, ..board })
}

fn host<'a>(medium: &'a dyn Medium, board: &'a Board, identity: Identity) -> Host<'a> {
    Host::new(board, identity, medium.attach(identity.mac), fastrand::u64(..))
}

fn mac(host: &Host<'_>) -> Result<EthernetAddress, DiscoveryError> {
    let address = host.board.address;
    for seconds in LOOKUP {
        host.request_resolution(address).map_err(link_error)?;
        if let Some(mac) = host.resolution(address, Duration::from_secs(seconds)).map_err(link_error)? {
            return Ok(mac);
        }
    }
    let lookup = format!(
        "{} {} from {} ({}) in {} s; {}",
        LOOKUP.len(),
        if address.is_ipv4() { "ARP requests" } else { "neighbor solicitations" },
        host.identity().address,
        host.identity().mac,
        LOOKUP.iter().sum::<u64>(),
        received(&host.take_trace())
    );
    Err(DiscoveryError::NoNeighbor { address, lookup })
}

/// What was received meanwhile.
fn received(trace: &[Traced]) -> String {
    const SHOWN: usize = 4;
    let frames: Vec<&Frame> = trace.iter().filter(|traced| !traced.sent).map(|traced| &traced.frame).collect();
    let last: Vec<String> = frames
        .iter()
        .skip(frames.len().saturating_sub(SHOWN))
        .map(|frame| format!("{frame} from {}", frame.source()))
        .collect();
    match frames.len() {
        0 => "no frame was received".to_owned(),
        count => format!("frames received: {count}, at last: {}", last.join("; ")),
    }
}

fn link_error(stop: Stop) -> DiscoveryError {
    DiscoveryError::Link(match stop {
        Stop::Failed(what) | Stop::Undecided(what) => what,
        Stop::Link(error) => error.to_string(),
    })
}

fn no_service(host: &Host<'_>, stop: Stop) -> DiscoveryError {
    let has_wrong_checksum = host.take_trace().iter().any(
        |traced| matches!(&traced.frame.packet, Packet::Malformed(what) if !traced.sent && what.starts_with("TCP checksum")),
    );
    match stop {
        Stop::Failed(_) if has_wrong_checksum => DiscoveryError::Offload,
        Stop::Failed(what) | Stop::Undecided(what) => DiscoveryError::NoService { port: host.board.port, what },
        Stop::Link(error) => DiscoveryError::Link(error.to_string()),
    }
}

/// Talks to the service once. Returns the round-trip time, too.
fn service(host: &Host<'_>) -> Result<(Duration, Service), Stop> {
    let connection = host.open()?;
    let banner = until_silence(host, &connection)?;
    // The framing of a server may settle only now.
    let first = reply_to(host, &connection, &[LINE])?;
    let one = reply_to(host, &connection, &[LINE])?;
    let (begin, end) = LINE.split_at(3);
    let two = reply_to(host, &connection, &[begin, end])?;
    let reply = if first.len() == one.len() { one.len() } else { 0 };
    connection.push(EXIT)?;
    let within = Duration::from_millis(500).max(host.board.rtt * 10);
    let exits = connection.receive(within, |tcp| tcp.has(flags::FIN))?.is_some();
    Ok((connection.rtt, Service { banner, reply, joins: reply > 0 && one == two, exits }))
}

fn reply_to(host: &Host<'_>, connection: &Connection<'_, '_>, pieces: &[&[u8]]) -> Result<Vec<u8>, Stop> {
    let begin = connection.next.get();
    for attempt in 0..3 {
        // A segment of this host was lost.
        connection.next.set(begin);
        for piece in pieces {
            connection.push(piece)?;
        }
        let reply = until_silence(host, connection)?;
        if !reply.is_empty() || !host.board.is_lossy || attempt == 2 {
            return Ok(reply);
        }
    }
    Ok(Vec::new())
}

/// What is sent until nothing more comes for half a second.
fn until_silence(host: &Host<'_>, connection: &Connection<'_, '_>) -> Result<Vec<u8>, Stop> {
    let mut data = Vec::new();
    // What was lost comes again after 1 s, then after 2 s.
    let least = Duration::from_millis(if host.board.is_lossy { 3500 } else { 500 });
    let silence = least.max(host.board.rtt * 10);
    while let Some((_, tcp)) = connection.receive(silence, |tcp| !tcp.payload.is_empty() || tcp.has(flags::RST))? {
        if tcp.has(flags::RST) {
            break;
        }
        data.extend(connection.take(&tcp));
        connection.acknowledge()?;
    }
    Ok(data)
}

/// How many connections can be open at the same time, at most [`SLOTS`].
fn slots(host: &Host<'_>) -> Result<usize, Stop> {
    host.wait(host.board.quiet_time())?;
    let mut open = Vec::new();
    while open.len() < SLOTS {
        match host.open() {
            Ok(connection) => open.push(connection),
            Err(Stop::Failed(_)) => break,
            Err(stop) => return Err(stop),
        }
    }
    let count = open.len().max(1);
    drop(open);
    host.wait(host.board.quiet_time())?;
    Ok(count)
}
