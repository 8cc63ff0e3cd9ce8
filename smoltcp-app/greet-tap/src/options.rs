//! The command line: what can be asked for, and how it is read.

use core::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
    time::Duration,
};
use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use greet_core::Framing;
use greet_host::{
    download::DownloadArgs,
    values::{Limit, client_framing, duration, framing, limit},
};
use greet_smoltcp::impair::{Impairments, Probability};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::values::{address, dns_server, gateway, hardware_address, ipv4_network, ipv6_network, rate};

/// The greeting service and its clients over a network stack of their own, on a Linux TAP device.
#[derive(Debug, Parser)]
#[command(name = "greet-tap", version, arg_required_else_help = true, subcommand_required = true)]
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
    /// Fetch a page from a web server: print its head, save its body
    Fetch(FetchOptions),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  sudo smoltcp-app/tap up && greet-tap serve    on tap0, for `nc 192.168.69.1 9999`
  smoltcp-app/tap sandbox nc 192.168.69.1 9999  the same without root's rights
  greet-tap serve --pcap talk.pcap --stats      for Wireshark, and a summary at the end
  greet-tap serve --dhcp --slaac                addresses from a network tap0 is bridged to";

/// How connections are served.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) network: NetworkOptions,

    /// Port to listen on
    #[arg(long, value_name = "PORT", default_value_t = 9999, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,

    /// Serve at most so many at once; who comes then is refused
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,

    /// Where a name ends: as one read delivered it, at a line feed, or as the first read suggests
    #[arg(long, value_name = "chunk|line|auto", default_value = "auto", value_parser = framing)]
    pub(crate) framing: Framing,

    /// Hold every reply back for so long: 1s, 250ms, or a number of seconds
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub(crate) delay: Duration,

    /// End a conversation in which nothing moves for so long; `none` for never
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = limit)]
    pub(crate) idle_timeout: Limit,

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

const CHAT_EXAMPLES: &str = "\
Examples, with `greet serve --listen '[::]:9999'` running on this machine:
  greet-tap chat 192.168.69.100 haha byebye     two names, then exit
  greet-tap chat '[fdaa::100]:9999' haha        over IPv6
  greet-tap chat 192.168.69.100 --stats haha    and what was counted";

/// Whom to talk to, and how.
#[derive(Debug, Args)]
#[command(after_help = CHAT_EXAMPLES)]
pub(crate) struct ChatOptions {
    /// The server's address; port 9999 where none is given. IPv6 with a port: `[fdaa::100]:9999`
    #[arg(value_name = "ADDR[:PORT]", value_parser = address)]
    pub(crate) server: SocketAddr,

    /// The names to send
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<OsString>,

    /// How names are sent: one write each, or one line each
    #[arg(long, value_name = "chunk|line", default_value = "chunk", value_parser = client_framing)]
    pub(crate) framing: Framing,

    /// How long to wait for the connection, and for each next byte of what is awaited; `none` for ever
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = limit)]
    pub(crate) timeout: Limit,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

const FETCH_EXAMPLES: &str = "\
Examples, with `python3 -m http.server --bind ::` running on this machine:
  greet-tap fetch http://192.168.69.100:8000/           head to standard output, body to index.html
  greet-tap fetch -o - 'http://[fdaa::100]:8000/' | wc  over IPv6, and the body passed on
  greet-tap fetch --stats --loss 5% http://192.168.69.100:8000/README.md
And with a DNS server on this machine:
  greet-tap fetch -L --dns 192.168.69.100 http://example.org/";

/// What is fetched, and how.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub(crate) struct FetchOptions {
    #[command(flatten)]
    pub(crate) download: DownloadArgs,

    /// DNS server to ask for addresses; may be given more than once. Without it, those are asked that DHCP tells of
    #[arg(long, value_name = "ADDR", value_parser = dns_server)]
    pub(crate) dns: Vec<IpAddress>,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

impl FetchOptions {
    /// Whether an address of this family may be used.
    pub(crate) const fn wants(&self, address: IpAddr) -> bool {
        if address.is_ipv4() { !self.download.ipv6 } else { !self.download.ipv4 }
    }
}

/// The device, and what this program is on its network.
#[derive(Debug, Args)]
pub(crate) struct NetworkOptions {
    /// The TAP device; `sudo smoltcp-app/tap up` makes tap0
    #[arg(long, value_name = "NAME", default_value = "tap0")]
    pub(crate) tap: String,

    /// IPv4 address of this program, and the length of its network
    #[arg(long, value_name = "ADDR/LEN", default_value = "192.168.69.1/24", value_parser = ipv4_network)]
    pub(crate) ip: IpCidr,

    /// Ask for an IPv4 address by DHCP; the one of --ip is taken when nobody answers within 10 s
    #[arg(long)]
    pub(crate) dhcp: bool,

    /// IPv6 address of this program, and the length of its network; may be given more than once. There is a link-local one
    /// besides
    #[arg(long, value_name = "ADDR/LEN", default_value = "fdaa::1/64", value_parser = ipv6_network)]
    pub(crate) ip6: Vec<IpCidr>,

    /// Make IPv6 addresses from what routers advertise
    #[arg(long)]
    pub(crate) slaac: bool,

    /// Router to other networks; one for IPv4, one for IPv6
    #[arg(long, value_name = "ADDR", value_parser = gateway)]
    pub(crate) gateway: Vec<IpAddress>,

    /// Hardware address of this program; without it, one that is made from the TAP device's own
    #[arg(long, value_name = "MAC", value_parser = hardware_address)]
    pub(crate) mac: Option<EthernetAddress>,

    /// Write the frames of this program's end of the wire to a file, for Wireshark
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,

    /// Print what was counted on standard error at the end; on SIGUSR1 it is always printed
    #[arg(long)]
    pub(crate) stats: bool,

    #[command(flatten)]
    pub(crate) wire: WireOptions,
}

/// What happens to frames on their way, in both directions.
#[derive(Debug, Args)]
#[command(next_help_heading = "A wire that fails on purpose, in both directions")]
pub(crate) struct WireOptions {
    /// So many frames are lost: 10%, 0.5% or 0.1
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    loss: Probability,

    /// So many come twice
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    duplicate: Probability,

    /// So many are held back for 10 ms, so that later ones overtake them
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    reorder: Probability,

    /// In so many some bits are changed
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    damage: Probability,

    /// Each takes so long
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    latency: Duration,

    /// Each takes up to so much longer or shorter
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    jitter: Duration,

    /// So many bits pass in a second: 10M, 64k, 9600
    #[arg(long, value_name = "BITS", value_parser = rate)]
    rate: Option<NonZeroU64>,

    /// What fails depends on this number alone; without it, on one that is new each time and is printed
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

impl WireOptions {
    /// What they ask for.
    pub(crate) fn impairments(&self) -> Impairments {
        let &Self { loss, duplicate, reorder, damage, latency, jitter, rate, .. } = self;
        Impairments {
            loss,
            duplication: duplicate,
            reordering: reorder,
            damage,
            delay: latency,
            jitter,
            rate,
            ..Impairments::NONE
        }
    }
}
