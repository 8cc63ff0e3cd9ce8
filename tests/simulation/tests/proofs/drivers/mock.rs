//! A mock transport: it fragments, stalls, times out, interrupts and fails as its script says.

use core::{
    cell::Cell,
    future::{Future, poll_fn},
    ops::Range,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{collections::VecDeque, rc::Rc};

use embedded_io::ErrorKind;
use greet_core::{
    Instant, Machine,
    drive::{Output, Turn, asynchronous, blocking},
};

/// The result of the next wait for input. After the end of the script the peer stays silent.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
    /// One read delivers this.
    Read(Vec<u8>),
    /// Nothing for this time.
    Silence(Duration),
    /// The peer has half-closed.
    End,
}

/// The time, shared by the driver and the transport.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    micros: Rc<Cell<u64>>,
    /// Microseconds by which each reading of the clock advances it.
    pub(crate) tick: u64,
}

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(self.micros.get())
    }

    fn look(&self) -> Instant {
        self.micros.set(self.micros.get() + self.tick);
        self.now()
    }

    fn set(&self, now: Instant) {
        self.micros.set(now.as_micros());
    }
}

/// The transport, with a record of the calls.
#[derive(Debug)]
pub(crate) struct Mock {
    pub(crate) clock: Clock,
    pub(crate) incoming: VecDeque<Incoming>,
    /// Every read is ready without waiting, and `read_ready` says so.
    pub(crate) prompt: bool,
    /// Maximum sizes of the writes, used in a cycle; without any, a write takes everything.
    pub(crate) write_sizes: VecDeque<usize>,
    /// The time in which no write takes anything: the peer does not read.
    pub(crate) stuck: Range<Instant>,
    /// Duration of each write: the peer reads slowly.
    pub(crate) pace: Duration,
    /// The call with this number fails, and does nothing else.
    pub(crate) fault: Option<(usize, ErrorKind)>,
    /// Number of waits that end early, each at half of its time.
    pub(crate) early_waits: usize,
    /// Each write, with its time.
    pub(crate) writes: Vec<(Instant, Vec<u8>)>,
    pub(crate) shutdowns: usize,
    pub(crate) calls: usize,
    buffer: Vec<u8>,
    deadline: Option<Instant>,
    /// Whether the driver holds its output.
    lent: Rc<Cell<bool>>,
    unflushed: bool,
}

impl Mock {
    pub(crate) fn new(incoming: impl IntoIterator<Item = Incoming>) -> Self {
        Self {
            clock: Clock::default(),
            incoming: incoming.into_iter().collect(),
            prompt: false,
            write_sizes: VecDeque::new(),
            stuck: Instant::ZERO..Instant::ZERO,
            pace: Duration::ZERO,
            fault: None,
            early_waits: 0,
            writes: Vec::new(),
            shutdowns: 0,
            calls: 0,
            buffer: Vec::new(),
            deadline: None,
            lent: Rc::default(),
            unflushed: false,
        }
    }

    /// All that was written.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.writes.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }

    fn call(&mut self) -> Result<(), ErrorKind> {
        self.calls += 1;
        match self.fault {
            Some((number, kind)) if number == self.calls => Err(kind),
            _ => Ok(()),
        }
    }

    /// Lets time pass until `deadline`, or a little less.
    fn pass(&mut self, deadline: Option<Instant>) -> ErrorKind {
        let Some(deadline) = deadline else { panic!("the driver waits for ever") };
        let now = self.clock.now();
        assert!(now.as_micros() < deadline.as_micros() + 2 * self.clock.tick, "the driver waits for what is past");
        if deadline < now {
            // The deadline passed before this call.
        } else if self.early_waits > 0 {
            self.early_waits -= 1;
            self.clock.set(now + deadline.since(now) / 2);
        } else {
            self.clock.set(deadline);
        }
        ErrorKind::TimedOut
    }

    fn fill(&mut self) -> Result<(), ErrorKind> {
        self.call()?;
        assert!(!self.unflushed, "the driver waits for an answer to what it has not flushed");
        if !self.buffer.is_empty() {
            return Ok(());
        }
        assert!(!self.lent.get() || self.prompt, "the driver waits, and holds its output");
        match self.incoming.pop_front() {
            None => Err(self.pass(self.deadline)),
            Some(Incoming::Read(bytes)) => {
                self.buffer = bytes;
                Ok(())
            }
            Some(Incoming::End) => {
                self.incoming.push_front(Incoming::End);
                Ok(())
            }
            Some(Incoming::Silence(span)) => {
                let end = self.clock.now() + span;
                match self.deadline {
                    Some(deadline) if deadline < end => {
                        let error = self.pass(self.deadline);
                        self.incoming.push_front(Incoming::Silence(end.since(self.clock.now())));
                        Err(error)
                    }
                    _ => {
                        self.clock.set(end);
                        self.fill()
                    }
                }
            }
        }
    }

    fn eat(&mut self, count: usize) {
        self.buffer.drain(..count);
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.call()?;
        assert!(!bytes.is_empty(), "an empty write");
        assert_eq!(self.shutdowns, 0, "a write after the end");
        if self.stuck.contains(&self.clock.now()) {
            if self.deadline.is_some_and(|deadline| deadline < self.stuck.end) {
                return Err(self.pass(self.deadline));
            }
            self.clock.set(self.stuck.end);
        }
        let taken = self.clock.now() + self.pace;
        if self.pace > Duration::ZERO {
            if self.deadline.is_some_and(|deadline| deadline < taken) {
                return Err(self.pass(self.deadline));
            }
            self.clock.set(taken);
        }
        let size = self.write_sizes.pop_front().unwrap_or(usize::MAX);
        if size < usize::MAX {
            self.write_sizes.push_back(size);
        }
        let count = bytes.len().min(size);
        self.writes.push((self.clock.now(), bytes[..count].to_vec()));
        self.unflushed = true;
        Ok(count)
    }

