//! The TCP sockets of a load: how they are opened, with the options that the command line sets.

use core::net::SocketAddr;
use std::io;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

use super::options::SocketArgs;
use crate::socket;

/// An option that the kernel does not accept.
#[derive(Debug, Error)]
pub(crate) enum SocketError {
    #[error("a socket cannot be opened ({0}): check this host's network")]
    Open(io::Error),
    #[error("--mss {mss}: the kernel does not accept this segment size ({error}): use another value")]
    Mss { mss: u32, error: io::Error },
    #[error("--window {window}: the kernel does not accept this buffer size ({error}): use a smaller one")]
    Window { window: usize, error: io::Error },
    #[error(
        "--window {window}: the kernel allows {allowed} bytes: use a smaller window, or raise net.core.rmem_max and \
         net.core.wmem_max with sysctl"
    )]
    WindowLimit { window: usize, allowed: usize },
    #[error("--interface {interface}: {error}: `ip link` lists the interfaces of this host")]
    Interface { interface: String, error: io::Error },
    #[error("--bind {address}: {error}: `ip address` lists the addresses of this host")]
    Bind { address: core::net::IpAddr, error: io::Error },
}

impl SocketArgs {
    /// Opens a socket with these options for connections to `peer`.
    fn socket(&self, peer: SocketAddr) -> Result<Socket, SocketError> {
        let socket =
            Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP)).map_err(SocketError::Open)?;
        socket.set_nonblocking(true).map_err(SocketError::Open)?;
        if let Some(mss) = self.mss {
            socket::set_mss(&socket, mss).map_err(|error| SocketError::Mss { mss, error })?;
        }
        if let Some(window) = self.window {
            let window = window.get();
            let set = socket.set_recv_buffer_size(window).and_then(|()| socket.set_send_buffer_size(window));
            set.map_err(|error| SocketError::Window { window, error })?;
        }
        if let Some(interface) = &self.interface {
            socket::bind_device(&socket, interface)
                .map_err(|error| SocketError::Interface { interface: interface.clone(), error })?;
        }
        if let Some(address) = self.bind {
            let local = SockAddr::from(SocketAddr::new(address, 0));
            socket.bind(&local).map_err(|error| SocketError::Bind { address, error })?;
        }
        Ok(socket)
    }

    /// Checks that the kernel accepts these options for connections to `peer`.
    ///
    /// # Errors
    /// The option that is not accepted, or that the kernel silently limits.
    pub(super) fn check(&self, peer: SocketAddr) -> Result<(), SocketError> {
        let socket = self.socket(peer)?;
        if let Some(window) = self.window {
            // Linux reports twice the size, because it adds room for its own data.
            let size = socket.recv_buffer_size().and_then(|receive| Ok(receive.min(socket.send_buffer_size()?)));
            let allowed = size.map_err(SocketError::Open)?.div_euclid(2);
            if allowed < window.get() {
                return Err(SocketError::WindowLimit { window: window.get(), allowed });
            }
        }
        Ok(())
    }

    /// Starts to connect.
    pub(super) fn connect(&self, peer: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(peer).map_err(io::Error::other)?;
        match socket.connect(&peer.into()) {
            Err(error) if socket::is_connecting(&error) => {}
            connected => connected?,
        }
        Ok(TcpStream::from_std(socket.into()))
    }
}
