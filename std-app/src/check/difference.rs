//! The causes that wrong bytes point at.

mod patterns;
mod replies;

use self::patterns::Difference;
use crate::export::number::{Count, counted};

/// The causes of a difference, the most likely first. `before` are the correct bytes before it, `expected` and `received` the
/// bytes from it on, as far as they are known.
pub(crate) fn causes(before: &[u8], expected: &[u8], received: &[u8], offset: u64) -> Vec<String> {
    let known = known_causes(before, expected, received);
    if !known.is_empty() {
        return known;
    }
    let Some(length) = wrong_run(expected, received) else {
        return shifted(before, expected, received).into_iter().collect();
    };
    let mut causes = Vec::new();
    if out_of_order(before, expected, received) {
        causes.push(
            "the replies are correct, but in another order: more than one task answers a client, or buffers are not sent in the \
             order in which they were filled"
                .to_owned(),
        );
    }
    if let Some(back) = stale(before, expected, received, length) {
        causes.push(format!(
            "stale data: the {length} wrong bytes are those from {back} bytes earlier. A buffer is reused before it was sent, or a \
             cache line is not written back before the DMA reads it"
        ));
    }
    if let (Some(expected), Some(received)) = (expected.first(), received.first())
        && length == 1
        && expected != received
        && expected.eq_ignore_ascii_case(received)
    {
        let (expected, received) = (char::from(*expected), char::from(*received));
        causes.push(format!("the case of a letter is wrong: `{expected}` became `{received}`"));
    }
    if let (Some(expected), Some(received)) = (expected.first(), received.first())
        && length == 1
        && (expected ^ received).count_ones() == 1
    {
        causes.push(format!(
            "one bit is wrong ({expected:#04X} became {received:#04X}): memory, a bus without parity, or a checksum that is \
             not computed or not checked"
        ));
    }
    if let (Some(wrong), Some(right)) = (received.get(..length), expected.get(..length))
        && matches!(length, 2 | 4)
        && wrong.iter().eq(right.iter().rev())
    {
        causes.push(format!("{length} bytes are reversed: a word is copied with the wrong byte order"));
    }
    for segment in [1460, 1448, 536] {
        let (begin, end) = (offset / segment, (offset + length as u64) / segment);
        if length < 64 && end > 0 && (begin < end || offset.is_multiple_of(segment)) {
            causes.push(format!(
                "the wrong bytes are where a segment of {segment} bytes ends, if all segments are full: look at how segments are \
                 assembled"
            ));
            break;
        }
    }
    causes.extend(aligned(offset, length as u64));
    if causes.is_empty() {
        let bytes = if length == 1 { "one byte is".to_owned() } else { format!("{length} consecutive bytes are") };
        causes.push(format!(
            "{bytes} wrong, and the following bytes are correct: something overwrites a buffer, or an offset into it is wrong"
        ));
    }
    causes
}

/// What happened to bytes, without the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Some are wrong, and the others are at their own positions.
    Changed,
    /// The first ones are missing, and later ones follow.
    Missing,
    /// Others come before them.
    Added,
}

/// What happened to bytes of which the first one is wrong; `None` if that is not clear.
pub(crate) fn damage(expected: &[u8], received: &[u8]) -> Option<Damage> {
    const ENOUGH: usize = 4;
    const COMPARED: usize = 16;
    let follows_in = |all: &[u8], part: &[u8]| {
        let part = part.get(..part.len().min(COMPARED)).filter(|part| part.len() >= ENOUGH);
        part.is_some_and(|part| all.windows(part.len()).skip(1).any(|window| window == part))
    };
    let known = expected.len().min(received.len());
    let wrong = expected.iter().zip(received).filter(|(expected, received)| expected != received).count();
    let is_in_place = wrong < known && (2 * wrong <= known || wrong_run(expected, received).is_some());
    match (is_in_place, follows_in(expected, received), follows_in(received, expected)) {
        (true, ..) => Some(Damage::Changed),
        (false, true, _) => Some(Damage::Missing),
        (false, false, true) => Some(Damage::Added),
        (false, false, false) => None,
    }
}

