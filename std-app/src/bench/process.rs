//! This process: its limit of open files, and its CPU time.

#[cfg(not(unix))]
pub(super) use self::elsewhere::{allow_open_files, cpu_time};
#[cfg(unix)]
pub(super) use self::unix::{allow_open_files, cpu_time};

#[cfg(unix)]
mod unix {
    use core::time::Duration;
    use std::io;

    use nix::sys::{
        resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
        time::TimeValLike,
    };

    /// Raises this process's limit of open files to its maximum, and returns that.
    pub(in crate::bench) fn allow_open_files() -> io::Result<u64> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
            return Ok(hard);
        }
        Ok(soft)
    }

    /// The CPU time of this process.
    pub(in crate::bench) fn cpu_time() -> io::Result<Duration> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let microseconds = [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds());
        let sum = microseconds.iter().fold(0_i64, |sum, &part| sum.saturating_add(part));
        Ok(Duration::from_micros(u64::try_from(sum).unwrap_or(0)))
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use core::time::Duration;
    use std::io;

    /// Windows has no such limit.
    pub(in crate::bench) fn allow_open_files() -> io::Result<u64> {
        Ok(u64::MAX)
    }

    /// Zero: it is not measured here, so there is no warning that the load needs a whole processor.
    pub(in crate::bench) fn cpu_time() -> io::Result<Duration> {
        Ok(Duration::ZERO)
    }
}