    fn push(&mut self) -> Result<(), ErrorKind> {
        self.call()?;
        self.unflushed = false;
        Ok(())
    }

    fn sleep(&mut self, deadline: Option<Instant>) -> Result<(), ErrorKind> {
        self.call()?;
        assert!(!self.lent.get(), "the driver sleeps, and holds its output");
        self.pass(deadline);
        Ok(())
    }

    fn end(&mut self) -> Result<(), ErrorKind> {
        self.call()?;
        self.shutdowns += 1;
        Ok(())
    }
}

/// An output buffer whose contents are lost when it is returned.
struct Lent {
    memory: Vec<u8>,
    lent: Rc<Cell<bool>>,
}

impl Output for Lent {
    fn lend(&mut self) -> &mut [u8] {
        self.lent.set(true);
        &mut self.memory
    }

    fn give_back(&mut self) {
        self.memory.fill(0);
        self.lent.set(false);
    }
}

impl embedded_io::ErrorType for Mock {
    type Error = ErrorKind;
}

impl embedded_io::ReadReady for Mock {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        self.call()?;
        let prompt = self.prompt && matches!(self.incoming.front(), Some(Incoming::Read(_) | Incoming::End));
        Ok(prompt || !self.buffer.is_empty())
    }
}

/// The same methods once more for each style; the asynchronous ones do `$wait` first.
macro_rules! transport {
    ($io:ident, $style:ident $(, $async:tt, $wait:expr)?) => {
        impl $io::Read for Mock {
            $($async)? fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
                panic!("a driver reads from the buffer");
            }
        }

        impl $io::BufRead for Mock {
            $($async)? fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
                $($wait;)?
                self.fill()?;
                Ok(&self.buffer)
            }

            fn consume(&mut self, count: usize) {
                self.eat(count);
            }
        }

        impl $io::Write for Mock {
            $($async)? fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
                $($wait;)?
                self.put(bytes)
            }

            $($async)? fn flush(&mut self) -> Result<(), ErrorKind> {
                $($wait;)?
                self.push()
            }
        }

        impl $style::Transport for Mock {
            fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<(), ErrorKind> {
                self.deadline = deadline;
                Ok(())
            }

            $($async)? fn sleep_until(&mut self, deadline: Option<Instant>) -> Result<(), ErrorKind> {
                $($wait;)?
                self.sleep(deadline)
            }

            $($async)? fn shutdown(&mut self) -> Result<(), ErrorKind> {
                $($wait;)?
                self.end()
            }
        }
    };
}

transport!(embedded_io, blocking);
transport!(embedded_io_async, asynchronous, async, once_pending().await);

/// A future that is pending at the first poll.
async fn once_pending() {
    let mut asked = false;
    poll_fn(|_| if core::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Polls a future until it is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
    panic!("the future is never ready");
}

/// The driver to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Blocking,
    Asynchronous,
}

/// The result of a conversation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The driver's last result.
    pub(crate) result: Result<(), ErrorKind>,
    pub(crate) turns: usize,
    /// Number of interrupted turns.
    pub(crate) interrupted: usize,
    /// The machine's events, in their debug format.
    pub(crate) events: Vec<String>,
}

/// Maximum number of turns of a conversation here.
const TOO_MANY_TURNS: usize = 100_000;

/// Drives a machine over the mock until it is over, or the transport fails; an interrupted turn is followed by another.
pub(crate) fn drive<M: Machine>(style: Style, machine: &mut M, mock: &mut Mock, output_size: usize) -> Report
where
    for<'a> M::Event<'a>: core::fmt::Debug,
{
    let mut output = Lent { memory: vec![0; output_size], lent: mock.lent.clone() };
    let clock = mock.clock.clone();
    let clock = || clock.look();
    match style {
        Style::Blocking => {
            let mut driver = blocking::Driver::new(machine, mock, clock, &mut output);
            report(|events| note(driver.turn(), events))
        }
        Style::Asynchronous => {
            let mut driver = asynchronous::Driver::new(machine, mock, clock, &mut output);
            report(|events| block_on(async { note(driver.turn().await, events) }))
        }
    }
}

/// Records the event of a turn. Returns whether it was the last turn.
fn note<E: core::fmt::Debug>(turn: Result<Turn<E>, ErrorKind>, events: &mut Vec<String>) -> Result<bool, ErrorKind> {
    match turn? {
        Turn::Event(event) => events.push(format!("{event:?}")),
        Turn::Quiet => {}
        Turn::Over => return Ok(true),
    }
    Ok(false)
}

fn report(mut turn: impl FnMut(&mut Vec<String>) -> Result<bool, ErrorKind>) -> Report {
    let mut report = Report { result: Ok(()), turns: 0, interrupted: 0, events: Vec::new() };
    while report.turns < TOO_MANY_TURNS {
        report.turns += 1;
        match turn(&mut report.events) {
            Ok(true) => return report,
            Ok(false) => {}
            Err(ErrorKind::Interrupted) => report.interrupted += 1,
            Err(error) => {
                report.result = Err(error);
                return report;
            }
        }
    }
    panic!("the driver spins");
}
