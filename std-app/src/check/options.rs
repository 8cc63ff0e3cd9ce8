//! The command line of `greet check`.

use core::{
    net::IpAddr,
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use greet_conformance::vectors::LEAST_CAPACITY;
use greet_host::{
    args::{IpVersion, Report},
    client::HostPort,
    values::{count, duration, span},
};

use super::service::Service;

const FRAMES: &str = "Frame by frame";

const EXAMPLES: &str = "\
Examples:
  greet check board.local                     all probes, in about 20 seconds; minutes for a slow server
  greet check 10.0.0.7:7                      a TCP echo server, as most boards have an example of
  greet check 10.0.0.7:9999 --only stream     one group; the name of a probe works, too
  greet check board.local --html board.html   an HTML report
  greet check board.local --json > good.json
  greet check board.local --baseline good.json    what got worse since then
  greet check --targets servers.txt --jobs 4 --junit check.xml    many servers, with a report for Jenkins or GitLab
  greet check board.local --for 8h            then talk to it for 8 hours: outages, drift, lost slots
  greet check board.local --until-failure     again and again, until a run fails
  sudo greet check 10.0.0.7:7 --interface eth0    the network stack, frame by frame: ARP, IP, ICMP, TCP
  sudo greet check 10.0.0.7:7 --interface eth0 --quick --pcap frames.pcapng

Exit status: 0 if no MUST fails in any run, 1 if one does, 2 for a wrong command line or an invalid line of --targets. Ctrl-C ends \
the check with the results so far.";

/// The service that the server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WantedService {
    /// Find it out by the first bytes
    Auto,
    /// The greeting protocol
    Greet,
    /// Echo over TCP (RFC 862)
    Echo,
}

impl WantedService {
    /// The service, unless it has to be found out.
    pub(crate) const fn stated(self) -> Option<Service> {
        match self {
            Self::Auto => None,
            Self::Greet => Some(Service::Greet),
            Self::Echo => Some(Service::Echo),
        }
    }
}

/// Which server to check, and how thoroughly.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckOptions {
    /// The server: a name or an address, and a port if it is not 9999. IPv6 with a port: `[::1]:9999`
    #[arg(value_name = "HOST[:PORT]", required_unless_present_any = ["list", "targets"])]
    pub(crate) host: Option<HostPort>,

    #[command(flatten)]
    pub(crate) ip: IpVersion,

    /// The service that the server offers
    #[arg(long, value_enum, default_value_t = WantedService::Auto)]
    pub(crate) service: WantedService,

    /// Run only these probes or groups. Probes that find out what these need are run first
    #[arg(long, value_name = "PROBE,...", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Do not run these probes or groups
    #[arg(long, value_name = "PROBE,...", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,

    /// List all probes and what each requires
    #[arg(long)]
    pub(crate) list: bool,

    /// Maximum time to wait for one reply
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = timeout, allow_hyphen_values = true)]
    pub(crate) timeout: Duration,

    /// Time for each probe, which then reports what it has; the whole check takes about 15 times as long at most [default: 10s,
    /// without limit with --stress]
    #[arg(long, value_name = "TIME", value_parser = span, allow_hyphen_values = true)]
    pub(crate) budget: Option<Duration>,

    /// Maximum length of a name in bytes, 16 to 65535. The check finds it out by default
    #[arg(long, value_name = "N", value_parser = capacity)]
    pub(crate) capacity: Option<NonZeroU16>,

    /// Maximum number of unanswered bytes on a connection to an echo server, at least 64. The check finds it out by default
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) in_flight: Option<NonZeroUsize>,

    /// Maximum length of a message to an echo server in bytes, 64 to 65535
    #[arg(long, value_name = "BYTES", default_value = "2048", value_parser = size)]
    pub(crate) max_size: NonZeroUsize,

    /// Send only printable ASCII to an echo server
    #[arg(long)]
    pub(crate) text: bool,

    /// Use many more connections and bytes
    #[arg(long)]
    pub(crate) stress: bool,

    /// Also run what takes more than a minute: the first reply after 70 s of silence
    #[arg(long)]
    pub(crate) long: bool,

    /// Talk to the server for this time after the other probes, and report outages with their times, whether replies get slower,
    /// and slots that are lost: 10m, 8h or 3d
    #[arg(long = "for", value_name = "TIME", value_parser = span, conflicts_with = "interface", allow_hyphen_values = true)]
    pub(crate) soak: Option<Duration>,

    /// Test the network stack of the host instead of its service: ARP or neighbor discovery, IP, ICMP and TCP, with frames that
    /// are sent on this interface as other hosts. The host needs a TCP service that replies to a line, such as echo. Needs root or
    /// CAP_NET_RAW
    #[arg(long, value_name = "NAME", conflicts_with = "jobs", help_heading = FRAMES)]
    pub(crate) interface: Option<String>,

    /// IP addresses of the hosts that --interface acts as. Up to six free ones of the subnet are searched for by default
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',', requires = "interface", help_heading = FRAMES)]
    pub(crate) source: Vec<IpAddr>,

    /// Run the most important probes only, in about 30 seconds
    #[arg(long, requires = "interface", help_heading = FRAMES)]
    pub(crate) quick: bool,

    /// Write all frames to this file (pcapng), with a comment where each probe begins
    #[arg(long, value_name = "FILE", requires = "interface", help_heading = FRAMES)]
    pub(crate) pcap: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) report: Report,

    /// Compare with the results of an earlier check with --json
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,

    /// Also write a JUnit XML file, as Jenkins and GitLab read it: a test suite for each server, a test case for each probe
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Check the servers of this file: one HOST or HOST:PORT a line, and `#` before a comment
    #[arg(long, value_name = "FILE", conflicts_with_all = ["host", "html", "baseline"])]
    pub(crate) targets: Option<PathBuf>,

    /// Number of servers of --targets that are checked at the same time
    #[arg(long, value_name = "N", default_value = "1", value_parser = count, conflicts_with = "host", allow_negative_numbers = true)]
    pub(crate) jobs: NonZeroUsize,

    /// Run the check N times, and report the first run that fails, or else the last one
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) repeat: Option<NonZeroUsize>,

    /// Run the check until a run fails, at most --repeat times if given
    #[arg(long)]
    pub(crate) until_failure: bool,
}

fn timeout(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| {
        let is_valid = time >= Duration::from_millis(1) && time <= Duration::from_secs(3600);
        is_valid.then_some(time).ok_or_else(|| "the timeout must be between 1ms and 1h".to_owned())
    })
}

fn capacity(text: &str) -> Result<NonZeroU16, String> {
    text.parse()
        .ok()
        .filter(|capacity: &NonZeroU16| usize::from(capacity.get()) >= LEAST_CAPACITY)
        .ok_or_else(|| format!("the capacity must be between {LEAST_CAPACITY} and 65535 bytes"))
}

fn size(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .ok()
        .filter(|size: &NonZeroUsize| (64..=65_535).contains(&size.get()))
        .ok_or_else(|| "the size must be between 64 and 65535 bytes".to_owned())
}

impl CheckOptions {
    /// Whether there may be more than one run.
    pub(super) const fn is_series(&self) -> bool {
        self.targets.is_some() || self.is_repeated()
    }

    /// Whether a server may be checked more than once.
    pub(super) const fn is_repeated(&self) -> bool {
        self.repeat.is_some() || self.until_failure
    }
}
