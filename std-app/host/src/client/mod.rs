//! What the clients share: the server's address, the check of names, errors, and the output of replies.

mod error;
mod host;
mod replies;

use greet_core::{Client, ClientSettings, Framing, Instant, NAME_CAPACITY, NameError, Service};

pub use self::{
    error::{Broken, ChatError, Departure},
    host::{HostPort, HostPortError},
    replies::Replies,
};

/// A client's capacity: the largest there is, so that under `line` a server's limit decides and not this one. (One whose
/// framing is `auto` takes a first name that is longer than its read for chunks.)
pub const CAPACITY: usize = u16::MAX as usize;

/// Whether this name can be sent with these settings and be returned unchanged, `first` in its conversation or later.
///
/// # Errors
/// Why it cannot.
pub fn check(settings: ClientSettings, name: &[u8], first: bool) -> Result<(), NameError> {
    let ClientSettings { service, framing, .. } = settings;
    if service == Service::Greet && framing != Framing::Line && name.len() > NAME_CAPACITY {
        return Err(NameError::TooLong { limit: NAME_CAPACITY }); // L2: one read of a server takes no more
    }
    let mut client: Client<CAPACITY> = Client::new(settings, Instant::ZERO);
    if !first {
        client.say(b"another")?;
    }
    match client.say(name) {
        Err(NameError::Full) => Ok(()), // only because of the other one
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(framing: Framing, name: &[u8], first: bool) -> Result<(), NameError> {
        super::check(ClientSettings { framing, ..ClientSettings::default() }, name, first)
    }

    #[test]
    fn a_name_is_checked_for_its_framing() {
        assert_eq!(check(Framing::Chunk, &[b'a'; NAME_CAPACITY], true), Ok(()));
        let limit = NAME_CAPACITY;
        assert_eq!(check(Framing::Chunk, &[b'a'; NAME_CAPACITY + 1], true), Err(NameError::TooLong { limit }));
        assert_eq!(check(Framing::Line, &[b'a'; NAME_CAPACITY + 1], true), Ok(()));
        let limit = Client::<CAPACITY>::LONGEST_NAME;
        assert_eq!(check(Framing::Line, &vec![b'a'; limit], true), Ok(()));
        assert_eq!(check(Framing::Line, &vec![b'a'; limit + 1], true), Err(NameError::TooLong { limit }));
        assert_eq!(check(Framing::Chunk, b"", true), Err(NameError::Empty));
        assert_eq!(check(Framing::Line, b"", true), Ok(()));
        assert_eq!(check(Framing::Chunk, b"a\nb", true), Err(NameError::LineFeedFirst { offset: 1 }));
        assert_eq!(check(Framing::Chunk, b"a\nb", false), Ok(()));
        assert_eq!(check(Framing::Line, &vec![b'a'; limit], false), Ok(()));
        assert_eq!(check(Framing::Line, b"a\nb", true), Err(NameError::LineFeed { offset: 1 }));
    }
}
