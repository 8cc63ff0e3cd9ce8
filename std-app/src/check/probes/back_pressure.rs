//! Back-pressure: a client that stops reading, and both directions full at the same time.

use core::time::Duration;
use std::{
    io::{self, Write},
    net::Shutdown,
    thread,
    time::Instant,
};

use crate::check::{
    context::Context,
    explain::{describe, kind_of},
    failure::{Failure, Kind},
    payload::payload,
    probe::{Notes, Value, Verdict},
    service::Service,
    session::Session,
};
use crate::export::number::{ByteRate, Bytes, Time};

pub(super) const MEBIBYTE: usize = 1 << 20;
/// Maximum number of bytes sent without reading the replies.
const UNREAD: usize = 12 * MEBIBYTE;
/// The replies of a slow server are read for this long.
const READING: Duration = Duration::from_secs(8);

pub(super) fn stopped_reader(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    let mut session = Session::ready(context)?;
    // The receive buffer stays: a window that shrinks would be this client's own fault.
    let _ = socket2::SockRef::from(&session.stream).set_send_buffer_size(16 * 1024);
    let _ = session.stream.set_write_timeout(Some(Duration::from_millis(500)));
    let name = payload(context, 0..48.min(context.facts.capacity()));
    let (request, reply) = (session.request(&name), session.reply(&name));
    let batch = request.repeat(50);
    let (mut sent, mut has_stopped) = (0, false);
    while sent < UNREAD && context.has_time() {
        match session.stream.write(batch.get(sent % request.len()..).unwrap_or_default()) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                has_stopped = true;
                break;
            }
            Err(error) => {
                let what = format!("after {sent} bytes of names, with no reply read, {}", describe(&error));
                return Err(session.with_counts(Failure::new(what).with_kind(kind_of(&error))).into());
            }
        }
        notes.progress(sent as u64, UNREAD as u64);
    }
    context.target.count_bytes(sent);
    Session::ready(context).and_then(Session::exit).map_err(|failure| {
        let is_blocked = !failure.is_missing_end();
        failure
            .during("another client, while the first does not read")
            .because_if(is_blocked, "one client that stops reading blocks the server for all others")
    })?;
    let _ = session.stream.set_write_timeout(Some(context.timeout()));
    // The last name may have been sent in part.
    let rest = request.len() - sent % request.len();
    let names = sent.div_ceil(request.len());
    let last = request.get(request.len() - rest..).filter(|_| rest < request.len()).unwrap_or_default().to_vec();
    let mut writer = session.stream.try_clone().map_err(|error| Failure::new(error.to_string()))?;
    let begin = Instant::now();
    let left = thread::scope(|scope| {
        let writing = scope.spawn(move || writer.write_all(&last));
        let mut left = names;
        let mut outcome = Ok(());
        while left > 0
            && outcome.is_ok()
            && (context.settings.stress || begin.elapsed() < READING)
            && !context.settings.is_interrupted()
        {
            let count = left.min(50);
            outcome = session.expect_replies(count, &reply.repeat(count)).map_err(|failure| lost(&mut session, failure));
            left -= count;
            notes.progress((names - left) as u64, names as u64);
        }
        if outcome.is_err() || left > 0 {
            let _ = session.stream.shutdown(Shutdown::Both); // ends the writer
        }
        match (outcome, writing.join()) {
            (Ok(()), Ok(Err(_))) if left == 0 => Err(Failure::new("the rest of the last name could not be sent")),
            (outcome, _) => outcome.map(|()| left),
        }
    })
    .map_err(|failure| {
        let is_late = failure.kind == Kind::Timeout;
        failure.during("reading again").because_if(
            is_late,
            "a blocked write does not continue when the window opens: the window probe is not answered, the window update is \
             lost, or the writing task is not woken",
        )
    })?;
    let stopped = if has_stopped { "the server stopped reading after" } else { "the server did not stop reading:" };
    let stopped = format!("{stopped} {}", Bytes(sent as f64));
    if left > 0 {
        session.reset();
        return Ok(format!("{stopped}; {} of {names} replies arrived within 8 s", names - left));
    }
    session.exit()?;
    Ok(format!("{stopped}; all replies arrived"))
}

/// Adds that an echo has lost bytes, if what is missing does not come before a further message, or much is missing.
fn lost(session: &mut Session<'_>, failure: Failure) -> Failure {
    let is_lost = session.context.facts.service() == Service::Echo
        && match failure.kind {
            Kind::Timeout => session.answers_further(),
            Kind::Other => failure.causes.is_empty(),
            _ => false,
        };
    if !is_lost {
        return failure;
    }
    Failure { kind: Kind::Other, ..failure }.because(
        "bytes are lost while many are unanswered: the server goes on receiving when its send buffer is full (look at what `send` \
         or `tcp_write` returns)",
    )
}

pub(super) fn full_duplex(context: Context<'_>, notes: &mut Notes<'_>) -> Result<String, Verdict> {
    const TOGETHER: usize = 8;
    let total = if context.settings.stress { 64 * MEBIBYTE } else { MEBIBYTE };
    let length = context.facts.capacity().min(500);
    let conversation = context.facts.conversation();
    let size = length + conversation.terminator.len();
    let names = total.div_ceil(size);
    let message = |index: usize| payload(context, index * length..(index + 1) * length);
    let mut session = Session::ready(context)?;
    let writer = session.stream.try_clone().map_err(|error| Failure::new(error.to_string()))?;
    let begin = Instant::now();
    let received = thread::scope(|scope| {
        let writing = scope.spawn(move || -> io::Result<()> {
            let mut writer = io::BufWriter::with_capacity(16 * 1024, writer);
            for index in 0..names {
                writer.write_all(&conversation.request(&message(index)))?;
            }
            writer.flush()
        });
        let mut outcome = Ok(());
        let mut received = 0;
        // Several replies at a time: if a byte is wrong, those behind it show what has happened.
        while received < names && outcome.is_ok() && context.has_time() {
            let next = names.min(received + TOGETHER);
            let replies: Vec<u8> = (received..next).flat_map(|index| conversation.owed(&message(index))).collect();
            outcome = session.expect_replies(TOGETHER, &replies).map_err(|failure| lost(&mut session, failure));
            received = next;
            notes.progress(received as u64, names as u64);
        }
        if outcome.is_err() || received < names {
            let _ = session.stream.shutdown(Shutdown::Both); // ends the writer
        }
        let written = writing.join();
        outcome?;
        match written {
            Ok(Err(error)) if received == names => {
                Err(Failure::new(format!("sending the names failed: {}", describe(&error))))
            }
            Ok(_) => Ok(received),
            Err(_) => Err(Failure::new("a thread of the check panicked")),
        }
    })?;
    let took = begin.elapsed();
    let bytes = received * size;
    context.target.count_bytes(bytes);
    let rate = bytes as f64 / took.as_secs_f64();
    notes.measure("verified bytes per second, each way", Value::ByteRate(rate));
    if received < names {
        session.reset();
        let (bytes, took) = (Bytes(bytes as f64), Time::from(took));
        return Ok(format!("{bytes} each way in {took} (stopped at its budget), {}", ByteRate(rate)));
    }
    session.exit()?;
    Ok(format!("{} MiB each way, {}", total / MEBIBYTE, ByteRate(rate)))
}
