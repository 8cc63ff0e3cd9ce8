//! What this host itself does to a measurement: CPU pressure, and retransmissions of its own TCP stack.

use core::{fmt, time::Duration};
use std::{fs, io, net::TcpStream, time::Instant};

use super::evidence;

/// Watches the host's CPUs from its creation on.
#[derive(Debug)]
pub(crate) struct CpuPressure {
    begin: Instant,
    /// Time in which some task waited for a CPU; `None` where the kernel does not tell.
    waited: Option<Duration>,
}

impl CpuPressure {
    pub(crate) fn watch() -> Self {
        Self { begin: Instant::now(), waited: waited() }
    }

    /// Whether tasks waited for a CPU for a fifth of the time or more.
    pub(crate) fn is_high(&self) -> bool {
        const HIGH: u32 = 5;
        let waited = waited().zip(self.waited).map(|(now, then)| now.saturating_sub(then));
        waited.is_some_and(|waited| waited * HIGH >= self.begin.elapsed())
    }
}

/// Total time in which some task of the host waited for a CPU. Where the kernel does not count that, the time in which this
/// thread did.
fn waited() -> Option<Duration> {
    let pressure = fs::read_to_string("/proc/pressure/cpu").ok();
    pressure.as_deref().and_then(total_pressure).or_else(|| {
        let statistics = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        statistics.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
    })
}

/// The total of the line `some` of a pressure file, which is in microseconds.
fn total_pressure(file: &str) -> Option<Duration> {
    let some = file.lines().find(|line| line.starts_with("some "))?;
    some.rsplit_once("total=")?.1.trim().parse().ok().map(Duration::from_micros)
}

/// The number of segments that this host's TCP has retransmitted on the connection.
///
/// # Errors
/// Those of the system call.
pub(crate) fn retransmissions(stream: &TcpStream) -> io::Result<u32> {
    evidence::info(stream).map(|info| info.all_retransmissions)
}

/// What this host did during a measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    /// Tasks waited for a CPU.
    pub(crate) is_busy: bool,
    /// Segments that its TCP sent again.
    pub(crate) retransmissions: u32,
}

impl Host {
    /// Whether as many delays as that may be its own: it is busy, and has retransmitted for at least half of them. It does so
    /// when an ACK is processed too late; some stacks then wait for their own retransmission timer.
    pub(crate) const fn explains(self, delays: usize) -> bool {
        self.is_busy && 2 * self.retransmissions as usize >= delays
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { retransmissions, .. } = self;
        write!(
            formatter,
            "this host is busy and retransmitted {retransmissions} segments: measure again on an idle host"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_total_is_that_of_some_task() {
        let file = "some avg10=98.95 avg60=99.33 avg300=95.32 total=978111056\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(total_pressure(file), Some(Duration::from_micros(978_111_056)));
        assert_eq!(total_pressure(""), None);
    }

    #[test]
    fn nothing_is_retransmitted_on_a_loopback_device() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(retransmissions(&stream).unwrap(), 0);
    }

    #[test]
    fn delays_are_the_hosts_own_only_if_it_is_busy_and_has_retransmitted() {
        for (is_busy, retransmissions, expected) in
            [(true, 5, true), (true, 2, false), (false, 5, false), (true, 0, false)]
        {
            let host = Host { is_busy, retransmissions };
            assert_eq!(host.explains(8), expected, "{host:?}");
        }
    }
}
