//! `greet chat`: being written.
use crate::options::ChatOptions;
pub(crate) fn run(_: &ChatOptions) -> Result<(), String> {
    Err("chat is not there yet".to_owned())
}
