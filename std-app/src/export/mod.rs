//! Results for a reader: as text, as JSON, as JUnit XML, as an HTML report. Each format has one file for each subcommand.

pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod number;
pub(crate) mod text;
