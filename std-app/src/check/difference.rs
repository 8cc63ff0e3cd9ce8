//! What wrong bytes tell about how they became wrong.

/// What the bytes from a difference on point at. `before` are the right bytes before it, `expected` those that were due from
/// it on, as far as they are known, and `received` those that came.
pub(super) fn causes(before: &[u8], expected: &[u8], received: &[u8], offset: u64) -> Vec<String> {
    let more = inserted(expected, received);
    if !more.is_empty() {
        return more;
    }
    let Some(length) = wrong_run(expected, received) else {
        return shifted(before, expected, received).into_iter().collect();
    };
    let mut causes = Vec::new();
    if out_of_order(before, expected, received) {
        causes.push(
            "the replies are right, but in another order: more than one task answers one client, or buffers are sent in \
             another order than they were filled"
                .to_owned(),
        );
    }
    if let Some(back) = stale(before, expected, received, length) {
        causes.push(format!(
            "stale: the {length} wrong bytes are those that were right {back} bytes before. A buffer is used again before it \
             was sent, or a cache line is not written back before the DMA reads it"
        ));
    }
    if let (Some(expected), Some(received)) = (expected.first(), received.first())
        && length == 1
        && expected != received
        && expected.eq_ignore_ascii_case(received)
    {
        let (expected, received) = (char::from(*expected), char::from(*received));
        causes.push(format!("a letter has the wrong case: `{expected}` became `{received}`"));
    }
    if let (Some(expected), Some(received)) = (expected.first(), received.first())
        && length == 1
        && (expected ^ received).count_ones() == 1
    {
        causes.push(format!(
            "one bit is wrong ({expected:#04X} became {received:#04X}): memory, a bus without parity, or a checksum that \
             nobody computes or looks at"
        ));
    }
    if let (Some(wrong), Some(right)) = (received.get(..length), expected.get(..length))
        && matches!(length, 2 | 4)
        && wrong.iter().eq(right.iter().rev())
    {
        causes.push(format!("{length} bytes are in the reverse order: a word is copied with the wrong byte order"));
    }
    for segment in [1460, 1448, 536] {
        let (begin, end) = (offset / segment, (offset + length as u64) / segment);
        if length < 64 && end > 0 && (begin < end || offset.is_multiple_of(segment)) {
            causes.push(format!(
                "they lie where a segment of {segment} bytes ends, if all were full: look at how segments are put together"
            ));
            break;
        }
    }
    causes.extend(aligned(offset, length as u64));
    if causes.is_empty() {
        let bytes = if length == 1 { "one byte is".to_owned() } else { format!("{length} bytes in a row are") };
        causes.push(format!(
            "{bytes} wrong and those behind them are right: something overwrites a buffer, or an offset in \
             it is computed wrongly"
        ));
    }
    causes
}

/// Whether wrong bytes begin or end where memory is divided.
fn aligned(offset: u64, length: u64) -> Option<String> {
    const CACHE_LINE: u32 = 5;
    let end = offset + length;
    let divided = |place: u64| if place == 0 { 0 } else { place.trailing_zeros() };
    let power = divided(offset).max(divided(end));
    let size = 1_u64 << power.min(16);
    match power {
        ..CACHE_LINE => None,
        5 | 6 => Some(format!(
            "the wrong bytes begin or end at a multiple of {size}: that is how cache lines and DMA bursts are aligned"
        )),
        _ => Some(format!(
            "the wrong bytes begin or end at a multiple of {size}: look at a ring or a block of that size, then at cache lines \
             and DMA bursts, which are aligned to 32 or 64"
        )),
    }
}

/// What more bytes than were due point at, where those that were due come behind them.
pub(super) fn inserted(expected: &[u8], received: &[u8]) -> Vec<String> {
    const MOST: usize = 8;
    const ENOUGH: usize = 4;
    /// What lies further behind may be wrong again.
    const COMPARED: usize = 16;
    let comes_behind = |count: &usize| {
        let rest = received.get(*count..).unwrap_or_default();
        let known = rest.len().min(expected.len()).min(COMPARED);
        known >= ENOUGH.min(expected.len()).max(1) && rest.get(..known) == expected.get(..known)
    };
    // Of names that repeat themselves it looks like that, too, where bytes became others at their place.
    if wrong_run(expected, received).is_some_and(|length| length <= MOST) {
        return Vec::new();
    }
    let Some(count) = (1..=MOST).find(comes_behind) else { return Vec::new() };
    let more = received.get(..count).unwrap_or_default();
    let bytes = if count == 1 { "a byte".to_owned() } else { format!("{count} bytes") };
    vec![match more {
        [b'\r'] if expected.first() == Some(&b'\n') => {
            "LF is made CR LF on its way out: a terminal's or a text file's line ends".to_owned()
        }
        _ if more.iter().all(|byte| *byte == 0) => format!(
            "{bytes} of zero came in between: writes that are filled up to whole words, or a C string's end that is sent too"
        ),
        _ => format!("{bytes} more came in between, and what comes behind is right"),
    }]
}

