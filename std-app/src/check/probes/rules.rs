//! Rules: the conformance table of the protocol, run against this server.

use core::{cell::RefCell, time::Duration};
use std::{io, net::TcpStream, rc::Rc, thread, time::Instant};

use crate::export::number::Time;
use greet_conformance::{
    frontend::{self, Connection, Cut, Fault, Frontend},
    socket::{Socket, SocketConnection},
    vectors::{Case, Script, TableError, protocol},
};
use greet_core::Framing;

use crate::check::{
    context::Context,
    difference,
    discover::LONGER_THAN,
    evidence::Evidence,
    explain::{connect_error, describe, kind_of},
    facts::framing_name,
    failure::{Failure, Kind},
    loss::{LINGER, may_be_loss},
    probe::{Group, Level, Need, Probe, Verdict},
    service::{GREETING, Service},
    session::NEVER_CLOSES,
};

/// The rules that can be tested by the bytes: the requirement, and the usual causes of a failure. The cases of a rule
/// use what the rules before it require.
const RULES: [(&str, &str, &[&str]); 16] = [
    ("G1", "the server sends `Welcome!` first, and once", &["where and how often the greeting is written"]),
    (
        "F1",
        "framing chunk: a name is what one read returns",
        &["two reads are joined, or one is split: take the name as recv returns it"],
    ),
    (
        "F2",
        "framing line: LF ends a name, and a CR before it does not belong to the name",
        &["the CR is treated as part of the name", "a CR inside a name, or at the end of a read, is dropped"],
    ),
    ("F3", "framing auto: the first read decides the framing for good", &["the framing is decided again later"]),
    (
        "F4",
        "framing line: the replies do not depend on how the bytes are split into segments",
        &["a line that continues in the next read is not reassembled"],
    ),
    (
        "R1",
        "every name is answered by `Hello, NAME!`, in order, whatever bytes it has",
        &[
            "the name is treated as a C string, trimmed, escaped, or edited as on a terminal",
            "more than one thread writes replies",
        ],
    ),
    ("L1", "a name may be as long as the capacity", &["a buffer is one byte too short"]),
    (
        "U1",
        "a name that is not UTF-8 gets an error reply, and the conversation continues",
        &[
            "a decoding error ends the thread or task: it crashes on invalid UTF-8",
            "bytes are replaced instead of refused",
        ],
    ),
    (
        "L3",
        "framing line: an overlong line gets one error reply, and the next line is a name again",
        &[
            "the connection is closed instead of an error reply",
            "the rest of the long line is treated as a name",
            "the name is cut",
        ],
    ),
    ("R2", "an empty line is a name, and an empty read is not", &["empty lines are skipped"]),
    (
        "R3",
        "`exit` ends the conversation, without a reply",
        &["`exit` is answered as a name", "`exit` is compared together with its line end, or as a prefix only"],
    ),
    (
        "R4",
        "after the client's FIN the server answers everything it received before",
        &[
            "the end of the stream is handled before the data in the buffer",
            "a close in both directions instead of a FIN",
        ],
    ),
    ("L2", "framing chunk: a read longer than the capacity is split there", &["the rest of a long read is dropped"]),
    (
        "U2",
        "framing chunk: a character that is split between two reads is reassembled",
        &["each read is decoded on its own"],
    ),
    ("E1", "an error reply ends like any other reply", &["the line feed after an error reply"]),
    (
        "C1",
        "the server ends with a FIN after the last reply, and never with a reset that destroys replies",
        &["close() with unread input: shut down the sending side, and read until the client's FIN"],
    ),
];

