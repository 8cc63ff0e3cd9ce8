//! A TCP segment as the ledger records it, and which end of the link has sent it.

use smoltcp::wire::{IpEndpoint, TcpControl, TcpSeqNumber};

/// The fields of a TCP segment that the ledger checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) source: IpEndpoint,
    pub(super) destination: IpEndpoint,
    pub(super) control: TcpControl,
    pub(super) sequence: TcpSeqNumber,
    pub(super) acknowledged: Option<TcpSeqNumber>,
    pub(super) length: usize,
    pub(super) window: u16,
}

/// The owner of a device: the server, or the client with this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client(usize),
}
