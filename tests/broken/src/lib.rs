//! Greeting servers with one defect each, as they occur on boards and in servers: what `greet check` is to find.
//!
//! Each is the machine of `greet-core` behind a transport that spoils one thing; [`DEFECTS`] is the table of them, with the
//! probe that is to find each and a word of the cause that it is to name.

mod server;
mod tamper;

pub use server::serve;

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The greeting waits for the client's first byte.
    GreetingAfterFirstByte,
    /// One client is served, the next is sent away.
    OneClient,
    /// After `exit` the connection is reset, and what is under way is lost.
    ResetAtExit,
    /// The place of a client that resets is never free again.
    LeakOnReset,
    /// The place of a client that ends first is never free again.
    LeakOnFin,
    /// A place is free half a minute after the server has ended the conversation.
    TimeWaitHolds,
    /// From byte 1,024 of a connection's output on a bit is wrong now and then.
    WrongPast1024,
    /// The last 32 bytes of a write are those of an earlier one, now and then.
    StaleLine,
    /// Names are cut at 536 bytes.
    CutAt536,
    /// A name whose length is a multiple of 64 loses its last byte.
    ShortBy64,
    /// Two replies become one, now and then.
    Merged,
    /// One reply in a thousand does not come.
    OneInAThousand,
    /// A write is repeated, now and then.
    Repeated,
    /// Two replies that are due together come in the wrong order, now and then.
    Swapped,
    /// A reply is written in two pieces, with Nagle's algorithm on.
    Nagle,
    /// Replies leave at a tick of 10 ms.
    Tick,
    /// Now and then a reply takes 200 ms, as after a lost segment.
    LostSegments,
    /// When the client ends its side, the connection is closed without the replies.
    HalfCloseDrops,
    /// No client is accepted after the first 200.
    DeadAfter200,
    /// One task writes for all, and waits for the slowest reader.
    OneWriter,
    /// Invalid UTF-8 ends the connection.
    Utf8Crash,
    /// `exit` is answered as a name.
    ExitAnswered,
    /// After `exit` the connection stays open.
    NoFin,
    /// The CR before a line feed is taken for a part of the name.
    CarriageReturnKept,
    /// An overlong line ends the connection.
    OverlongCloses,
    /// A name ends at its first NUL.
    NulTerminated,
    /// Empty lines are not answered.
    EmptySkipped,
    /// A read is taken for a line, whether or not it is whole.
    ReadIsLine,
    /// A name of exactly the capacity is refused.
    OneTooFew,
    /// The NUL behind the greeting's text is sent too.
    NulBehindGreeting,
    /// Two bytes change places where a segment of 1,460 bytes ends.
    SwappedAtSegment,
    /// A client that says nothing for two seconds is sent away.
    Impatient,
    /// A write that has to wait is never gone on with.
    StuckAfterStop,
    /// After 64 KiB the connection is reset.
    ResetAfter64K,
    /// A reply comes byte by byte, with pauses.
    Trickle,
    /// A third of a second is spent on something else before a client is greeted.
    GreetingLate,
    /// Of bulk a segment is lost again and again, and sent again after 200 ms.
    BulkIsLost,
    /// All clients share one buffer for replies.
    SharedBuffer,
    /// One reset in five loses a place.
    LeakNowAndThen,
    /// The place of a client that leaves in the middle of a name is lost.
    LeakInAName,
    /// Whoever comes when all places are taken is let in, and forgotten.
    NextForgotten,
    /// Of clients that come in the same instant one is served, and the others are reset.
    OneOfABurst,
    /// Writes are filled up to whole words by NULs.
    PaddedWrites,
    /// LF is made CR LF on its way out.
    CarriageReturnAdded,
    /// The byte where a ring of 2,048 bytes wraps is that of the round before.
    RingWrap,
    /// The error for an overlong line comes when the line ends, and not before.
    LateError,
    /// A backspace takes the byte before away, as on a terminal.
    EditsNames,
    /// One round trip in 250 takes a second longer.
    RareStall,
    /// Every connection is closed as soon as it is accepted.
    ClosesAtOnce,
    /// After the greeting the connection is closed, whatever is said.
    GreetsAndCloses,
}

