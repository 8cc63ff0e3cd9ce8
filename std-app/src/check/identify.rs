//! Which service a server offers, recognized by the first bytes it sends or by its answer to an HTTP request.

use core::time::Duration;
use std::{io::Write as _, thread, time::Instant};

use crate::export::number::Time;

use super::{
    context::Context,
    failure::{Failure, Kind},
    loss::LINGER,
    service::{GREETING, Service},
    session::Session,
};

/// A server sends its first bytes, or answers, within this time and four round trips.
const FIRST_BYTES: Duration = Duration::from_millis(400);
/// What is sent to a silent server. It is long enough to be the cookie of iperf3.
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\nUser-Agent: greet-check\r\n\r\n";

/// A protocol that this program does not check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Protocol {
    /// With its article.
    server: &'static str,
    advice: &'static str,
}

impl Protocol {
    const fn new(server: &'static str, advice: &'static str) -> Self {
        Self { server, advice }
    }
}

const HTTP: Protocol = Protocol::new("an HTTP server", "`greet fetch http://HOST:PORT/` or curl talks to it");
const TLS: Protocol =
    Protocol::new("a TLS server", "`greet fetch https://HOST:PORT/` or `openssl s_client` talks to it");
const SSH: Protocol = Protocol::new("an SSH server", "the server to check has another port");
const SMTP: Protocol = Protocol::new("an SMTP server", "the server to check has another port");
const FTP: Protocol = Protocol::new("an FTP server", "the server to check has another port");
const MAIL: Protocol = Protocol::new("a POP3 or IMAP server", "the server to check has another port");
const SMTP_OR_FTP: Protocol = Protocol::new("an SMTP or FTP server", "the server to check has another port");
const TELNET: Protocol = Protocol::new("a telnet server", "the server to check has another port");
const VNC: Protocol = Protocol::new("a VNC server", "the server to check has another port");
const DAYTIME: Protocol = Protocol::new("a daytime server (RFC 867)", "the server to check has another port");
const CHARGEN: Protocol = Protocol::new("a chargen server (RFC 864)", "the server to check has another port");
const REVERSED_ECHO: Protocol = Protocol::new("an echo server that reverses what it receives", NOT_EXACT);
const CASE_ECHO: Protocol = Protocol::new("an echo server that changes the case of letters", NOT_EXACT);
const LONGER_ECHO: Protocol = Protocol::new("an echo server that adds text to what it receives", NOT_EXACT);
const OTHER_ECHO: Protocol = Protocol::new("an echo server that changes what it receives", NOT_EXACT);
const NOT_EXACT: &str =
    "to check it, let it send back exactly the bytes that it receives; `--service echo` shows the first difference";
const DISCARD: Protocol = Protocol::new(
    "a discard server (RFC 863)",
    "it takes everything and answers nothing; the server to check has another port",
);
const FOUNTAIN: Protocol = Protocol::new(
    "a server that sends without end",
    "the server to check has another port, or its sending does not stop",
);
const UNKNOWN: Protocol = Protocol::new(
    "a server of another protocol",
    "if it is a greeting server with a wrong greeting, `--service greet` says more; otherwise the server to check has another port",
);
const IPERF3: Protocol = Protocol::new("an iperf3 server", "`iperf3 -c HOST -p PORT` talks to it");

/// What the first bytes of a server show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// One of the services that can be checked, perhaps with a defect.
    Service(Service),
    Other(Protocol),
}

/// Opens a connection and receives what the server sends first. A server with one slot may refuse a client, or close its
/// connection, as long as it has not noticed that the client before has left.
fn banner(context: Context<'_>, soon: Duration) -> Result<(Session<'_>, Vec<u8>), Failure> {
    const PAUSE: Duration = Duration::from_millis(100);
    let begin = Instant::now();
    loop {
        let failure = match Session::open(context) {
            Ok(mut session) => match first_bytes(&mut session, soon, b"") {
                (banner, Some(end @ (Kind::Closed | Kind::Reset))) if banner.is_empty() => closed_at_once(end),
                (banner, _) => return Ok((session, banner)),
            },
            Err(failure) if failure.kind == Kind::Refused => failure,
            Err(failure) => return Err(failure),
        };
        if begin.elapsed() >= LINGER {
            return Err(failure);
        }
        thread::sleep(PAUSE);
    }
}

