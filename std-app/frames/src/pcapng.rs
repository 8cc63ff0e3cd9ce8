//! A capture of all probes in a pcapng file (draft-ietf-opsawg-pcapng), with a comment where each probe begins.

use std::{
    io::{self, Write},
    time::SystemTime,
};

use crate::{
    host::Traced,
    run::{Examined, Verdict},
};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const ETHERNET: u16 = 1;
const COMMENT: u16 = 1;
const FLAGS: u16 = 2;

/// Writes the frames of all probes, ordered by time. `start` is the time of day when the clock of the link was 0.
///
/// # Errors
/// Those of writing.
pub fn write(mut output: impl Write, start: SystemTime, probes: &[Examined]) -> io::Result<()> {
    let mut header = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    header.extend([1, 0, 0, 0]); // version 1.0
    header.extend(u64::MAX.to_le_bytes()); // the length of the section is not stated
    block(&mut output, SECTION_HEADER, &header)?;
    let mut interface = ETHERNET.to_le_bytes().to_vec();
    interface.extend([0; 6]); // reserved, and no limit of the length
    block(&mut output, INTERFACE_DESCRIPTION, &interface)?;

    let start = start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut frames: Vec<(&Traced, Option<String>)> = probes
        .iter()
        .flat_map(|examined| {
            let first = examined.trace.first().map(|traced| (traced, Some(comment(examined))));
            first.into_iter().chain(examined.trace.iter().skip(1).map(|traced| (traced, None)))
        })
        .collect();
    frames.sort_by_key(|(traced, _)| traced.frame.time);
    for (traced, comment) in frames {
        let microseconds = u64::try_from((start + traced.frame.time).as_micros()).unwrap_or(u64::MAX);
        let [low, high] = [microseconds & 0xffff_ffff, microseconds >> 32].map(|half| half.to_le_bytes());
        let length = u32::try_from(traced.frame.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut packet = vec![0; 4]; // interface 0
        packet.extend([&high[..4], &low[..4], &length, &length].concat());
        packet.extend(&traced.frame.bytes);
        packet.resize(packet.len().next_multiple_of(4), 0);
        if let Some(comment) = comment {
            option(&mut packet, COMMENT, comment.as_bytes());
        }
        let direction: u32 = if traced.sent { 2 } else { 1 };
        option(&mut packet, FLAGS, &direction.to_le_bytes());
        packet.extend([0; 4]); // the end of the options
        block(&mut output, ENHANCED_PACKET, &packet)?;
    }
    output.flush()
}

fn comment(examined: &Examined) -> String {
    let (word, text) = match &examined.verdict {
        Verdict::Passed(text) => ("passed", text),
        Verdict::Failed(text) => ("failed", text),
        Verdict::Undecided(text) => ("not decidable", text),
        Verdict::Lossy(text) => ("not decidable, lossy link", text),
        Verdict::Dead(text) | Verdict::LinkFailed(text) => ("not run", text),
    };
    let probe = &examined.probe;
    format!("{}: {} ({}): {word}: {text}", probe.id(), probe.requirement, probe.clause)
}

fn block(output: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    output.write_all(&kind.to_le_bytes())?;
    output.write_all(&length)?;
    output.write_all(body)?;
    output.write_all(&length)
}

fn option(packet: &mut Vec<u8>, code: u16, value: &[u8]) {
    packet.extend(code.to_le_bytes());
    packet.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    packet.extend(value);
    packet.resize(packet.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{frame::Frame, probes};

    #[test]
    fn the_blocks_have_the_right_lengths_and_the_first_frame_of_a_probe_its_comment() {
        let frame = Frame::read(Duration::from_secs(5), vec![7; 61]);
        let trace = vec![Traced { sent: true, frame: frame.clone() }, Traced { sent: false, frame }];
        let verdict = Verdict::Failed("no reply".to_owned());
        let probe = probes::all().remove(0);
        let id = probe.id();
        let examined = Examined { probe, verdict, took: Duration::ZERO, trace };
        let mut file = Vec::new();
        write(&mut file, SystemTime::UNIX_EPOCH, &[examined]).unwrap();

        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let length = usize::try_from(number(at + 4)).unwrap();
            assert_eq!((length % 4, number(at + length - 4)), (0, number(at + 4)), "block at {at}");
            if number(at) == ENHANCED_PACKET {
                assert_eq!((number(at + 12), number(at + 16), number(at + 20)), (0, 5_000_000, 61));
            }
            kinds.push(number(at));
            at += length;
        }
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET, ENHANCED_PACKET]);
        let text = String::from_utf8_lossy(&file);
        assert_eq!(text.matches(&format!("{id}: ")).count(), 1);
        assert!(text.contains("failed: no reply"));
    }
}
