//! Greeting servers with one defect each: the state machine of `greet-core` behind a transport with that defect.

mod server;
mod tamper;

pub(crate) use server::serve;

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The greeting is sent after the client's first byte.
    GreetingAfterFirstByte,
    /// One client is served; the next connection is closed.
    OneClient,
    /// After `exit` the connection is reset, and data in flight is lost.
    ResetAtExit,
    /// The slot of a client that resets is never free again.
    LeakOnReset,
    /// The slot of a client that closes first is never free again.
    LeakOnFin,
    /// A slot is free 30 s after the server has closed the connection.
    TimeWaitHolds,
    /// After byte 1,024 of a connection's output one bit is wrong at regular positions.
    WrongPast1024,
    /// The last 32 bytes of every ninth write are those of the previous write.
    StaleLine,
    /// 32 bytes of every fifth long write are those of the last write to any client.
    StaleLineOfAnother,
    /// Names are cut at 536 bytes.
    CutAt536,
    /// A name whose length is a multiple of 64 loses its last byte.
    ShortBy64,
    /// Every 700th reply is merged with the previous one.
    Merged,
    /// Every thousandth reply is lost.
    OneInAThousand,
    /// Every 300th write is repeated.
    Repeated,
    /// Two replies of one batch are swapped, every 500 replies.
    Swapped,
    /// A reply is written in two pieces, with Nagle's algorithm on.
    Nagle,
    /// Replies are sent by a timer of 10 ms.
    Tick,
    /// Every 40th reply takes 200 ms, as after a lost segment.
    LostSegments,
    /// When the client closes its side, the connection is closed without the replies.
    HalfCloseDrops,
    /// No client is accepted after the first 200.
    DeadAfter200,
    /// One task writes for all clients, and waits for the slowest reader.
    OneWriter,
    /// Invalid UTF-8 ends the connection.
    Utf8Crash,
    /// `exit` is answered as a name.
    ExitAnswered,
    /// After `exit` the connection stays open.
    NoFin,
    /// The CR before a line feed is treated as part of the name.
    CarriageReturnKept,
    /// An overlong line ends the connection.
    OverlongCloses,
    /// A name ends at its first NUL.
    NulTerminated,
    /// Empty lines are not answered.
    EmptySkipped,
    /// A read is treated as a line, whether or not it is complete.
    ReadIsLine,
    /// A name as long as the capacity is refused.
    OneTooFew,
    /// The NUL after the greeting's text is sent.
    NulBehindGreeting,
    /// Two bytes are swapped where a segment of 1,460 bytes ends.
    SwappedAtSegment,
    /// The idle timeout is 2 s.
    ShortIdleTimeout,
    /// A write that blocks never continues.
    StuckAfterStop,
    /// The connection is reset after 64 KiB.
    ResetAfter64K,
    /// A reply comes byte by byte, with pauses.
    Trickle,
    /// A client is greeted after 300 ms.
    GreetingLate,
    /// Bulk data pauses for 200 ms again and again, as after lost segments.
    BulkIsLost,
    /// All clients share one reply buffer.
    SharedBuffer,
    /// Every fifth reset leaks a slot.
    LeakNowAndThen,
    /// The slot of a client that closes in the middle of a name is never free again.
    LeakInAName,
    /// The slot of a client that resets the connection before it has sent anything is never free again.
    LeakBeforeFirstByte,
    /// A client that comes when all slots are taken is served instead of the oldest.
    ReplacesOldest,
    /// While one client has sent half a name, no other one is served.
    HalfNameBlocks,
    /// Of the names that come with the client's FIN the first is answered.
    FinAfterFirstName,
    /// A client that comes when all slots are taken is accepted, and never served.
    NextForgotten,
    /// Of clients that connect in the same instant one is served, and the others are reset.
    OneOfABurst,
    /// Writes are padded to whole words with NULs.
    PaddedWrites,
    /// LF is sent as CR LF.
    CarriageReturnAdded,
    /// The byte at the end of a ring buffer of 2,048 bytes is that of the previous round.
    RingWrap,
    /// The error reply to an overlong line is sent when the line ends, not before.
    LateError,
    /// A backspace removes the byte before it, as on a terminal.
    EditsNames,
    /// Every 250th round trip takes 1 s longer.
    RareStall,
    /// Every connection is closed as soon as it is accepted.
    ClosesAtOnce,
    /// The connection is closed after the greeting, with any input.
    GreetsAndCloses,
    /// The FIN after `exit` comes 1.5 s late.
    LateFin,
    /// Replies are sent by a timer of 50 ms.
    TickOf50,
    /// While there are several clients, each reply takes 15 ms longer.
    SlowTogether,
    /// A reply takes 30 us longer with each connection that there was.
    Ages,
    /// Every 50th reply takes 50 ms longer.
    TwoPercentLate,
    /// For 0.5 s of every 5 s nothing is answered.
    Stalls,
    /// One task writes for all clients, and waits until a reply is acknowledged.
    WaitsForAck,
    /// No client is accepted after the first 1,200.
    DeadAfter1200,
    /// All connections are reset after 20 MB together.
    DeadAfter20Megabytes,
    /// A name is the format of `printf`.
    PrintfName,
    /// Of every 20th write of 512 bytes or more 256 bytes are lost.
    Lost256,
    /// The byte at the end of a ring buffer of 300 bytes is that of the previous round.
    Ring300,
    /// After 65,535 bytes from a client nothing is read from it any more.
    StopsAt65535,
    /// The connection is closed after 4 MiB of replies.
    EndsAfter4MiB,
    /// As many bytes are sent as in the longest reply to a client so far.
    StaleTail,
    /// One bit is wrong every 100,000 bytes of a connection's output.
    BitPer100000,
    /// The highest bit of each byte of a name is cleared.
    SevenBits,
    /// Each byte of a reply is written alone.
    ByteByByte,
    /// The server sleeps for 20 ms before each reply.
    Sleeps,
    /// A reply takes 20 us longer with each one before it on its connection.
    SlowsDown,
}

