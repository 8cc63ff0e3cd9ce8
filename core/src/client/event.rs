//! What a client reports: its events, what it waits for, and the outcome of its conversation.

/// An event of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'a> {
    /// The greeting `Welcome!` was received.
    Greeted,
    /// The complete reply to this name was received: `Hello, NAME!`, or from an echo server the name itself. Names are answered in
    /// the order in which they were sent.
    Reply(&'a [u8]),
    /// A part of an error reply was received. It answers the oldest unanswered name, if there is one.
    Error {
        /// This part of the text after `Error: `.
        text: &'a [u8],
        /// Whether this is the last part.
        complete: bool,
    },
    /// A byte was received that no server may send here (rules K1 and B6). The conversation is over.
    Mismatch(Mismatch<'a>),
}

/// The first byte that differs from what the server had to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mismatch<'a> {
    /// What the client expected.
    pub expected: Expected<'a>,
    /// The offset of that byte in what was expected.
    pub offset: usize,
    /// The expected byte at that offset; `None` if no byte was expected.
    pub owed: Option<u8>,
    /// The received bytes, from that byte on.
    pub received: &'a [u8],
}

/// What a client expects to receive next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Expected<'a> {
    /// `Welcome!`, and the end of its line.
    Greeting,
    /// The reply to this name: `Hello, NAME!`, or from an echo server the name itself; under `line` an LF follows.
    Reply(&'a [u8]),
    /// `Error: `, because its first byte was received.
    Error,
    /// No byte: every name is answered.
    Nothing,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WaitingFor {
    /// The greeting.
    Greeting,
    /// The reply to a name.
    Reply,
    /// The server's FIN, after `exit` (rule K2); from an echo server after this side's FIN (rule B4).
    End,
}

/// The outcome of a client's conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// Success: every name was answered, this side ended the conversation, and the server sent its FIN (rules K2 and B4).
    Complete,
    /// The server sent its FIN too early. The client was waiting for this, if for anything.
    EndedEarly(Option<WaitingFor>),
    /// The timeout expired while the client was waiting for this.
    TimedOut(WaitingFor),
    /// A byte was received that no server may send (rules K1 and B6).
    Mismatch,
}