/// The same for what was to come and what came from this offset on, the difference somewhere in it.
pub(super) fn causes_of(expected: &[u8], received: &[u8], offset: u64) -> Vec<String> {
    let same = expected.iter().zip(received).take_while(|(expected, received)| expected == received).count();
    let (before, expected) = expected.split_at(same);
    causes(before, expected, received.get(same..).unwrap_or_default(), offset + same as u64)
}

/// A number for a place in the stream that tells nothing of those of other places: so no stretch of bytes that are made of
/// them comes again, and stale, missing and repeated bytes are known for what they are.
pub(super) const fn mixed(place: usize) -> usize {
    // The finalizer of MurmurHash3.
    let mut mixed = (place & 0xFFFF_FFFF) as u64;
    mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x85EB_CA6B) & 0xFFFF_FFFF;
    mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xC2B2_AE35) & 0xFFFF_FFFF;
    ((mixed ^ (mixed >> 16)) & 0xFFFF) as usize
}

/// How many bytes are wrong before the right ones come again at their place; `None` where they do not.
fn wrong_run(expected: &[u8], received: &[u8]) -> Option<usize> {
    const ENOUGH: usize = 8;
    let last_wrong = last_difference(expected.iter().zip(received))?;
    let right_behind = expected.len().min(received.len()).checked_sub(last_wrong + 1)?;
    // Nothing is known behind the end of a reply: then it is as long as the reply, and little else.
    let same_length = expected.len() == received.len();
    (right_behind >= ENOUGH || same_length).then_some(last_wrong + 1)
}

/// Of which pair, counted from 0, the two differ last.
fn last_difference<T: PartialEq>(pairs: impl Iterator<Item = (T, T)>) -> Option<usize> {
    pairs.enumerate().filter(|(_, (one, other))| one != other).map(|(position, _)| position).last()
}

/// How far before the difference the wrong bytes stand, if they do.
fn stale(before: &[u8], expected: &[u8], received: &[u8], length: usize) -> Option<usize> {
    const ENOUGH: usize = 4;
    let wrong = received.get(..length).filter(|wrong| wrong.len() >= ENOUGH)?;
    let known = [before, expected].concat();
    (1..=before.len()).find(|back| {
        let from = before.len() - back;
        known.get(from..from + length) == Some(wrong)
    })
}

