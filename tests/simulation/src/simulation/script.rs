//! What a client does when it visits the server: drawn before it comes.

use core::time::Duration;

use greet_core::Framing;

use super::{chance::Chance, settings::Settings};

/// A client's visit to the server: one conversation, unless it is refused and tries again.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// How long it stays away before.
    pub(super) pause: Duration,
    /// It comes from the port that it came from the last time.
    pub(super) same_port: bool,
    pub(super) ipv6: bool,
    pub(super) receive_buffer: usize,
    pub(super) transmit_buffer: usize,
    pub(super) nagle: bool,
    pub(super) steps: Vec<Step>,
    pub(super) reading: Reading,
    pub(super) end: End,
}

/// Something that a client does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// It says this, as one piece if there is room.
    Say(Vec<u8>),
    /// It waits so long.
    Pause(Duration),
    /// It waits for the replies to all that it has said.
    Hear,
}

/// How a client reads what it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// At once.
    Eager,
    /// So many bytes at a time, with a pause after each.
    Slow(usize, Duration),
    /// So many bytes, and the rest that much later.
    Stops(usize, Duration),
    /// So many bytes, and nothing more.
    Never(usize),
}

/// What a client does after its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has said `exit`, and ends its side when the server has.
    Exit,
    /// It ends its side, and waits for the server to.
    HalfClose,
    /// It has said `exit`, and never ends its side.
    Stay,
    /// It is silent for so long, and ends its side then if it is not told to go before.
    Quiet(Duration),
    /// It resets the connection.
    Reset,
    /// It resets the connection before it is established.
    ResetAtOnce,
    /// It loses its power, for so long.
    Vanish(Duration),
    /// It loses its power right after its SYN, for so long.
    VanishAtOnce(Duration),
}

impl Visit {
    pub(super) fn draw(settings: &Settings, chance: &mut Chance) -> Self {
        let framing = settings.pool.server.framing;
        let line = framing == Framing::Line || (framing == Framing::Auto && chance.percent(60));
        let mut end = match chance.within(0..=99) {
            0..=34 => End::Exit,
            35..=59 => End::HalfClose,
            60..=67 => End::Stay,
            68..=73 => End::Quiet(chance.millis(1_000..=40_000)),
            74..=79 => End::Reset,
            80..=83 => End::ResetAtOnce,
            84..=93 => End::Vanish(chance.millis(0..=120_000)),
            _ => End::VanishAtOnce(chance.millis(0..=30_000)),
        };
        let reading = match chance.within(0..=99) {
            0..=74 => Reading::Eager,
            75..=84 => Reading::Slow(chance.within(1..=40), chance.millis(1..=200)),
            85..=94 => Reading::Stops(chance.within(0..=60), chance.millis(100..=3_000)),
            _ => Reading::Never(chance.within(0..=60)),
        };
        if matches!((reading, end), (Reading::Never(_), End::Exit | End::HalfClose | End::Stay | End::Quiet(_))) {
            // Sooner or later it is gone: where nothing limits its silence, the server has to be patient for so long.
            end = chance.pick(&[End::Reset, End::Vanish(Duration::from_secs(10))]);
        }
        let mut steps = steps(settings.capacity, line, chance);
        match end {
            End::Exit | End::Stay => leave(line, &mut steps, chance),
            End::HalfClose if chance.percent(40) => {
                // R4, U2: a line without its end, or the beginning of a character.
                steps.push(Step::Say(chance.pick(&[&b"half"[..], b"\r", b"\xe2\x82"]).to_vec()));
            }
            End::Reset | End::Vanish(_) => {
                steps.truncate(chance.within(0..=steps.len()));
                if chance.percent(50) || matches!(reading, Reading::Never(_)) {
                    steps.push(Step::Pause(chance.millis(0..=20_000)));
                }
            }
            _ => {}
        }
        Self {
            pause: if chance.percent(50) { chance.millis(0..=50) } else { chance.millis(0..=15_000) },
            same_port: chance.percent(20),
            ipv6: chance.percent(50),
            receive_buffer: chance.pick(&[8, 60, 600, 2048]),
            transmit_buffer: chance.pick(&[8, 60, 600, 2048]),
            nagle: chance.percent(50),
            steps,
            reading,
            end,
        }
    }
}

/// What it says, up to its good-bye.
fn steps(capacity: usize, line: bool, chance: &mut Chance) -> Vec<Step> {
    let count = if chance.percent(10) { chance.within(0..=40) } else { chance.within(0..=8) };
    let names: Vec<Vec<u8>> =
        (0..count).map(|_| message(capacity, line, chance)).filter(|name| !name.is_empty()).collect();
    // One name in flight, or as many as there is room for, in pieces of any size.
    if chance.percent(if line { 40 } else { 75 }) {
        let mut steps = Vec::new();
        for name in names {
            steps.push(Step::Say(name));
            steps.push(Step::Hear);
            if chance.percent(10) {
                steps.push(Step::Pause(chance.millis(0..=4_000)));
            }
        }
        return steps;
    }
    let all = names.concat();
    let mut rest = &all[..];
    let mut steps = Vec::new();
    let longest = chance.pick(&[3, 20, 200, 2000]);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(chance.within(1..=longest).min(rest.len()));
        steps.push(Step::Say(piece.to_vec()));
        match chance.within(0..=9) {
            0 => steps.push(Step::Hear),
            1..=2 => steps.push(Step::Pause(chance.millis(0..=300))),
            _ => {}
        }
        rest = after;
    }
    steps
}

/// It says `exit`.
fn leave(line: bool, steps: &mut Vec<Step>, chance: &mut Chance) {
    let exit: &[u8] = match (line, chance.percent(30)) {
        (false, _) => b"exit",
        (true, false) => b"exit\n",
        (true, true) => b"exit\r\n",
    };
    // Bare, it must come alone to be a good-bye.
    if !line || chance.percent(50) {
        steps.push(Step::Hear);
    }
    // An unfinished line before it would be part of it, so that one is finished.
    steps.push(Step::Say([if line { b"\n" } else { &b""[..] }, exit].concat()));
    if chance.percent(10) {
        steps.push(Step::Say(b"this is read and thrown away\n".to_vec())); // R3
    }
}

/// A name, and where there are lines what ends it.
fn message(capacity: usize, line: bool, chance: &mut Chance) -> Vec<u8> {
    let length = |chance: &mut Chance| chance.within(1..=capacity.min(12));
    let mut name: Vec<u8> = match chance.within(0..=19) {
        0..=9 => {
            let length = length(chance);
            (0..length).map(|_| chance.pick(b"abcdefghijklmnopqrstuvwxyz ")).collect()
        }
        10..=12 => ["é", "€", "🦀", "exit ", "ß", "\r"].map(|one| chance.pick(&[one, "", one])).concat().into_bytes(),
        13 => vec![b'N'; capacity],
        14 => vec![b'L'; capacity + chance.within(1..=capacity + 4)],
        15 => vec![b'L'; capacity * chance.within(2..=5)],
        16..=17 => {
            let length = length(chance);
            (0..length).map(|_| chance.pick(&[0xff, 0xc3, b'a', 0xa9, 0xe2, 0xf0])).collect()
        }
        18 => b"\r\r".to_vec(),
        _ => Vec::new(),
    };
    if line {
        name.extend_from_slice(chance.pick(&[&b"\n"[..], b"\n", b"\r\n"]));
    }
    name
}
