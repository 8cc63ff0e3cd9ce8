//! Results for a reader: as text, as JSON, as an HTML report. Each format has one file for each subcommand.

pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod text;
