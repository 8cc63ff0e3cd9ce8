//! This process: its limit of open files, and its CPU time.

use core::time::Duration;
use std::io;

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
    time::TimeValLike,
};

/// Raises this process's limit of open files to its maximum, and returns that.
pub(super) fn allow_open_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Ok(hard);
    }
    Ok(soft)
}

/// The CPU time of this process.
pub(super) fn cpu_time() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let microseconds = [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds());
    let sum = microseconds.iter().fold(0_i64, |sum, &part| sum.saturating_add(part));
    Ok(Duration::from_micros(u64::try_from(sum).unwrap_or(0)))
}
