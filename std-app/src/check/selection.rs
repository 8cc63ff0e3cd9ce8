//! The selection of probes by `--only` and `--skip`.

use super::{
    facts::Fact,
    options::CheckOptions,
    probe::{Need, Probe},
};

/// Names of probes and groups.
#[derive(Debug)]
pub(super) struct Selection {
    only: Vec<String>,
    skip: Vec<String>,
}

impl Selection {
    /// The error is the first name that no probe and no group has.
    pub(super) fn new(options: &CheckOptions, ids: &[String]) -> Result<Self, String> {
        let names = || options.only.iter().chain(&options.skip);
        match names().find(|name| !ids.iter().any(|id| has_name(id, name))) {
            Some(unknown) => Err(unknown.clone()),
            None => Ok(Self { only: options.only.clone(), skip: options.skip.clone() }),
        }
    }

    /// Whether the probe with this id is selected.
    pub(super) fn selects(&self, id: &str) -> bool {
        let is_named = |names: &[String]| names.iter().any(|name| has_name(id, name));
        (self.only.is_empty() || is_named(&self.only)) && !is_named(&self.skip)
    }

    /// The selected probes, and those that establish the protocol for them.
    pub(super) fn of<'a>(&self, probes: &'a [Probe]) -> Vec<&'a Probe> {
        let is_selected = |probe: &Probe| self.selects(&probe.id);
        let needs = |need| probes.iter().any(|probe| is_selected(probe) && probe.needs.contains(&need));
        let needs_conversation = needs(Need::Conversation);
        let needs_service = needs_conversation || needs(Need::Service);
        let is_needed = |probe: &Probe| match probe.establishes {
            Some(Fact::Reachable | Fact::Service) => needs_service,
            Some(Fact::Protocol) => needs_conversation,
            _ => false,
        };
        probes.iter().filter(|&probe| is_selected(probe) || is_needed(probe)).collect()
    }
}

/// Whether it is the probe's id, or the part before the dot: its group, or `recovery`.
fn has_name(id: &str, name: &str) -> bool {
    id == name || id.split('.').next() == Some(name)
}
