//! The header of the PROXY protocol, versions 1 and 2, in which a proxy sends the address of its client: how it is read from a
//! connection.

mod header;

use core::time::Duration;
use std::{
    io::{self, ErrorKind, Read},
    net::TcpStream,
    time::Instant,
};

use tokio::{io::AsyncReadExt, time};

pub(super) use self::header::Client;
use self::header::{Step, next};

/// How long a proxy may take to send the header. The protocol's text asks for at least 3 s.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a header from a blocking socket. `None` if there is none.
pub(super) fn read(mut stream: &TcpStream, is_stopping: impl Fn() -> bool) -> Option<Client> {
    let until = Instant::now() + TIMEOUT;
    let mut header = Vec::new();
    loop {
        let missing = match next(&header) {
            Step::Read(missing) => missing,
            Step::Done(client) => {
                stream.set_read_timeout(None).ok()?;
                return Some(client);
            }
            Step::Refuse => return None,
        };
        let remaining = until.checked_duration_since(Instant::now())?;
        // At least a millisecond: zero would mean no timeout.
        stream.set_read_timeout(Some(remaining.max(Duration::from_millis(1)))).ok()?;
        let length = header.len();
        header.resize(length.saturating_add(missing), 0);
        let count = match stream.read(header.get_mut(length..).unwrap_or_default()) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted && !is_stopping() => 0,
            Ok(0) | Err(_) => return None,
        };
        header.truncate(length.saturating_add(count));
    }
}

/// As [`read`], from a socket of tokio.
pub(super) async fn read_async(stream: &mut tokio::net::TcpStream) -> Option<Client> {
    let reading = async {
        let mut header = Vec::new();
        loop {
            let missing = match next(&header) {
                Step::Read(missing) => missing,
                Step::Done(client) => return io::Result::Ok(Some(client)),
                Step::Refuse => return Ok(None),
            };
            let missing = u64::try_from(missing).unwrap_or(u64::MAX);
            if (&mut *stream).take(missing).read_buf(&mut header).await? == 0 {
                return Ok(None);
            }
        }
    };
    time::timeout(TIMEOUT, reading).await.ok()?.ok()?
}
