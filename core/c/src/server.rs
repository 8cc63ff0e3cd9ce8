//! The functions of a server.

use core::{ffi::c_void, ptr, time::Duration};

use greet_core::{Framing, Instant, Machine, Server, ServerEvent, ServerSettings};

use crate::{
    GREET_NEVER,
    machine::{self, CAPACITY, GreetEnd, GreetState, limit},
    memory::{input, place},
};

/// Framing: the first read decides.
pub const GREET_FRAMING_AUTO: u32 = 0;
/// Framing: a line feed ends a name.
pub const GREET_FRAMING_LINE: u32 = 1;
/// Framing: each read is a name.
pub const GREET_FRAMING_CHUNK: u32 = 2;

const _: () =
    assert!(size_of::<GreetServer>() <= (CAPACITY + 48).next_multiple_of(8), "GREET_SERVER_SIZE is too small");

/// The server's side of one conversation.
pub struct GreetServer(Server<CAPACITY>);

/// The settings of a server.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GreetServerSettings {
    /// GREET_FRAMING_AUTO, GREET_FRAMING_LINE or GREET_FRAMING_CHUNK; every other value is as GREET_FRAMING_AUTO.
    pub framing: u32,
    /// The delay before each reply, in microseconds.
    pub delay: u64,
    /// The idle timeout in microseconds; GREET_NEVER for no timeout.
    pub idle_timeout: u64,
}

/// What a server reports.
#[repr(C)]
pub enum GreetEventKind {
    /// Nothing.
    None,
    /// A name was received; the reply follows.
    Name,
    /// A name was received that is not UTF-8; the error reply follows.
    NotUtf8,
    /// A name was received that is longer than the capacity; the error reply follows.
    TooLong,
    /// The client sent `exit`.
    Exit,
}

/// An event, and the name that it is about.
#[repr(C)]
pub struct GreetServerEvent {
    /// What happened.
    pub kind: GreetEventKind,
    /// The name, without a NUL at its end; it lies in the server, until the next call for that server. NULL if there is none.
    pub name: *const u8,
    /// The length of the name in bytes.
    pub length: usize,
}

/// The longest name that a server of this library takes, in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_capacity() -> usize {
    CAPACITY
}

/// The defaults of the protocol: GREET_FRAMING_AUTO, no delay, an idle timeout of 300 seconds.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_defaults() -> GreetServerSettings {
    let ServerSettings { framing: _, delay, idle_timeout } = ServerSettings::DEFAULT;
    GreetServerSettings {
        framing: GREET_FRAMING_AUTO,
        delay: micros(delay),
        idle_timeout: idle_timeout.map_or(GREET_NEVER, micros),
    }
}

/// A server whose conversation begins at `now`: it owes its greeting. `settings` may be NULL, for the defaults.
///
/// Returns the server, which lies in `storage`. NULL if that is not aligned, or is smaller than
/// GREET_SERVER_SIZE(greet_server_capacity()) bytes.
///
/// # Safety
/// `storage` is null or has `size` bytes, which nothing else uses as long as the server is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet_server_init(
    storage: *mut c_void,
    size: usize,
    settings: Option<&GreetServerSettings>,
    now: u64,
) -> *mut GreetServer {
    let settings = settings.map_or(ServerSettings::DEFAULT, |settings| ServerSettings {
        framing: match settings.framing {
            GREET_FRAMING_LINE => Framing::Line,
            GREET_FRAMING_CHUNK => Framing::Chunk,
            _ => Framing::Auto,
        },
        delay: Duration::from_micros(settings.delay),
        idle_timeout: limit(settings.idle_timeout),
    });
    // SAFETY: the caller states it.
    unsafe { place(storage, size, GreetServer(Server::new(settings, Instant::from_micros(now)))) }
}

/// Offers received bytes: all bytes of one read, or those that the server left of one. Returns how many it took. Offer the
/// others again after the next greet_server_transmit, before those of another read. Writes what happened to `event`, which
/// may be NULL.
///
/// # Safety
/// `bytes` is null or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet_server_receive(
    server: Option<&mut GreetServer>,
    now: u64,
    bytes: *const u8,
    length: usize,
    event: Option<&mut GreetServerEvent>,
) -> usize {
    let Some(GreetServer(server)) = server else { return 0 };
    // SAFETY: the caller states it.
    let received = server.receive(Instant::from_micros(now), unsafe { input(bytes, length) });
    if let Some(event) = event {
        let (kind, name) = match received.event {
            None => (GreetEventKind::None, None),
            Some(ServerEvent::Name(name)) => (GreetEventKind::Name, Some(name)),
            Some(ServerEvent::NotUtf8(name)) => (GreetEventKind::NotUtf8, Some(name)),
            Some(ServerEvent::TooLong) => (GreetEventKind::TooLong, None),
            Some(ServerEvent::Exit) => (GreetEventKind::Exit, None),
        };
        let (name, length) = name.map_or((ptr::null(), 0), |name| (name.as_ptr(), name.len()));
        *event = GreetServerEvent { kind, name, length };
    }
    received.taken
}

/// The client has sent its FIN, and the server has taken every byte before it.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_receive_end(server: Option<&mut GreetServer>, now: u64) {
    machine::receive_end(inner(server), now);
}

/// Writes the next bytes to send to the front of `bytes`, which has room for `room` bytes, and returns how many there are; 0 if
/// there are none now.
///
/// # Safety
/// `bytes` is null or has `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn greet_server_transmit(
    server: Option<&mut GreetServer>,
    now: u64,
    bytes: *mut u8,
    room: usize,
) -> usize {
    // SAFETY: the caller states it.
    unsafe { machine::transmit(inner(server), now, bytes, room) }
}

/// Bytes from greet_server_transmit, or the FIN, have left only now: the network stack was slow to take them, or the client
/// acknowledged them.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_progress(server: Option<&mut GreetServer>, now: u64) {
    machine::progress(inner(server), now);
}

/// In GREET_STATE_ENDING: the network stack has all bytes, and the FIN after them.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_delivered(server: Option<&mut GreetServer>, now: u64) {
    machine::delivered(inner(server), now);
}

/// The time is `now`. Call it at greet_server_deadline; earlier calls change nothing.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_handle_timeout(server: Option<&mut GreetServer>, now: u64) {
    machine::handle_timeout(inner(server), now);
}

/// When to call greet_server_handle_timeout if nothing else happens; GREET_NEVER if no timeout is running.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_deadline(server: Option<&GreetServer>) -> u64 {
    machine::deadline(server.map(|server| &server.0))
}

/// How far the conversation is; GREET_STATE_OVER for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_state(server: Option<&GreetServer>) -> GreetState {
    machine::state(server.map(|server| &server.0))
}

/// Why the conversation ends, once it does.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_end(server: Option<&GreetServer>) -> GreetEnd {
    machine::end(server.map(|server| &server.0))
}

/// Ends the conversation from this side. The bytes that the server owes are still sent; new input is not taken.
#[unsafe(no_mangle)]
pub extern "C" fn greet_server_close(server: Option<&mut GreetServer>, now: u64) {
    #[cfg(deliberate_panic)] // so that the test which looks for panics is tested
    core::hint::black_box(core::hint::black_box(Some(0_u8)).unwrap());
    machine::close(inner(server), now);
}

fn inner(server: Option<&mut GreetServer>) -> Option<&mut Server<CAPACITY>> {
    server.map(|server| &mut server.0)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(GREET_NEVER)
}
