//! A TCP segment, as a probe writes it and as it is read from a packet.

use core::fmt;

use crate::ip::{array, long_word, word};

/// The flags.
pub mod flags {
    /// No more data.
    pub const FIN: u8 = 1;
    /// Opens a connection.
    pub const SYN: u8 = 2;
    /// Resets the connection.
    pub const RST: u8 = 4;
    /// Push.
    pub const PSH: u8 = 8;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 16;
    /// The urgent pointer is valid.
    pub const URG: u8 = 32;
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// The source port.
    pub source_port: u16,
    /// The destination port.
    pub destination_port: u16,
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledgement number.
    pub acknowledgement: u32,
    /// See [`flags`].
    pub flags: u8,
    /// The window, not scaled.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// The options; padded with zeros to a multiple of 4 bytes when written.
    pub options: Vec<u8>,
    /// The data.
    pub payload: Vec<u8>,
}

impl Tcp {
    /// The bytes of the segment, with checksum 0.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let options = self.options.len().next_multiple_of(4);
        let mut bytes = Vec::with_capacity(20 + options + self.payload.len());
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        bytes.extend([u8::try_from((20 + options) / 4).unwrap_or(15) << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(&self.options);
        bytes.resize(20 + options, 0);
        bytes.extend(&self.payload);
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let header = usize::from(array::<1>(bytes, 12)[0] >> 4) * 4;
        if header < 20 || header > bytes.len() {
            return Err(format!("TCP header length {header} in {} bytes", bytes.len()));
        }
        Ok(Self {
            source_port: word(bytes, 0),
            destination_port: word(bytes, 2),
            sequence: long_word(bytes, 4),
            acknowledgement: long_word(bytes, 8),
            flags: array::<1>(bytes, 13)[0],
            window: word(bytes, 14),
            urgent: word(bytes, 18),
            options: bytes.get(20..header).unwrap_or_default().to_vec(),
            payload: bytes.get(header..).unwrap_or_default().to_vec(),
        })
    }

    /// Whether all of these flags are set.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The sequence number after this segment.
    #[must_use]
    pub fn end(&self) -> u32 {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let controls = u32::from(self.has(flags::SYN)) + u32::from(self.has(flags::FIN));
        self.sequence.wrapping_add(length).wrapping_add(controls)
    }

    /// The value of the first option of this kind.
    #[must_use]
    pub fn option(&self, kind: u8) -> Option<&[u8]> {
        self.options().ok()?.into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The kinds and values of all options but padding. The error says what is malformed.
    ///
    /// # Errors
    /// An option whose length is less than 2 or beyond the header.
    pub fn options(&self) -> Result<Vec<(u8, &[u8])>, String> {
        let mut found = Vec::new();
        let mut rest = self.options.as_slice();
        while let [kind, tail @ ..] = rest {
            match kind {
                0 => break,
                1 => rest = tail,
                _ => {
                    let length = tail.first().map_or(0, |&length| usize::from(length));
                    let Some(value) = rest.get(2..length) else {
                        return Err(format!(
                            "TCP option {kind} has length {length}, and {} bytes are left",
                            rest.len()
                        ));
                    };
                    found.push((*kind, value));
                    rest = rest.get(length..).unwrap_or_default();
                }
            }
        }
        Ok(found)
    }
}

/// As tcpdump writes a segment.
impl fmt::Display for Tcp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(u8, char); 6] = [
            (flags::SYN, 'S'),
            (flags::FIN, 'F'),
            (flags::RST, 'R'),
            (flags::PSH, 'P'),
            (flags::URG, 'U'),
            (flags::ACK, '.'),
        ];
        let letters: String = LETTERS.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, letter)| letter).collect();
        let letters = if letters.is_empty() { "none" } else { &letters };
        write!(formatter, "Flags [{letters}], seq {}", self.sequence)?;
        if self.end() != self.sequence {
            write!(formatter, ":{}", self.end())?;
        }
        if self.has(flags::ACK) {
            write!(formatter, ", ack {}", self.acknowledgement)?;
        }
        write!(formatter, ", win {}", self.window)?;
        if self.has(flags::URG) {
            write!(formatter, ", urg {}", self.urgent)?;
        }
        match self.options() {
            Ok(options) if options.is_empty() => {}
            Ok(options) => {
                let texts: Vec<String> = options.iter().map(|(kind, value)| option_text(*kind, value)).collect();
                write!(formatter, ", options [{}]", texts.join(","))?;
            }
            Err(error) => write!(formatter, ", {error}")?,
        }
        write!(formatter, ", length {}", self.payload.len())
    }
}

fn option_text(kind: u8, value: &[u8]) -> String {
    match (kind, value.len()) {
        (2, 2) => format!("mss {}", word(value, 0)),
        (3, 1) => format!("wscale {}", array::<1>(value, 0)[0]),
        (4, 0) => "sackOK".to_owned(),
        (5, _) => {
            let ranges = value.chunks(8).map(|range| format!("{}:{}", long_word(range, 0), long_word(range, 4)));
            format!("sack {}", ranges.collect::<Vec<_>>().join(" "))
        }
        (8, 8) => format!("TS val {} ecr {}", long_word(value, 0), long_word(value, 4)),
        (_, length) => format!("unknown-{kind} of {} bytes", length + 2),
    }
}
