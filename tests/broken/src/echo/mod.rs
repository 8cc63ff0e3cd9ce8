//! Echo servers (RFC 862) with one defect each, as the examples of board vendors have them.

mod bytes;
mod server;

pub(crate) use server::serve;

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// What does not fit into the send buffer of 2,920 bytes is dropped.
    DropsWhatDoesNotFit,
    /// Of each segment the first 536 bytes are sent back: the first buffer of a chain.
    FirstBufferOnly,
    /// Each read is sent back when the next one has come.
    OneBehind,
    /// As many bytes are sent as in the longest read so far.
    StaleTail,
    /// The first 4 bytes of a connection are lost.
    LosesFirstBytes,
    /// A read of exactly 2,048 bytes, the whole buffer, is lost.
    LosesFullBuffer,
    /// Every 50th write is repeated.
    Repeats,
    /// If the length of a read is odd, the 16-bit halves of its last whole word are swapped.
    SwapsHalves,
    /// The byte at the end of a ring buffer of 2,048 bytes is that of the previous round.
    RingWrap,
    /// NULs are removed.
    StripsNul,
    /// A read ends at its first NUL.
    NulTerminated,
    /// A NUL follows each write.
    AddsNul,
    /// Line feeds are removed.
    StripsLineFeed,
    /// CR is added before each line feed.
    AddsCarriageReturn,
    /// The top bit of each byte is cleared.
    SevenBits,
    /// The byte 0xFF ends the connection: it is taken for the end of the input.
    EndsAt255,
    /// Invalid UTF-8 ends the connection.
    Utf8Crash,
    /// A backspace removes the byte before it, as on a terminal.
    EditsLines,
    /// Bytes are sent back when their line is complete.
    WaitsForLine,
    /// Each read is sent back in reverse.
    Reverses,
    /// `echo: ` precedes each write.
    AddsPrefix,
    /// A line of text is sent before the client sends anything.
    GreetsFirst,
    /// Nothing is sent after 65,535 bytes of a connection.
    StopsAt65535,
    /// All connections end after 1 MiB together.
    DeadAfterMebibyte,
    /// No client is accepted after the first 100.
    DeadAfter100,
    /// One client is served; the next connection is reset.
    RefusesSecond,
    /// All clients share one buffer.
    SharedBuffer,
    /// One task writes for all clients, and waits for the slowest reader.
    OneWriter,
    /// After the client's FIN the connection stays open.
    NoFin,
    /// When the client closes its side, the connection is closed without the rest of the bytes.
    HalfCloseDrops,
    /// The slot of a client that resets is never free again.
    LeakOnReset,
    /// A client that is silent for 2 s is disconnected.
    ShortIdleTimeout,
    /// A write that blocks never continues.
    StuckAfterStop,
    /// Bytes are sent back by a timer of 10 ms.
    Tick,
    /// A read is sent back in two writes, with Nagle's algorithm on.
    Nagle,
    /// Each byte is sent alone, by a timer.
    ByteByByte,
    /// One segment is sent each 200 ms.
    SlowSegments,
    /// A read is sent back up to its first 127 bytes.
    CutAt127,
}

/// Every defect: the server's name, the probe that has to find it, and a part of the cause that it has to name first.
pub(crate) const DEFECTS: [(&str, Defect, &str, &str); 0] = [];
