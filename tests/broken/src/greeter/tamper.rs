//! Defects of the bytes, in both directions.

use core::mem;

use super::Defect;

/// Changes the bytes of one connection.
pub(crate) struct Tamper {
    defect: Defect,
    /// Length of the unfinished line.
    line: usize,
    /// The unfinished line, for defects of whole lines.
    kept: Vec<u8>,
    /// Output that is not sent yet.
    collected: Vec<Vec<u8>>,
    /// Number of bytes sent.
    sent: usize,
    /// The previous write, for defects that send it again.
    previous: Vec<u8>,
    writes: usize,
    /// The last byte of the ring buffer.
    at_wrap: u8,
    /// Whether names are lines; the first read decides.
    lines: Option<bool>,
    /// The beginning of an overlong line was passed on.
    is_overlong: bool,
}

/// The bytes that the state machine gets from a read.
pub(crate) struct Input {
    pub(crate) bytes: Vec<u8>,
    /// The server crashes.
    pub(crate) crash: bool,
}

impl Tamper {
    pub(crate) fn new(defect: Defect) -> Self {
        Self {
            defect,
            line: 0,
            kept: Vec::new(),
            collected: Vec::new(),
            sent: 0,
            previous: Vec::new(),
            writes: 0,
            at_wrap: 0,
            lines: None,
            is_overlong: false,
        }
    }

    pub(crate) fn input(&mut self, bytes: &[u8]) -> Input {
        let mut crash = false;
        let mut passed = match self.defect {
            Defect::CutAt536 => self.shortened(bytes, |length| length < 536),
            // An unfinished line is only overlong if names are lines.
            Defect::OverlongCloses if !*self.lines.get_or_insert(bytes.contains(&b'\n')) => bytes.to_vec(),
            Defect::OverlongCloses => {
                let all = self.shortened(bytes, |_| true);
                crash = self.line > 1024;
                all
            }
            Defect::OneTooFew => {
                // Makes the name overlong.
                let mut all = Vec::new();
                for &byte in bytes {
                    if byte == b'\n' && self.line == 1024 {
                        all.push(b'.');
                    }
                    self.count(byte);
                    all.push(byte);
                }
                all
            }
            Defect::ShortBy64
            | Defect::NulTerminated
            | Defect::EmptySkipped
            | Defect::CarriageReturnKept
            | Defect::LateError
            | Defect::PrintfName
            | Defect::EditsNames => self.by_line(bytes),
            Defect::SevenBits => bytes.iter().map(|byte| byte & 0x7F).collect(),
            _ => bytes.to_vec(),
        };
        match self.defect {
            Defect::Utf8Crash => crash = core::str::from_utf8(bytes).is_err(),
            Defect::ReadIsLine if bytes.contains(&b'\n') => self.line = 1, // names are lines
            _ => {}
        }
        if self.defect == Defect::ReadIsLine && self.line == 1 && passed.last() != Some(&b'\n') {
            passed.push(b'\n');
        }
        Input { bytes: passed, crash }
    }

    fn count(&mut self, byte: u8) {
        self.line = if byte == b'\n' { 0 } else { self.line + 1 };
    }

    /// Removes bytes by their position in the line.
    fn shortened(&mut self, bytes: &[u8], wanted: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut kept = Vec::new();
        for &byte in bytes {
            if byte == b'\n' || wanted(self.line) {
                kept.push(byte);
            }
            self.count(byte);
        }
        kept
    }

    /// Changes whole lines. Under framing `line` an unfinished line waits.
    fn by_line(&mut self, bytes: &[u8]) -> Vec<u8> {
        if !*self.lines.get_or_insert(bytes.contains(&b'\n')) {
            return bytes.to_vec();
        }
        self.kept.extend_from_slice(bytes);
        let mut passed = Vec::new();
        while let Some(end) = self.kept.iter().position(|&byte| byte == b'\n') {
            if mem::take(&mut self.is_overlong) {
                passed.extend(self.kept.drain(..=end)); // the rest of it is no line
                continue;
            }
            let mut line: Vec<u8> = self.kept.drain(..=end).collect();
            line.pop();
            match self.defect {
                Defect::ShortBy64 if !line.is_empty() && line.len().is_multiple_of(64) => _ = line.pop(),
                Defect::NulTerminated => {
                    if let Some(end) = line.iter().position(|&byte| byte == 0) {
                        line.truncate(end);
                    }
                }
                Defect::EmptySkipped if line.is_empty() || line == b"\r" => continue,
                Defect::EditsNames => {
                    while let Some(at) = line.iter().position(|&byte| byte == 8) {
                        line.drain(at.saturating_sub(1)..=at);
                    }
                }
                Defect::PrintfName => line = printed(&line),
                Defect::CarriageReturnKept if line.ends_with(b"\r") => line.push(b'\r'),
                _ => {}
            }
            passed.append(&mut line);
            passed.push(b'\n');
        }
        // These defects do not change an overlong line.
        if (self.is_overlong || self.kept.len() > 1024) && self.defect != Defect::LateError {
            self.is_overlong = true;
            passed.append(&mut self.kept);
        }
        passed
    }

