//! The rules of the protocol: the project's own table of cases, over a connection to this server.

use core::time::Duration;
use std::{io, thread, time::Instant};

use greet_conformance::{
    frontend::{self, Cut, Fault, Frontend, Wire},
    socket::{Socket, SocketWire},
    vectors::{Case, Script, TableError, protocol},
};
use greet_core::Framing;

use super::{
    difference,
    known::LONGER_THAN,
    probe::{Failure, Group, Kind, Level, Probe, Stop, kind_of, of, so_many},
    talk,
    target::Target,
    wire::{LEAVING, is_of_the_wire},
};

/// The rules that bytes alone can show: what each says, and what to look at where a server departs from it.
const RULES: [(&str, &str, &[&str]); 16] = [
    ("G1", "the greeting is `Welcome!`, comes first, and once", &["where the greeting is written, and how often"]),
    (
        "F1",
        "under chunk a name is what one read delivered",
        &["two reads are joined, or one is cut: names have to be taken where recv returns them"],
    ),
    (
        "F2",
        "under line a name ends at LF, and a CR before it is not its own",
        &["the CR is taken for a part of the name", "a CR inside a name, or at the end of a read, is dropped"],
    ),
    ("F3", "under auto the first read decides, and once for all", &["the framing is decided again later"]),
    (
        "F4",
        "under line it does not matter how the bytes are cut into segments",
        &["a line that ends in another read than it began in is not put together"],
    ),
    (
        "R1",
        "every name is answered by `Hello, NAME!`, in order, whatever bytes it has",
        &[
            "the name is treated as a C string, trimmed, escaped, or edited as on a terminal",
            "replies are written by more than one thread",
        ],
    ),
    ("R2", "an empty line is a name, an empty read is none", &["empty lines are skipped"]),
    (
        "R3",
        "`exit` ends the conversation and is not answered",
        &["`exit` is answered as a name before the end", "`exit` is compared with its line's end, or as a prefix only"],
    ),
    (
        "R4",
        "when the client ends its side, all that came before is answered first",
        &[
            "the end of the stream is looked at before what is still in the buffer",
            "a close in both directions instead of a FIN",
        ],
    ),
    ("L1", "a name may have as many bytes as the capacity", &["a buffer is one byte too short"]),
    ("L2", "under chunk a longer read is cut at the capacity", &["the rest of a long read is dropped"]),
    (
        "L3",
        "under line an overlong line is answered once by an error, and the next line is a name again",
        &["the connection is closed instead", "the rest of the long line is taken for a name", "the name is cut"],
    ),
    (
        "U1",
        "a name that is not UTF-8 is answered by an error, and nothing else changes",
        &[
            "the decoder's error ends the thread or task: a crash on invalid UTF-8",
            "bytes are replaced instead of refused",
        ],
    ),
    (
        "U2",
        "under chunk a character that a read cuts in two is put together again",
        &["each read is decoded by itself"],
    ),
    ("E1", "an error reply ends as every reply does", &["the line feed behind errors"]),
    (
        "C1",
        "the end is a FIN behind the last reply, and never a reset that destroys replies",
        &["close() with unread input: end the sending side, and read on until the client's FIN"],
    ),
];

pub(super) fn probes() -> Result<Vec<Probe>, TableError> {
    let table = protocol()?;
    let probe = |(rule, shows, causes): (&'static str, &'static str, &'static [&'static str])| {
        let cases: Vec<Case> =
            table.iter().filter(|case| case.rules.iter().any(|cited| cited == rule)).cloned().collect();
        Probe::new(Group::Rules, rule, Level::Must, shows, causes, move |target, notes| {
            if rule == "L2" && !target.known().is_some_and(|known| known.capacity_is_certain) {
                return Err(Stop::Skipped("it is not known where the server cuts names: --capacity N".to_owned()));
            }
            let conversations = conversations(rule, &cases, target)?;
            let mut server = Server::new(target);
            let mut shown = 0;
            for Conversation { case, script, framing, cut } in &conversations {
                if !target.has_time() {
                    break;
                }
                notes.progress(shown, conversations.len() as u64);
                server
                    .run(script, *framing, *cut)
                    .map_err(|fault| failure(fault, target).during(format_args!("{}{}", case.name, how(*cut))))?;
                shown += 1;
            }
            Ok(match (shown, conversations.len() as u64) {
                (0, _) => return Err(no_case(target)),
                (1, 1) => "one conversation".to_owned(),
                (shown, all) => so_many(shown, all, "conversations"),
            })
        })
    };
    Ok(RULES.into_iter().map(probe).collect())
}

/// A case as it is run.
struct Conversation<'a> {
    case: &'a Case,
    script: Script,
    framing: Framing,
    cut: Cut,
}

