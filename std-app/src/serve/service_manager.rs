//! The service manager, like systemd: it may pass listening sockets, and is notified when the service is ready.

use std::{io, net::TcpListener};

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The listening sockets that the service manager has opened (`LISTEN_FDS`); none if it has not.
pub(super) fn inherited_sockets() -> io::Result<Vec<TcpListener>> {
    let mut inherited = ListenFd::from_env();
    (0..inherited.len()).filter_map(|index| inherited.take_tcp_listener(index).transpose()).collect()
}

/// The service accepts connections.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The service does not accept connections any more, and waits for those that are open.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Tells the service manager, if there is one (`NOTIFY_SOCKET`).
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("the service manager cannot be notified: {error}");
    }
}