/// Finds out which service the server offers. If the user states one, only what is certainly another one is an error.
pub(crate) fn service(context: Context<'_>) -> Result<Service, Failure> {
    let stated = context.settings.service;
    let soon = FIRST_BYTES + 4 * context.target.handshake();
    let (mut session, banner) = match (banner(context, soon), stated) {
        (Err(failure), Some(stated)) if matches!(failure.kind, Kind::Closed | Kind::Reset) => return Ok(stated),
        (outcome, _) => outcome?,
    };
    let (seen, received) = match banner_service(&banner) {
        Some(seen) => (seen, banner),
        None => {
            let sent = session.send(REQUEST);
            let (answer, _) = match sent {
                Ok(()) if banner.is_empty() => first_bytes(&mut session, context.timeout(), REQUEST),
                Ok(()) => first_bytes(&mut session, soon, REQUEST),
                Err(_) => (Vec::new(), None),
            };
            match answer_service(&answer) {
                Some(seen) if banner.is_empty() => (seen, answer),
                None if banner.is_empty() && answer.is_empty() => {
                    if is_one_behind(&mut session, soon) {
                        return Err(one_behind());
                    }
                    if let Some(stated) = stated {
                        return Ok(stated);
                    }
                    if !takes_everything(&session) {
                        return Err(silent(context));
                    }
                    (Seen::Other(DISCARD), answer)
                }
                _ => (Seen::Other(UNKNOWN), [banner, answer].concat()),
            }
        }
    };
    match (seen, stated) {
        (Seen::Service(seen), None) => Ok(seen),
        (Seen::Service(seen), Some(stated)) if seen == stated => Ok(stated),
        (Seen::Service(seen), Some(stated)) => Err(other(seen.server(), Some(stated), received)
            .because(format!("`--service {}` checks it, and so does `--service auto`", seen.name()))),
        // The probes show what is wrong with it.
        (Seen::Other(UNKNOWN), Some(stated)) => Ok(stated),
        (Seen::Other(echo), Some(Service::Echo)) if echo.advice == NOT_EXACT => Ok(Service::Echo),
        (Seen::Other(protocol), stated) => Err(other(protocol.server, stated, received).because(protocol.advice)),
    }
}

fn other(server: &str, stated: Option<Service>, received: Vec<u8>) -> Failure {
    let not = stated.map_or_else(
        || "neither a greeting server nor an echo server".to_owned(),
        |stated| format!("not {}", stated.server()),
    );
    let failure = Failure::new(format!("this seems to be {server}, {not}")).with_kind(Kind::OtherProtocol);
    Failure { offset: Some(0), received: Some(received), ..failure }
}

fn closed_at_once(end: Kind) -> Failure {
    let what = if end == Kind::Reset { "resets" } else { "closes" };
    Failure::new(format!("the server {what} the connection before a byte was sent")).with_kind(end).because(
        "the server closes every connection: it has no free slot, or its task fails at the start; or a firewall or an allow \
         list between the hosts does",
    )
}

fn silent(context: Context<'_>) -> Failure {
    let failure =
        Failure::new(format!("the server sends nothing, and answers nothing within {}", Time::from(context.timeout())));
    failure.with_kind(Kind::Timeout).because(
        "the connection is open, but nobody serves it: it waits in a backlog, or its task was not started or is stuck",
    )
}

/// Whether the answer to the first message comes with the second one.
fn is_one_behind(session: &mut Session<'_>, time: Duration) -> bool {
    session.send(REQUEST).is_ok() && first_bytes(session, time, REQUEST).0 == REQUEST
}

fn one_behind() -> Failure {
    Failure::new("a message comes back when the next one has been sent").with_kind(Kind::Timeout).because(
        "the server sends before it has received, or what it has written stays in a buffer until the next message: send it at once",
    )
}

/// Receives from the connection: waits `time` for the first byte, and less for later ones. It stops early if `sent` was returned,
/// and says how the connection ended, if it did.
fn first_bytes(session: &mut Session<'_>, time: Duration, sent: &[u8]) -> (Vec<u8>, Option<Kind>) {
    /// Bytes that follow the first ones arrive within this time.
    const MORE: Duration = Duration::from_millis(50);
    /// The rest of what was sent arrives within this time.
    const REST: Duration = Duration::from_secs(1);
    const ENOUGH: usize = 4096;
    let mut until = Instant::now() + time;
    let mut received = Vec::new();
    let mut buffer = [0; 512];
    while received.len() < ENOUGH && !received.starts_with(GREETING) {
        match session.read_until(until, &mut buffer) {
            Ok(count) => received.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(Kind::Timeout) => break,
            Err(end) => return (received, Some(end)),
        }
        let is_part = received.len() < sent.len() && sent.starts_with(&received);
        until = Instant::now() + if is_part { REST } else { MORE + 4 * session.context.target.handshake() };
    }
    (received, None)
}

