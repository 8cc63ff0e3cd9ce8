//! Every probe passes on a board without a defect, and finds the board with the defect that it is for. All of it in virtual time.

#![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

mod broken;
mod conditions;
mod defect;
mod device;

use defect::Defect;
use device::{Memory, addresses};
use greet_frames::{
    host::lines,
    probes,
    run::{Verdict, applies},
};

/// What the board in memory does otherwise than the probe requires, with IPv6 or not. Each is explained in
/// `smoltcp-app/SMOLTCP.md`.
const DEVIATIONS: [(&str, bool); 4] =
    [("tcp.sws-sender", false), ("tcp.sws-sender", true), ("tcp.sws-receiver", false), ("tcp.sws-receiver", true)];

#[test]
fn the_board_without_a_defect_passes_every_probe_but_the_known_deviations() {
    let mut wrong = Vec::new();
    for is_v6 in [false, true] {
        let memory = Memory::new(Defect::none());
        for probe in probes::all().iter().filter(|probe| applies(probe, addresses(is_v6)[0])) {
            let examined = memory.examine(is_v6, probe);
            match examined.verdict {
                Verdict::Passed(text) if !DEVIATIONS.contains(&(&*probe.id(), is_v6)) => {
                    println!("{} (IPv6: {is_v6}): {text}", probe.id());
                }
                Verdict::Failed(what) | Verdict::Undecided(what) if DEVIATIONS.contains(&(&*probe.id(), is_v6)) => {
                    println!("{}: {what}", probe.id());
                }
                verdict => {
                    let frames = lines(&examined.trace, 30).join("\n  ");
                    wrong.push(format!("{} (IPv6: {is_v6}): {verdict:?}\n  {frames}", probe.id()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_board_that_does_it_in_another_way_passes() {
    let mut wrong = Vec::new();
    for (id, is_v6, make) in broken::right() {
        let probe = *probes::all().iter().find(|probe| probe.id() == id).unwrap();
        let examined = Memory::new(make()).examine(is_v6, &probe);
        if !matches!(examined.verdict, Verdict::Passed(_)) {
            let frames = lines(&examined.trace, 30).join("\n  ");
            wrong.push(format!("{id}: {:?}\n  {frames}", examined.verdict));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_probe_finds_the_board_with_its_defect() {
    let broken = broken::all();
    let mut wrong = Vec::new();
    for probe in probes::all() {
        let id = probe.id();
        let Some((_, defect)) = broken.iter().find(|(name, _)| *name == id) else {
            wrong.push(format!("{id}: no board is broken for it"));
            continue;
        };
        let is_v6 = !applies(&probe, addresses(false)[0]);
        let examined = Memory::new(defect()).examine(is_v6, &probe);
        match examined.verdict {
            Verdict::Failed(what) => println!("{id}: {what}"),
            verdict => {
                let frames = lines(&examined.trace, 30).join("\n  ");
                wrong.push(format!("{id}: {verdict:?}\n  {frames}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let ids: Vec<String> = probes::all().iter().map(|probe| probe.id()).collect();
    assert!(broken.iter().all(|(id, _)| ids.iter().any(|known| known == id)), "a defect without a probe");
}
