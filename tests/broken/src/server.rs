//! A server with a few slots, a thread for each client, and the defects of connections.

use core::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant as Clock,
};

use greet_core::{Framing, Instant, Machine, Server, ServerSettings, State, drive::Pump};

use crate::{Defect, tamper::Tamper};

const SLOTS: usize = 8;
const NAME_CAPACITY: usize = 1024;

/// The state that all threads share.
struct Shared {
    defect: Defect,
    /// The number of slots in use.
    taken: AtomicUsize,
    /// Held while writing, if one task writes for all.
    writer: Mutex<()>,
    /// The number of replies on all connections.
    replies: AtomicUsize,
    /// The number of resets, or of round trips.
    counted: AtomicUsize,
    /// The last reply to any client.
    buffer: Mutex<Vec<u8>>,
}

/// Serves clients until the listener fails.
pub fn serve(listener: &TcpListener, defect: Defect) {
    let shared = Arc::new(Shared {
        defect,
        taken: AtomicUsize::new(0),
        writer: Mutex::new(()),
        replies: AtomicUsize::new(0),
        counted: AtomicUsize::new(0),
        buffer: Mutex::new(Vec::new()),
    });
    let mut forgotten = Vec::new();
    let slots = if defect == Defect::OneClient { 1 } else { SLOTS };
    for number in 1_usize.. {
        if defect == Defect::DeadAfter200 && number > 200 {
            loop {
                thread::park();
            }
        }
        let Ok((stream, _)) = listener.accept() else { return };
        if defect == Defect::OneOfABurst {
            reset_others(listener);
        }
        if defect == Defect::ClosesAtOnce {
            continue;
        }
        if shared.taken.load(Ordering::SeqCst) >= slots && defect == Defect::NextForgotten {
            forgotten.push(stream);
            continue;
        }
        if shared.taken.load(Ordering::SeqCst) >= slots {
            // As a stack without a listening socket does.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            continue;
        }
        shared.taken.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let mut ending = converse(stream, &shared);
            ending.close();
            if ending.keeps_slot {
                return;
            }
            thread::sleep(ending.holds);
            shared.taken.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Resets the connections in the backlog.
fn reset_others(listener: &TcpListener) {
    thread::sleep(Duration::from_millis(5)); // the same instant, for this server
    // If this fails, they are served.
    let _ = listener.set_nonblocking(true);
    while let Ok((stream, _)) = listener.accept() {
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
    let _ = listener.set_nonblocking(false);
}

/// How a conversation ended, and what happens to its slot.
struct Ending {
    stream: Option<TcpStream>,
    keeps_slot: bool,
    /// How long the slot stays taken.
    holds: Duration,
}

impl Ending {
    /// Closes the connection before its slot is freed.
    fn close(&mut self) {
        self.stream = None;
    }
}

fn converse(stream: TcpStream, shared: &Shared) -> Ending {
    let defect = shared.defect;
    let mut outcome = Ending { stream: None, keeps_slot: false, holds: Duration::ZERO };
    let mut conversation = Conversation::new(&stream, shared);
    let ended = conversation.run();
    let by_server = conversation.by_server;
    match (defect, ended) {
        (Defect::LeakOnReset, Err(_)) => outcome.keeps_slot = true,
        (Defect::LeakNowAndThen, Err(_)) => {
            outcome.keeps_slot = shared.counted.fetch_add(1, Ordering::Relaxed) % 5 == 4;
        }
        (Defect::LeakInAName, _) if conversation.in_a_name => outcome.keeps_slot = true,
        (Defect::LeakOnFin, Ok(())) if !by_server => {
            // The server's side stays open: CLOSE-WAIT.
            outcome.keeps_slot = true;
        }
        (Defect::TimeWaitHolds, Ok(())) if by_server => outcome.holds = Duration::from_secs(30),
        _ => {}
    }
    outcome.stream = Some(stream);
    outcome
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
    /// The last read did not end with a line feed.
    in_a_name: bool,
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
            in_a_name: false,
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
            self.in_a_name = input.get(..count).is_some_and(|read| !read.ends_with(b"\n"));
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
        if self.shared.defect == Defect::HalfCloseDrops && count > 0 {
            thread::sleep(Duration::from_millis(2));
            self.stream.set_nonblocking(true)?;
            let ended = matches!(self.stream.peek(&mut [0]), Ok(0));
            self.stream.set_nonblocking(false)?;
            if ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
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
            match self.shared.defect {
                Defect::Tick => {
                    const TICK: u128 = 10_000;
                    let into = self.begin.elapsed().as_micros() % TICK;
                    thread::sleep(Duration::from_micros(u64::try_from(TICK - into).unwrap_or(0)));
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
