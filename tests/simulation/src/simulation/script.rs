//! The script of a client's conversation, drawn before it begins.

use core::time::Duration;

use greet_core::Framing;

use super::{random::Random, settings::Settings};

/// The script of one conversation. It is used again if the connection is refused.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// How long to wait before connecting.
    pub(super) pause: Duration,
    /// Connects from the same port as the last time.
    pub(super) same_port: bool,
    pub(super) ipv6: bool,
    pub(super) receive_buffer: usize,
    pub(super) transmit_buffer: usize,
    pub(super) nagle: bool,
    pub(super) steps: Vec<Step>,
    pub(super) reading: Reading,
    pub(super) end: End,
}

/// A step of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sends these bytes, in one piece if the send buffer has space.
    Send(Vec<u8>),
    /// Waits for this long.
    Pause(Duration),
    /// Waits for all outstanding replies.
    AwaitReplies,
}

/// How a client reads replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Immediately.
    Eager,
    /// This many bytes at a time, with a pause after each read.
    Slow(usize, Duration),
    /// This many bytes, and the rest after a pause.
    Stops(usize, Duration),
    /// Only this many bytes.
    Never(usize),
}

/// What a client does after its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Sends `exit`, and a FIN after the server's FIN.
    Exit,
    /// Sends a FIN, and waits for the server's.
    HalfClose,
    /// Sends `exit`, and never a FIN.
    NeverFin,
    /// Sends nothing for this long, and then a FIN unless the server has ended before.
    Silent(Duration),
    /// Resets the connection.
    Reset,
    /// Resets the connection during the handshake.
    ResetAtSyn,
    /// Its host is switched off for this long.
    PowerOff(Duration),
    /// Its host is switched off for this long, directly after the SYN.
    PowerOffAtSyn(Duration),
}

impl Script {
    pub(super) fn draw(settings: &Settings, random: &mut Random) -> Self {
        let framing = settings.pool.server.framing;
        let line = framing == Framing::Line || (framing == Framing::Auto && random.percent(60));
        let mut end = match random.within(0..=99) {
            0..=34 => End::Exit,
            35..=59 => End::HalfClose,
            60..=67 => End::NeverFin,
            68..=73 => End::Silent(random.millis(1_000..=40_000)),
            74..=79 => End::Reset,
            80..=83 => End::ResetAtSyn,
            84..=93 => End::PowerOff(random.millis(0..=120_000)),
            _ => End::PowerOffAtSyn(random.millis(0..=30_000)),
        };
        let reading = match random.within(0..=99) {
            0..=74 => Reading::Eager,
            75..=84 => Reading::Slow(random.within(1..=40), random.millis(1..=200)),
            85..=94 => Reading::Stops(random.within(0..=60), random.millis(100..=3_000)),
            _ => Reading::Never(random.within(0..=60)),
        };
        if matches!((reading, end), (Reading::Never(_), End::Exit | End::HalfClose | End::NeverFin | End::Silent(_))) {
            // It must disappear: without an idle timeout the server would wait for it without limit.
            end = random.pick(&[End::Reset, End::PowerOff(Duration::from_secs(10))]);
        }
        let mut steps = steps(settings.capacity, line, random);
        match end {
            End::Exit | End::NeverFin => add_exit(line, &mut steps, random),
            End::HalfClose if random.percent(40) => {
                // R4, U2: a line without its end, or the beginning of a character.
                steps.push(Step::Send(random.pick(&[&b"half"[..], b"\r", b"\xe2\x82"]).to_vec()));
            }
            End::Reset | End::PowerOff(_) => {
                steps.truncate(random.within(0..=steps.len()));
                if random.percent(50) || matches!(reading, Reading::Never(_)) {
                    steps.push(Step::Pause(random.millis(0..=20_000)));
                }
            }
            _ => {}
        }
        Self {
            pause: if random.percent(50) { random.millis(0..=50) } else { random.millis(0..=15_000) },
            same_port: random.percent(20),
            ipv6: random.percent(50),
            receive_buffer: random.pick(&[8, 60, 600, 2048]),
            transmit_buffer: random.pick(&[8, 60, 600, 2048]),
            nagle: random.percent(50),
            steps,
            reading,
            end,
        }
    }
}

/// The steps before `exit`.
fn steps(capacity: usize, line: bool, random: &mut Random) -> Vec<Step> {
    let count = if random.percent(10) { random.within(0..=40) } else { random.within(0..=8) };
    let names: Vec<Vec<u8>> =
        (0..count).map(|_| message(capacity, line, random)).filter(|name| !name.is_empty()).collect();
    // Either one name in flight, or as many as the buffers hold, in pieces of any size.
    if random.percent(if line { 40 } else { 75 }) {
        let mut steps = Vec::new();
        for name in names {
            steps.push(Step::Send(name));
            steps.push(Step::AwaitReplies);
            if random.percent(10) {
                steps.push(Step::Pause(random.millis(0..=4_000)));
            }
        }
        return steps;
    }
    let all = names.concat();
    let mut rest = &all[..];
    let mut steps = Vec::new();
    let longest = random.pick(&[3, 20, 200, 2000]);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.within(1..=longest).min(rest.len()));
        steps.push(Step::Send(piece.to_vec()));
        match random.within(0..=9) {
            0 => steps.push(Step::AwaitReplies),
            1..=2 => steps.push(Step::Pause(random.millis(0..=300))),
            _ => {}
        }
        rest = after;
    }
    steps
}

/// Adds the steps that send `exit`.
fn add_exit(line: bool, steps: &mut Vec<Step>, random: &mut Random) {
    let exit: &[u8] = match (line, random.percent(30)) {
        (false, _) => b"exit",
        (true, false) => b"exit\n",
        (true, true) => b"exit\r\n",
    };
    // In `chunk` it must be a separate read.
    if !line || random.percent(50) {
        steps.push(Step::AwaitReplies);
    }
    // An LF first, as it may follow an unfinished line.
    steps.push(Step::Send([if line { b"\n" } else { &b""[..] }, exit].concat()));
    if random.percent(10) {
        steps.push(Step::Send(b"this is read and thrown away\n".to_vec())); // R3
    }
}

/// A name, with its LF or CR LF in `line`. It may be empty, too long, or not UTF-8.
fn message(capacity: usize, line: bool, random: &mut Random) -> Vec<u8> {
    let length = |random: &mut Random| random.within(1..=capacity.min(12));
    let mut name: Vec<u8> = match random.within(0..=19) {
        0..=9 => {
            let length = length(random);
            (0..length).map(|_| random.pick(b"abcdefghijklmnopqrstuvwxyz ")).collect()
        }
        10..=12 => ["é", "€", "🦀", "exit ", "ß", "\r"].map(|one| random.pick(&[one, "", one])).concat().into_bytes(),
        13 => vec![b'N'; capacity],
        14 => vec![b'L'; capacity + random.within(1..=capacity + 4)],
        15 => vec![b'L'; capacity * random.within(2..=5)],
        16..=17 => {
            let length = length(random);
            (0..length).map(|_| random.pick(&[0xff, 0xc3, b'a', 0xa9, 0xe2, 0xf0])).collect()
        }
        18 => b"\r\r".to_vec(),
        _ => Vec::new(),
    };
    if line {
        name.extend_from_slice(random.pick(&[&b"\n"[..], b"\n", b"\r\n"]));
    }
    name
}