/// Whether the server continues to receive: more than fits into the buffers of a connection that is not read.
fn takes_everything(session: &Session<'_>) -> bool {
    const MUCH: usize = 256 * 1024;
    const TIME: Duration = Duration::from_secs(2);
    // What waits in this host's own buffer was not taken.
    let _ = socket2::SockRef::from(&session.stream).set_send_buffer_size(16 * 1024);
    let _ = session.stream.set_write_timeout(Some(TIME));
    let begin = Instant::now();
    let piece = [b'.'; 4096];
    let mut sent = 0;
    while sent < MUCH && begin.elapsed() < TIME {
        match (&session.stream).write(&piece) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    session.context.target.count_bytes(sent);
    sent >= MUCH
}

/// What a server shows that sends these bytes first. Nothing for a silent one, or for bytes that say nothing.
fn banner_service(bytes: &[u8]) -> Option<Seen> {
    const ENOUGH: usize = 4096;
    let is_greeting = bytes.windows(GREETING.len()).any(|window| window.eq_ignore_ascii_case(GREETING));
    match banner_protocol(bytes) {
        _ if is_greeting || (!bytes.is_empty() && GREETING.starts_with(bytes)) => Some(Seen::Service(Service::Greet)),
        Some(protocol) => Some(Seen::Other(protocol)),
        None if bytes.len() >= ENOUGH => Some(Seen::Other(FOUNTAIN)),
        None => None,
    }
}

/// The protocol of a server that sends these bytes first.
fn banner_protocol(bytes: &[u8]) -> Option<Protocol> {
    const TELNET_COMMANDS: core::ops::RangeInclusive<u8> = 0xFB..=0xFE;
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
    match bytes {
        _ if bytes.starts_with(b"SSH-") => Some(SSH),
        _ if bytes.starts_with(b"HTTP/") => Some(HTTP),
        _ if bytes.starts_with(b"RFB 00") => Some(VNC),
        _ if bytes.starts_with(b"+OK") || bytes.starts_with(b"* OK") => Some(MAIL),
        [b'2', b'2', b'0', b' ' | b'-', ..] if has(b"SMTP") => Some(SMTP),
        [b'2', b'2', b'0', b' ' | b'-', ..] if has(b"FTP") => Some(FTP),
        [b'2', b'2', b'0', b' ' | b'-', ..] => Some(SMTP_OR_FTP),
        [0xFF, command, ..] if TELNET_COMMANDS.contains(command) => Some(TELNET),
        [0x15 | 0x16, 3, 0..=4, ..] => Some(TLS),
        _ if has(b" !\"#$%&'()*+,-./0123") || bytes.starts_with(b"!\"#$%&'()*+") => Some(CHARGEN),
        _ if is_time_of_day(bytes) => Some(DAYTIME),
        _ => None,
    }
}

/// What a server shows that is silent until it gets [`REQUEST`], and then sends these bytes.
fn answer_service(bytes: &[u8]) -> Option<Seen> {
    /// The state bytes PARAM_EXCHANGE and ACCESS_DENIED.
    const IPERF3_STATES: [u8; 2] = [9, 0xFF];
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    match bytes {
        [] => None,
        // A greeting that comes late, or replies without one.
        _ if has(GREETING) || has(b"Hello, ") => Some(Seen::Service(Service::Greet)),
        [state] if IPERF3_STATES.contains(state) => Some(Seen::Other(IPERF3)),
        _ if bytes.starts_with(b"HTTP/") || bytes.starts_with(b"<!") || bytes.starts_with(b"<html") => {
            Some(Seen::Other(HTTP))
        }
        _ => echo(bytes).or_else(|| banner_service(bytes)),
    }
}

/// The echo that sends these bytes back for [`REQUEST`]: an exact one, one with a defect, or one that changes bytes on purpose.
fn echo(bytes: &[u8]) -> Option<Seen> {
    /// Bytes that a defect adds: a NUL, a line end, padding to whole words.
    const ADDED: usize = 4;
    const WORD: &[u8] = b"greet-check";
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    let reversed: Vec<u8> = WORD.iter().rev().copied().collect();
    let parts = || REQUEST.windows(4);
    let is_mostly_there = 2 * parts().filter(|part| has(part)).count() >= parts().count();
    let is_part = bytes.len() >= 4 && (REQUEST.starts_with(bytes) || REQUEST.ends_with(bytes));
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes
    };
    if has(&reversed) {
        return Some(Seen::Other(REVERSED_ECHO));
    }
    if bytes != REQUEST && bytes.eq_ignore_ascii_case(REQUEST) {
        return Some(Seen::Other(CASE_ECHO));
    }
    if is_part || is_mostly_there || sorted(bytes) == sorted(REQUEST) {
        let is_longer = bytes.len() > REQUEST.len() + ADDED;
        return Some(if is_longer { Seen::Other(LONGER_ECHO) } else { Seen::Service(Service::Echo) });
    }
    has(WORD).then_some(Seen::Other(OTHER_ECHO))
}