/// Whether the wrong lines are those that were due, but each at another's place.
fn out_of_order(before: &[u8], expected: &[u8], received: &[u8]) -> bool {
    let begun = before.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let known = expected.len().min(received.len());
    let lines = |bytes: &[u8]| {
        let all = [begun, bytes.get(..known).unwrap_or_default()].concat();
        all.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let (due, came) = (lines(expected), lines(received));
    // The last one may be cut; up to where both are the same again they are compared.
    let Some(last) = last_difference(due.iter().zip(&came)) else { return false };
    let sorted = |lines: &[Vec<u8>]| {
        let mut lines = lines.get(..=last).unwrap_or_default().to_vec();
        lines.sort_unstable();
        lines
    };
    last > 0 && sorted(&due) == sorted(&came)
}

/// How long the name is of which these bytes are the reply so far.
fn name_so_far(before: &[u8]) -> Option<usize> {
    const BEGINNING: &[u8] = b"Hello, ";
    let at = before.windows(BEGINNING.len()).rposition(|window| window == BEGINNING)?;
    Some(before.len() - at - BEGINNING.len())
}

/// The bytes are right, but not at their place.
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
            if let Some(length) = name_so_far(before).filter(|_| sample.starts_with(b"!")) {
                return Some(format!(
                    "a name is cut short: behind its first {length} bytes {missing} are missing. Segments of 536 and 1,460 bytes \
                     are usual, and so are buffers of a power of two"
                ));
            }
            let bytes = if missing == 1 { "a byte is".to_owned() } else { format!("{missing} bytes are") };
            return Some(format!(
                "{bytes} missing, and what comes behind them is right. If that is a whole reply, the server lost \
                 a name or a reply, or merged two; if not, a name is cut short, or bytes were lost that were acknowledged"
            ));
        }
        let again = (1..=before.len()).find(|back| {
            let rest = before.get(before.len() - back..).unwrap_or_default();
            let common = rest.len().min(sample.len());
            common >= ENOUGH && rest.get(..common) == sample.get(..common)
        });
        if let Some(again) = again {
            return Some(format!(
                "the {again} bytes before come again: a segment that was sent twice is taken for new, or a reply is written twice"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(from: usize, count: usize) -> Vec<u8> {
        let byte = |place: usize| u8::try_from(mixed(place) % 94).unwrap();
        (from..from + count).map(|place| b'!' + byte(place)).collect()
    }

    #[test]
    fn stale_bytes_are_known_by_what_was_right_before() {
        let (before, expected) = (stream(0, 256), stream(256, 256));
        let mut received = expected.clone();
        received[..32].copy_from_slice(&before[128..160]);
        let causes = causes(&before, &expected, &received, 256);
        // Bytes at either end may be right by chance.
        assert!(causes[0].starts_with("stale: the 3") && causes[0].contains("right 128 bytes before"), "{causes:?}");
        assert!(causes[1].contains("multiple of 256"), "{causes:?}");
    }

    #[test]
    fn one_wrong_bit_is_told() {
        let (before, expected) = (stream(0, 99), stream(99, 100));
        let mut received = expected.clone();
        received[0] ^= 4;
        assert!(causes(&before, &expected, &received, 99)[0].starts_with("one bit is wrong"));
    }

    #[test]
    fn a_word_in_the_wrong_byte_order_and_the_end_of_a_segment_are_told() {
        let (before, expected) = (stream(0, 1459), stream(1459, 100));
        let mut received = expected.clone();
        received.swap(0, 1);
        let causes = causes(&before, &expected, &received, 1459);
        assert!(causes[0].starts_with("2 bytes are in the reverse order"), "{causes:?}");
        assert!(causes[1].contains("a segment of 1460 bytes ends"), "{causes:?}");
    }

    #[test]
    fn bytes_that_are_missing_or_come_again_are_counted() {
        let (before, expected) = (stream(0, 100), stream(100, 200));
        assert!(causes(&before, &expected, &expected[23..], 100)[0].starts_with("23 bytes are missing"));
        let again = [&before[60..], &expected].concat();
        assert!(causes(&before, &expected, &again, 100)[0].starts_with("the 40 bytes before come again"));
    }

    #[test]
    fn replies_in_another_order_are_known_by_their_lines() {
        let replies = |names: [&str; 4]| names.map(|name| format!("Hello, {name}!\n")).concat().into_bytes();
        let due = replies(["one", "two", "three", "four"]);
        let came = replies(["one", "three", "two", "four"]);
        let same = due.iter().zip(&came).take_while(|(due, came)| due == came).count();
        let causes = causes(&due[..same], &due[same..], &came[same..], same as u64);
        assert!(causes[0].contains("in another order"), "{causes:?}");
        assert!(!out_of_order(b"Hello, ", b"one!\nHello, two!\n", b"onE!\nHello, two!\n"));
    }

    #[test]
    fn of_a_name_that_is_cut_it_is_told_where() {
        let name = [b'n'; 1024];
        let due = [b"Hello, ", &name[..], b"!\nHello, another!\n"].concat();
        let cause = &causes(&due[..543], &due[543..], &due[1031..], 543)[0];
        assert!(cause.contains("its first 536 bytes 488 are missing"), "{cause}");
    }

    #[test]
    fn a_letter_of_the_wrong_case_is_no_fault_of_the_memory_alone() {
        let causes = causes(b"", b"Welcome!", b"welcome!", 0);
        assert!(causes[0].contains("wrong case: `W` became `w`"), "{causes:?}");
        assert!(!causes.iter().any(|cause| cause.contains("multiple of")), "{causes:?}");
    }

    #[test]
    fn bytes_that_were_put_in_between_are_told_from_those_that_became_others() {
        let due = b"Hello, aaaaaaaaaaaa!\nHello, b!\n";
        let padded = b"\0\0Hello, aaaaaaaaaaaa!\n\0\0\0Hello, b!\n";
        assert!(inserted(due, padded)[0].starts_with("2 bytes of zero came in between"));
        assert!(inserted(b"\nHello", b"\r\nHello")[0].starts_with("LF is made CR LF"));
        assert_eq!(inserted(b"aaaaaaaaaaaa!\nHello", b"\0aaaaaaaaaaa!\nHello"), Vec::<String>::new());
        assert!(causes(b"", b"aaaaaaaaaaaa!\nHello", b"\0aaaaaaaaaaa!\nHello", 2047)[0].contains("multiple of 2048"));
    }

    #[test]
    fn of_nothing_nothing_is_told() {
        assert!(causes(b"", b"", b"", 0).is_empty());
        assert!(causes(b"abc", b"", b"x", 3).is_empty());
    }
}