    /// The number of writes so far.
    pub(crate) const fn writes(&self) -> usize {
        self.writes
    }

    /// Whether 4 MiB were sent.
    pub(crate) const fn has_sent_4_mib(&self) -> bool {
        self.sent >= 4 << 20
    }

    /// The unfinished line, when the client closes its side.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        mem::take(&mut self.kept)
    }

    /// Adds output. `number` counts the replies on all connections.
    pub(crate) fn output(&mut self, bytes: &[u8], number: usize) {
        let mut bytes = bytes.to_vec();
        match self.defect {
            Defect::OneInAThousand if number % 1000 == 999 => return,
            Defect::Merged if number % 700 == 699 && bytes.starts_with(b"Hello, ") => {
                // The end of the previous reply and the beginning of this one are lost.
                if let Some(before) = self.collected.last_mut()
                    && before.ends_with(b"!\n")
                {
                    before.truncate(before.len() - 2);
                    bytes.drain(..7);
                }
            }
            Defect::Swapped if number % 500 == 499 => {
                if let Some(before) = self.collected.pop() {
                    self.collected.push(bytes);
                    self.collected.push(before);
                    return;
                }
            }
            _ => {}
        }
        self.collected.push(bytes);
    }

    /// The writes to do now.
    pub(crate) fn take(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = mem::take(&mut self.collected).concat();
        if bytes.is_empty() {
            return Vec::new();
        }
        self.writes += 1;
        let begin = self.sent;
        if self.defect == Defect::NulBehindGreeting && begin == 0 {
            bytes.push(0);
        }
        if self.defect == Defect::CarriageReturnAdded {
            bytes = bytes.iter().flat_map(|&byte| if byte == b'\n' { vec![b'\r', byte] } else { vec![byte] }).collect();
        }
        if self.defect == Defect::PaddedWrites {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        self.sent += bytes.len();
        match self.defect {
            Defect::RingWrap | Defect::Ring300 => {
                let ring = if self.defect == Defect::Ring300 { 300 } else { 2048 };
                for (index, byte) in bytes.iter_mut().enumerate() {
                    if (begin + index) % ring == ring - 1 {
                        mem::swap(byte, &mut self.at_wrap);
                    }
                }
            }
            Defect::WrongPast1024 => {
                for (index, byte) in bytes.iter_mut().enumerate() {
                    let offset = begin + index;
                    if offset > 1024 && offset.is_multiple_of(3001) {
                        *byte ^= 1;
                    }
                }
            }
            Defect::BitPer100000 => {
                for (index, byte) in bytes.iter_mut().enumerate() {
                    if (begin + index) % 100_000 == 99_999 {
                        *byte ^= 0x10;
                    }
                }
            }
            Defect::Lost256 if bytes.len() >= 512 && self.writes.is_multiple_of(20) => _ = bytes.drain(100..356),
            Defect::StaleTail if self.writes > 1 => {
                let tail = self.previous.get(bytes.len()..).unwrap_or_default().to_vec();
                bytes.extend(tail);
            }
            Defect::SwappedAtSegment => {
                const SEGMENT: usize = 1460;
                for index in 1..bytes.len() {
                    if (begin + index).is_multiple_of(SEGMENT) {
                        bytes.swap(index - 1, index);
                    }
                }
            }
            Defect::StaleLine
                if self.writes.is_multiple_of(9) && bytes.len() > 64 && self.previous.len() >= bytes.len() =>
            {
                let at = bytes.len() - 32;
                if let (Some(to), Some(from)) = (bytes.get_mut(at..), self.previous.get(at..at + 32)) {
                    to.copy_from_slice(from);
                }
            }
            Defect::Repeated if self.writes.is_multiple_of(300) => {
                self.previous.clone_from(&bytes);
                return vec![bytes.clone(), bytes];
            }
            _ => {}
        }
        self.previous.clone_from(&bytes);
        vec![bytes]
    }
}

/// What `printf` makes of a format without arguments.
fn printed(format: &[u8]) -> Vec<u8> {
    let mut printed = Vec::new();
    let mut bytes = format.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, if byte == b'%' { bytes.next() } else { None }) {
            (b'%', Some(b'%')) => printed.push(b'%'),
            (b'%', Some(b'd' | b'i' | b'u' | b'x')) => printed.extend(b"1075"),
            (b'%', Some(b's')) => printed.extend(b"(null)"),
            (b'%', Some(b'c' | b'n')) => {}
            (byte, other) => printed.extend([byte].into_iter().chain(other)),
        }
    }
    printed
}
