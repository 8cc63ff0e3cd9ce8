//! The process on this host that listens at an address, as far as /proc shows it.

use core::net::{IpAddr, SocketAddr};
use std::{fs, path::Path};

/// The state LISTEN in /proc/net/tcp.
const LISTEN: &str = "0A";

/// The name of the process, if it runs on this host and this user may see it.
pub(crate) fn listener(address: SocketAddr) -> Option<String> {
    if !address.ip().is_loopback() {
        return None;
    }
    let table = match address.ip() {
        IpAddr::V4(_) => "/proc/net/tcp",
        IpAddr::V6(_) => "/proc/net/tcp6",
    };
    // A socket for both families is listed only under IPv6.
    let inode = [table, "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, address.port()))?;
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
        let process = entry.path();
        let owns = owns_socket(&process, &socket).unwrap_or(false);
        owns.then(|| fs::read_to_string(process.join("comm")).ok().map(|name| name.trim_end().to_owned())).flatten()
    })
}

/// The inode of the socket that listens on `port`, in the text of /proc/net/tcp.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state, inode) = (fields.nth(1)?, fields.nth(1)?, fields.nth(5)?);
        let (_, local_port) = local.rsplit_once(':')?;
        let matches = state == LISTEN && u16::from_str_radix(local_port, 16).ok()? == port;
        matches.then(|| inode.parse().ok()).flatten()
    })
}

fn owns_socket(process: &Path, socket: &str) -> Option<bool> {
    let descriptors = fs::read_dir(process.join("fd")).ok()?;
    Some(
        descriptors
            .filter_map(Result::ok)
            .any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == socket)),
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_process_that_listens_is_found() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap()).as_deref(), Some(own.trim_end()));
        let address = socket.local_addr().unwrap();
        drop(socket);
        assert_eq!(listener(address), None);
    }

    #[test]
    fn the_inode_is_taken_from_the_line_that_listens() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:270F 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n   \
            1: 0100007F:270F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n";
        assert_eq!(listening_inode(table, 9999), Some(4711));
        assert_eq!(listening_inode(table, 9998), None);
    }
}
