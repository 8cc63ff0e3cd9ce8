//! The command line: what can be asked for, and how it is read.

use core::{net::SocketAddr, num::NonZeroUsize, time::Duration};
use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, ValueEnum};
use greet::{
    client::HostPort,
    values::{Limit, client_framing, count, duration, framing, limit, listen_address},
};
use greet_core::Framing;

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

    /// Where a name ends: as one read delivered it, at a line feed, or as the first read suggests
    #[arg(long, value_name = "chunk|line|auto", default_value = "auto", value_parser = framing)]
    pub(crate) framing: Framing,

    /// Hold every reply back for so long: 1s, 250ms, or a number of seconds
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub(crate) delay: Duration,

    /// End a conversation in which nothing moves for so long; `none` for never
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = limit)]
    pub(crate) idle_timeout: Limit,

    /// Serve at most so many at once; the backlog holds the rest
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// How many connections may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) backlog: u16,

    /// After SIGINT or SIGTERM, how long open conversations have to end
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) grace: Duration,

    /// Say more on standard error: -v events, -vv every name
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print no line for each connection, and only errors on standard error
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// What carries the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    Threads,
    Tokio,
}

const CHAT_EXAMPLES: &str = "\
Examples:
  greet chat 127.0.0.1 haha byebye                two names to port 9999, then exit
  greet chat board.local:9999                     names from the keyboard
  printf 'a\\nb\\n' | greet chat --framing line ::1  names from a pipe, one a line";

/// Whom to talk to, and how.
#[derive(Debug, Args)]
#[command(after_help = CHAT_EXAMPLES)]
pub(crate) struct ChatOptions {
    /// The server, by name or address; port 9999 where none is given. IPv6 with a port: `[::1]:9999`
    #[arg(value_name = "HOST[:PORT]")]
    pub(crate) host: HostPort,

    /// The names to send; without any they come from the terminal or a pipe, one a line
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<OsString>,

    /// How names are sent: one write each, or one line each
    #[arg(long, value_name = "chunk|line", default_value = "chunk", value_parser = client_framing)]
    pub(crate) framing: Framing,

    /// Use IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6')]
    pub(crate) ipv6: bool,

    /// How long to wait for the connection, and for each next byte of what is awaited; `none` for ever
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = limit)]
    pub(crate) timeout: Limit,
}
