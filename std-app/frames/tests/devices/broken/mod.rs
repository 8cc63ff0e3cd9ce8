//! A defect for each probe.

mod change;
mod closing;
mod data;
mod internet;
mod link;
mod ndp;
mod neighbors;
mod opening;
mod path;
mod timers;

use super::defect::Defect;

/// Makes a defect.
pub(crate) type Make = fn() -> Defect;

/// The id of each probe, with the board that it must find.
pub(crate) fn all() -> Vec<(&'static str, Make)> {
    [
        link::defects(),
        ndp::defects(),
        neighbors::defects(),
        internet::defects(),
        path::defects(),
        opening::defects(),
        data::defects(),
        timers::defects(),
        closing::defects(),
    ]
    .concat()
}

/// Boards that do something in another way than the one in memory, or do what it lacks: with IPv6 or not, each passes its probe.
pub(crate) fn right() -> Vec<(&'static str, bool, Make)> {
    vec![
        ("link.neighbor-queue", false, || neighbors::resolves_first(usize::MAX)),
        ("link.neighbor-two", false, || neighbors::resolves_first(usize::MAX)),
        ("ip.next-header-none", true, path::ignores_nothing),
        ("tcp.sws-sender", false, || timers::waits_for_window(12)),
        ("tcp.sws-receiver", false, || timers::offers_window(1460)),
        ("ip.fragment-header", true, || path::reassembles_ipv6(true)),
        ("ip.fragment-atomic", true, || path::reassembles_ipv6(true)),
        ("ip.fragment-header-overlap", true, || path::reassembles_ipv6(true)),
    ]
}