/// What shows a rule, of the cases that cite it, with this server.
fn conversations<'a>(rule: &str, cases: &'a [Case], target: &Target) -> Result<Vec<Conversation<'a>>, Stop> {
    let mut own = Vec::new();
    let mut others = Vec::new();
    for case in cases {
        let script = case.script(target.capacity()).map_err(|error| Failure::new(error.to_string()))?;
        for (framing, cuts) in ways(target.framing(), rule) {
            // What is longer than a segment does not come as one read.
            let segment = target.known().map_or(usize::MAX, |known| known.segment);
            let is_possible = *framing == Framing::Line || script.talk.iter().all(|step| step.input.len() <= segment);
            if !is_possible || !case.framings().any(|name| name == *framing) {
                continue;
            }
            // A case that shows several rules is the first one's, but for a rule that no case shows first.
            let is_first = case.rules.first().is_some_and(|first| first == rule);
            let list = if is_first { &mut own } else { &mut others };
            list.extend(cuts.iter().map(|&cut| Conversation { case, script: script.clone(), framing: *framing, cut }));
        }
    }
    let chosen = if own.is_empty() { others } else { own };
    if chosen.is_empty() { Err(no_case(target)) } else { Ok(chosen) }
}

fn no_case(target: &Target) -> Stop {
    Stop::Skipped(format!("framing {} has no case of it here", framing_name(target.framing())))
}

/// In which framings a server can be talked to, and how what is said is cut into writes.
fn ways(framing: Framing, rule: &str) -> &'static [(Framing, &'static [Cut])] {
    const EVERY: &[Cut] = &[Cut::Steps, Cut::Whole, Cut::Every(1)];
    const SOME: &[Cut] = &[Cut::Steps, Cut::Whole];
    match framing {
        Framing::Line => &[(Framing::Line, EVERY)],
        Framing::Chunk => &[(Framing::Chunk, &[Cut::Steps])],
        Framing::Auto if rule == "F4" => &[(Framing::Auto, &[Cut::Steps]), (Framing::Line, EVERY)],
        Framing::Auto => &[(Framing::Auto, &[Cut::Steps]), (Framing::Line, SOME)],
    }
}

pub(super) const fn framing_name(framing: Framing) -> &'static str {
    match framing {
        Framing::Auto => "auto",
        Framing::Chunk => "chunk",
        Framing::Line => "line",
    }
}

/// How a case's bytes were sent, where that is worth a word.
fn how(cut: Cut) -> String {
    match cut {
        Cut::Steps => String::new(),
        Cut::Whole => ", in one write".to_owned(),
        Cut::Every(count) => format!(", in writes of {count}"),
        Cut::At(position) => format!(", cut at byte {position}"),
    }
}

/// The server as the table's frontend, every connection counted. One of framing `auto` is one of `line` as well, once its
/// first read has ended in a line feed.
struct Server<'a> {
    target: &'a Target,
    socket: Socket,
}

impl<'a> Server<'a> {
    fn new(target: &'a Target) -> Self {
        let mut socket = Socket::new(target.address, target.framing());
        socket.capacity = target.capacity();
        socket.patience = target.timeout;
        // A slow server reads as late as it answers.
        socket.settling += 2 * target.trip();
        Self { target, socket }
    }

    /// Runs a case; again, and slowly, where what came of it may be due to a wire that loses.
    fn run(&mut self, script: &Script, framing: Framing, cut: Cut) -> Result<(), Fault> {
        const TRIES: usize = 4;
        /// A segment that was lost has been sent again by then.
        const SLOWLY: Duration = Duration::from_millis(1500);
        /// Whoever took so long to be wrong is not asked a third time.
        const LONG: Duration = Duration::from_secs(3);
        let settling = self.socket.settling;
        let mut tries = 0;
        let outcome = loop {
            let begin = Instant::now();
            let outcome = frontend::run(self, script, framing, cut);
            tries += if begin.elapsed() < LONG { 1 } else { TRIES / 2 };
            let may_be_the_wire = match &outcome {
                // What is lost again and again comes too late, or the server has given it up.
                Err(Fault::Output { received, error: Some(error), .. })
                    if received.is_empty()
                        && (error.kind() == io::ErrorKind::TimedOut || is_of_the_wire(error, begin.elapsed())) =>
                {
                    true
                }
                Err(Fault::Output { .. }) => lives_on_reads(script, framing),
                _ => false,
            };
            if !may_be_the_wire || tries >= TRIES {
                break outcome;
            }
            self.socket.settling = SLOWLY.max(settling);
        };
        self.socket.settling = settling;
        outcome
    }
}

