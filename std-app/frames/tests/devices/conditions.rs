//! What a whole run finds on a lossy link and on a small board, and what it leaves behind.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use greet_frames::{
    frame::Frame,
    host::lines,
    probe::{Group, Probe, Test},
    probes,
    run::{Verdict, applies, run},
};

use crate::{
    DEVIATIONS,
    defect::Defect,
    device::{MAC, Memory, addresses, identity},
};

/// The probes of IPv4 that send frames.
fn active() -> impl Iterator<Item = Probe> {
    let is_active = |probe: &Probe| matches!(probe.test, Test::Active(_)) && applies(probe, addresses(false)[0]);
    probes::all().into_iter().filter(is_active)
}

#[test]
fn a_board_that_hears_nothing_for_some_seconds_is_found() {
    for is_v6 in [false, true] {
        let memory = Memory::new(Defect::none().ignores(|frame| frame.time < Duration::from_millis(3500)));
        let board = memory.try_discover(is_v6).unwrap();
        assert_eq!((board.mac, board.is_lossy), (MAC, false));
    }
}

#[test]
fn where_nobody_has_the_address_the_error_says_what_was_sent_and_what_came() {
    let silent = Memory::new(Defect::none().ignores(|_| true).omits(|_| true));
    let error = silent.try_discover(false).unwrap_err().to_string();
    assert!(
        error.ends_with("(4 ARP requests from 192.168.69.100 (02-00-00-00-01-00) in 8 s; no frame was received)"),
        "{error}"
    );
    // It announces its addresses, and hears nothing.
    let deaf = Memory::new(Defect::none().ignores(|_| true));
    let error = deaf.try_discover(true).unwrap_err().to_string();
    let expected =
        "(4 neighbor solicitations from fdaa::100 (02-00-00-00-01-00) in 8 s; frames received: 7, at last: IP :: > ";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_link_that_loses_a_tenth_of_the_frames_is_told_and_not_blamed_on_the_board() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut other = fastrand::Rng::with_seed(5);
    let lossy = Defect::none().ignores(move |_| random.u8(..) < 26).omits(move |_| other.u8(..) < 26);
    let memory = Memory::new(lossy);
    assert!(memory.discover(false).is_lossy);
    let mut lossy = 0;
    for probe in active().filter(|probe| !probe.long) {
        let examined = memory.examine(false, &probe);
        match examined.verdict {
            Verdict::Lossy(text) => {
                lossy += 1;
                assert!(text.ends_with("of 40 echo requests got no reply"), "{text}");
            }
            Verdict::Passed(_) | Verdict::Undecided(_) => {}
            verdict => panic!("{}: {verdict:?}\n{}", probe.id(), lines(&examined.trace, 30).join("\n")),
        }
    }
    assert!(lossy > 0);
}

#[test]
fn a_board_with_buffers_of_1_kb_fails_no_probe_that_a_large_one_passes() {
    let memory = Memory::with_buffers(Defect::none(), 1024);
    for probe in active() {
        let examined = memory.examine(false, &probe);
        let is_known = DEVIATIONS.contains(&(&*probe.id(), false));
        let is_right = matches!(examined.verdict, Verdict::Passed(_) | Verdict::Undecided(_));
        assert!(
            is_right || is_known,
            "{}: {:?}\n{}",
            probe.id(),
            examined.verdict,
            lines(&examined.trace, 30).join("\n")
        );
    }
}

#[test]
fn the_board_knows_the_mac_address_of_the_tester_at_the_end_and_nobody_else_was_told_a_wrong_one() {
    let received: Arc<Mutex<Vec<Frame>>> = Arc::default();
    let seen = Arc::clone(&received);
    let memory = Memory::new(Defect::none().receives(move |frame| {
        seen.lock().unwrap().push(frame.clone());
        vec![frame.bytes.clone()]
    }));
    let probes: Vec<Probe> = active().filter(|probe| probe.group == Group::Link).collect();
    run(&memory, &memory.discover(false), &[identity(false)], &probes, &mut |_| true).unwrap();
    let received = received.lock().unwrap();
    let last = received.last().unwrap();
    let arp = last.arp().unwrap();
    assert_eq!((arp.sender_mac, arp.sender.into()), (identity(false).mac, identity(false).address));
    let told = received.iter().filter(|frame| !frame.destination().is_unicast()).filter_map(Frame::arp);
    for arp in told {
        assert!(addresses(false)[0] != arp.sender || arp.sender_mac == MAC, "{arp:?}");
    }
}