pub(super) fn probes() -> Result<Vec<Probe>, TableError> {
    let table = protocol()?;
    let probe = |(rule, requirement, causes): (&'static str, &'static str, &'static [&'static str])| {
        let cases: Vec<Case> =
            table.iter().filter(|case| case.rules.iter().any(|cited| cited == rule)).cloned().collect();
        let needs: &[Need] = if rule == "L2" { &[Need::Conversation, Need::Capacity] } else { &[Need::Conversation] };
        Probe::new(Group::Rules, rule, Level::Must, requirement, needs, causes, move |context, notes| {
            let conversations = conversations(rule, &cases, context)?;
            let total = conversations.len() as u64;
            let mut server = Server::new(context);
            let mut done = 0;
            for Conversation { case, script, framing, cut } in &conversations {
                if !context.has_time() {
                    break;
                }
                notes.progress(done, total);
                server.run(script, *framing, *cut).map_err(|fault| {
                    if matches!(&fault, Fault::Output { error: Some(error), .. } if kind_of(error) == Kind::Timeout) {
                        context.settings.note_timeout();
                    }
                    server
                        .with_evidence(failure(fault, script, *framing, server.context_and_timeout()))
                        .during(format_args!("{}{}", case.name, sent(*cut)))
                })?;
                done += 1;
            }
            match (done, total) {
                (0, _) => Err(no_case(context)),
                (1, 1) => Ok("1 conversation".to_owned()),
                _ => Ok(context.counted(done, total, "conversations")),
            }
        })
    };
    Ok(RULES.into_iter().map(probe).collect())
}

/// One run of a case.
struct Conversation<'a> {
    case: &'a Case,
    script: Script,
    framing: Framing,
    cut: Cut,
}

/// The runs of the cases that show a rule with this server.
fn conversations<'a>(rule: &str, cases: &'a [Case], context: Context<'_>) -> Result<Vec<Conversation<'a>>, Verdict> {
    let mut own = Vec::new();
    let mut others = Vec::new();
    for case in cases {
        let script = case.script(context.facts.capacity()).map_err(|error| Failure::new(error.to_string()))?;
        for (framing, cuts) in variants(context.facts.framing(), rule) {
            // More than a segment does not arrive as one read.
            let mss = context.facts.protocol.map_or(usize::MAX, |protocol| protocol.mss);
            let is_possible = *framing == Framing::Line || script.talk.iter().all(|step| step.input.len() <= mss);
            if !is_possible || !case.framings().any(|name| name == *framing) {
                continue;
            }
            // A case that shows several rules is run for the first of them. A rule that is first nowhere uses the others.
            let is_first = case.rules.first().is_some_and(|first| first == rule);
            let list = if is_first { &mut own } else { &mut others };
            // If each conversation takes long, it is run in one way.
            let count = if context.settings.ends_late() { 1 } else { cuts.len() };
            list.extend(cuts.iter().take(count).map(|&cut| Conversation {
                case,
                script: script.clone(),
                framing: *framing,
                cut,
            }));
        }
    }
    let chosen = if own.is_empty() { others } else { own };
    if chosen.is_empty() { Err(no_case(context)) } else { Ok(chosen) }
}

fn no_case(context: Context<'_>) -> Verdict {
    Verdict::Skipped(format!("no case applies to framing {}", framing_name(context.facts.framing())))
}

/// The framings in which a server can be used, and how the input is split into writes.
fn variants(framing: Framing, rule: &str) -> &'static [(Framing, &'static [Cut])] {
    const EVERY: &[Cut] = &[Cut::Steps, Cut::Whole, Cut::Every(1)];
    const SOME: &[Cut] = &[Cut::Steps, Cut::Whole];
    match framing {
        Framing::Line => &[(Framing::Line, EVERY)],
        Framing::Chunk => &[(Framing::Chunk, &[Cut::Steps])],
        Framing::Auto if rule == "F4" => &[(Framing::Auto, &[Cut::Steps]), (Framing::Line, EVERY)],
        Framing::Auto => &[(Framing::Auto, &[Cut::Steps]), (Framing::Line, SOME)],
    }
}

/// How a case's bytes were sent, where it matters.
fn sent(cut: Cut) -> String {
    match cut {
        Cut::Steps => String::new(),
        Cut::Whole => ", in one write".to_owned(),
        Cut::Every(1) => ", one byte per write".to_owned(),
        Cut::Every(count) => format!(", {count} bytes per write"),
        Cut::At(position) => format!(", split at byte {position}"),
    }
}

