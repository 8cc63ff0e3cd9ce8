//! What measurements are reported in: a page that needs no network, charts, JSON, and numbers as people read them.

pub mod chart;
pub mod html;
pub mod json;
pub mod latency;
pub mod number;
pub mod page;

pub use self::{
    html::Html,
    latency::Latency,
    page::{Page, Verdict},
};