/// Whether the replies depend on what each read delivers: a lost segment changes that.
fn lives_on_reads(script: &Script, framing: Framing) -> bool {
    /// A write as long as that may be more than one segment.
    const LONG: usize = 500;
    framing != Framing::Line && script.talk.iter().any(|step| step.output.is_empty() || step.input.len() > LONG)
}

impl Frontend for Server<'_> {
    type Wire = Settled;

    fn capacity(&self) -> usize {
        self.socket.capacity
    }

    fn can(&self, framing: Framing) -> bool {
        self.socket.can(framing) || (framing == Framing::Line && self.socket.framing == Framing::Auto)
    }

    fn connect(&mut self, framing: Framing) -> io::Result<Settled> {
        let begin = Instant::now();
        loop {
            self.target.count_connection();
            let tried = Instant::now();
            let connected = self.socket.connect(framing).and_then(|wire| {
                if self.socket.can(framing) { Ok(Settled::new(wire)) } else { Settled::to_lines(wire) }
            });
            match connected {
                Err(error) if begin.elapsed() < self.socket.patience && is_of_the_wire(&error, tried.elapsed()) => {}
                // How many there may be at once, and how soon a place is free again, is looked at elsewhere.
                Err(error) if is_refused(&error) && begin.elapsed() < LEAVING => {
                    thread::sleep(Duration::from_millis(20));
                }
                outcome => return outcome,
            }
        }
    }
}

fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// A connection to a server that knows already where names end.
struct Settled {
    wire: SocketWire,
    /// What has come and is not yet taken.
    came: Vec<u8>,
}

impl Settled {
    const fn new(wire: SocketWire) -> Self {
        Self { wire, came: Vec::new() }
    }

    /// After a first line names are lines; what comes then is as though they had been from the start.
    fn to_lines(mut wire: SocketWire) -> io::Result<Self> {
        const LINE: &[u8] = b"greet\n";
        const ANSWER: &[u8] = b"Welcome!Hello, greet!\n";
        let mut came = Vec::new();
        wire.receive(talk::GREETING.len(), &mut came)?;
        wire.send(LINE)?;
        wire.receive(ANSWER.len() - talk::GREETING.len(), &mut came)?;
        if came == ANSWER {
            came = b"Welcome!\n".to_vec();
        }
        Ok(Self { wire, came })
    }
}

impl Wire for Settled {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes)
    }

    fn settle(&mut self) {
        self.wire.settle();
    }

    fn receive(&mut self, count: usize, received: &mut Vec<u8>) -> io::Result<()> {
        let ready = count.min(self.came.len());
        received.extend(self.came.drain(..ready));
        if ready < count { self.wire.receive(count - ready, received) } else { Ok(()) }
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.wire.half_close()
    }

    fn leave(&mut self) -> io::Result<()> {
        self.wire.leave()
    }
}

fn failure(fault: Fault, target: &Target) -> Failure {
    match fault {
        Fault::Connect(error) => {
            target.no_connection(&error, target.connections.load(core::sync::atomic::Ordering::Relaxed))
        }
        Fault::Output { offset, expected, received, error } => {
            let end = error.as_ref().map_or_else(
                || {
                    if received.is_empty() {
                        "the server ended its side".to_owned()
                    } else {
                        "wrong bytes came".to_owned()
                    }
                },
                of,
            );
            Failure {
                causes: causes(&expected, &received, error.as_ref()),
                offset: Some(offset as u64),
                expected: Some(expected),
                received: Some(received),
                ..Failure::new(format!("at byte {offset} {end}"))
            }
        }
        fault => Failure::new(fault.to_string()),
    }
}

/// What the difference itself points at, where that is more than the rule's own usual causes say.
fn causes(expected: &[u8], received: &[u8], error: Option<&io::Error>) -> Vec<String> {
    const ERROR: &[u8] = b"Error: ";
    const INVALID: &[u8] = b"Error: name is not valid UTF-8";
    let is_error = expected.starts_with(ERROR);
    let cause = match received {
        [] if is_error && error.is_some_and(|error| kind_of(error) == Kind::Late) => {
            "the error reply does not come, or only when the line ends"
        }
        [] if expected.starts_with(INVALID) => {
            "the decoder's error ends the thread or task: a crash on invalid UTF-8, where an error reply was due"
        }
        [] if is_error => "the connection is closed instead of an error reply",
        _ if is_error && received.starts_with(b"Hello, ") => "what is no name is taken for one, perhaps in part",
        _ if is_error && received.starts_with(ERROR) => "the error reply has another text than the protocol's",
        _ if !is_error && received.starts_with(LONGER_THAN) => {
            "a name is refused as too long: a buffer is one byte too short"
        }
        _ if !is_error && received.starts_with(ERROR) => "what is a name is refused",
        _ => return difference::inserted(expected, received),
    };
    vec![cause.to_owned()]
}