/// The server as a frontend of the table. One of framing `auto` can be used as one of framing `line`, after a first line.
struct Server<'a> {
    context: Context<'a>,
    socket: Socket,
    /// The state of TCP in the kernel when an answer was missing.
    evidence: Rc<RefCell<Option<Evidence>>>,
}

impl<'a> Server<'a> {
    fn new(context: Context<'a>) -> Self {
        let mut socket = Socket::new(context.target.address, context.facts.framing());
        socket.capacity = context.facts.capacity();
        socket.timeout = context.timeout();
        // A slow server reads as late as it answers.
        socket.settling += 2 * context.facts.rtt();
        Self { context, socket, evidence: Rc::default() }
    }

    /// The timeout is that of the last case.
    const fn context_and_timeout(&self) -> (Context<'a>, Duration) {
        (self.context, self.socket.timeout)
    }

    fn with_evidence(&self, failure: Failure) -> Failure {
        match self.evidence.take().filter(|_| failure.kind == Kind::Timeout) {
            Some(evidence) => failure.with_evidence(evidence),
            None => failure,
        }
    }

    /// Whether an answer is missing though the server's stack has acknowledged all, over a network that has lost nothing.
    fn is_acknowledged(&self) -> bool {
        let evidence = self.evidence.borrow();
        self.context.target.has_lost_nothing() && evidence.as_ref().is_some_and(|evidence| !evidence.is_unacknowledged)
    }

    /// Runs a case. Repeats it, more slowly, if packet loss may be the reason of a fault.
    fn run(&mut self, script: &Script, framing: Framing, cut: Cut) -> Result<(), Fault> {
        const ATTEMPTS: usize = 4;
        /// A lost segment has been retransmitted by then.
        const SLOWLY: Duration = Duration::from_millis(1500);
        /// An attempt that takes longer counts for two.
        const LONG: Duration = Duration::from_secs(3);
        let settling = self.socket.settling;
        self.socket.timeout = self.context.timeout();
        if self.context.target.has_lost_nothing() {
            self.socket.timeout = self.context.timeout_without_loss(self.socket.timeout);
        }
        let mut attempts = 0;
        let outcome = loop {
            let begin = Instant::now();
            self.evidence.take();
            let outcome = frontend::run(self, script, framing, cut);
            attempts += if begin.elapsed() < LONG { 1 } else { ATTEMPTS / 2 };
            let may_be_loss = match &outcome {
                // A segment that is lost again and again comes too late, or the server has given up.
                Err(Fault::Output { received, error: Some(error), .. })
                    if received.is_empty()
                        && (error.kind() == io::ErrorKind::TimedOut || may_be_loss(error, begin.elapsed())) =>
                {
                    true
                }
                Err(Fault::Output { .. }) => depends_on_reads(script, framing),
                _ => false,
            };
            // It is known by now that answers are missing.
            let settings = self.context.settings;
            let is_known = settings.has_timed_out() || settings.ends_late();
            let most = if self.context.has_time() && !is_known { ATTEMPTS } else { 2 };
            let is_lost = !self.is_acknowledged();
            if !may_be_loss || attempts >= most || !(is_lost || depends_on_reads(script, framing)) {
                break outcome;
            }
            if is_lost {
                self.socket.timeout = self.context.timeout();
            }
            self.socket.settling = SLOWLY.max(settling);
        };
        self.socket.settling = settling;
        outcome
    }
}

/// Whether the replies depend on what each read returns: packet loss changes that.
fn depends_on_reads(script: &Script, framing: Framing) -> bool {
    /// A longer write may be more than one segment.
    const LONG: usize = 500;
    framing != Framing::Line && script.talk.iter().any(|step| step.output.is_empty() || step.input.len() > LONG)
}

