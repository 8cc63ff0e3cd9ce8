//! What a peer that is no web server seems to be, by its first bytes.

/// First bytes, and what sends them.
const SIGNS: [(&[u8], &str); 11] = [
    (b"Welcome!", "a greeting server: `greet chat` talks to it"),
    (b"SSH-", "an SSH server"),
    (b"220 ", "an SMTP or FTP server"),
    (b"220-", "an SMTP or FTP server"),
    (b"+OK", "a POP3 server"),
    (b"* OK", "an IMAP server"),
    (b"RFB ", "a VNC server"),
    (b"\xff\xfb", "a telnet server"),
    (b"\xff\xfd", "a telnet server"),
    (b"\x15\x03", "a TLS server: ask for https://"),
    (b"\x16\x03", "a TLS server: ask for https://"),
];

/// What the peer seems to be, if its first bytes are known.
pub(super) fn guess(first: &[u8]) -> Option<&'static str> {
    SIGNS.iter().find(|(sign, _)| first.starts_with(sign)).map(|(_, name)| *name)
}
