//! Why a stack calls the service that it polls for.

/// Why [`Stack::poll`](super::Stack::poll) calls its `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Frames may have been received since the last call.
    Received,
    /// Every socket had the chance to send a segment since the last call: an acknowledgement that was due is sent.
    Sent,
    /// A SYN for the service's port was received, and no socket listens. It is handed to the sockets after this call.
    NoListener,
}