/// Every defect: its name, the probe that is to find it, and a word of the cause that is to be named.
pub const DEFECTS: [(&str, Defect, &str, &str); 50] = [
    ("greeting-after-first-byte", Defect::GreetingAfterFirstByte, "reach.greeting", "reads before it writes"),
    ("greeting-late", Defect::GreetingLate, "time.greeting", "reverse lookup"), // early: it takes longest
    ("bulk-is-lost", Defect::BulkIsLost, "time.throughput", "sent again after 200 ms"), // likewise
    ("one-client", Defect::OneClient, "connections.at-once", "second client is refused"),
    ("reset-at-exit", Defect::ResetAtExit, "connections.server-ends", "end the sending side first"),
    ("leak-on-reset", Defect::LeakOnReset, "connections.reset", "the place of every client that resets is lost"),
    ("leak-on-fin", Defect::LeakOnFin, "connections.client-ends", "CLOSE-WAIT"),
    ("time-wait-holds", Defect::TimeWaitHolds, "connections.server-ends", "TIME-WAIT"),
    ("wrong-past-1024", Defect::WrongPast1024, "stream.lengths", "one bit is wrong"),
    ("stale-line", Defect::StaleLine, "stream.lengths", "stale"),
    ("cut-at-536", Defect::CutAt536, "stream.lengths", "behind its first 536 bytes"),
    ("short-by-64", Defect::ShortBy64, "stream.lengths", "cut short"),
    ("merged", Defect::Merged, "stream.pipelined", "merged two"),
    ("one-in-a-thousand", Defect::OneInAThousand, "stream.pipelined", "lost a name or a reply"),
    ("repeated", Defect::Repeated, "stream.both-ways", "come again"),
    ("swapped", Defect::Swapped, "stream.pipelined", "in another order"),
    ("nagle", Defect::Nagle, "time.idle", "Nagle"),
    ("tick", Defect::Tick, "time.idle", "polled every 10 ms"),
    ("lost-segments", Defect::LostSegments, "time.idle", "lost segments"),
    ("half-close-drops", Defect::HalfCloseDrops, "connections.half-closed", "half-close"),
    ("dead-after-200", Defect::DeadAfter200, "connections.in-turn", "something is used up"),
    ("one-writer", Defect::OneWriter, "stream.stopped-reader", "blocks the server for all others"),
    ("utf8-crash", Defect::Utf8Crash, "rules.U1", "crash on invalid UTF-8"),
    ("exit-answered", Defect::ExitAnswered, "rules.R3", "`exit` is answered"),
    ("no-fin", Defect::NoFin, "connections.server-ends", "never closes"),
    ("carriage-return-kept", Defect::CarriageReturnKept, "rules.F2", "CR is taken"),
    ("overlong-closes", Defect::OverlongCloses, "rules.L3", "connection is closed instead"),
    ("nul-terminated", Defect::NulTerminated, "rules.R1", "C string"),
    ("empty-skipped", Defect::EmptySkipped, "rules.R2", "empty lines are skipped"),
    ("read-is-line", Defect::ReadIsLine, "stream.cuts", "another read than it began in"),
    ("one-too-few", Defect::OneTooFew, "rules.L1", "one byte too short"),
    ("nul-behind-greeting", Defect::NulBehindGreeting, "reach.greeting", "NUL that ends a C string"),
    ("swapped-at-segment", Defect::SwappedAtSegment, "stream.lengths", "wrong byte order"),
    ("impatient", Defect::Impatient, "connections.quiet", "few seconds of silence"),
    ("stuck-after-stop", Defect::StuckAfterStop, "stream.stopped-reader", "when the window opens"),
    ("reset-after-64-k", Defect::ResetAfter64K, "stream.lengths", "look for a limit"),
    ("shared-buffer", Defect::SharedBuffer, "connections.own-replies", "another client's"),
    ("leak-now-and-then", Defect::LeakNowAndThen, "connections.reset", "places are lost"),
    ("leak-in-a-name", Defect::LeakInAName, "connections.abandoned", "waits for the rest of the name"),
    ("next-forgotten", Defect::NextForgotten, "connections.next", "nobody serves it"),
    ("one-of-a-burst", Defect::OneOfABurst, "connections.same-instant", "one socket listens"),
    ("padded-writes", Defect::PaddedWrites, "reach.reply", "whole words"),
    ("carriage-return-added", Defect::CarriageReturnAdded, "reach.reply", "CR LF"),
    ("ring-wrap", Defect::RingWrap, "stream.lengths", "multiple of 2048"),
    ("late-error", Defect::LateError, "rules.L3", "when the line ends"),
    ("edits-names", Defect::EditsNames, "rules.R1", "as on a terminal"),
    ("rare-stall", Defect::RareStall, "time.idle", "sent again after 1 s"),
    ("closes-at-once", Defect::ClosesAtOnce, "reach.greeting", "ends whoever connects"),
    ("greets-and-closes", Defect::GreetsAndCloses, "reach.reply", "serves nobody beyond the greeting"),
    ("trickle", Defect::Trickle, "reach.reply", "comes in pieces"),
];
