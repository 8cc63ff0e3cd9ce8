//! A greeting server, and the defects of its connections.

use core::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{Mutex, MutexGuard},
    thread,
    time::Instant as Clock,
};

use greet_core::{Framing, Instant, Machine, Server, ServerSettings, State, drive::Pump};

use super::{Defect, tamper::Tamper};
use crate::slots::{self, Accepting, Slot, WhenFull};

const NAME_CAPACITY: usize = 1024;

/// The state that all threads share.
struct Shared {
    defect: Defect,
    /// Held while writing, if one task writes for all.
    writer: Mutex<()>,
    /// Locked during a name, if the server then serves no other client.
    reader: Mutex<()>,
    /// The number of replies on all connections.
    replies: AtomicUsize,
    /// The number of resets, or of round trips.
    counted: AtomicUsize,
    /// The last reply to any client.
    buffer: Mutex<Vec<u8>>,
    begin: Clock,
    /// The number of connections so far, of open ones, and of bytes to and from all.
    connections: AtomicUsize,
    open: AtomicUsize,
    bytes: AtomicUsize,
}

/// Serves clients until the listener fails.
pub(crate) fn serve(listener: &TcpListener, defect: Defect) {
    let shared = Shared {
        defect,
        writer: Mutex::new(()),
        reader: Mutex::new(()),
        replies: AtomicUsize::new(0),
        counted: AtomicUsize::new(0),
        buffer: Mutex::new(Vec::new()),
        begin: Clock::now(),
        connections: AtomicUsize::new(0),
        open: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
    };
    let accepting = match defect {
        Defect::OneClient => Accepting { slots: 1, ..Accepting::DEFAULT },
        Defect::DeadAfter1200 => Accepting { clients: 1200, ..Accepting::DEFAULT },
        Defect::DeadAfter200 => Accepting { clients: 200, ..Accepting::DEFAULT },
        Defect::ClosesAtOnce => Accepting { slots: 0, when_full: WhenFull::Close, ..Accepting::DEFAULT },
        Defect::NextForgotten => Accepting { when_full: WhenFull::Forget, ..Accepting::DEFAULT },
        Defect::ReplacesOldest => Accepting { when_full: WhenFull::Replace, ..Accepting::DEFAULT },
        Defect::OneOfABurst => Accepting { one_of_a_burst: true, ..Accepting::DEFAULT },
        _ => Accepting::DEFAULT,
    };
    slots::serve(listener, &accepting, move |stream| converse(stream, &shared));
}

fn converse(stream: &TcpStream, shared: &Shared) -> Slot {
    let defect = shared.defect;
    let mut conversation = Conversation::new(stream, shared);
    shared.connections.fetch_add(1, Ordering::Relaxed);
    shared.open.fetch_add(1, Ordering::Relaxed);
    let ended = conversation.run();
    shared.open.fetch_sub(1, Ordering::Relaxed);
    let by_server = conversation.by_server;
    match (defect, ended) {
        (Defect::LeakOnReset, Err(_)) => Slot::Lost,
        (Defect::LeakNowAndThen, Err(_)) if shared.counted.fetch_add(1, Ordering::Relaxed) % 5 == 4 => Slot::Lost,
        (Defect::LeakBeforeFirstByte, Err(_)) if !conversation.has_received => Slot::Lost,
        (Defect::LeakInAName, _) if conversation.in_a_name => Slot::Lost,
        (Defect::TimeWaitHolds, Ok(())) if by_server => Slot::FreeAfter(Duration::from_secs(30)),
        _ => Slot::FreeAfter(Duration::ZERO),
    }
}