/// Whether it is one line with a time such as 12:34:56.
fn is_time_of_day(bytes: &[u8]) -> bool {
    let is_line = bytes.ends_with(b"\n") && bytes.iter().filter(|&&byte| byte == b'\n').count() == 1;
    let is_time = |window: &[u8]| match window {
        [a, b, b':', c, d, b':', e, f] => [a, b, c, d, e, f].into_iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_line && bytes.windows(8).any(is_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_recognized_by_their_first_bytes() {
        for (bytes, protocol) in [
            (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], SSH),
            (b"220 mail.test ESMTP Postfix\r\n", SMTP),
            (b"220 ProFTPD Server ready.\r\n", FTP),
            (b"220 ready\r\n", SMTP_OR_FTP),
            (b"+OK POP3 ready\r\n", MAIL),
            (b"\xFF\xFD\x18\xFF\xFD\x20", TELNET),
            (b"Fri Nov 27 02:05:32 2026\r\n", DAYTIME),
            (b" !\"#$%&'()*+,-./0123456789\r\n", CHARGEN),
            (b"\x15\x03\x01\x00\x02\x02\x46", TLS),
        ] {
            assert_eq!(banner_protocol(bytes), Some(protocol));
        }
        for bytes in [&b"welcome!"[..], b"\0Welcome!", b"W"] {
            assert_eq!(banner_service(bytes), Some(Seen::Service(Service::Greet)), "{bytes:?}");
        }
        for bytes in [&b""[..], b"Hello\n", b"2"] {
            assert_eq!(banner_service(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn silent_servers_are_recognized_by_their_answer() {
        let reversed: Vec<u8> = REQUEST.iter().rev().copied().collect();
        let upper = REQUEST.to_ascii_uppercase();
        let longer = [b"You said: ", REQUEST].concat();
        for (bytes, protocol) in [
            (&b"HTTP/1.1 404 Not Found\r\n"[..], HTTP),
            (b"\x15\x03\x03\x00\x02\x02\x0A", TLS),
            (b"\x09", IPERF3),
            (&reversed, REVERSED_ECHO),
            (&upper, CASE_ECHO),
            (&longer, LONGER_ECHO),
        ] {
            assert_eq!(answer_service(bytes), Some(Seen::Other(protocol)));
        }
        for bytes in [&b"Welcome!"[..], b"Welcome!Hello, GET / HTTP/1.0!\n", b"Hello, GET!\n"] {
            assert_eq!(answer_service(bytes), Some(Seen::Service(Service::Greet)), "{bytes:?}");
        }
        assert_eq!(answer_service(b""), None);
    }

    #[test]
    fn an_echo_with_a_defect_is_an_echo() {
        let padded = [REQUEST, b"\0"].concat();
        let swapped: Vec<u8> = REQUEST.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect();
        let bit: Vec<u8> = REQUEST.iter().enumerate().map(|(index, byte)| byte ^ u8::from(index == 20)).collect();
        for bytes in [REQUEST, &REQUEST[..20], &REQUEST[5..], &padded, &swapped, &bit] {
            assert_eq!(answer_service(bytes), Some(Seen::Service(Service::Echo)), "{bytes:?}");
        }
    }
}
