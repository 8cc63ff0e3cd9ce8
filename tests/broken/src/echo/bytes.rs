//! Defects of the bytes of one connection.

use core::{mem, str};

use super::Defect;

/// What is sent back, from what was received.
pub(super) struct Bytes {
    defect: Defect,
    /// The number of bytes received before this read.
    received: usize,
    /// The number of bytes sent.
    sent: usize,
    writes: usize,
    /// What is not sent back yet.
    kept: Vec<u8>,
    /// The buffer that the reads are copied into.
    buffer: Vec<u8>,
    /// The last byte of the ring buffer.
    at_wrap: u8,
}

/// The task of this connection ends.
pub(super) struct Crash;

impl Bytes {
    pub(super) const fn new(defect: Defect) -> Self {
        Self { defect, received: 0, sent: 0, writes: 0, kept: Vec::new(), buffer: Vec::new(), at_wrap: 0 }
    }

    /// What is sent back after this read.
    pub(super) fn echo(&mut self, read: &[u8]) -> Result<Vec<u8>, Crash> {
        let echo = self.changed(read)?;
        self.received += read.len();
        self.sent += echo.len();
        self.writes += 1;
        Ok(echo)
    }

    fn changed(&mut self, read: &[u8]) -> Result<Vec<u8>, Crash> {
        let without = |byte| read.iter().copied().filter(|other| *other != byte).collect();
        let up_to = |length: usize| read.get(..length).unwrap_or(read).to_vec();
        let is_text = || str::from_utf8(read).is_ok();
        Ok(match self.defect {
            Defect::EndsAt255 if read.contains(&0xFF) => return Err(Crash),
            Defect::Utf8Crash if !is_text() => return Err(Crash),
            Defect::DropsWhatDoesNotFit => up_to(2920),
            Defect::FirstBufferOnly => up_to(536),
            Defect::CutAt127 => up_to(127),
            Defect::OneBehind => mem::replace(&mut self.kept, read.to_vec()),
            Defect::StaleTail => {
                let longest = self.buffer.len().max(read.len());
                self.buffer.resize(longest, 0);
                self.buffer.iter_mut().zip(read).for_each(|(old, new)| *old = *new);
                self.buffer.clone()
            }
            Defect::LosesFirstBytes if self.received == 0 => read.get(4..).unwrap_or_default().to_vec(),
            Defect::LosesFullBuffer if read.len() == 2048 => Vec::new(),
            Defect::Repeats if self.writes % 50 == 49 => read.repeat(2),
            Defect::SwapsHalves if read.len() % 2 == 1 => {
                let mut echo = read.to_vec();
                let (words, _) = echo.as_chunks_mut::<4>();
                if let Some(word) = words.last_mut() {
                    word.rotate_left(2);
                }
                echo
            }
            Defect::SwapsPairs if read.len() > 1024 => {
                read.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect()
            }
            Defect::PadsShort if read.len() < 4 => [read, &[0; 4]].concat().into_iter().take(4).collect(),
            Defect::RingWrap | Defect::Ring300 => {
                let ring = if self.defect == Defect::Ring300 { 300 } else { 2048 };
                let mut echo = read.to_vec();
                for (index, byte) in echo.iter_mut().enumerate() {
                    if (self.sent + index) % ring == ring - 1 {
                        mem::swap(byte, &mut self.at_wrap);
                    }
                }
                echo
            }
            Defect::StripsNul => without(0),
            Defect::StripsLineFeed => without(b'\n'),
            Defect::NulTerminated => read.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
            Defect::AddsNul => [read, &[0]].concat(),
            Defect::AddsCarriageReturn => {
                read.iter().flat_map(|&byte| if byte == b'\n' { vec![b'\r', byte] } else { vec![byte] }).collect()
            }
            Defect::SevenBits => read.iter().map(|byte| byte & 0x7F).collect(),
            Defect::EditsLines => {
                let mut echo = Vec::new();
                for &byte in read {
                    if byte == 8 {
                        echo.pop();
                    } else {
                        echo.push(byte);
                    }
                }
                echo
            }
            Defect::WaitsForLine => {
                self.kept.extend_from_slice(read);
                let end = self.kept.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
                self.kept.drain(..end).collect()
            }
            Defect::Reverses => read.iter().rev().copied().collect(),
            Defect::AddsPrefix => [b"echo: ", read].concat(),
            Defect::StopsAt65535 => up_to(usize::from(u16::MAX).saturating_sub(self.sent)),
            _ => read.to_vec(),
        })
    }
}