/// The number of bytes that the client has not acknowledged; zero if the connection is over.
fn unacknowledged(stream: &TcpStream) -> i32 {
    nix::ioctl_read_bad!(outgoing, nix::libc::TIOCOUTQ, i32);
    // A reset leaves the number as it was, and no peer.
    if stream.peer_addr().is_err() {
        return 0;
    }
    let mut count = 0;
    // SAFETY: `count` is what this request writes, and the descriptor is open.
    let outcome = unsafe { outgoing(stream.as_raw_fd(), &raw mut count) };
    outcome.map_or(0, |_| count)
}

/// A conversation of the state machine over a socket.
struct Conversation<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    server: Server<NAME_CAPACITY>,
    pump: Pump,
    tamper: Tamper,
    begin: Clock,
    /// The greeting was sent.
    has_greeted: bool,
    /// The server closed first, after `exit`.
    by_server: bool,
    /// A byte has come.
    has_received: bool,
    /// The last read did not end with a line feed.
    in_a_name: bool,
    /// Locked during a name, if the server then serves no other client.
    alone: Option<MutexGuard<'a, ()>>,
}

impl<'a> Conversation<'a> {
    fn new(stream: &'a TcpStream, shared: &'a Shared) -> Self {
        let settings = ServerSettings { framing: Framing::Auto, ..ServerSettings::DEFAULT };
        // If this fails, replies wait for ACKs, and the check reports that.
        let _ = stream.set_nodelay(shared.defect != Defect::Nagle);
        Self {
            stream,
            shared,
            server: Server::new(settings, Instant::ZERO),
            pump: Pump::new(),
            tamper: Tamper::new(shared.defect),
            begin: Clock::now(),
            has_greeted: false,
            by_server: false,
            has_received: false,
            in_a_name: false,
            alone: None,
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.begin.elapsed()
    }

    fn run(&mut self) -> io::Result<()> {
        let mut input = [0; 2048];
        let mut client_ended = false;
        let mut ended = false;
        let mut received_bytes = 0;
        match self.shared.defect {
            Defect::GreetingLate => thread::sleep(Duration::from_millis(300)),
            Defect::ShortIdleTimeout => self.stream.set_read_timeout(Some(Duration::from_secs(2)))?,
            Defect::StuckAfterStop => self.stream.set_write_timeout(Some(Duration::from_millis(200)))?,
            _ => {}
        }
        if self.shared.defect != Defect::GreetingAfterFirstByte {
            self.give()?;
        }
        if self.shared.defect == Defect::GreetsAndCloses {
            return Ok(());
        }
        loop {
            if self.server.state() != State::Open && !ended {
                ended = true;
                self.by_server = !client_ended;
                match self.shared.defect {
                    Defect::ResetAtExit if self.by_server => {
                        socket2::SockRef::from(self.stream).set_linger(Some(Duration::ZERO))?;
                        return Ok(());
                    }
                    Defect::NoFin if self.by_server => {}
                    Defect::LateFin if self.by_server => {
                        thread::sleep(Duration::from_millis(1500));
                        self.stream.shutdown(Shutdown::Write)?;
                    }
                    Defect::ExitAnswered if self.by_server => {
                        self.write(b"Hello, exit!\n")?;
                        self.stream.shutdown(Shutdown::Write)?;
                    }
                    _ => self.stream.shutdown(Shutdown::Write)?,
                }
                let now = self.now();
                self.pump.shut_down(&mut self.server, now);
            }
            if self.server.state() == State::Over {
                return Ok(());
            }
            let count = match self.read(&mut input) {
                Ok(0) if client_ended => return Ok(()),
                Ok(0) => {
                    client_ended = true;
                    if self.shared.defect == Defect::LeakOnFin && !ended {
                        // Nothing handles this connection any more.
                        loop {
                            thread::park();
                        }
                    }
                    let rest = self.tamper.rest();
                    self.take(&rest)?;
                    let now = self.now();
                    let _ = self.pump.offer(&mut self.server, now, &[]);
                    self.give()?;
                    self.flush()?;
                    continue;
                }
                Ok(count) => count,
                Err(error) => return Err(error),
            };
            received_bytes += count;
            let all = self.shared.bytes.fetch_add(count, Ordering::Relaxed);
            if self.shared.defect == Defect::DeadAfter20Megabytes && all > 20_000_000 {
                socket2::SockRef::from(self.stream).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            self.has_received = true;
            if self.shared.defect == Defect::HalfNameBlocks && self.alone.is_none() {
                self.alone = self.shared.reader.lock().ok();
            }
            self.in_a_name = input.get(..count).is_some_and(|read| !read.ends_with(b"\n"));
            if self.shared.defect == Defect::StopsAt65535 && received_bytes > usize::from(u16::MAX) {
                loop {
                    thread::park();
                }
            }
            if self.shared.defect == Defect::ResetAfter64K && received_bytes > 64 * 1024 {
                socket2::SockRef::from(self.stream).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            let received = self.tamper.input(input.get(..count).unwrap_or_default());
            if received.crash {
                return Ok(());
            }
            self.take(&received.bytes)?;
            self.flush()?;
            if !self.in_a_name {
                self.alone = None;
            }
        }
    }

    /// Gives the received bytes to the state machine.
    fn take(&mut self, received: &[u8]) -> io::Result<()> {
        let mut offered = 0;
        while offered < received.len() {
            let now = self.now();
            let taken = self.pump.offer(&mut self.server, now, received.get(offered..).unwrap_or_default()).taken;
            offered += taken;
            self.give()?;
            if taken == 0 && self.server.state() != State::Open {
                break;
            }
        }
        Ok(())
    }

    /// One read. For the defect of half-closed connections it fails if the client's FIN has come with it.
    fn read(&mut self, input: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if matches!(self.shared.defect, Defect::HalfCloseDrops | Defect::FinAfterFirstName) && count > 0 {
            thread::sleep(Duration::from_millis(2));
            self.stream.set_nonblocking(true)?;
            let ended = matches!(self.stream.peek(&mut [0]), Ok(0));
            self.stream.set_nonblocking(false)?;
            let first_end = input.get(..count).and_then(|read| read.iter().position(|byte| *byte == b'\n'));
            match (self.shared.defect, first_end) {
                _ if !ended => {}
                (Defect::FinAfterFirstName, Some(end)) => return Ok(end + 1),
                (Defect::FinAfterFirstName, None) => {}
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(count)
    }

    /// Takes the output of the state machine.
    fn give(&mut self) -> io::Result<()> {
        loop {
            let mut output = [0; 4096];
            let now = self.now();
            let count = self.pump.fill(&mut self.server, now, &mut output);
            if count == 0 {
                return if self.has_greeted { Ok(()) } else { self.flush() };
            }
            let number = self.shared.replies.fetch_add(1, Ordering::Relaxed);
            self.tamper.output(output.get(..count).unwrap_or_default(), number);
        }
    }

    /// Sends the output.
    fn flush(&mut self) -> io::Result<()> {
        self.has_greeted = true;
        for piece in self.tamper.take() {
            if self.shared.defect == Defect::EndsAfter4MiB && self.tamper.has_sent_4_mib() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match self.shared.defect {
                Defect::Tick | Defect::TickOf50 => {
                    let tick = if self.shared.defect == Defect::Tick { 10_000 } else { 50_000 };
                    let into = self.begin.elapsed().as_micros() % tick;
                    thread::sleep(Duration::from_micros(u64::try_from(tick - into).unwrap_or(0)));
                    self.write(&piece)?;
                }
                Defect::LostSegments => {
                    if self.shared.replies.load(Ordering::Relaxed).is_multiple_of(40) {
                        thread::sleep(Duration::from_millis(201));
                    }
                    self.write(&piece)?;
                }
                Defect::Nagle if piece.len() > 8 => {
                    let (first, second) = piece.split_at(7);
                    self.write(first)?;
                    self.write(second)?;
                }
                Defect::OneWriter => {
                    let _alone = self.shared.writer.lock();
                    self.write(&piece)?;
                }
                Defect::SharedBuffer => {
                    if let Ok(mut buffer) = self.shared.buffer.lock() {
                        buffer.clone_from(&piece);
                    }
                    thread::sleep(Duration::from_millis(2)); // until it is sent
                    let reply = self.shared.buffer.lock().map(|buffer| buffer.clone()).unwrap_or_default();
                    self.write(&reply)?;
                }
                Defect::StaleLineOfAnother => {
                    const LINE: Range<usize> = 96..128;
                    let mut bytes = piece.clone();
                    if let Ok(mut last) = self.shared.buffer.lock() {
                        let is_stale =
                            piece.len() > 200 && self.shared.counted.fetch_add(1, Ordering::Relaxed) % 5 == 4;
                        if let (true, Some(to), Some(from)) = (is_stale, bytes.get_mut(LINE), last.get(LINE)) {
                            to.copy_from_slice(from);
                        }
                        last.clone_from(&piece);
                    }
                    self.write(&bytes)?;
                }
                Defect::SlowTogether if self.shared.open.load(Ordering::Relaxed) > 1 => {
                    thread::sleep(Duration::from_millis(15));
                    self.write(&piece)?;
                }
                Defect::Ages => {
                    let connections = self.shared.connections.load(Ordering::Relaxed) as u64;
                    thread::sleep(Duration::from_micros(30 * connections));
                    self.write(&piece)?;
                }
                Defect::Sleeps => {
                    thread::sleep(Duration::from_millis(20));
                    self.write(&piece)?;
                }
                Defect::SlowsDown => {
                    thread::sleep(Duration::from_micros(20 * self.tamper.writes() as u64));
                    self.write(&piece)?;
                }
                Defect::TwoPercentLate => {
                    if self.shared.counted.fetch_add(1, Ordering::Relaxed) % 50 == 49 {
                        thread::sleep(Duration::from_millis(50));
                    }
                    self.write(&piece)?;
                }
                Defect::Stalls => {
                    const PERIOD: u128 = 5000;
                    let into = self.shared.begin.elapsed().as_millis() % PERIOD;
                    if into >= PERIOD - 500 {
                        thread::sleep(Duration::from_millis(u64::try_from(PERIOD - into).unwrap_or(0)));
                    }
                    self.write(&piece)?;
                }
                Defect::WaitsForAck => {
                    let _alone = self.shared.writer.lock();
                    self.write(&piece)?;
                    let begin = Clock::now();
                    while unacknowledged(self.stream) > 0 && begin.elapsed() < Duration::from_secs(30) {
                        thread::sleep(Duration::from_micros(100));
                    }
                }
                Defect::RareStall => {
                    // One reply: the client sends one name at a time.
                    if piece.iter().filter(|&&byte| byte == b'\n').count() == 1
                        && self.shared.counted.fetch_add(1, Ordering::Relaxed) % 250 == 249
                    {
                        thread::sleep(Duration::from_millis(1001));
                    }
                    self.write(&piece)?;
                }
                _ => self.write(&piece)?,
            }
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream;
        match self.shared.defect {
            Defect::Trickle if bytes.starts_with(b"Hello") => bytes.iter().try_for_each(|byte| {
                thread::sleep(Duration::from_millis(300));
                stream.write_all(&[*byte])
            }),
            Defect::BulkIsLost => bytes.chunks(4096).enumerate().try_for_each(|(index, piece)| {
                if index > 0 {
                    thread::sleep(Duration::from_millis(201));
                }
                stream.write_all(piece)
            }),
            Defect::ByteByByte => bytes.chunks(1).try_for_each(|byte| stream.write_all(byte)),
            Defect::StuckAfterStop => match stream.write_all(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => loop {
                    thread::park();
                },
                result => result,
            },
            _ => stream.write_all(bytes),
        }
    }
}
