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
    /// Each byte is sent in its own segment, by a timer.
    ByteByByte,
    /// One segment is sent each 200 ms.
    SlowSegments,
    /// A read is sent back up to its first 127 bytes.
    CutAt127,
    /// In a read of more than 1,024 bytes the bytes of each word of 16 bits are swapped.
    SwapsPairs,
    /// A read of less than 4 bytes is padded with NULs.
    PadsShort,
    /// The byte at the end of a ring buffer of 300 bytes is that of the previous round.
    Ring300,
}

/// Every defect: the server's name, the probe that has to find it, and a part of the cause that it has to name first.
pub(crate) const DEFECTS: [(&str, Defect, &str, &str); 41] = [
    ("echo-slow-segments", Defect::SlowSegments, "time.throughput", "200 ms"), // early: it takes long
    ("echo-byte-by-byte", Defect::ByteByByte, "reach.reply", "comes in pieces"), // likewise
    (
        "echo-drops-what-does-not-fit",
        Defect::DropsWhatDoesNotFit,
        "echo.in-flight",
        "goes on receiving when its send buffer is full",
    ),
    ("echo-first-buffer-only", Defect::FirstBufferOnly, "echo.in-flight", "of each segment only the first 536 bytes"),
    ("echo-cut-at-127", Defect::CutAt127, "echo.in-flight", "a byte is kept for a NUL"),
    ("echo-one-behind", Defect::OneBehind, "reach.service", "until the next message"),
    ("echo-stale-tail", Defect::StaleTail, "reach.reply", "bytes of an earlier message follow"),
    ("echo-loses-first-bytes", Defect::LosesFirstBytes, "reach.reply", "first 4 bytes of the connection are lost"),
    ("echo-loses-full-buffer", Defect::LosesFullBuffer, "echo.in-flight", "fills a buffer of 2048 bytes completely"),
    ("echo-repeats", Defect::Repeats, "stream.lengths", "come again"),
    ("echo-swaps-halves", Defect::SwapsHalves, "reach.reply", "16-bit halves of a word"),
    ("echo-ring-wrap", Defect::RingWrap, "stream.lengths", "multiple of 2048"),
    ("echo-strips-nul", Defect::StripsNul, "echo.text", "NUL"),
    ("echo-nul-terminated", Defect::NulTerminated, "echo.text", "C string"),
    ("echo-adds-nul", Defect::AddsNul, "reach.reply", "NUL of a C string"),
    ("echo-strips-line-feed", Defect::StripsLineFeed, "echo.text", "line ends are dropped"),
    ("echo-adds-carriage-return", Defect::AddsCarriageReturn, "echo.text", "CR LF"),
    ("echo-seven-bits", Defect::SevenBits, "echo.bytes", "highest bit is cleared"),
    ("echo-ends-at-255", Defect::EndsAt255, "echo.bytes", "EOF is -1"),
    ("echo-utf8-crash", Defect::Utf8Crash, "echo.text", "UTF-8"),
    ("echo-edits-lines", Defect::EditsLines, "echo.text", "as on a terminal"),
    ("echo-waits-for-line", Defect::WaitsForLine, "reach.reply", "waits for a line end"),
    ("echo-reverses", Defect::Reverses, "reach.service", "exactly the bytes"),
    ("echo-adds-prefix", Defect::AddsPrefix, "reach.service", "exactly the bytes"),
    ("echo-greets-first", Defect::GreetsFirst, "reach.service", "greeting"),
    ("echo-stops-at-65535", Defect::StopsAt65535, "stream.lengths", "a counter of 16 bits overflows"),
    ("echo-dead-after-mebibyte", Defect::DeadAfterMebibyte, "stream.sizes", "look for"),
    ("echo-dead-after-100", Defect::DeadAfter100, "connections.sequential", "something is used up"),
    ("echo-refuses-second", Defect::RefusesSecond, "connections.concurrent", "written for one client"),
    ("echo-shared-buffer", Defect::SharedBuffer, "connections.isolation", "another client's"),
    ("echo-one-writer", Defect::OneWriter, "stream.stopped-reader", "blocks the server for all others"),
    ("echo-no-fin", Defect::NoFin, "echo.half-close", "CLOSE-WAIT"),
    ("echo-half-close-drops", Defect::HalfCloseDrops, "echo.half-close", "(half-close)"),
    ("echo-leak-on-reset", Defect::LeakOnReset, "connections.reset", "the slot of every client that resets is lost"),
    ("echo-short-idle-timeout", Defect::ShortIdleTimeout, "connections.silent", "idle timeout is a few seconds"),
    ("echo-stuck-after-stop", Defect::StuckAfterStop, "stream.stopped-reader", "when the window opens"),
    ("echo-tick", Defect::Tick, "time.idle", "polled every 10 ms"),
    ("echo-nagle", Defect::Nagle, "time.idle", "Nagle"),
    ("echo-swaps-pairs", Defect::SwapsPairs, "stream.lengths", "bytes are reversed"),
    ("echo-pads-short", Defect::PadsShort, "echo.text", "whole words"),
    ("echo-ring-300", Defect::Ring300, "stream.lengths", "every 300 bytes"),
];
