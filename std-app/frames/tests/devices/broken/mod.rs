//! A defect for each probe.

mod change;
mod closing;
mod data;
mod internet;
mod link;
mod ndp;
mod opening;
mod timers;

use super::defect::Defect;

/// Makes a defect.
pub(crate) type Make = fn() -> Defect;

/// The id of each probe, with the board that it must find.
pub(crate) fn all() -> Vec<(&'static str, Make)> {
    [
        link::defects(),
        ndp::defects(),
        internet::defects(),
        opening::defects(),
        data::defects(),
        timers::defects(),
        closing::defects(),
    ]
    .concat()
}
