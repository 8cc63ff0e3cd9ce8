//! Compares the bytes that a client received with the oracle's.

use bstr::ByteSlice as _;
use greet_core::Framing;

use super::{ledger::Conversation, settings::Settings};
use crate::oracle::{Said, serve};

/// The output that the server must send to a client.
pub(super) struct Expected {
    oracle: Said,
    /// The server has read all bytes that the client sent.
    pub(super) all_read: bool,
    /// The error of rule T2, if there is an idle timeout.
    idle: Option<Vec<u8>>,
}

impl Expected {
    pub(super) fn new(conversation: &Conversation, settings: &Settings) -> Self {
        let server = settings.pool.server;
        let taken = conversation.served.as_ref().map_or(0, |served| served.taken);
        // The split of lines into reads makes no difference (F4), so the reads need not be known.
        let oracle = match server.framing {
            Framing::Line => serve(Framing::Line, settings.capacity, &[&conversation.sent]),
            framing => serve(framing, settings.capacity, &conversation.reads()),
        };
        let all_read = taken == conversation.sent.len();
        let idle = server.idle_timeout.map(|idle| format!("Error: idle for {} s", idle.as_secs()).into_bytes());
        Self { oracle, all_read, idle }
    }

    /// Whether the client has received all replies to what it has sent.
    pub(super) fn is_answered(&self, conversation: &Conversation) -> bool {
        self.all_read && conversation.received.len() >= self.oracle.output.len()
    }

    /// Whether the client has sent `exit`.
    pub(super) const fn exit(&self) -> bool {
        self.oracle.exit
    }

    /// Describes what is wrong with the received bytes, if anything. `finished`: the server's FIN was received.
    pub(super) fn wrong(&self, conversation: &Conversation, finished: bool) -> Option<String> {
        let received = &conversation.received;
        let mut expected = self.oracle.output.clone();
        if conversation.ended && self.all_read && !self.oracle.exit {
            expected.extend(&self.oracle.farewell);
        }
        if expected.starts_with(received) {
            if !finished {
                return None;
            }
            let complete = expected.len() == received.len();
            let may_end = self.oracle.exit || (conversation.ended && self.all_read);
            return match (complete, may_end) {
                (true, true) => None,
                (true, false) => Some("the server ends its side without a reason".into()),
                (false, _) => Some(difference(&expected, received)),
            };
        }
        if self.is_idle_error(&expected, received, finished) { None } else { Some(difference(&expected, received)) }
    }

    /// Whether the client received some complete replies, and then the error of rule T2 or its beginning.
    fn is_idle_error(&self, expected: &[u8], received: &[u8], finished: bool) -> bool {
        let Some(idle) = &self.idle else { return false };
        let same = expected.iter().zip(received).take_while(|(expected, received)| expected == received).count();
        // An expected error reply may begin with the same bytes as the error of T2.
        (0..=same).rev().take(idle.len()).any(|start| {
            let error = &received[start..];
            let whole = expected[..start].last().is_some_and(|&last| b"!\n8s".contains(&last));
            let text = [&idle[..], b"\n"].concat();
            let all = error == &idle[..] || error == &text[..];
            whole && if finished { all } else { text.starts_with(error) }
        })
    }
}

fn difference(expected: &[u8], received: &[u8]) -> String {
    let offset = expected.iter().zip(received).take_while(|(expected, received)| expected == received).count();
    let near = |bytes: &[u8]| bytes[offset..].iter().copied().take(60).collect::<Vec<u8>>();
    format!(
        "at byte {offset} of the replies: expected {:?}, received {:?}",
        near(expected).as_bstr(),
        near(received).as_bstr(),
    )
}
