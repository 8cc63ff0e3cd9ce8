//! The options of `greet bench`.

use core::{net::IpAddr, num::NonZeroUsize, time::Duration};

use clap::Args;
use greet_core::{Framing, Service};
use greet_host::{
    args::{IpVersion, Report, ServerAddress, Timeout},
    client::{CAPACITY, HostPort},
    values::{client_framing, count, duration, rate, service, span},
};

const EXAMPLES: &str = "\
Examples:
  greet bench 127.0.0.1                             one connection for 10 s
  greet bench board.local -c 4 -n 10000 --size 64   10,000 names of 64 bytes over 4 connections
  greet bench 127.0.0.1 -c 50 --pipeline 16         50 connections with 16 names in flight each
  greet bench 127.0.0.1 -c 50 --rate 20000          20,000 names/s, however fast the server answers
  greet bench 127.0.0.1 -d 1h --interval 10s        one line of figures every 10 s
  greet bench 127.0.0.1 --html figures.html         also writes the figures and charts to an HTML file
  greet bench 127.0.0.1:9999 --against 127.0.0.1:9998   compares two servers in alternating turns
  greet bench board.local:7 --service echo --size 512   an echo server, in messages of 512 bytes

Exit status: 0 if every name that was sent got the right reply, 1 if not, 2 for a wrong command line; if nothing was served at all, 6 if \
the name has no address, 7 if no connection was accepted, and 8 if none got the greeting. A backlog, the names \
that --rate scheduled and that could not be sent, does not change it. Ctrl-C ends the run and prints the figures so far; \
names in flight at that moment are not errors.";

/// How a server is loaded.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchOptions {
    #[command(flatten)]
    pub(crate) server: ServerAddress,

    /// What the server does: answer each name with `Hello, NAME!` (greet), or send each name back (echo)
    #[arg(long, value_name = "greet|echo", default_value = "greet", value_parser = service)]
    pub(crate) service: Service,

    /// Number of concurrent connections
    #[arg(allow_negative_numbers = true, short, long, value_name = "N", default_value = "1", value_parser = count)]
    pub(crate) connections: NonZeroUsize,

    /// Measured time: 10s, 500ms or a number of seconds. With --against, the time for each server
    #[arg(allow_negative_numbers = true, short, long, value_name = "TIME", default_value = "10s", value_parser = span)]
    pub(crate) duration: Duration,

    /// Send this number of names in total instead of sending for a time
    #[arg(allow_negative_numbers = true, short = 'n', long, value_name = "N", value_parser = count, conflicts_with_all = ["duration", "against"])]
    pub(crate) names: Option<NonZeroUsize>,

    /// Size of a name in bytes: at most 1024 with framing chunk, 65533 with framing line or to an echo server; the
    /// server may have a lower limit. All names in flight on one connection, plus 2 bytes each, must fit in 65535 bytes
    #[arg(allow_negative_numbers = true, long, value_name = "BYTES", default_value = "16", value_parser = size)]
    pub(crate) size: usize,

    /// Number of names in flight on each connection. More than one needs framing line or an echo server
    #[arg(allow_negative_numbers = true, long, value_name = "N", default_value = "1", value_parser = count)]
    pub(crate) pipeline: NonZeroUsize,

    /// How names are sent: one write each (chunk) or one line each (line). The default is chunk with one name in flight or to
    /// an echo server, otherwise line
    #[arg(long, value_name = "chunk|line", value_parser = client_framing)]
    pub(crate) framing: Option<Framing>,

    /// Send this number of names per second in total, on a schedule that does not wait for replies (open loop). A latency
    /// counts from the scheduled time. Names that are late at the end are still sent, for at most --timeout
    #[arg(allow_negative_numbers = true, long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Time to send names before the measurement starts: the default is 500ms, and 0 with -n
    #[arg(allow_negative_numbers = true, long, value_name = "TIME", value_parser = duration)]
    pub(crate) warmup: Option<Duration>,

    /// Print one line of figures for each interval of this length during the run; with --json they are part of the document
    #[arg(allow_negative_numbers = true, long, value_name = "TIME", value_parser = span, conflicts_with = "against")]
    pub(crate) interval: Option<Duration>,

    #[command(flatten)]
    pub(crate) timeout: Timeout,

    /// Compare with a second server: load both in alternating turns and print the ratio of each figure. A server may close
    /// idle connections during the other's turn; they are opened again without counting as errors
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) against: Option<HostPort>,

    /// With --against, the length of a turn: 500ms by default
    #[arg(allow_negative_numbers = true, long, value_name = "TIME", requires = "against", value_parser = span)]
    pub(crate) turn: Option<Duration>,

    #[command(flatten)]
    pub(crate) socket: SocketArgs,

    #[command(flatten)]
    pub(crate) report: Report,

    #[command(flatten)]
    pub(crate) ip: IpVersion,
}

/// Options of the TCP sockets.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SocketArgs {
    /// Maximum TCP segment size in bytes that is announced to the server and sent, 88 to 32767 (TCP_MAXSEG)
    #[arg(allow_negative_numbers = true, long, value_name = "BYTES", value_parser = mss)]
    pub(crate) mss: Option<u32>,

    /// Size of the socket's send and receive buffers in bytes, which limits the TCP window (SO_SNDBUF, SO_RCVBUF)
    #[arg(allow_negative_numbers = true, long, value_name = "BYTES", value_parser = count)]
    pub(crate) window: Option<NonZeroUsize>,

    /// Local address of the connections
    #[arg(long, value_name = "ADDR", value_parser = local_address)]
    pub(crate) bind: Option<IpAddr>,

    /// Network interface that the connections use, for example eth0 (SO_BINDTODEVICE)
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
}

/// A number of bytes that a name may have.
fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if size <= CAPACITY => Ok(size),
        _ => Err(format!("give a number of bytes from 0 to {CAPACITY}")),
    }
}

/// A maximum segment size as Linux takes it.
fn mss(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(mss) if (88..=32_767).contains(&mss) => Ok(mss),
        _ => Err("give a number of bytes from 88 to 32767".to_owned()),
    }
}

/// An address of this host.
fn local_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "give an IP address of this host, for example 192.168.1.2 or fd00::2".to_owned())
}
