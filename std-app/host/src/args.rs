//! Groups of options that several subcommands offer. Each is declared here once, and flattened wherever it is offered.

use core::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};
use std::path::PathBuf;

use clap::Args;
use greet_core::{EchoSettings, Framing, ServerSettings};
use thiserror::Error;

use crate::{
    client::HostPort,
    log::LogFormat,
    values::{Limit, count, duration, framing, limit, log_format, service, socket_address},
};

/// The server to connect to.
#[derive(Clone, Debug, Args)]
pub struct ServerAddress {
    /// Name or address of the server; the default port is 9999. An IPv6 address with a port: `[::1]:9999`
    #[arg(value_name = "HOST[:PORT]")]
    pub host: HostPort,
}

/// Which IP versions may be used: both, or one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct IpVersion {
    /// Use IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6')]
    pub ipv6: bool,
}

impl IpVersion {
    /// Whether an address of this version may be used.
    #[must_use]
    pub const fn allows(self, address: IpAddr) -> bool {
        if address.is_ipv4() { !self.ipv6 } else { !self.ipv4 }
    }

    /// The only version that is allowed, and the option that says so. Meaningless where both are allowed.
    #[must_use]
    pub const fn only(self) -> (&'static str, &'static str) {
        if self.ipv4 { ("IPv4", "-4") } else { ("IPv6", "-6") }
    }
}

/// How long a client waits.
#[derive(Clone, Copy, Debug, Args)]
pub struct Timeout {
    /// Time limit for connecting, and for each wait for the server: 10s, 500ms or a number of seconds; `none` for no limit
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = limit, allow_negative_numbers = true)]
    pub timeout: Limit,
}

/// How a server treats its connections.
#[derive(Clone, Copy, Debug, Args)]
pub struct Service {
    /// What to do with received bytes: answer each name with `Hello, NAME!` (greet), or send everything back (echo, RFC 862)
    #[arg(long, value_name = "greet|echo", default_value = "greet", value_parser = service)]
    pub service: greet_core::Service,

    /// Where a name ends: with each read (chunk), at each line feed (line), or as the first read suggests (auto, the default)
    #[arg(long, value_name = "chunk|line|auto", value_parser = framing)]
    pub framing: Option<Framing>,

    /// Delay each reply by this time: 1s, 250ms or a number of seconds; none by default
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub delay: Option<Duration>,

    /// Close a connection after this time without a byte in either direction; `none` for no limit
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = limit)]
    pub idle_timeout: Limit,

    /// Time that open connections have to finish after SIGINT, SIGTERM or SIGHUP
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub grace: Duration,
}

/// The settings of the state machine of each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceSettings {
    /// Of a greeting server.
    Greet(ServerSettings),
    /// Of an echo server.
    Echo(EchoSettings),
}

/// An option of the greeting service was given for the echo service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} is an option of --service greet: an echo server has no names and no replies; leave it out")]
pub struct GreetOnly(&'static str);

impl Service {
    /// The same for the state machine of a connection.
    ///
    /// # Errors
    /// The options contradict each other.
    pub fn settings(&self) -> Result<ServiceSettings, GreetOnly> {
        let idle_timeout = self.idle_timeout.0;
        match (self.service, self.framing, self.delay) {
            (greet_core::Service::Greet, framing, delay) => Ok(ServiceSettings::Greet(ServerSettings {
                framing: framing.unwrap_or_default(),
                delay: delay.unwrap_or_default(),
                idle_timeout,
            })),
            (greet_core::Service::Echo, Some(_), _) => Err(GreetOnly("--framing")),
            (greet_core::Service::Echo, None, Some(_)) => Err(GreetOnly("--delay")),
            (greet_core::Service::Echo, None, None) => Ok(ServiceSettings::Echo(EchoSettings { idle_timeout })),
        }
    }
}

/// How much a server logs.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Verbosity {
    /// Log more to standard error: -v events, -vv also every name
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Print no lines for connections, and log only errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// What a server allows each client.
#[derive(Clone, Copy, Debug, Args)]
pub struct ClientLimits {
    /// Maximum number of concurrent connections of one peer: an IPv4 address, or a /64 network of IPv6. Further ones are
    /// refused. The default is no limit
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_per_peer: Option<NonZeroUsize>,

    /// Close a connection after this time, idle or not; `none` for no limit
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = limit)]
    pub max_duration: Limit,
}

/// Which events of connections a server logs, and where.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Observation {
    /// Print one line of fields for each event, as text or JSON, instead of `Accept new connection` and `Connection closed`: the
    /// time, the peer, and at the end of a connection its duration, names, errors, bytes, and the reason
    #[arg(long, value_name = "text|json", value_parser = log_format)]
    pub log: Option<LogFormat>,

    /// Serve counters for Prometheus at http://ADDR/metrics, where ADDR is an address and a port
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    pub metrics: Option<SocketAddr>,
}

/// Where a report goes besides the terminal.
#[derive(Clone, Debug, Default, Args)]
pub struct Report {
    /// Print the report as JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// Also write the report to an HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}
