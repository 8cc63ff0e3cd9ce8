//! Echo: what RFC 862 requires of an echo over TCP, and what examples on boards get wrong.

use core::time::Duration;
use std::{thread, time::Instant};

use greet_core::LINGER;

use crate::export::number::{Bytes, Count};

use crate::check::{
    context::Context,
    facts::InFlight,
    failure::{Failure, Kind},
    payload::payload,
    probe::{Group, Level, Need, Notes, Probe, Verdict},
    session::Session,
};

/// Time between two attempts to be served.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn probes() -> Vec<Probe> {
    let probe = |name, requirement, needs, causes, run: fn(Context<'_>, &mut Notes<'_>) -> Result<String, Verdict>| {
        Probe::new(Group::Echo, name, Level::Must, requirement, needs, causes, run)
    };
    vec![
        probe(
            "in-flight",
            "no byte is lost, however many bytes are sent before the first one comes back",
            &[Need::Conversation],
            &[
                "the server goes on receiving when its send buffer is full: keep what does not fit, and receive more only when it \
                 is sent",
                "with lwIP's raw API: tcp_write fails with ERR_MEM, and the pbuf is freed all the same; call tcp_recved only for \
                 what was written",
            ],
            in_flight,
        ),
        probe(
            "silence",
            "the server sends nothing before the client does",
            &[Need::Conversation],
            &["a greeting or a prompt is sent to each client: RFC 862 has none"],
            silence,
        ),
        probe(
            "bytes",
            "each of the 256 byte values comes back unchanged",
            &[Need::Conversation, Need::AnyByte],
            &["bytes are treated as text: decoded, escaped, or cut to seven bits"],
            bytes,
        ),
        probe(
            "text",
            "NUL, line ends, control characters and parts of UTF-8 characters come back like any other bytes",
            &[Need::Conversation, Need::AnyByte],
            &[
                "bytes are copied by a function for C strings, which ends at NUL: use the length that was received",
                "bytes are printed through a format, or decoded as UTF-8",
            ],
            text,
        ),
        probe(
            "single-bytes",
            "each byte that is sent alone comes back at once",
            &[Need::Conversation],
            &["the server waits for a full buffer or a line end before it answers"],
            single_bytes,
        ),
        probe(
            "order",
            "messages come back in the order in which they were sent",
            &[Need::Conversation],
            &["more than one task answers a client", "a full send buffer is passed by later data"],
            order,
        ),
        probe(
            "exact",
            "nothing is added before or after a message, and nothing of an earlier one follows a shorter one",
            &[Need::Conversation],
            &[
                "the size of the buffer is sent instead of the length that was received: the tail of an earlier message follows",
                "a NUL or a line end is added to what was received",
            ],
            exact,
        ),
        probe(
            "half-close",
            "after the client's FIN everything comes back that was sent before, and then a FIN",
            &[Need::Conversation],
            &[
                "the end of the stream is handled before the data in the buffers: send the rest first, then close",
                "the server does not close its side after the client's FIN (it stays in CLOSE-WAIT)",
            ],
            half_close,
        ),
        probe(
            "reset",
            "a client that resets its connection leaves the other clients alone",
            &[Need::Conversation, Need::Slots, Need::TwoSlots],
            &["the state of all clients is in one place, and the end of one clears it"],
            reset,
        ),
    ]
}

/// The limit was found out before the first probe that depends on it.
fn in_flight(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    match &context.facts.in_flight {
        None => Err(Verdict::Skipped("it is not known how many bytes may be in flight".to_owned())),
        Some(InFlight { failure: Some(failure), .. }) => Err(failure.clone().into()),
        Some(InFlight { passed, is_stated: true, .. }) => {
            Ok(format!("{} sent at once, as stated by --in-flight", Bytes(*passed as f64)))
        }
        Some(InFlight { passed, .. }) => Ok(format!("64 bytes to {} sent at once", Bytes(*passed as f64))),
    }
}

/// How long to wait for bytes that must not arrive.
fn quiet(context: Context<'_>) -> Duration {
    Duration::from_millis(200) + 4 * context.target.handshake()
}