/// Every defect: the server's name, the probe that has to find it, and a part of the cause that it has to name first.
pub(crate) const DEFECTS: [(&str, Defect, &str, &str); 75] = [
    ("greeting-after-first-byte", Defect::GreetingAfterFirstByte, "reach.greeting", "reads before it writes"),
    ("late-fin", Defect::LateFin, "connections.server-closes", "decides when the FIN is sent"), // early: it takes long
    ("greeting-late", Defect::GreetingLate, "time.greeting", "reverse lookup"),                 // likewise
    ("bulk-is-lost", Defect::BulkIsLost, "time.throughput", "retransmitted after 200 ms"),      // likewise
    ("one-client", Defect::OneClient, "connections.concurrent", "second client is refused"),
    ("reset-at-exit", Defect::ResetAtExit, "connections.server-closes", "shut down the sending side first"),
    ("leak-on-reset", Defect::LeakOnReset, "connections.reset", "the slot of every client that resets is lost"),
    ("leak-on-fin", Defect::LeakOnFin, "connections.client-closes", "CLOSE-WAIT"),
    ("time-wait-holds", Defect::TimeWaitHolds, "connections.server-closes", "TIME-WAIT"),
    ("wrong-past-1024", Defect::WrongPast1024, "stream.lengths", "one bit is wrong"),
    ("stale-line", Defect::StaleLine, "stream.lengths", "stale data"),
    ("stale-line-of-another", Defect::StaleLineOfAnother, "connections.isolation", "stale data"),
    ("cut-at-536", Defect::CutAt536, "stream.lengths", "after its first 536 bytes"),
    ("short-by-64", Defect::ShortBy64, "stream.lengths", "cut short"),
    ("merged", Defect::Merged, "stream.pipelined", "merged two"),
    ("one-in-a-thousand", Defect::OneInAThousand, "stream.pipelined", "lost a name or a reply"),
    ("repeated", Defect::Repeated, "stream.full-duplex", "come again"),
    ("swapped", Defect::Swapped, "stream.pipelined", "in another order"),
    ("nagle", Defect::Nagle, "time.idle", "Nagle"),
    ("tick", Defect::Tick, "time.idle", "polled every 10 ms"),
    ("lost-segments", Defect::LostSegments, "time.idle", "lost segments"),
    ("half-close-drops", Defect::HalfCloseDrops, "connections.half-close", "half-close"),
    ("dead-after-200", Defect::DeadAfter200, "connections.sequential", "something is used up"),
    ("one-writer", Defect::OneWriter, "stream.stopped-reader", "blocks the server for all others"),
    ("utf8-crash", Defect::Utf8Crash, "rules.U1", "crashes on invalid UTF-8"),
    ("exit-answered", Defect::ExitAnswered, "rules.R3", "`exit` is answered"),
    ("no-fin", Defect::NoFin, "connections.server-closes", "never closes"),
    ("carriage-return-kept", Defect::CarriageReturnKept, "rules.F2", "CR is treated as part of the name"),
    ("overlong-closes", Defect::OverlongCloses, "rules.L3", "connection is closed instead"),
    ("nul-terminated", Defect::NulTerminated, "rules.R1", "C string"),
    ("empty-skipped", Defect::EmptySkipped, "rules.R2", "empty lines are skipped"),
    ("read-is-line", Defect::ReadIsLine, "stream.splits", "continues in the next read"),
    ("one-too-few", Defect::OneTooFew, "rules.L1", "one byte too short"),
    ("nul-behind-greeting", Defect::NulBehindGreeting, "reach.greeting", "NUL that ends a C string"),
    ("swapped-at-segment", Defect::SwappedAtSegment, "stream.lengths", "wrong byte order"),
    ("short-idle-timeout", Defect::ShortIdleTimeout, "connections.silent", "idle timeout is a few seconds"),
    ("stuck-after-stop", Defect::StuckAfterStop, "stream.stopped-reader", "when the window opens"),
    ("reset-after-64-k", Defect::ResetAfter64K, "stream.lengths", "look for a limit"),
    ("shared-buffer", Defect::SharedBuffer, "connections.isolation", "another client's"),
    ("leak-now-and-then", Defect::LeakNowAndThen, "connections.reset", "slots are lost"),
    ("leak-in-a-name", Defect::LeakInAName, "connections.abandoned", "waits for the rest of the name"),
    ("leak-before-first-byte", Defect::LeakBeforeFirstByte, "connections.early", "slots are lost"),
    ("replaces-oldest", Defect::ReplacesOldest, "connections.kept", "gives up old connections for new ones"),
    ("half-name-blocks", Defect::HalfNameBlocks, "connections.unfinished", "waits for the rest of the line"),
    ("fin-after-first-name", Defect::FinAfterFirstName, "connections.half-close", "before the rest (half-close)"),
    ("next-forgotten", Defect::NextForgotten, "connections.overflow", "nobody serves it"),
    ("one-of-a-burst", Defect::OneOfABurst, "connections.burst", "one socket listens"),
    ("padded-writes", Defect::PaddedWrites, "reach.reply", "whole words"),
    ("carriage-return-added", Defect::CarriageReturnAdded, "reach.reply", "CR LF"),
    ("ring-wrap", Defect::RingWrap, "stream.lengths", "multiple of 2048"),
    ("late-error", Defect::LateError, "rules.L3", "before the line ends"),
    ("edits-names", Defect::EditsNames, "rules.R1", "as on a terminal"),
    ("rare-stall", Defect::RareStall, "time.idle", "retransmitted after 1 s"),
    ("closes-at-once", Defect::ClosesAtOnce, "reach.service", "closes every connection"),
    ("greets-and-closes", Defect::GreetsAndCloses, "reach.reply", "serves nobody after the greeting"),
    ("trickle", Defect::Trickle, "reach.reply", "comes in pieces"),
    ("tick-of-50-ms", Defect::TickOf50, "time.idle", "polled every 50 ms"),
    ("slow-together", Defect::SlowTogether, "time.load", "waits while it has several clients"),
    ("ages", Defect::Ages, "time.aging", "grows with each connection"),
    ("two-percent-late", Defect::TwoPercentLate, "time.idle", "blocks the server for 50 ms now and then"),
    ("stalls", Defect::Stalls, "time.stalls", "another task or an interrupt blocks the server"),
    ("waits-for-ack", Defect::WaitsForAck, "connections.vanished", "until what it has sent is acknowledged"),
    ("dead-after-1200", Defect::DeadAfter1200, "time.endurance", "something is used up"),
    ("dead-after-20-megabytes", Defect::DeadAfter20Megabytes, "time.endurance", "look for a limit or a counter"),
    ("printf-name", Defect::PrintfName, "stream.lengths", "format of printf"),
    ("lost-256", Defect::Lost256, "stream.lengths", "multiple of 256"),
    ("ring-300", Defect::Ring300, "stream.lengths", "every 300 bytes"),
    ("stops-at-65535", Defect::StopsAt65535, "stream.sizes", "a counter of 16 bits overflows"),
    ("ends-after-4-mib", Defect::EndsAfter4MiB, "stream.stopped-reader", "look for a limit"),
    ("stale-tail", Defect::StaleTail, "connections.isolation", "length of the buffer is sent"),
    ("bit-per-100000", Defect::BitPer100000, "stream.lengths", "one bit is wrong"),
    ("seven-bits", Defect::SevenBits, "rules.R1", "highest bit is cleared"),
    ("byte-by-byte", Defect::ByteByByte, "reach.pieces", "comes in pieces"),
    ("sleeps", Defect::Sleeps, "time.idle", "replies that take 20 ms at whatever moment"),
    ("slows-down", Defect::SlowsDown, "time.idle", "grows with each message"),
];
