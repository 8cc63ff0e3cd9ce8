//! The command line: what can be asked for, and how it is read.

use core::{net::SocketAddr, num::NonZeroUsize, time::Duration};
use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, ValueEnum};
use greet_core::Framing;
use greet_host::{
    args::{IpVersion, Report, ServerAddress, Service, Timeout, Verbosity},
    chat::ChatArgs,
    client::HostPort,
    download::DownloadArgs,
    values::{client_framing, count, duration, listen_address, rate, span},
};

use crate::check::CheckOptions;

/// A first TCP service that can be trusted, and its client.
#[derive(Debug, Parser)]
#[command(name = "greet", version, arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Greet whoever connects, and answer each name with `Hello, NAME!`
    Serve(ServeOptions),
    /// Talk to a server: send names, print the replies
    Chat(ChatOptions),
    /// Load a server, check every reply byte by byte, and say how many names a second it answers, and how soon
    Bench(BenchOptions),
    /// Check a server, its driver and its network stack, and say where to look
    Check(CheckOptions),
    /// Fetch a page from a web server: print its head, save its body
    Fetch(FetchOptions),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  greet serve                                     on 127.0.0.1, port 9999
  greet serve --listen 0.0.0.0:9999               for other machines too
  greet serve --listen '[::]:9999'                IPv6 and IPv4 at once
  greet serve --delay 1s --framing chunk          as slow as the tutorial's server
  greet serve --runtime tokio --idle-timeout none for thousands who stay for days";

/// How connections are served.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeOptions {
    /// Address and port to listen on; may be given more than once. Port 0 takes a free one and says which
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9999", value_parser = listen_address)]
    pub(crate) listen: Vec<SocketAddr>,

    /// What carries the connections: a thread for each, or tokio's tasks
    #[arg(long, value_enum, default_value_t = Runtime::Threads)]
    pub(crate) runtime: Runtime,

    #[command(flatten)]
    pub(crate) service: Service,

    /// Serve at most so many at once; the backlog holds the rest
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// How many connections may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) backlog: u16,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// What carries the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    Threads,
    Tokio,
}

const CHAT_EXAMPLES: &str = "\
Examples:
  greet chat 127.0.0.1 haha byebye                two names, then `exit`
  greet chat board.local:9999                     names typed at a prompt
  printf 'a\\nb\\n' | greet chat ::1              names from a pipe, one a line";

/// Whom to talk to, and how.
#[derive(Debug, Args)]
#[command(after_help = CHAT_EXAMPLES)]
pub(crate) struct ChatOptions {
    #[command(flatten)]
    pub(crate) server: ServerAddress,

    /// The names to send; without any they come from the terminal or a pipe, one a line
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<OsString>,

    #[command(flatten)]
    pub(crate) chat: ChatArgs,

    #[command(flatten)]
    pub(crate) ip: IpVersion,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  greet bench 127.0.0.1                             one connection, for 10 s
  greet bench board.local -c 4 -n 10000 --size 64   ten thousand names of 64 bytes over 4 connections
  greet bench 127.0.0.1 -c 50 --pipeline 16         16 names in flight on each of 50 connections
  greet bench 127.0.0.1 -c 50 --rate 20000          20,000 names a second, whatever the server does
  greet bench 127.0.0.1 --html figures.html         the figures and their pictures as a page
  greet bench 127.0.0.1:9999 --against 127.0.0.1:9998   two servers by turns, and the ratios of their figures

The exit status is 0 if every name that was sent was answered rightly, 1 if not, 2 if the command line is wrong. A backlog, \
which is what a rate wanted and could not be sent, does not change it. Ctrl-C ends it early, with the figures so far; names \
that are under way then do not count.";

/// How a server is loaded.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub(crate) struct BenchOptions {
    #[command(flatten)]
    pub(crate) server: ServerAddress,

    /// How many connections are open at once
    #[arg(allow_negative_numbers = true, short, long, value_name = "N", default_value = "1", value_parser = count)]
    pub(crate) connections: NonZeroUsize,

    /// For how long names are sent: 10s, 500ms, or a number of seconds. With --against, to each server
    #[arg(allow_negative_numbers = true, short, long, value_name = "TIME", default_value = "10s", value_parser = span)]
    pub(crate) duration: Duration,

    /// Send so many names instead, on all connections together
    #[arg(allow_negative_numbers = true, short = 'n', long, value_name = "N", value_parser = count, conflicts_with_all = ["duration", "against"])]
    pub(crate) names: Option<NonZeroUsize>,

    /// How many bytes a name has: at most 1,024 in framing chunk, and 65,533 in framing line, where the server may allow
    /// less. All names in flight on a connection, with two bytes each, have room in 65,535
    #[arg(allow_negative_numbers = true, long, value_name = "BYTES", default_value_t = 16)]
    pub(crate) size: usize,

    /// How many names may be under way on a connection; more than one takes framing line
    #[arg(allow_negative_numbers = true, long, value_name = "N", default_value = "1", value_parser = count)]
    pub(crate) pipeline: NonZeroUsize,

    /// How names are sent: one write each, or one line each. The default is chunk with one name in flight, line with more
    #[arg(long, value_name = "chunk|line", value_parser = client_framing)]
    pub(crate) framing: Option<Framing>,

    /// Send so many names a second, on all connections together, whether or not answers come; a latency counts from when
    /// its name was due. What is due and not sent at the end is still sent, for at most --timeout
    #[arg(allow_negative_numbers = true, long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// How long names are sent before anything is measured: 500ms by default, with -n not at all
    #[arg(allow_negative_numbers = true, long, value_name = "TIME", value_parser = duration)]
    pub(crate) warmup: Option<Duration>,

    #[command(flatten)]
    pub(crate) timeout: Timeout,

    /// Load this server too, by turns, and tell the ratio of each figure. What a server ends while the other has its turn
    /// is begun again, and is no error
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) against: Option<HostPort>,

    /// With --against, how long one turn takes, 500ms by default
    #[arg(allow_negative_numbers = true, long, value_name = "TIME", requires = "against", value_parser = span)]
    pub(crate) turn: Option<Duration>,

    #[command(flatten)]
    pub(crate) report: Report,

    #[command(flatten)]
    pub(crate) ip: IpVersion,
}

const FETCH_EXAMPLES: &str = "\
Examples:
  greet fetch http://example.org/                 head to standard output, body to index.html
  greet fetch https://example.org/a.pdf -o b.pdf  encrypted, and to another file
  greet fetch -L -o - http://example.org/ | wc    follow redirects, and pass the body on
  greet fetch -H 'Accept: text/plain' --max-size 1M http://example.org/";

/// What is fetched, and how.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub(crate) struct FetchOptions {
    #[command(flatten)]
    pub(crate) download: DownloadArgs,
}
