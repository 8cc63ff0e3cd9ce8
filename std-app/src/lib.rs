//! What `greet check` and `greet bench` report with: numbers, percentiles, charts, HTML.

pub mod report;
