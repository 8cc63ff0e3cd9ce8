//! Patterns of greeting replies: whole ones that are missing or added, and names that are cut, merged or answered in parts.

use super::patterns::Difference;
use crate::export::number::{Count, counted};

const BEGIN: &[u8] = b"Hello, ";
const END: &[u8] = b"!\n";
/// The reply to an empty line.
const EMPTY: &[u8] = b"Hello, !\n";
/// The end of one reply and the beginning of the next.
const BETWEEN: &[u8] = b"!\nHello, ";

/// The cause of a difference between replies, if they show it.
pub(super) fn cause(difference: &Difference<'_>) -> Option<String> {
    let Difference { before, expected, received } = *difference;
    let line = before.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_prefix(b"Welcome!").unwrap_or(line);
    let is_in_reply = line.starts_with(BEGIN) || BEGIN.starts_with(line);
    if !is_in_reply || received.is_empty() {
        return None;
    }
    if line.is_empty() && expected.starts_with(BEGIN) && received.starts_with(b"Error: name longer") {
        return Some("a name is refused as too long: a buffer is one byte too short".to_owned());
    }
    if expected.starts_with(b"Error: name longer") && received.starts_with(BEGIN) {
        return Some("a name is cut short: an overlong line is answered as a name instead of refused".to_owned());
    }
    if let Some(name) = line.strip_prefix(BEGIN)
        && let Some(cause) = within_reply(name, expected, received)
    {
        return Some(cause);
    }
    let [expected, received] = [expected, received].map(|bytes| [line, bytes].concat());
    let missing = replies_before(&expected, &received);
    if let Some(missing) = missing {
        return Some(if missing.iter().all(|reply| *reply == EMPTY) {
            "empty lines are skipped: each is a name, and is answered by `Hello, !`".to_owned()
        } else {
            format!(
                "whole replies are missing ({}), and later ones are correct: the server lost a name or a reply",
                Count(missing.len() as u64)
            )
        });
    }
    let added = replies_before(&received, &expected)?;
    added.iter().all(|reply| *reply == EMPTY).then(|| {
        "an empty name is answered that was not sent: CR and LF each end a name, or an empty rest of a read is taken for a name"
            .to_owned()
    })
}

/// The cause of a difference in the middle of a reply. `name` is what was correct of its name.
fn within_reply(name: &[u8], expected: &[u8], received: &[u8]) -> Option<String> {
    const ENOUGH: usize = 4;
    let is_same = |expected: &[u8], received: &[u8]| {
        let known = expected.len().min(received.len()).min(64);
        known >= ENOUGH.min(expected.len()).max(1) && expected.get(..known) == received.get(..known)
    };
    if let Some(rest) = received.strip_prefix(b"\r")
        && expected.starts_with(END)
        && rest.starts_with(b"!")
    {
        return Some("the CR is treated as part of the name: under framing line, CR LF ends a name like LF".to_owned());
    }
    let joined = without_between(received);
    let is_part = received.len() > END.len()
        && (BETWEEN.starts_with(received)
            || received.starts_with(BETWEEN)
                && (joined.is_empty()
                    || is_same(&without_between(expected), joined.strip_suffix(END).unwrap_or(&joined))));
    if is_part && !name.is_empty() && !expected.starts_with(END) {
        return Some(
            "a name is answered in parts: a read is taken for a whole name, though its line continues in the next read"
                .to_owned(),
        );
    }
    // Of an empty name the whole reply is missing.
    if let Some(rest) = expected.strip_prefix(BETWEEN)
        && !name.is_empty()
        && super::wrong_run(expected, received).is_none()
        && is_same(rest, received)
    {
        return Some(
            "the server merged two names or replies: the end of one and the beginning of the next are missing"
                .to_owned(),
        );
    }
    // Under framing chunk the reply has no line feed.
    let end = expected.windows(END.len()).position(|window| window == END);
    let missing = end.or_else(|| expected.strip_suffix(b"!").map(<[u8]>::len)).filter(|&missing| missing > 0)?;
    let rest = expected.get(missing..)?;
    let known = rest.len().min(received.len()).min(64);
    let is_cut = known >= END.len().min(rest.len()) && rest.get(..known) == received.get(..known);
    if is_cut && expected.first() == Some(&0) {
        return Some("a name ends at its first NUL: it is treated as a C string".to_owned());
    }
    is_cut.then(|| {
        format!(
            "a name is cut short: after its first {} {} missing. Segments of 536 and 1,460 bytes are common, and so are buffers \
             of a power of two",
            counted(name.len() as u64, "byte"),
            if missing == 1 { "the last one is".to_owned() } else { format!("{} are", Count(missing as u64)) },
        )
    })
}