/// Receives nothing for a while.
fn expect_nothing(session: &mut Session<'_>, when: &str) -> Result<(), Failure> {
    let received = session.read_for(quiet(session.context));
    if received.is_empty() {
        return Ok(());
    }
    let failure = Failure {
        offset: Some(session.offset),
        expected: Some(Vec::new()),
        received: Some(received.clone()),
        ..Failure::new(format!("{when}, bytes came that were not sent"))
    };
    Err(match received.as_slice() {
        [0] => failure.because("the NUL that ends a C string is sent, too"),
        [b'\r' | b'\n'] | [b'\r', b'\n'] => failure.because("a line end is added"),
        _ => failure,
    })
}

fn silence(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    let begin = Instant::now();
    loop {
        match asked_after_silence(context) {
            // The only slot may be free in a moment.
            Err(Failure { kind: Kind::Closed | Kind::Reset, .. }) if begin.elapsed() < LINGER => thread::sleep(PAUSE),
            outcome => {
                outcome?;
                return Ok("nothing came before the first message".to_owned());
            }
        }
    }
}

fn asked_after_silence(context: Context<'_>) -> Result<(), Failure> {
    let (mut session, _) = Session::open_with_retries(context)?;
    expect_nothing(&mut session, "before the client sent anything")?;
    session.exchange(b"after silence")?;
    session.exit()
}

fn bytes(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let mut session = Session::ready(context)?;
    for value in 0..=u8::MAX {
        if !context.has_time_for_messages() {
            break;
        }
        // The same value at all offsets, so that neither an escape nor a wrong byte order is the cause.
        session
            .exchange(&[value; 8])
            .map_err(|failure| wrong_byte(failure).during(format_args!("eight times {value:#04X}")))?;
        notes.progress(u64::from(value), 256);
    }
    let ascending: Vec<u8> = (0..=u8::MAX).collect();
    let descending: Vec<u8> = (0..=u8::MAX).rev().collect();
    let size = context.facts.capacity();
    for (all, name) in [(ascending, "ascending"), (descending, "descending")] {
        for part in all.chunks(size) {
            session.exchange(part).map_err(|failure| wrong_byte(failure).during(format_args!("all values, {name}")))?;
        }
    }
    session.exit()?;
    Ok("all 256 values".to_owned())
}

/// Adds what the value of the first wrong byte points at.
fn wrong_byte(failure: Failure) -> Failure {
    let first = |bytes: &Option<Vec<u8>>| bytes.as_ref().and_then(|bytes| bytes.first()).copied();
    match (first(&failure.expected), first(&failure.received)) {
        _ if !failure.causes.is_empty() && failure.kind == Kind::Other => failure, // the difference shows it
        (Some(0), _) => failure.because("a NUL is dropped or ends the message: bytes are copied as a C string"),
        (Some(b'\r' | b'\n'), _) => failure.because("line ends are dropped or changed"),
        (Some(0x08 | 0x7F), _) => failure.because("a backspace removes the byte before it, as on a terminal"),
        (Some(0x03 | 0x04 | 0x1A), _) => failure.because("a control character ends the input, as on a terminal"),
        (Some(0xFF), None) => {
            failure.because("0xFF is taken for the end of the input: EOF is -1, and a byte was stored in a signed char")
        }
        (Some(0xFF), _) => failure.because("0xFF is treated as the beginning of a telnet command"),
        (Some(0x80..), _) => {
            failure.because("bytes above 127 are decoded as text: the server fails on what is not UTF-8")
        }
        _ => failure,
    }
}