/// Whether few bytes are wrong, and as many correct ones follow.
pub(crate) fn is_short_run(expected: &[u8], received: &[u8]) -> bool {
    const SHORT: usize = 64;
    let last_wrong = last_difference(expected.iter().zip(received));
    last_wrong.is_some_and(|last| last < SHORT && expected.len().min(received.len()) - last > SHORT / 2)
}

/// Whether a cause only describes the bytes: another probe may see more of the same defect.
pub(crate) fn is_general(cause: &str) -> bool {
    ["the following bytes are correct", "multiple of", "a segment of", "bytes follow the last reply"]
        .iter()
        .any(|part| cause.contains(part))
}

/// Whether a cause is about bytes that were sent before. How they are described depends on what was sent.
pub(crate) fn is_about_old_bytes(cause: &str) -> bool {
    ["come again", "an earlier, longer message", "bytes of an earlier message", "stale data"]
        .iter()
        .any(|part| cause.contains(part))
}

/// The causes that the bytes show whatever is tested: certain ones, and those of bytes that are changed in place.
pub(crate) fn causes_in_any_probe(before: &[u8], expected: &[u8], received: &[u8], offset: u64) -> Vec<String> {
    match damage(expected, received) {
        Some(Damage::Changed) => causes(before, expected, received, offset),
        _ => known_causes(before, expected, received),
    }
}

/// The causes that are certain from the bytes.
fn known_causes(before: &[u8], expected: &[u8], received: &[u8]) -> Vec<String> {
    let difference = Difference { before, expected, received };
    if let Some(cause) = replies::cause(&difference) {
        return vec![cause];
    }
    let inserted = inserted(expected, received);
    if inserted.is_empty() {
        return patterns::causes(&difference);
    }
    repeated(before, received).map_or(inserted, |again| vec![again])
}

/// Whether wrong bytes begin or end at a multiple of a cache line or a block.
fn aligned(offset: u64, length: u64) -> Option<String> {
    const CACHE_LINE: u32 = 5;
    let end = offset + length;
    let alignment = |offset: u64| if offset == 0 { 0 } else { offset.trailing_zeros() };
    let power = alignment(offset).max(alignment(end));
    let size = 1_u64 << power.min(16);
    match power {
        ..CACHE_LINE => None,
        5 | 6 => Some(format!(
            "the wrong bytes begin or end at a multiple of {size}, the alignment of cache lines and DMA bursts"
        )),
        _ => Some(format!(
            "the wrong bytes begin or end at a multiple of {size}: look at a ring buffer or a block of that size, then at cache \
             lines and DMA bursts, which are aligned to 32 or 64"
        )),
    }
}

/// The cause of additional bytes, if the expected ones come after them.
pub(crate) fn inserted(expected: &[u8], received: &[u8]) -> Vec<String> {
    const MOST: usize = 8;
    const ENOUGH: usize = 4;
    /// Later bytes may be wrong again.
    const COMPARED: usize = 16;
    let expected_follows = |count: &usize| {
        let rest = received.get(*count..).unwrap_or_default();
        let known = rest.len().min(expected.len()).min(COMPARED);
        known >= ENOUGH.min(expected.len()).max(1) && rest.get(..known) == expected.get(..known)
    };
    // Replaced bytes in a name that repeats itself look the same.
    let known = expected.len().min(received.len());
    let wrong = expected.iter().zip(received).filter(|(expected, received)| expected != received).count();
    if wrong_run(expected, received).is_some_and(|length| length <= MOST || 4 * wrong <= known) {
        return Vec::new();
    }
    let Some(count) = (1..=MOST).find(expected_follows) else { return Vec::new() };
    let additional = received.get(..count).unwrap_or_default();
    vec![match additional {
        [b'\r'] if expected.first() == Some(&b'\n') => {
            "LF is sent as CR LF: the line ends of a terminal or a text file".to_owned()
        }
        _ if additional.iter().all(|byte| *byte == 0) => zeros(count),
        _ => {
            let bytes = if count == 1 { "a byte was".to_owned() } else { format!("{count} bytes were") };
            format!("{bytes} inserted, and the following bytes are correct")
        }
    }]
}

