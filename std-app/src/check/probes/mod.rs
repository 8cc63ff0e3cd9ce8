//! The probes, a file for each group.

mod connections;
mod echo;
mod reach;
mod recovery;
mod rules;
mod stream;
mod time;

use greet_conformance::vectors::TableError;

use super::probe::{Group, Probe};

/// All probes, in the order in which they are run.
pub(crate) fn all() -> Result<Vec<Probe>, TableError> {
    let mut probes = Vec::new();
    for group in Group::SERVICE {
        probes.extend(match group {
            Group::Reach => reach::probes(),
            Group::Connections => connections::probes(),
            Group::Rules => rules::probes()?,
            Group::Echo => echo::probes(),
            Group::Stream => stream::probes(),
            Group::Time => time::probes(),
            // Those of `greet-frames`.
            Group::Link | Group::Ip | Group::Icmp | Group::Tcp => Vec::new(),
        });
        probes.push(recovery::after(group));
    }
    Ok(probes)
}
