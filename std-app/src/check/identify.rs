//! Servers of other protocols, recognized by the first bytes they send or by their answer to an HTTP request.

use core::time::Duration;
use std::time::Instant;

use super::{
    context::Context,
    failure::{Failure, Kind},
    session::{GREETING, Session},
};

/// A server sends its first bytes, or answers, within this time and four round trips.
const FIRST_BYTES: Duration = Duration::from_millis(400);
/// What is sent to a silent server. It is long enough to be the cookie of iperf3.
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\nUser-Agent: greet-check\r\n\r\n";

/// A protocol other than the greeting protocol.
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
const SSH: Protocol = Protocol::new("an SSH server", "the greeting server has another port");
const SMTP: Protocol = Protocol::new("an SMTP server", "the greeting server has another port");
const FTP: Protocol = Protocol::new("an FTP server", "the greeting server has another port");
const MAIL: Protocol = Protocol::new("a POP3 or IMAP server", "the greeting server has another port");
const SMTP_OR_FTP: Protocol = Protocol::new("an SMTP or FTP server", "the greeting server has another port");
const TELNET: Protocol = Protocol::new("a telnet server", "the greeting server has another port");
const VNC: Protocol = Protocol::new("a VNC server", "the greeting server has another port");
const DAYTIME: Protocol = Protocol::new("a daytime server (RFC 867)", "the greeting server has another port");
const CHARGEN: Protocol = Protocol::new("a chargen server (RFC 864)", "the greeting server has another port");
const ECHO: Protocol =
    Protocol::new("an echo server (RFC 862)", "it sends back what it receives; the greeting server has another port");
const MODIFIED_ECHO: Protocol = Protocol::new(
    "an echo server that changes or adds bytes",
    "it sends back what it receives; the greeting server has another port",
);
const IPERF3: Protocol = Protocol::new("an iperf3 server", "`iperf3 -c HOST -p PORT` talks to it");

/// The failure of a server that is recognized as one of another protocol.
pub(crate) fn other_protocol(context: Context<'_>) -> Option<Failure> {
    let first = first_bytes(context, b"")?;
    let (protocol, received) = match first.as_slice() {
        [] => {
            let answer = first_bytes(context, REQUEST)?;
            (answer_protocol(&answer)?, answer)
        }
        _ => (banner_protocol(&first)?, first),
    };
    let failure = Failure {
        offset: Some(0),
        expected: Some(GREETING.to_vec()),
        received: Some(received),
        ..Failure::new(format!("this seems to be {}, not a greeting server", protocol.server))
    };
    Some(failure.with_kind(Kind::OtherProtocol).because(protocol.advice))
}

/// What a new connection brings in a short time, after `request` was sent. `None` if there is no connection.
fn first_bytes(context: Context<'_>, request: &[u8]) -> Option<Vec<u8>> {
    /// Bytes that follow the first ones arrive within this time.
    const MORE: Duration = Duration::from_millis(50);
    const ENOUGH: usize = 64;
    let mut session = Session::open(context).ok()?;
    session.send(request).ok()?;
    let mut until = Instant::now() + FIRST_BYTES + 4 * context.target.handshake();
    let mut received = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(count) = session.read_until(until, &mut buffer) {
        received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if received.len() >= ENOUGH || received.starts_with(GREETING) {
            break;
        }
        until = Instant::now() + MORE;
    }
    Some(received)
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

/// The protocol of a server that is silent until it gets [`REQUEST`], and then sends these bytes.
fn answer_protocol(bytes: &[u8]) -> Option<Protocol> {
    /// The state bytes PARAM_EXCHANGE and ACCESS_DENIED.
    const IPERF3_STATES: [u8; 2] = [9, 0xFF];
    const WORD: &[u8] = b"greet-check";
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    let reversed: Vec<u8> = WORD.iter().rev().copied().collect();
    match bytes {
        [] => None,
        // A greeting that comes late, or replies without one.
        _ if has(GREETING) || has(b"Hello, ") => None,
        _ if bytes.starts_with(REQUEST) || (bytes.len() > 4 && REQUEST.starts_with(bytes)) => Some(ECHO),
        [state] if IPERF3_STATES.contains(state) => Some(IPERF3),
        _ if bytes.starts_with(b"HTTP/") || bytes.starts_with(b"<!") || bytes.starts_with(b"<html") => Some(HTTP),
        _ if has(WORD) || has(&reversed) => Some(MODIFIED_ECHO),
        _ => banner_protocol(bytes),
    }
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
        for bytes in [&b"welcome!"[..], b"\0Welcome!", b"Hello\n", b"W", b"2"] {
            assert_eq!(banner_protocol(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn silent_servers_are_recognized_by_their_answer() {
        for (bytes, protocol) in [
            (REQUEST, ECHO),
            (&REQUEST[..20], ECHO),
            (b"HTTP/1.1 404 Not Found\r\n", HTTP),
            (b"\x15\x03\x03\x00\x02\x02\x0A", TLS),
            (b"\x09", IPERF3),
            (b"You said: GET / HTTP/1.0\r\nUser-Agent: greet-check\r\n", MODIFIED_ECHO),
        ] {
            assert_eq!(answer_protocol(bytes), Some(protocol));
        }
        for bytes in [&b""[..], b"Welcome!", b"Welcome!Hello, GET / HTTP/1.0!\n", b"Hello, GET!\n"] {
            assert_eq!(answer_protocol(bytes), None, "{bytes:?}");
        }
    }
}
