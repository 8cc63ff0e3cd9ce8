//! What the kernel knows about a connection (`TCP_INFO`). Only Linux tells it here; without it a failure has no evidence.

use std::{io, net::TcpStream};

use super::Info;

/// The state of a connection.
///
/// # Errors
/// Those of the system call. Elsewhere than on Linux always `Unsupported`.
#[cfg(target_os = "linux")]
pub(crate) fn info(stream: &TcpStream) -> io::Result<Info> {
    use core::{mem, time::Duration};
    use std::os::fd::AsRawFd;

    use nix::libc;

    const TIMESTAMPS: u8 = 1;
    // SAFETY: `tcp_info` consists of integers, for which zero is a value. An older kernel does not set the last fields: they stay zero.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut size = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
    // SAFETY: `info` is `size` bytes long and writable, and the descriptor is open as long as `stream` is borrowed.
    let status = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut size)
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Info {
        sent: info.tcpi_bytes_sent.saturating_sub(info.tcpi_bytes_retrans),
        // The SYN counts as a byte that was acknowledged.
        acknowledged: info.tcpi_bytes_acked.saturating_sub(1),
        received: info.tcpi_bytes_received,
        segments_sent: info.tcpi_data_segs_out,
        segments_received: info.tcpi_data_segs_in,
        unacknowledged_segments: info.tcpi_unacked,
        unsent: info.tcpi_notsent_bytes,
        retransmissions: info.tcpi_retransmits.into(),
        all_retransmissions: info.tcpi_total_retrans,
        has_gaps: info.tcpi_rcv_ooopack > 0,
        window: info.tcpi_snd_wnd,
        window_probes: info.tcpi_probes.into(),
        segment: info.tcpi_snd_mss,
        path_mtu: info.tcpi_pmtu,
        has_timestamps: info.tcpi_options & TIMESTAMPS != 0,
        since_ack: Duration::from_millis(info.tcpi_last_ack_recv.into()),
        since_data: (info.tcpi_bytes_received > 0).then(|| Duration::from_millis(info.tcpi_last_data_recv.into())),
    })
}

/// The same.
#[cfg(not(target_os = "linux"))]
pub(crate) fn info(_: &TcpStream) -> io::Result<Info> {
    Err(io::ErrorKind::Unsupported.into())
}