impl Frontend for Server<'_> {
    type Connection = FramedConnection;

    fn capacity(&self) -> usize {
        self.socket.capacity
    }

    fn can(&self, framing: Framing) -> bool {
        self.socket.can(framing) || (framing == Framing::Line && self.socket.framing == Framing::Auto)
    }

    fn connect(&mut self, framing: Framing) -> io::Result<FramedConnection> {
        let begin = Instant::now();
        loop {
            self.context.target.count_connection();
            let attempt = Instant::now();
            let connected = self.socket.connect(framing).and_then(|connection| {
                if begin.elapsed() < LINGER {
                    await_service(connection.stream())?;
                }
                let connection = FramedConnection::new(connection, &self.evidence);
                if self.socket.can(framing) { Ok(connection) } else { connection.with_lines() }
            });
            match connected {
                Err(error) if begin.elapsed() < self.socket.timeout && may_be_loss(&error, attempt.elapsed()) => {}
                // Other probes test how many slots there are, and how soon one is free again.
                Err(error) if is_refused(&error) && begin.elapsed() < LINGER => {
                    thread::sleep(Duration::from_millis(20));
                }
                outcome => return outcome,
            }
        }
    }
}

/// Waits for the first byte, but not for long. An error if the server ends the connection before it, as some full servers do. With
/// the user networking of QEMU a full board does so, too: QEMU accepts the connection, and ends it when the board refuses its own.
fn await_service(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(LINGER))?;
    match stream.peek(&mut [0]) {
        Ok(0) => Err(io::ErrorKind::ConnectionReset.into()),
        Err(error) if is_refused(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// A connection to a server whose framing is decided.
struct FramedConnection {
    connection: SocketConnection,
    /// Bytes that were received and not yet handed out.
    buffer: Vec<u8>,
    evidence: Rc<RefCell<Option<Evidence>>>,
}

impl FramedConnection {
    fn new(connection: SocketConnection, evidence: &Rc<RefCell<Option<Evidence>>>) -> Self {
        Self { connection, buffer: Vec::new(), evidence: Rc::clone(evidence) }
    }

    /// Sends a first line, after which names are lines. What follows is as if they had been from the start.
    fn with_lines(mut self) -> io::Result<Self> {
        const LINE: &[u8] = b"greet\n";
        const ANSWER: &[u8] = b"Welcome!Hello, greet!\n";
        let mut received = Vec::new();
        self.receive(GREETING.len(), &mut received)?;
        self.send(LINE)?;
        self.receive(ANSWER.len() - GREETING.len(), &mut received)?;
        self.buffer = if received == ANSWER { b"Welcome!\n".to_vec() } else { received };
        Ok(self)
    }
}

impl Connection for FramedConnection {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.send(bytes)
    }

    fn settle(&mut self) {
        self.connection.settle();
    }

    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()> {
        let ready = count.min(self.buffer.len());
        received.extend(self.buffer.drain(..ready));
        if ready == count {
            return Ok(());
        }
        let outcome = self.connection.receive(count - ready, received);
        if outcome.as_ref().is_err_and(|error| kind_of(error) == Kind::Timeout) {
            *self.evidence.borrow_mut() = Evidence::of(self.connection.stream());
        }
        outcome
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.connection.half_close()
    }

    fn check_closed(&mut self) -> io::Result<()> {
        self.connection.check_closed()
    }
}

/// The failure that a fault is in the run of this script.
fn failure(fault: Fault, script: &Script, framing: Framing, (context, timeout): (Context<'_>, Duration)) -> Failure {
    let target = context.target;
    match fault {
        Fault::Connect(error) => connect_error(target.address, timeout, target.connections(), &error),
        Fault::Output { offset, expected, received, error } => {
            let what = what_was_received(&received, error.as_ref(), timeout);
            let greeting = Service::Greet.conversation(framing).greeting;
            let output = script.talk.iter().flat_map(|step| &step.output);
            let before: Vec<u8> = greeting.iter().chain(output).copied().take(offset).collect();
            let is_late = received.is_empty() && error.as_ref().is_some_and(|error| kind_of(error) == Kind::Timeout);
            Failure {
                kind: if is_late { Kind::Timeout } else { Kind::Other },
                causes: if offset == 0 && is_late && target.connections() > 2 {
                    vec![format!(
                        "after {} connections something is used up, or the server is dead: look at sockets, descriptors, heap and \
                         slots",
                        target.connections()
                    )]
                } else {
                    causes(&before, &expected, &received, error.as_ref())
                },
                offset: Some(offset as u64),
                expected: Some(expected),
                received: Some(received),
                ..Failure::new(format!("at byte {offset} {what}"))
            }
        }
        fault => Failure::new(fault.to_string()),
    }
}

/// What was received instead of the expected bytes.
fn what_was_received(received: &[u8], error: Option<&io::Error>, timeout: Duration) -> String {
    match error {
        _ if !received.is_empty() => "wrong bytes were received".to_owned(),
        None => "the server closed its side".to_owned(),
        Some(error) if kind_of(error) == Kind::Timeout => {
            format!("nothing was received within {}", Time::from(timeout))
        }
        Some(error) => describe(error),
    }
}

/// The causes that the difference points at, where it says more than the rule's usual causes.
fn causes(before: &[u8], expected: &[u8], received: &[u8], error: Option<&io::Error>) -> Vec<String> {
    const ERROR: &[u8] = b"Error: ";
    const INVALID: &[u8] = b"Error: name is not valid UTF-8";
    let is_error = expected.starts_with(ERROR);
    let cause = match received {
        [] if is_error && error.is_some_and(|error| kind_of(error) == Kind::Timeout) => {
            "the error reply does not come, or not before the line ends"
        }
        [] if expected.starts_with(INVALID) => {
            "a decoding error ends the thread or task: it crashes on invalid UTF-8 instead of sending an error reply"
        }
        [] if is_error => "the connection is closed instead of an error reply",
        [] if expected.starts_with(b"Hello, !\n") => {
            "empty lines are skipped: each is a name, and is answered by `Hello, !`"
        }
        _ if is_error && received.starts_with(b"Hello, ") && !expected.starts_with(LONGER_THAN) => {
            "an invalid name is answered as a name, perhaps in part"
        }
        _ if is_error && received.starts_with(ERROR) => "the text of the error reply is not the protocol's",
        _ if !is_error && received.starts_with(LONGER_THAN) => {
            "a name is refused as too long: a buffer is one byte too short"
        }
        _ if !is_error && received.starts_with(b"Error: name i") && !expected.is_ascii() => {
            "a name is answered in parts: each read is decoded on its own, and a character that is split between two is refused"
        }
        _ if !is_error && received.starts_with(ERROR) => "a valid name is refused",
        [] if expected.is_empty() && error.is_some_and(|error| kind_of(error) == Kind::Timeout) => NEVER_CLOSES,
        [] => return Vec::new(),
        _ if expected.is_empty() => return difference::additional(before, received).into_iter().collect(),
        _ => return difference::causes_in_any_probe(before, expected, received, before.len() as u64),
    };
    vec![cause.to_owned()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn what_was_received_agrees_with_the_bytes_that_are_shown() {
        let (late, timeout) = (io::Error::from(io::ErrorKind::TimedOut), Duration::from_secs(10));
        assert_eq!(what_was_received(b"Hello, exit!\n", Some(&late), timeout), "wrong bytes were received");
        assert_eq!(what_was_received(b"", Some(&late), timeout), "nothing was received within 10.0 s");
        assert_eq!(what_was_received(b"", None, timeout), "the server closed its side");
    }

    /// A connection, and both ends of it: the client's, and the server's.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_connection_that_ends_before_its_first_byte_counts_as_refused() {
        let (client, server) = connection();
        drop(server);
        assert!(is_refused(&await_service(&client).unwrap_err()));
    }

    #[test]
    fn the_first_byte_of_a_service_is_not_consumed() {
        let (client, mut server) = connection();
        server.write_all(GREETING).unwrap();
        await_service(&client).unwrap();
        let mut received = [0; GREETING.len()];
        (&client).read_exact(&mut received).unwrap();
        assert_eq!(received, *GREETING);
    }
}
