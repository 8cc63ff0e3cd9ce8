//! The probes, a file for each group.

mod back_pressure;
mod connections;
mod echo;
mod endurance;
mod leaving;
mod reach;
mod recovery;
mod rules;
mod sizes;
mod soak;
mod soaking;
mod stream;
mod throughput;
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
            Group::Soak => soak::probes(),
            // Those of `greet-frames`.
            Group::Link | Group::Ip | Group::Icmp | Group::Tcp => Vec::new(),
        });
        // The soak has a probe of its own for that.
        if group != Group::Soak {
            probes.push(recovery::after(group));
        }
    }
    Ok(probes)
}
