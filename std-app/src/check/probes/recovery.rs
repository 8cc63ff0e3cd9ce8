//! Recovery: after each group the server is as it was before.

use crate::check::{
    probe::{Group, Level, Need, Probe},
    session::Session,
    slots,
};

/// The recovery probe of a group.
pub(super) fn after(group: Group) -> Probe {
    let slots = if group == Group::Reach { "" } else { ", and every slot is free" };
    let requirement = format!("after the group {}, a plain conversation works{slots}", group.name());
    let mut probe = Probe::new(
        group,
        group.name(),
        Level::Must,
        &requirement,
        &[Need::Conversation],
        &["a probe of the group left the server in a bad state: run its probes one at a time (--only)"],
        move |context, notes| {
            let (mut session, _) = Session::served_with_retries(context)?;
            session.exchange(b"recovered")?;
            session.exit()?;
            if group == Group::Reach {
                return Ok("a plain conversation works".to_owned());
            }
            if context.facts.slots.is_none() {
                return Ok("a plain conversation works; the number of slots is not known".to_owned());
            }
            let took = slots::await_free_slots(context)?;
            notes.time("all slots free again after", took);
            Ok(format!("{} slots free {}", slots::count_to_open(context), slots::when_free(took)))
        },
    );
    probe.id = format!("recovery.{}", group.name());
    probe
}
