//! Whether what a client heard is right: compared with the oracle, byte by byte.

use bstr::ByteSlice as _;
use greet_core::Framing;

use super::{ledger::Conversation, settings::Settings};
use crate::oracle::{Said, serve};

/// What the server owes a client.
pub(super) struct Owed {
    said: Said,
    /// All that the client said was read, as far as it is to be.
    pub(super) all_read: bool,
    /// The error of rule T2, where there is an idle timeout.
    idle: Option<Vec<u8>>,
}

impl Owed {
    pub(super) fn new(conversation: &Conversation, settings: &Settings) -> Self {
        let server = settings.pool.server;
        let taken = conversation.served.as_ref().map_or(0, |served| served.taken);
        // How lines are cut makes no difference (F4), so that nothing has to be known of the server there.
        let said = match server.framing {
            Framing::Line => serve(Framing::Line, settings.capacity, &[&conversation.said]),
            framing => serve(framing, settings.capacity, &conversation.reads()),
        };
        let all_read = taken == conversation.said.len();
        let idle = server.idle_timeout.map(|idle| format!("Error: idle for {} s", idle.as_secs()).into_bytes());
        Self { said, all_read, idle }
    }

    /// All replies to what was said so far are there.
    pub(super) fn is_heard(&self, conversation: &Conversation) -> bool {
        self.all_read && conversation.heard.len() >= self.said.output.len()
    }

    /// The server has heard a good-bye.
    pub(super) const fn exit(&self) -> bool {
        self.said.exit
    }

    /// What is wrong with what the client has heard; `finished` says that nothing more can come.
    pub(super) fn wrong(&self, conversation: &Conversation, finished: bool) -> Option<String> {
        let heard = &conversation.heard;
        let mut owed = self.said.output.clone();
        if conversation.ended && self.all_read && !self.said.exit {
            owed.extend(&self.said.farewell);
        }
        if owed.starts_with(heard) {
            if !finished {
                return None;
            }
            let complete = owed.len() == heard.len();
            let entitled = self.said.exit || (conversation.ended && self.all_read);
            return match (complete, entitled) {
                (true, true) => None,
                (true, false) => Some("the server ends its side, and was given no reason to".into()),
                (false, _) => Some(difference(&owed, heard)),
            };
        }
        if self.is_idle_error(&owed, heard, finished) { None } else { Some(difference(&owed, heard)) }
    }

    /// Whether it heard some replies whole, and then the error of rule T2 or the beginning of it.
    fn is_idle_error(&self, owed: &[u8], heard: &[u8], finished: bool) -> bool {
        let Some(idle) = &self.idle else { return false };
        let same = owed.iter().zip(heard).take_while(|(owed, heard)| owed == heard).count();
        // An error that was owed may begin as this one does.
        (0..=same).rev().take(idle.len()).any(|start| {
            let error = &heard[start..];
            let whole = owed[..start].last().is_some_and(|&last| b"!\n8s".contains(&last));
            let text = [&idle[..], b"\n"].concat();
            let all = error == &idle[..] || error == &text[..];
            whole && if finished { all } else { text.starts_with(error) }
        })
    }
}

fn difference(owed: &[u8], heard: &[u8]) -> String {
    let offset = owed.iter().zip(heard).take_while(|(owed, heard)| owed == heard).count();
    let near = |bytes: &[u8]| bytes[offset..].iter().copied().take(60).collect::<Vec<u8>>();
    format!(
        "at byte {offset} of the replies: expected {:?}, received {:?}",
        near(owed).as_bstr(),
        near(heard).as_bstr(),
    )
}