fn zeros(count: usize) -> String {
    format!("zero bytes were inserted ({count}): writes are padded to whole words, or the NUL of a C string is sent")
}

/// The cause of bytes behind the last reply. `before` are the correct bytes before them.
pub(crate) fn additional(before: &[u8], received: &[u8]) -> Option<String> {
    /// Of repeated bytes.
    const ENOUGH: usize = 8;
    let is_known = |bytes: &[u8]| before.windows(bytes.len()).any(|window| window == bytes);
    match received {
        [] => None,
        [0, ..] => Some(zeros(received.iter().take_while(|byte| **byte == 0).count())),
        _ if replies::are_parts_of_exit(received) => Some(
            "a name is answered in parts: a read is taken for a whole name, though its line continues in the next read"
                .to_owned(),
        ),
        _ if received.starts_with(b"Hello, exit") => Some("`exit` is answered as a name".to_owned()),
        [_, _, ..] if received.len() >= ENOUGH && before.ends_with(received) => repeated(before, received),
        [_, _, ..] if is_known(received) => Some(
            "bytes of an earlier message follow: the length of the buffer is sent, not that of the message".to_owned(),
        ),
        _ => Some(format!(
            "bytes follow the last reply ({}), and nothing is known about them: more is written than the reply",
            Count(received.len() as u64)
        )),
    }
}

/// The same, for bytes from `offset` on that differ somewhere.
pub(crate) fn causes_from(expected: &[u8], received: &[u8], offset: u64) -> Vec<String> {
    let same = expected.iter().zip(received).take_while(|(expected, received)| expected == received).count();
    let (before, expected) = expected.split_at(same);
    causes(before, expected, received.get(same..).unwrap_or_default(), offset + same as u64)
}

/// A pseudo-random number for a position in the stream. No sequence of them occurs twice, so stale, missing and repeated bytes
/// can be told apart.
pub(crate) const fn mixed(position: usize) -> usize {
    // The finalizer of MurmurHash3.
    let mut mixed = (position & 0xFFFF_FFFF) as u64;
    mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x85EB_CA6B) & 0xFFFF_FFFF;
    mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xC2B2_AE35) & 0xFFFF_FFFF;
    ((mixed ^ (mixed >> 16)) & 0xFFFF) as usize
}

/// The number of wrong bytes before the correct ones follow at their own offsets; `None` if they do not.
fn wrong_run(expected: &[u8], received: &[u8]) -> Option<usize> {
    const ENOUGH: usize = 8;
    let last_wrong = last_difference(expected.iter().zip(received))?;
    let correct_after = expected.len().min(received.len()).checked_sub(last_wrong + 1)?;
    // Nothing is known about what follows the end of a reply.
    let same_length = expected.len() == received.len();
    (correct_after >= ENOUGH || same_length).then_some(last_wrong + 1)
}

/// The index of the last pair whose two values differ.
fn last_difference<T: PartialEq>(pairs: impl Iterator<Item = (T, T)>) -> Option<usize> {
    pairs.enumerate().filter(|(_, (one, other))| one != other).map(|(position, _)| position).last()
}

/// How many bytes earlier the wrong bytes were correct, if they were.
fn stale(before: &[u8], expected: &[u8], received: &[u8], length: usize) -> Option<usize> {
    const ENOUGH: usize = 4;
    let wrong = received.get(..length).filter(|wrong| wrong.len() >= ENOUGH)?;
    let known = [before, expected].concat();
    (1..=before.len()).find(|back| {
        let from = before.len() - back;
        known.get(from..from + length) == Some(wrong)
    })
}