fn text(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    const MESSAGES: [(&str, &[u8]); 14] = [
        ("a NUL alone", b"\0"),
        ("a NUL in the middle", b"before\0after"),
        ("NULs at the end", b"end\0\0\0"),
        ("a line feed alone", b"\n"),
        ("CR and LF", b"\r\nline\r\n\r\nline\n\nline\r"),
        ("the first half of a UTF-8 character", b"\xC3"),
        ("the second half of a UTF-8 character", b"\xA9"),
        ("three bytes of a character of four", b"\xF0\x9F\x98"),
        ("bytes that are never UTF-8", b"\xFF\xFE\xC0\x80"),
        ("a backspace and a delete", b"\x08\x08\x7F"),
        ("characters that end the input of a terminal", b"\x03\x04\x1A"),
        ("an escape sequence", b"\x1B[2J"),
        ("conversions of printf", b"%s%n%d%%100"),
        ("blanks at both ends", b"  \t word \t  "),
    ];
    let mut session = Session::ready(context)?;
    for (name, message) in MESSAGES {
        session.exchange(message).map_err(|failure| wrong_byte(failure).during(name))?;
    }
    session.exit()?;
    Ok(format!("{} kinds of bytes", MESSAGES.len()))
}

fn single_bytes(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const COUNT: u64 = 200;
    let mut session = Session::ready(context)?;
    let mut done = 0;
    for byte in payload(context, 0..200) {
        if !context.has_time_for_messages() {
            break;
        }
        session.exchange(&[byte]).map_err(|failure| failure.during(format_args!("byte {} alone", done + 1)))?;
        done += 1;
        notes.progress(done, COUNT);
    }
    session.exit()?;
    Ok(context.counted(done, COUNT, "bytes, one at a time"))
}

fn order(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const ROUNDS: u64 = 100;
    let together = (context.facts.in_flight() / 8).clamp(1, 50);
    let mut session = Session::ready(context)?;
    let mut done = 0;
    for round in 0..ROUNDS {
        if !context.has_time() {
            break;
        }
        let messages: Vec<Vec<u8>> =
            (0..together).map(|index| format!("{round:03}.{index:03};").into_bytes()).collect();
        // A write each, so that most are segments of their own.
        for message in &messages {
            session.send(message)?;
        }
        session.expect_replies(together, &messages.concat())?;
        done += 1;
        notes.progress(done, ROUNDS);
    }
    session.exit()?;
    let together = together as u64;
    Ok(context.counted(done * together, ROUNDS * together, &format!("messages, {} at a time", Count(together))))
}

fn exact(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let mut session = Session::ready(context)?;
    let longest = context.facts.capacity().min(512);
    let mut position = 0;
    // Each is shorter than the one before.
    let lengths = [longest, longest / 2, longest / 2 - 1, 33, 32, 31, 7, 4, 3, 2, 1];
    for (index, length) in lengths.into_iter().enumerate() {
        session
            .exchange(&payload(context, position..position + length))
            .and_then(|()| expect_nothing(&mut session, "after the message had come back"))
            .map_err(|failure| failure.during(format_args!("a message of {length} bytes")))?;
        position += length;
        notes.progress(index as u64, lengths.len() as u64);
    }
    session.exit()?;
    Ok(format!("{} messages, each shorter than the one before", lengths.len()))
}

fn half_close(context: Context<'_>, _: &mut Notes<'_>) -> Result<String, Verdict> {
    let size = context.facts.in_flight().min(16 * 1024);
    let message = payload(context, 0..size);
    let mut session = Session::ready(context)?;
    session.send(&message)?;
    session.half_close()?;
    session.expect("the echo of what was sent before the FIN", &message).map_err(|failure| {
        let is_unanswered = failure.kind != Kind::Other;
        failure.because_if(is_unanswered, "what was not sent yet when the client's FIN came is dropped (half-close)")
    })?;
    session.expect_client_end()?;
    Ok(format!("{} and then a FIN", Bytes(size as f64)))
}

fn reset(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const ROUNDS: u64 = 10;
    let mut session = Session::ready(context)?;
    for round in 0..ROUNDS {
        session.exchange(&payload(context, 0..50))?;
        let mut other = Session::ready(context)?;
        // The first client's message is in flight when the other client resets.
        session.send(&payload(context, 50..100))?;
        other.send(b"reset")?;
        other.reset();
        session
            .expect("the reply", &payload(context, 50..100))
            .map_err(|failure| failure.during(format_args!("after another client's reset, round {}", round + 1)))?;
        notes.progress(round, ROUNDS);
    }
    session.exit()?;
    Ok(format!("{ROUNDS} resets beside a conversation"))
}
