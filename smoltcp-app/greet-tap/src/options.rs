//! The command line: options, defaults and help.

use core::{net::SocketAddr, num::NonZeroU64, time::Duration};
use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use greet_host::{
    args::{ClientLimits, Observation, Service, Verbosity},
    chat::ChatArgs,
    download::DownloadArgs,
    generate::{CompletionsArgs, ManualsArgs},
    values::duration,
};
use greet_smoltcp::impair::{Impairments, Probability};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::values::{address, dns_server, gateway, hardware_address, ipv4_network, ipv6_network, rate};

/// The greeting service and its clients over a network stack of their own, on a Linux TAP device.
#[derive(Debug, Parser)]
#[command(
    name = "greet-tap",
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
    /// Run the server: it answers each name with `Hello, NAME!`, or echoes every byte
    Serve(ServeOptions),
    /// Send names to a greeting or echo server, and print the replies
    Chat(ChatOptions),
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
  sudo smoltcp-app/tap up && greet-tap serve    on tap0, for `nc 192.168.69.1 9999`
  smoltcp-app/tap sandbox nc 192.168.69.1 9999  the same without root
  greet-tap serve --pcap talk.pcap --stats      capture for Wireshark, counters at the end
  greet-tap serve --dhcp --slaac                addresses from a network tap0 is bridged to";

/// Options of `greet-tap serve`.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeOptions {
    /// Port to listen on
    #[arg(long, value_name = "PORT", default_value_t = 9999, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,

    /// Maximum number of concurrent connections; further ones are refused
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,

    #[command(flatten)]
    pub(crate) service: Service,

    #[command(flatten)]
    pub(crate) limits: ClientLimits,

    #[command(flatten)]
    pub(crate) observation: Observation,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

const CHAT_EXAMPLES: &str = "\
Examples, with `greet serve --listen '[::]:9999'` running on this computer:
  greet-tap chat 192.168.69.100 haha byebye     two names, then exit
  greet-tap chat '[fdaa::100]:9999' haha        over IPv6
  greet-tap chat 192.168.69.100 --stats haha    and print the counters";

/// Options of `greet-tap chat`.
#[derive(Debug, Args)]
#[command(after_help = CHAT_EXAMPLES)]
pub(crate) struct ChatOptions {
    /// Address of the server; the default port is 9999. IPv6 with a port: `[fdaa::100]:9999`
    #[arg(value_name = "ADDR[:PORT]", value_parser = address)]
    pub(crate) server: SocketAddr,

    /// The names to send
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<OsString>,

    #[command(flatten)]
    pub(crate) chat: ChatArgs,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

const FETCH_EXAMPLES: &str = "\
Examples, with `python3 -m http.server --bind ::` running on this computer:
  greet-tap fetch http://192.168.69.100:8000/           head to standard output, body to index.html
  greet-tap fetch -o - 'http://[fdaa::100]:8000/' | wc  over IPv6, body to standard output
  greet-tap fetch --stats --loss 5% http://192.168.69.100:8000/README.md
And with a DNS server on this computer:
  greet-tap fetch -L --dns 192.168.69.100 http://example.org/";

/// Options of `greet-tap fetch`.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub(crate) struct FetchOptions {
    #[command(flatten)]
    pub(crate) download: DownloadArgs,

    /// DNS server; may be repeated. By default the servers that DHCP gives
    #[arg(long, value_name = "ADDR", value_parser = dns_server)]
    pub(crate) dns: Vec<IpAddress>,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// The device, and this program's addresses on it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkOptions {
    /// TAP device to use; `sudo smoltcp-app/tap up` creates tap0
    #[arg(long, value_name = "NAME", default_value = "tap0")]
    pub(crate) tap: String,

    /// IPv4 address of this program and its prefix length
    #[arg(long, value_name = "ADDR/LEN", default_value = "192.168.69.1/24", value_parser = ipv4_network)]
    pub(crate) ip: IpCidr,

    /// Request an IPv4 address by DHCP; --ip is used if no server answers within 10 s, also with a shorter --timeout
    #[arg(long)]
    pub(crate) dhcp: bool,

    /// IPv6 address of this program and its prefix length, in addition to the link-local one; may be repeated
    #[arg(long, value_name = "ADDR/LEN", default_value = "fdaa::1/64", value_parser = ipv6_network)]
    pub(crate) ip6: Vec<IpCidr>,

    /// Form IPv6 addresses from router advertisements (SLAAC)
    #[arg(long)]
    pub(crate) slaac: bool,

    /// Router to other networks: one for IPv4, one for IPv6
    #[arg(long, value_name = "ADDR", value_parser = gateway)]
    pub(crate) gateway: Vec<IpAddress>,

    /// MAC address of this program. By default it is derived from that of the TAP device
    #[arg(long, value_name = "MAC", value_parser = hardware_address)]
    pub(crate) mac: Option<EthernetAddress>,

    /// Exchange no TCP segments longer than the MTU with Linux (no segmentation offload): every frame is one of the link, with its
    /// checksum. --pcap and the impairments imply it
    #[arg(long)]
    pub(crate) no_offload: bool,

    /// Capture all frames to a pcap file, for Wireshark or tcpdump
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,

    /// Print counters to standard error at the end. SIGUSR1 prints them at any time
    #[arg(long)]
    pub(crate) stats: bool,

    #[command(flatten)]
    pub(crate) impairments: ImpairmentOptions,
}

/// Impairments of the link between this program and the device.
#[derive(Debug, Args)]
#[command(next_help_heading = "Impairments of the link, in both directions")]
pub(crate) struct ImpairmentOptions {
    /// Fraction of frames to drop: 10%, 0.5% or 0.1
    #[arg(long, value_name = "FRACTION", default_value = "0%")]
    loss: Probability,

    /// Fraction of frames to send twice
    #[arg(long, value_name = "FRACTION", default_value = "0%")]
    duplicate: Probability,

    /// Fraction of frames to delay by 10 ms, so that later frames overtake them
    #[arg(long, value_name = "FRACTION", default_value = "0%")]
    reorder: Probability,

    /// Fraction of frames in which to flip some bits
    #[arg(long, value_name = "FRACTION", default_value = "0%")]
    corrupt: Probability,

    /// Delay of every frame: 1s, 20ms or a number of seconds
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    latency: Duration,

    /// Random variation of the delay, up to this time in either direction. The order of frames is kept: when they follow each
    /// other quickly, the mean delay is above --latency
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    jitter: Duration,

    /// Bandwidth in bits per second: 10M, 64k or 9600
    #[arg(long, value_name = "BITS", value_parser = rate)]
    rate: Option<NonZeroU64>,

    /// Seed of the random numbers: the same seed repeats the same impairments. By default a new one is chosen and printed
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

impl ImpairmentOptions {
    /// The impairments of one direction.
    pub(crate) fn impairments(&self) -> Impairments {
        let &Self { loss, duplicate, reorder, corrupt, latency, jitter, rate, .. } = self;
        Impairments {
            loss,
            duplication: duplicate,
            reordering: reorder,
            corruption: corrupt,
            delay: latency,
            jitter,
            rate,
            ..Impairments::NONE
        }
    }
}
