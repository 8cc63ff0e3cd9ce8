//! Evidence for a failure: what this host's TCP knows about the connection (`TCP_INFO`), in plain sentences.

mod kernel;

use core::time::Duration;
use std::net::TcpStream;

pub(crate) use self::kernel::info;

use crate::export::number::{Count, Time, counted};

/// The kernel's state of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// Bytes that were sent for the first time.
    pub(crate) sent: u64,
    /// Bytes that the server acknowledged.
    pub(crate) acknowledged: u64,
    /// Bytes that were received.
    pub(crate) received: u64,
    /// Segments with data that were sent.
    pub(crate) segments_sent: u32,
    /// Segments with data that were received; zero if the kernel does not count them.
    pub(crate) segments_received: u32,
    /// Segments that were sent and not acknowledged.
    pub(crate) unacknowledged_segments: u32,
    /// Bytes that the kernel has not sent yet.
    pub(crate) unsent: u32,
    /// How often the first unacknowledged segment was sent again.
    pub(crate) retransmissions: u32,
    /// The number of all segments that were sent again.
    pub(crate) all_retransmissions: u32,
    /// Segments came that follow others which are missing.
    pub(crate) has_gaps: bool,
    /// The window that the server announced last, in bytes.
    pub(crate) window: u32,
    /// Number of zero-window probes without an answer.
    pub(crate) window_probes: u32,
    /// The largest segment that is sent, in bytes of payload.
    pub(crate) segment: u32,
    /// The MTU of the route, in bytes.
    pub(crate) path_mtu: u32,
    /// Each segment has timestamps.
    pub(crate) has_timestamps: bool,
    /// Since the last ACK.
    pub(crate) since_ack: Duration,
    /// Since the last data from the server; `None` if there was none.
    pub(crate) since_data: Option<Duration>,
}

/// The sending side of a connection, at the moment of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sending {
    /// Bytes that the program wrote and the kernel sent at least once.
    sent: u64,
    /// Of these, the bytes that were not acknowledged.
    unacknowledged: u64,
    /// Bytes that the kernel has not sent yet.
    unsent: u64,
    /// How often the first unacknowledged segment was sent again.
    retransmissions: u32,
    /// The window that the server announced last, in bytes.
    window: u32,
    /// Number of zero-window probes without an answer.
    window_probes: u32,
    /// The largest segment that is sent, in bytes of payload.
    segment: u32,
    /// Since the last ACK.
    since_ack: Duration,
    /// Since the last data from the server; `None` if there was none.
    since_data: Option<Duration>,
}

impl Sending {
    fn of(stream: &TcpStream) -> Option<Self> {
        let info = info(stream).ok()?;
        let unacknowledged = info.sent.saturating_sub(info.acknowledged).max(1);
        Some(Self {
            sent: info.sent,
            unacknowledged: if info.unacknowledged_segments == 0 { 0 } else { unacknowledged },
            unsent: info.unsent.into(),
            retransmissions: info.retransmissions,
            window: info.window,
            window_probes: info.window_probes,
            segment: info.segment,
            since_ack: info.since_ack,
            since_data: info.since_data,
        })
    }

    fn evidence(&self) -> Option<Evidence> {
        let bytes = |count: u64| counted(count, "byte");
        if self.retransmissions > 0 && self.unacknowledged > 0 {
            return Some(Evidence {
                text: format!(
                    "{} were sent again {} and never acknowledged, {} were acknowledged before; the last ACK came {} ago",
                    bytes(self.unacknowledged),
                    times(self.retransmissions),
                    bytes(self.sent.saturating_sub(self.unacknowledged)),
                    Time::from(self.since_ack)
                ),
                cause: Some(
                    "nothing is acknowledged any more: the server's stack or driver stands still, or the link is down"
                        .to_owned(),
                ),
                is_unacknowledged: true,
            });
        }
        if self.unsent > 0 && (self.window < self.segment || self.window_probes > 0) {
            return Some(Evidence {
                text: format!(
                    "the server acknowledged {} and closed its window ({} bytes left); {} wait to be sent; its last ACK came {} \
                     ago",
                    bytes(self.sent),
                    Count(self.window.into()),
                    bytes(self.unsent),
                    Time::from(self.since_ack)
                ),
                cause: Some(
                    "the server's stack works, and its program has stopped reading: the task is stuck, or waits until its own \
                     replies are read"
                        .to_owned(),
                ),
                is_unacknowledged: false,
            });
        }
        if self.unacknowledged > 0 || self.unsent > 0 {
            return Some(Evidence::of_text(format!(
                "{} were acknowledged, {} are under way or wait to be sent: the connection is slow, not broken",
                bytes(self.sent.saturating_sub(self.unacknowledged)),
                bytes(self.unacknowledged + self.unsent)
            )));
        }
        let last = self.since_data.map_or_else(
            || "no data ever came".to_owned(),
            |since| format!("the last data came {} ago", Time::from(since)),
        );
        (self.sent > 0).then(|| {
            Evidence::of_text(format!(
                "the server's stack acknowledged all {}, and its program answered nothing more, or the answer is lost; {last}",
                bytes(self.sent)
            ))
        })
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// What the kernel saw, and what it points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// One sentence.
    pub(crate) text: String,
    /// The cause, if the kernel's state shows it.
    pub(crate) cause: Option<String>,
    /// What was sent last is not acknowledged.
    pub(crate) is_unacknowledged: bool,
}

impl Evidence {
    const fn of_text(text: String) -> Self {
        Self { text, cause: None, is_unacknowledged: false }
    }

    /// Of a connection on which an answer did not come.
    pub(crate) fn of(stream: &TcpStream) -> Option<Self> {
        Sending::of(stream)?.evidence()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sending: Sending) -> String {
        sending.evidence().map_or_else(String::new, |evidence| {
            format!("{} / {} / {:?}", evidence.text, evidence.cause.unwrap_or_default(), evidence.is_unacknowledged)
        })
    }

    #[test]
    fn each_state_of_the_sending_side_has_its_sentence() {
        let seconds = Duration::from_secs;
        let open = Sending { sent: 3000, window: 8192, segment: 1460, since_ack: seconds(10), ..Sending::default() };
        for (sending, parts) in [
            (
                Sending { since_data: Some(seconds(10)), ..open },
                ["acknowledged all 3,000 bytes", "its program answered nothing"],
            ),
            (Sending { unacknowledged: 1460, retransmissions: 5, ..open }, ["sent again 5 times", "true"]),
            (
                Sending { unacknowledged: 7, retransmissions: 1, ..open },
                ["7 bytes were sent again once", "nothing is acknowledged any more"],
            ),
            (Sending { unsent: 9000, window: 0, ..open }, ["closed its window (0 bytes left)", "stopped reading"]),
            (
                Sending { unsent: 9000, unacknowledged: 1460, ..open },
                ["10,460 bytes are under way", "slow, not broken"],
            ),
        ] {
            let text = text(sending);
            for part in parts {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        assert_eq!(text(Sending::default()), "", "nothing was sent");
    }

    #[test]
    fn the_kernel_counts_what_was_sent_and_acknowledged() {
        use std::{
            io::{Read, Write},
            net::TcpListener,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut accepted = listener.accept().unwrap().0;
        stream.write_all(b"twelve bytes").unwrap();
        accepted.read_exact(&mut [0; 12]).unwrap();
        let sending = Sending::of(&stream).unwrap();
        assert_eq!((sending.sent, sending.unsent, sending.retransmissions), (12, 0, 0), "{sending:?}");
        assert!(sending.evidence().is_some(), "{sending:?}");
    }
}
