//! An echo server, and the defects of its connections.

use core::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    thread,
    time::Instant,
};

use super::{Defect, bytes::Bytes};
use crate::slots::{self, Accepting, Slot};

/// The state that all threads share.
struct Shared {
    defect: Defect,
    /// Held while writing, if one task writes for all.
    writer: Mutex<()>,
    /// The number of bytes on all connections.
    bytes: AtomicUsize,
    /// What was received last, from any client.
    buffer: Mutex<Vec<u8>>,
}

/// Serves clients until the listener fails.
pub(crate) fn serve(listener: &TcpListener, defect: Defect) {
    let shared = Shared { defect, writer: Mutex::new(()), bytes: AtomicUsize::new(0), buffer: Mutex::new(Vec::new()) };
    let accepting = match defect {
        Defect::RefusesSecond => Accepting { slots: 1, ..Accepting::DEFAULT },
        // Its connections never end, so that it needs more of them.
        Defect::NoFin => Accepting { slots: usize::MAX, ..Accepting::DEFAULT },
        Defect::DeadAfter100 => Accepting { clients: 100, ..Accepting::DEFAULT },
        _ => Accepting::DEFAULT,
    };
    slots::serve(listener, &accepting, move |stream| {
        let ended = Connection { stream, shared: &shared, bytes: Bytes::new(defect) }.run();
        if defect == Defect::LeakOnReset && ended.is_err() {
            return Slot::Lost;
        }
        Slot::FreeAfter(Duration::ZERO)
    });
}

struct Connection<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    bytes: Bytes,
}

impl Connection<'_> {
    fn run(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(self.shared.defect != Defect::Nagle)?;
        match self.shared.defect {
            Defect::GreetsFirst => self.send(b"Echo server ready\r\n")?,
            Defect::ShortIdleTimeout => self.stream.set_read_timeout(Some(Duration::from_secs(2)))?,
            Defect::StuckAfterStop => self.stream.set_write_timeout(Some(Duration::from_millis(200)))?,
            _ => {}
        }
        let mut input = vec![0; self.buffer_size()];
        loop {
            let count = self.read(&mut input)?;
            if count == 0 {
                break;
            }
            let total = self.shared.bytes.fetch_add(count, Ordering::Relaxed);
            if self.shared.defect == Defect::DeadAfterMebibyte && total > 1 << 20 {
                slots::reset(self.stream);
                return Ok(());
            }
            let read = input.get(..count).unwrap_or_default();
            let Ok(echo) = self.bytes.echo(read) else { return Ok(()) };
            self.answer(&echo)?;
        }
        if self.shared.defect == Defect::NoFin {
            loop {
                thread::park();
            }
        }
        Ok(())
    }

    /// The number of bytes that one read takes.
    const fn buffer_size(&self) -> usize {
        match self.shared.defect {
            Defect::DropsWhatDoesNotFit => 64 * 1024,
            Defect::FirstBufferOnly | Defect::SlowSegments => 1460,
            Defect::CutAt127 => 1024,
            _ => 2048,
        }
    }

    /// One read. For the defect of half-closed connections it fails if the client's FIN has come with it.
    fn read(&self, input: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.stream;
        let count = loop {
            match stream.read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if self.shared.defect == Defect::HalfCloseDrops && count > 0 {
            thread::sleep(Duration::from_millis(2));
            stream.set_nonblocking(true)?;
            let ended = matches!(stream.peek(&mut [0]), Ok(0));
            stream.set_nonblocking(false)?;
            if ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(count)
    }

    /// Sends what is sent back for a read.
    fn answer(&self, echo: &[u8]) -> io::Result<()> {
        match self.shared.defect {
            Defect::DropsWhatDoesNotFit => {
                self.send(echo)?;
                thread::sleep(Duration::from_millis(1)); // until it is acknowledged
                Ok(())
            }
            Defect::Tick => {
                wait_for_tick(Duration::from_millis(10));
                self.send(echo)
            }
            Defect::Nagle if echo.len() > 8 => {
                let (first, second) = echo.split_at(7);
                self.send(first)?;
                self.send(second)
            }
            Defect::OneWriter => {
                let _alone = self.shared.writer.lock();
                self.send(echo)
            }
            Defect::SharedBuffer => {
                if let Ok(mut buffer) = self.shared.buffer.lock() {
                    buffer.clear();
                    buffer.extend_from_slice(echo);
                }
                thread::sleep(Duration::from_millis(2)); // until it is sent
                let echo = self.shared.buffer.lock().map(|buffer| buffer.clone()).unwrap_or_default();
                self.send(&echo)
            }
            Defect::ByteByByte => echo.iter().try_for_each(|byte| {
                wait_for_tick(Duration::from_millis(220));
                self.send(&[*byte])
            }),
            Defect::SlowSegments => {
                self.send(echo)?;
                if echo.len() == self.buffer_size() {
                    thread::sleep(Duration::from_millis(201)); // until the client's delayed ACK
                }
                Ok(())
            }
            Defect::StuckAfterStop => match self.send(echo) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => loop {
                    thread::park();
                },
                result => result,
            },
            _ => self.send(echo),
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream;
        stream.write_all(bytes)
    }
}

/// Sleeps until a timer with that period expires the next time.
fn wait_for_tick(period: Duration) {
    thread_local! { static BEGIN: Instant = Instant::now(); }
    let period = period.as_micros();
    let into = BEGIN.with(Instant::elapsed).as_micros() % period;
    thread::sleep(Duration::from_micros(u64::try_from(period - into).unwrap_or(0)));
}
