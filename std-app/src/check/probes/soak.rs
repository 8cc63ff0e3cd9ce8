//! Soak: for as long as `--for` says, the server serves without a pause, and gets no slower.

use core::time::Duration;

use super::soaking;
use crate::check::{
    context::Context,
    failure::Failure,
    probe::{Group, Level, Need, Notes, Probe, Value, Verdict},
    slots::{await_free_slots, count_to_open, when_free},
    soak::{Outage, Soak},
};
use crate::export::number::{Count, Time, counted};

/// After this time the connection of a client that vanished is given up.
const GIVEN_UP: Duration = Duration::from_secs(20 * 60);

const NEEDS: &[Need] = &[Need::Conversation, Need::Slots, Need::Soak];

pub(super) fn probes() -> Vec<Probe> {
    vec![
        Probe::new(
            Group::Soak,
            "outages",
            Level::Must,
            "the server serves the whole time of --for",
            NEEDS,
            &["what happened at the times of the outages: a DHCP renewal, an ARP timeout, a watchdog, a counter that overflows"],
            outages,
        )
        .losing_slots(),
        Probe::new(
            Group::Soak,
            "drift",
            Level::Should,
            "during the time of --for the server gets no slower",
            NEEDS,
            &["something grows and is searched from its beginning: a list of connections or timers, a log, a fragmented heap"],
            drift,
        ),
        Probe::new(
            Group::Soak,
            "slots",
            Level::Must,
            "after the time of --for every slot is free",
            NEEDS,
            &["a slot is lost now and then: look at how connections ended at the times of the outages"],
            slots,
        )
        .losing_slots(),
    ]
}

/// Runs it when it is needed first.
fn soak<'a>(context: Context<'a>, notes: &Notes<'_>) -> Result<&'a Soak, Verdict> {
    let time = context.settings.soak.ok_or_else(|| Verdict::Skipped("--for TIME runs it".to_owned()))?;
    Ok(context.target.measured.soak.get_or_init(|| {
        let soak = soaking::run(context, time, notes);
        context.settings.exclude(soak.took);
        soak
    }))
}

fn outages(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const SHOWN: usize = 5;
    let soak = soak(context, notes)?;
    notes.measure("messages of the soak", Value::Count(usize::try_from(soak.messages).unwrap_or(usize::MAX)));
    let Some(Outage { failure, .. }) = soak.outages.first.first() else {
        return Ok(format!("{}, no outage", soak.summary()));
    };
    let list = soak.outages.first.iter().take(SHOWN).map(|Outage { begin, length, failure }| {
        format!("at {} for {}: {}", Time::from(*begin), Time::from(*length), failure.what)
    });
    let list = list.collect::<Vec<_>>().join("; ");
    let count = counted(soak.outages.count, "outage");
    let what = format!("{count}, {} in all, in {}: {list}", Time::from(soak.outages.time), soak.summary());
    Err(Failure { what: what.into(), ..failure.clone() }.into())
}

fn slots(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let soak = soak(context, notes)?;
    let took = await_free_slots(context)?;
    let count = count_to_open(context);
    let text = format!("after {} connections {count} slots are free {}", Count(soak.conversations), when_free(took));
    let Soak { vanished, still_known, .. } = soak;
    let text = match vanished {
        0 => text,
        _ => format!(
            "{text}; of {} that vanished the server still knew {still_known}",
            counted(*vanished as u64, "client")
        ),
    };
    // Idle timeouts and retransmission end within minutes (rule T2: 300 s).
    if *still_known > 0 && soak.took >= GIVEN_UP {
        return Err(Failure::new(text)
            .because(
                "nothing ends the connection of a client that vanished: limit the idle time, or use keep-alive and a limit for \
                 retransmissions",
            )
            .into());
    }
    Ok(text)
}

fn drift(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let soak = soak(context, notes)?;
    let text = soak.early_and_late();
    let drift = match (soak.aging(), soak.drift()) {
        (Some(drift), _) => format!("a first reply takes {} more with each connection", Time::from(drift.each())),
        (None, Some(drift)) => format!("a reply takes {} more with each second", Time::from(drift.each())),
        (None, None) => return Ok(text),
    };
    Err(Failure::new(format!("{drift}: {text}")).into())
}