/// Whether the lines are the expected ones in another order.
fn out_of_order(before: &[u8], expected: &[u8], received: &[u8]) -> bool {
    let line_start = before.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let known = expected.len().min(received.len());
    let lines = |bytes: &[u8]| {
        let all = [line_start, bytes.get(..known).unwrap_or_default()].concat();
        all.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let (expected, received) = (lines(expected), lines(received));
    // The last line may be incomplete: compared up to the last difference.
    let Some(last) = last_difference(expected.iter().zip(&received)) else { return false };
    let sorted = |lines: &[Vec<u8>]| {
        let mut lines = lines.get(..=last).unwrap_or_default().to_vec();
        lines.sort_unstable();
        lines
    };
    last > 0 && sorted(&expected) == sorted(&received)
}

/// The cause of correct bytes at the wrong offset: some are missing, or come twice.
fn shifted(before: &[u8], expected: &[u8], received: &[u8]) -> Option<String> {
    const ENOUGH: usize = 8;
    let sample = received.get(..received.len().min(64))?;
    if sample.len() >= ENOUGH {
        let missing = (1..expected.len()).find(|&missing| {
            let rest = expected.get(missing..).unwrap_or_default();
            let common = rest.len().min(sample.len());
            common >= ENOUGH && rest.get(..common) == sample.get(..common)
        });
        if let Some(missing) = missing {
            if missing.is_multiple_of(256) {
                return Some(format!(
                    "{} are missing, a multiple of 256, and the following bytes are correct: a counter or a length of 8 bits \
                     overflows, or a whole block or ring buffer is lost",
                    counted(missing as u64, "byte")
                ));
            }
            let bytes =
                if missing == 1 { "a byte is".to_owned() } else { format!("{} bytes are", Count(missing as u64)) };
            return Some(format!(
                "{bytes} missing, and the following bytes are correct: received bytes are dropped, or acknowledged ones were lost"
            ));
        }
    }
    repeated(before, received)
}

/// The cause of bytes that were received before and come again.
fn repeated(before: &[u8], received: &[u8]) -> Option<String> {
    const ENOUGH: usize = 8;
    let again = (1..=before.len()).find(|back| {
        let rest = before.get(before.len() - back..).unwrap_or_default();
        let common = rest.len().min(received.len()).min(64);
        common >= ENOUGH && rest.get(..common) == received.get(..common)
    })?;
    Some(format!(
        "the previous {again} bytes come again: a retransmitted segment is taken for a new one, or a reply is written twice"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(from: usize, count: usize) -> Vec<u8> {
        let byte = |position: usize| u8::try_from(mixed(position) % 94).unwrap();
        (from..from + count).map(|position| b'!' + byte(position)).collect()
    }

    #[test]
    fn a_wrong_cache_line_is_a_short_run_and_another_reply_is_not() {
        let expected = stream(0, 600);
        let with = |wrong: core::ops::Range<usize>| {
            let mut received = expected.clone();
            received[wrong].iter_mut().step_by(7).for_each(|byte| *byte ^= 1);
            is_short_run(&expected, &received)
        };
        assert!(with(0..32) && with(0..64));
        assert!(
            !with(0..600) && !is_short_run(&expected[..18], &stream(40, 18)) && !is_short_run(&expected, &expected)
        );
    }

    #[test]
    fn stale_bytes_are_recognized_by_earlier_ones() {
        let (before, expected) = (stream(0, 256), stream(256, 256));
        let mut received = expected.clone();
        received[..32].copy_from_slice(&before[128..160]);
        let causes = causes(&before, &expected, &received, 256);
        // Bytes at either end may be correct by chance.
        assert!(
            causes[0].starts_with("stale data: the 3") && causes[0].contains("from 128 bytes earlier"),
            "{causes:?}"
        );
        assert!(causes[1].contains("multiple of 256"), "{causes:?}");
    }

    #[test]
    fn one_wrong_bit_is_recognized() {
        let (before, expected) = (stream(0, 99), stream(99, 100));
        let mut received = expected.clone();
        received[0] ^= 4;
        assert!(causes(&before, &expected, &received, 99)[0].starts_with("one bit is wrong"));
    }

    #[test]
    fn a_word_in_the_wrong_byte_order_at_the_end_of_a_segment_is_recognized() {
        let (before, expected) = (stream(0, 1459), stream(1459, 100));
        let mut received = expected.clone();
        received.swap(0, 1);
        let causes = causes(&before, &expected, &received, 1459);
        assert!(causes[0].starts_with("2 bytes are reversed"), "{causes:?}");
        assert!(causes[1].contains("a segment of 1460 bytes ends"), "{causes:?}");
    }

    #[test]
    fn missing_and_repeated_bytes_are_counted() {
        let (before, expected) = (stream(0, 100), stream(100, 200));
        assert!(causes(&before, &expected, &expected[23..], 100)[0].starts_with("23 bytes are missing"));
        let again = [&before[60..], &expected].concat();
        assert!(causes(&before, &expected, &again, 100)[0].starts_with("the previous 40 bytes come again"));
        let again = [&before[92..], &expected].concat();
        assert!(causes(&before, &expected, &again, 100)[0].starts_with("the previous 8 bytes come again"));
    }

    #[test]
    fn replies_in_another_order_are_recognized_by_their_lines() {
        let replies = |names: [&str; 4]| names.map(|name| format!("Hello, {name}!\n")).concat().into_bytes();
        let expected = replies(["one", "two", "three", "four"]);
        let received = replies(["one", "three", "two", "four"]);
        let causes = causes_from(&expected, &received, 0);
        assert!(causes[0].contains("in another order"), "{causes:?}");
        assert!(!out_of_order(b"Hello, ", b"one!\nHello, two!\n", b"onE!\nHello, two!\n"));
    }

    #[test]
    fn the_length_of_a_truncated_name_is_shown() {
        let name = [b'n'; 1024];
        let expected = [b"Hello, ", &name[..], b"!\nHello, another!\n"].concat();
        let cause = &causes(&expected[..543], &expected[543..], &expected[1031..], 543)[0];
        assert!(cause.contains("after its first 536 bytes 488 are missing"), "{cause}");
    }

    #[test]
    fn a_letter_of_the_wrong_case_has_other_causes_than_memory() {
        let causes = causes(b"", b"Welcome!", b"welcome!", 0);
        assert!(causes[0].contains("case of a letter is wrong: `W` became `w`"), "{causes:?}");
        assert!(!causes.iter().any(|cause| cause.contains("multiple of")), "{causes:?}");
    }

    #[test]
    fn inserted_bytes_are_distinguished_from_replaced_ones() {
        let expected = b"Hello, aaaaaaaaaaaa!\nHello, b!\n";
        let padded = b"\0\0Hello, aaaaaaaaaaaa!\n\0\0\0Hello, b!\n";
        assert!(inserted(expected, padded)[0].starts_with("zero bytes were inserted (2)"));
        assert!(inserted(b"\nHello", b"\r\nHello")[0].starts_with("LF is sent as CR LF"));
        assert_eq!(inserted(b"aaaaaaaaaaaa!\nHello", b"\0aaaaaaaaaaa!\nHello"), Vec::<String>::new());
        assert!(causes(b"", b"aaaaaaaaaaaa!\nHello", b"\0aaaaaaaaaaa!\nHello", 2047)[0].contains("multiple of 2048"));
    }

    #[test]
    fn no_bytes_point_at_nothing() {
        assert!(causes(b"", b"", b"", 0).is_empty());
        assert!(causes(b"abc", b"", b"x", 3).is_empty());
    }
}
