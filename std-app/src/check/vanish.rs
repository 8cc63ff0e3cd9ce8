//! How a client vanishes: its host takes no further segment of the connection and sends none, neither FIN nor RST.

use core::time::Duration;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use super::{explain::kind_of, failure::Kind};

/// A connection whose client has vanished. When this is dropped, the connection is reset, so that the server can free its slot.
#[derive(Debug)]
pub(crate) struct Vanished(TcpStream);

impl Vanished {
    /// From now on this host drops every segment that comes for the connection before its TCP sees it, by a socket filter. It
    /// answers none and acknowledges none. This needs no rights.
    ///
    /// # Errors
    /// The kernel accepts no filter.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        filter::drop_all(&stream)?;
        Ok(Self(stream))
    }

    /// The client is there again. Returns whether the server still knows the connection, or has given it up.
    pub(crate) fn comes_back(mut self) -> bool {
        const ANSWERED: Duration = Duration::from_secs(2);
        let _ = filter::remove(&self.0);
        let _ = self.0.set_read_timeout(Some(ANSWERED));
        if self.0.write_all(b"\n").is_err() {
            return false;
        }
        // A reset answers a segment of an unknown connection. What else comes was sent before.
        let mut buffer = [0; 1024];
        match self.0.read(&mut buffer) {
            Ok(count) => count > 0,
            Err(error) => kind_of(&error) != Kind::Reset,
        }
    }
}

impl Drop for Vanished {
    fn drop(&mut self) {
        // If this fails, the connection is closed by a FIN that is never acknowledged.
        let _ = filter::remove(&self.0);
        let _ = socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }
}

#[cfg(target_os = "linux")]
mod filter {
    use std::{io, net::TcpStream};

    use socket2::{SockFilter, SockRef};

    pub(super) fn drop_all(stream: &TcpStream) -> io::Result<()> {
        /// `BPF_RET | BPF_K`: keep this number of bytes of the packet.
        const RETURN: u16 = 0x06;
        SockRef::from(stream).attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
    }

    pub(super) fn remove(stream: &TcpStream) -> io::Result<()> {
        SockRef::from(stream).detach_filter()
    }
}

/// Elsewhere a socket has no filter.
#[cfg(not(target_os = "linux"))]
mod filter {
    use std::{io, net::TcpStream};

    pub(super) fn drop_all(_: &TcpStream) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn remove(_: &TcpStream) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_client_that_comes_back_sees_whether_the_server_still_knows_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for gives_up in [false, true] {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let server = listener.accept().unwrap().0;
            let vanished = Vanished::new(stream).unwrap();
            let server = if gives_up {
                socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
                drop(server); // its reset is dropped
                None
            } else {
                Some(server)
            };
            assert_eq!(vanished.comes_back(), !gives_up);
            drop(server);
        }
    }

    #[test]
    fn a_vanished_client_acknowledges_nothing_and_is_reset_in_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = listener.accept().unwrap().0;
        let vanished = Vanished::new(stream).unwrap();
        server.write_all(b"never acknowledged").unwrap();
        let info = crate::check::evidence::info(&server).unwrap();
        assert!(info.unacknowledged_segments > 0, "nobody acknowledges");
        drop(vanished);
        server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
