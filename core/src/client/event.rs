//! What a client tells its owner: its events, what it waits for, and how a conversation ended.

/// What a client tells its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'a> {
    /// `Welcome!` came.
    Greeted,
    /// `Hello, NAME!` came, right to the last byte, for this name: the oldest that was not answered.
    Reply(&'a [u8]),
    /// The other legal answer came: a stretch of its text, after `Error: `. It answers the oldest name that was not
    /// answered, if there is one.
    Error {
        /// The bytes of this stretch.
        text: &'a [u8],
        /// This stretch is the last.
        complete: bool,
    },
    /// Something came that no server owes (rule K1); the conversation is over.
    Mismatch(Mismatch<'a>),
}

/// Where what came departs from what was owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mismatch<'a> {
    /// What the bytes were to be.
    pub expected: Expected<'a>,
    /// The offset in it of the first byte that differs.
    pub offset: usize,
    /// The byte owed at that offset; `None` where nothing more was owed.
    pub owed: Option<u8>,
    /// What came instead, from that byte on.
    pub received: &'a [u8],
}

/// What a client is looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Expected<'a> {
    /// `Welcome!`, and the end of its line.
    Greeting,
    /// `Hello, NAME!` for this name, and under `line` LF.
    Reply(&'a [u8]),
    /// `Error: `, because that is how it began.
    Error,
    /// Nothing, for nothing was asked.
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
    /// The server's FIN, after `exit` (rule K2).
    End,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// In good order: everything was answered, `exit` said, and the server ended its side (rule K2).
    Complete,
    /// The server ended its side before it should have. What was awaited, if anything.
    EndedEarly(Option<WaitingFor>),
    /// This did not come in time.
    TimedOut(WaitingFor),
    /// Something came that no server owes (rule K1).
    Mismatch,
}
