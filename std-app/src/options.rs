//! The command line: the subcommands and their options.

use core::num::NonZeroUsize;
use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, ValueEnum};
use greet_host::{
    args::{ClientLimits, IpVersion, Observation, ServerAddress, Service, Verbosity},
    chat::ChatArgs,
    download::DownloadArgs,
    generate::{CompletionsArgs, ManualsArgs},
    values::{ListenAddresses, count, listen_address},
};

use crate::{bench::BenchOptions, check::CheckOptions, fetch::encryption::TlsArgs};

/// A small TCP service: server, client, downloads, checks and measurements.
#[derive(Debug, Parser)]
#[command(
    name = "greet",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    args_override_self = true
)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: greet each client and answer each name with `Hello, NAME!`, or echo what each client sends
    #[cfg(target_os = "linux")]
    Serve(ServeOptions),
    /// Send names to a greeting or echo server, and print the replies
    Chat(ChatOptions),
    /// Measure a server's throughput and latency, and check every byte of its replies
    Bench(BenchOptions),
    /// Check a server, its driver and its network stack, and print the likely causes of failures
    Check(CheckOptions),
    /// Download a page from a web server: print the response head, save the body
    Fetch(Box<FetchOptions>),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages to a folder
    #[command(hide = true)]
    Manuals(ManualsArgs),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  greet serve                                     on 127.0.0.1, port 9999; for this computer only
  greet serve --listen 0.0.0.0:9999               for other hosts too
  greet serve --listen '[::]:9999'                IPv6 and IPv4
  greet serve --delay 1s --framing chunk          a server that takes 1 s for each reply
  greet serve --runtime tokio --idle-timeout none for thousands of idle connections";

/// The options of `greet serve`.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeOptions {
    /// Address and port to listen on: ADDRESS:PORT, NAME:PORT, PORT on 127.0.0.1, or :PORT on all addresses; may be repeated.
    /// Port 0 takes a free port, which is printed. The default is 127.0.0.1:9999, or the sockets that systemd hands over
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub(crate) listen: Vec<ListenAddresses>,

    /// How connections are served: by one thread each, by tokio tasks, or by completions of io_uring (Linux 6.0 or newer)
    #[arg(long, value_enum, default_value_t = Runtime::Threads)]
    pub(crate) runtime: Runtime,

    /// Number of threads of the runtimes tokio and uring. The default is the number of cores
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) workers: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) service: Service,

    /// Maximum number of concurrent connections; further clients wait in the backlog. The default is no limit
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// Maximum number of connections that wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) backlog: u16,

    /// Require a header of the PROXY protocol, version 1 or 2, at the beginning of each connection, and log and count the
    /// client that it names
    #[arg(long, value_name = "require", value_enum)]
    pub(crate) proxy_protocol: Option<ProxyProtocol>,

    #[command(flatten)]
    pub(crate) limits: ClientLimits,

    #[command(flatten)]
    pub(crate) observation: Observation,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// Whether connections begin with a header of the PROXY protocol. There is no value that makes it optional: any client could
/// then claim to be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProxyProtocol {
    Require,
}

/// How connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    Threads,
    Tokio,
    Uring,
}

const CHAT_EXAMPLES: &str = "\
Examples:
  greet chat 127.0.0.1 haha byebye                two names, then `exit`
  greet chat board.local:9999                     names typed at a prompt
  printf 'a\\nb\\n' | greet chat ::1              names from a pipe, one per line";

/// The options of `greet chat`.
#[derive(Debug, Args)]
#[command(after_help = CHAT_EXAMPLES)]
pub(crate) struct ChatOptions {
    #[command(flatten)]
    pub(crate) server: ServerAddress,

    /// Names to send; without any, they are read from the terminal or a pipe, one per line
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<OsString>,

    #[command(flatten)]
    pub(crate) chat: ChatArgs,

    #[command(flatten)]
    pub(crate) ip: IpVersion,
}

const FETCH_EXAMPLES: &str = "\
Examples:
  greet fetch http://example.org/                 head to standard output, body to index.html
  greet fetch https://example.org/a.pdf -o b.pdf  over TLS, to another file
  greet fetch -L -o - http://example.org/ | wc    follow redirects, pass the body to a program
  greet fetch -I 192.168.1.50                     the head only
  greet fetch -C - --retry 5 http://example.org/big.iso
                                                  continue an incomplete file
  greet fetch --resolve board.example:80:192.168.1.50 http://board.example/
                                                  a name that no name server knows
  greet fetch -H 'Accept: text/plain' --max-size 1M http://example.org/";

/// The options of `greet fetch`.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub(crate) struct FetchOptions {
    #[command(flatten)]
    pub(crate) download: DownloadArgs,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}