/// The bytes without each end of a reply that the beginning of another one follows.
fn without_between(bytes: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        if let Some(name) = rest.strip_prefix(BETWEEN) {
            rest = name;
        } else {
            joined.push(*first);
            rest = after;
        }
    }
    joined
}

/// Whether replies that follow the last one are those to parts of `exit`.
pub(super) fn are_parts_of_exit(received: &[u8]) -> bool {
    let names = received.strip_prefix(BEGIN).and_then(|names| names.strip_suffix(END));
    names.is_some_and(|names| without_between(names) == b"exit" && names != b"exit")
}

/// The whole replies at the beginning of `longer` that `other` does not have; what follows is the same, as far as it is known.
fn replies_before<'a>(longer: &'a [u8], other: &[u8]) -> Option<Vec<&'a [u8]>> {
    const ENOUGH: usize = 8;
    let mut before = Vec::new();
    let mut rest = longer;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let (reply, following) = rest.split_at(end + 1);
        before.push(reply);
        rest = following;
        let known = rest.len().min(other.len());
        if known > ENOUGH && rest.get(..known) == other.get(..known) {
            return Some(before);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(before: &[u8], expected: &[u8], received: &[u8]) -> String {
        let expected = [before, expected].concat();
        let received = [before, received].concat();
        let same = expected.iter().zip(&received).take_while(|(one, other)| one == other).count();
        let difference =
            Difference { before: &expected[..same], expected: &expected[same..], received: &received[same..] };
        cause(&difference).unwrap_or_default()
    }

    #[test]
    fn the_causes_that_replies_show_are_named() {
        let replies = b"Hello, haha!\nHello, loser!\nHello, !\nHello, byebye!\n";
        for (received, cause) in [
            (&b"Hello, haha!\nHello, !\nHello, byebye!\n"[..], "whole replies are missing (1)"),
            (b"Hello, byebye!\n", "whole replies are missing (3)"),
            (b"Hello, haha!\nHello, loser!\nHello, byebye!\n", "empty lines are skipped"),
            (b"Hello, haha!\nHello, !\nHello, loser!\nHello, !\nHello, byebye!\n", "an empty name is answered that"),
            (b"Hello, haha\r!\nHello, loser!\n", "the CR is treated as part of the name"),
            (b"Hello, ha!\nHello, ha!\nHello, loser!\n", "a name is answered in parts"),
            (b"Hello, h!\nHello, a!\nHello, ha!\nHello, loser!\n", "a name is answered in parts"),
            (b"Error: name longer than 3 bytes\nHello, loser!\n", "one byte too short"),
            (b"Hello, hahaloser!\nHello, !\n", "merged two"),
            (b"Hello, hah!\nHello, loser!\n", "after its first 3 bytes the last one is missing"),
            (b"Hello, ha!\n", "after its first 2 bytes 2 are missing"),
            (b"Hello, hbha!\nHello, loser!\n", ""),
            (b"", ""),
        ] {
            let found = of(b"Welcome!", replies, received);
            assert!(found.contains(cause) && found.is_empty() == cause.is_empty(), "{cause}: {found}");
        }
        // Old bytes in place of the end of a reply, and correct ones behind them.
        let same = b"Hello, dddddddddddddddddddd!\n".repeat(3);
        let mut stale = same.clone();
        stale[24..40].fill(b'd');
        assert_eq!(of(b"Welcome!", &same, &stale), "", "nothing is missing");
        assert!(of(b"Welcome!Hello, ", b"chunk!", b"chu!").contains("after its first 3 bytes 2 are missing"));
        assert!(of(b"Welcome!", b"Hello, a\0b!\n", b"Hello, a!\n").contains("C string"));
        assert!(are_parts_of_exit(b"Hello, ex!\nHello, it!\n") && !are_parts_of_exit(b"Hello, exit!\n"));
        assert_eq!(of(b"an echo", b" of bytes\n", b"bytes\n"), "", "no greeting");
    }
}
