//! What of a check can be asked for.

use core::{num::NonZeroU16, time::Duration};
use std::path::PathBuf;

use clap::Args;
use greet_conformance::vectors::LEAST_CAPACITY;
use greet_host::{
    args::{IpVersion, Report},
    client::HostPort,
    values::duration,
};

use super::{probe::Probe, reach};

const EXAMPLES: &str = "\
Examples:
  greet check board.local                     everything, in some ten seconds; a slow server takes minutes
  greet check 10.0.0.7:9999 --only stream     one group; a probe's name is fine too
  greet check board.local --html board.html   a page to show
  greet check board.local --json > good.json
  greet check board.local --baseline good.json    what got worse since

The exit status is 0 if every MUST holds, 1 if not, 2 for a wrong command line. Ctrl-C ends it with what was found so far.";

/// Which server is checked, and how far.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckOptions {
    /// The server, by name or address; port 9999 where none is given. IPv6 with a port: `[::1]:9999`
    #[arg(value_name = "HOST[:PORT]", required_unless_present = "list")]
    pub(crate) host: Option<HostPort>,

    #[command(flatten)]
    pub(crate) ip: IpVersion,

    /// Run these probes or groups only, with commas between them; may be given more than once. Where they have to know
    /// how the server talks, reach.reply is run first
    #[arg(long, value_name = "PROBE,...", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Leave these probes or groups out
    #[arg(long, value_name = "PROBE,...", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,

    /// Name all probes, and what they show
    #[arg(long)]
    pub(crate) list: bool,

    /// How long any answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive, allow_hyphen_values = true)]
    pub(crate) timeout: Duration,

    /// How many bytes a name has at most for this server; found out where it is not given
    #[arg(long, value_name = "N", value_parser = capacity)]
    pub(crate) capacity: Option<NonZeroU16>,

    /// Ask for more connections and bytes than is polite
    #[arg(long)]
    pub(crate) stress: bool,

    /// Wait for what takes long, too: the first round trip after 70 s of silence
    #[arg(long)]
    pub(crate) long: bool,

    #[command(flatten)]
    pub(crate) report: Report,

    /// Compare with an earlier result that --json printed
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
}

fn positive(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| {
        let fits = time >= Duration::from_millis(1) && time <= Duration::from_secs(3600);
        fits.then_some(time).ok_or_else(|| "it has to be from 1ms to 1h".to_owned())
    })
}

fn capacity(text: &str) -> Result<NonZeroU16, String> {
    text.parse()
        .ok()
        .filter(|capacity: &NonZeroU16| usize::from(capacity.get()) >= LEAST_CAPACITY)
        .ok_or_else(|| format!("give a number of bytes from {LEAST_CAPACITY} to 65535"))
}

/// Which probes are run.
#[derive(Debug)]
pub(super) struct Selection {
    only: Vec<String>,
    skip: Vec<String>,
}

impl Selection {
    /// The first name that is nobody's is the error.
    pub(super) fn new(options: &CheckOptions, probes: &[Probe]) -> Result<Self, String> {
        let names = || options.only.iter().chain(&options.skip);
        match names().find(|name| !probes.iter().any(|probe| is_called(probe, name))) {
            Some(unknown) => Err(unknown.clone()),
            None => Ok(Self { only: options.only.clone(), skip: options.skip.clone() }),
        }
    }

    /// These of them, and those that have to come before them.
    pub(super) fn of<'a>(&self, probes: &'a [Probe]) -> Vec<&'a Probe> {
        let named = |names: &[String], probe| names.iter().any(|name| is_called(probe, name));
        let wanted = |probe| (self.only.is_empty() || named(&self.only, probe)) && !named(&self.skip, probe);
        let is_first = |probe: &Probe| reach::FIRST.contains(&probe.id.as_str());
        let has_to_know = probes.iter().any(|probe| wanted(probe) && !is_first(probe));
        let comes_before = |probe: &Probe| has_to_know && [reach::CONNECT, reach::REPLY].contains(&probe.id.as_str());
        probes.iter().filter(|&probe| wanted(probe) || comes_before(probe)).collect()
    }
}

/// By its own name, its group's, or `recovery`.
fn is_called(probe: &Probe, name: &str) -> bool {
    probe.id == name || probe.id.split('.').next() == Some(name)
}
