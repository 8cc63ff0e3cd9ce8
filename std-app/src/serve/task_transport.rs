//! The async driver's transport over a tokio TCP stream, and its output buffer. Neither holds a buffer while it waits for
//! the client.

use core::{
    cell::Cell,
    future::{Future, poll_fn},
    ops::Range,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use std::io;

use embedded_io::ErrorType;
use greet_core::{
    Instant,
    drive::{Output, asynchronous::Transport},
};
use greet_host::clock::{self, LastWait};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    task::unconstrained,
    time::{Sleep, sleep, sleep_until},
};

use super::closing::Closing;
use crate::{
    delivery::{Delivery, PAUSE},
    transport::{Moved, SHARED_READ as READ, earliest},
};

/// Maximum number of bytes of replies in one write. A long write costs the kernel hardly more than a short one.
const OUTPUT: usize = 16 * 1024;

thread_local! {
    /// An unused read buffer. Connections that wait for their clients hold none.
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    /// An unused buffer for replies.
    static SPARE_REPLIES: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The output buffer of a driver, allocated only while there are replies to send.
#[derive(Debug, Default)]
pub(super) struct Replies(Option<Box<[u8]>>);

impl Output for Replies {
    fn lend(&mut self) -> &mut [u8] {
        self.0.get_or_insert_with(|| SPARE_REPLIES.take().unwrap_or_else(|| vec![0; OUTPUT].into()))
    }

    fn give_back(&mut self) {
        if let Some(buffer) = self.0.take() {
            SPARE_REPLIES.set(Some(buffer));
        }
    }
}

/// A stream with its unread input, its deadline, and a future that interrupts a wait for input.
///
/// To poll the timer and that future costs as much as to answer a name. So a wait does not poll them at its begin if they have the
/// task's waker and cannot be ready: the time at the last wait's end is before the alarm, and the service has not begun to stop.
/// Every wake of the task polls them. They are outside of tokio's cooperative budget: without budget they would be pending and not
/// have the waker.
#[derive(Debug)]
pub(super) struct TaskTransport<'a, E> {
    stream: TcpStream,
    time: &'a LastWait,
    closing: &'a Closing,
    ending: Option<Pin<&'a mut E>>,
    /// `ending` has the task's waker.
    ending_wakes: bool,
    input: Option<Box<[u8]>>,
    unread: Range<usize>,
    deadline: Option<Instant>,
    /// The end of every wait, even if the deadline is later.
    wait_limit: Option<Instant>,
    /// The timer and the time it is set to. Usually that is an earlier deadline: each byte moves the deadline, and the
    /// timer is set again only when it has expired, or when it would expire too late.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Set once this side has sent its FIN.
    fin_sent: bool,
    moved: Moved,
}

impl<'a, E: Future<Output = ()>> TaskTransport<'a, E> {
    /// Creates a transport for one task. It updates `time` after each wait, and uses it as its clock. When `ending` is ready, one wait for
    /// input fails with `Interrupted`; `closing` has begun before that.
    pub(super) fn new(stream: TcpStream, time: &'a LastWait, closing: &'a Closing, ending: Pin<&'a mut E>) -> Self {
        Self {
            stream,
            time,
            closing,
            ending: Some(ending),
            ending_wakes: false,
            input: None,
            unread: 0..0,
            deadline: None,
            wait_limit: None,
            alarm: None,
            fin_sent: false,
            moved: Moved::default(),
        }
    }

    /// Ends each later wait at this time at the latest, as if the deadline had passed.
    pub(super) const fn set_wait_limit(&mut self, limit: Option<Instant>) {
        self.wait_limit = limit;
    }

    /// How many bytes were received and sent so far.
    pub(super) const fn moved(&self) -> Moved {
        self.moved
    }

    /// Call it before the socket is closed. If this side has sent its FIN, waits until the client has acknowledged all
    /// output, as long as it makes progress.
    pub(super) async fn deliver(&mut self) {
        if self.fin_sent {
            let mut delivery = Delivery::begin(&self.stream);
            while self.wait_limit.is_none_or(|limit| clock::now() < limit) && delivery.is_under_way(&self.stream) {
                sleep(PAUSE).await;
            }
        }
    }

    /// Ready when the deadline has passed.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        loop {
            let (set_to, alarm) = match &mut self.alarm {
                Some(alarm) if alarm.0 <= deadline => alarm,
                _ => self.alarm.insert((deadline, Box::pin(sleep_until(clock::system(deadline).into())))),
            };
            ready!(pin!(unconstrained(alarm.as_mut())).poll(context));
            if *set_to >= deadline || clock::now() >= deadline {
                self.alarm = None;
                return Poll::Ready(());
            }
            self.alarm = None; // it was set to an earlier deadline
        }
    }

    /// Whether the timer is set early enough, and has not expired at the end of the last wait.
    fn alarm_will_wake(&self) -> bool {
        let set_to = self.alarm.as_ref().map(|(set_to, _)| *set_to);
        match (self.deadline, set_to) {
            (None, _) => true,
            (Some(deadline), Some(set_to)) => set_to <= deadline && self.time.time() < set_to,
            (Some(_), None) => false,
        }
    }

    /// Runs `operation`. The time is updated after a wait, and if `is_read` without one too: a client that never pauses ends no wait.
    ///
    /// # Errors
    /// `TimedOut` if the deadline passes first.
    async fn in_time<T>(
        &mut self,
        is_read: bool,
        mut operation: impl FnMut(&mut Self, &mut Context<'_>, bool) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let mut has_waited = false;
        let outcome = poll_fn(|context| match operation(self, context, has_waited) {
            Poll::Pending => {
                let is_begin = !core::mem::replace(&mut has_waited, true);
                if is_begin && self.alarm_will_wake() {
                    return Poll::Pending;
                }
                self.poll_deadline(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            done => done,
        })
        .await;
        if has_waited || is_read {
            self.time.over();
        }
        outcome
    }

    /// Reads into a spare buffer, which is kept only if something was received.
    fn poll_fill(&mut self, context: &mut Context<'_>, has_waited: bool) -> Poll<io::Result<()>> {
        let mut buffer = SPARE.take().unwrap_or_else(|| vec![0; READ].into_boxed_slice());
        let mut read = ReadBuf::new(&mut buffer);
        let outcome = Pin::new(&mut self.stream).poll_read(context, &mut read);
        let count = read.filled().len();
        self.keep(buffer, count);
        if outcome.is_pending()
            && (has_waited || !self.ending_wakes || self.closing.has_begun())
            && let Some(ending) = &mut self.ending
        {
            self.ending_wakes = true;
            if pin!(unconstrained(ending.as_mut())).poll(context).is_ready() {
                self.ending = None;
                return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
            }
        }
        outcome
    }

    /// Stores a buffer that holds `count` bytes of input, or gives it back if `count` is 0.
    fn keep(&mut self, buffer: Box<[u8]>, count: usize) {
        self.unread = 0..count;
        self.moved.received = self.moved.received.saturating_add(count as u64);
        if count == 0 {
            SPARE.set(Some(buffer));
        } else {
            self.input = Some(buffer);
        }
    }
}

impl<E> ErrorType for TaskTransport<'_, E> {
    type Error = io::Error;
}

impl<E: Future<Output = ()>> embedded_io_async::ReadReady for TaskTransport<'_, E> {
    fn read_ready(&mut self) -> io::Result<bool> {
        // A read that did not fill the buffer has taken all input, so no system call is needed.
        if self.unread.is_empty() && self.unread.end == READ {
            let mut buffer = SPARE.take().unwrap_or_else(|| vec![0; READ].into_boxed_slice());
            // The next read reports an error or the client's FIN too.
            let count = self.stream.try_read(&mut buffer).unwrap_or(0);
            self.time.over(); // a client that never pauses ends no wait
            self.keep(buffer, count);
        }
        Ok(!self.unread.is_empty())
    }
}

impl<E: Future<Output = ()>> embedded_io_async::Read for TaskTransport<'_, E> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use embedded_io_async::BufRead;
        let read = self.fill_buf().await?;
        let count = read.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), read.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl<E: Future<Output = ()>> embedded_io_async::BufRead for TaskTransport<'_, E> {
    async fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            self.in_time(true, Self::poll_fill).await?;
        }
        Ok(self.input.as_deref().and_then(|input| input.get(self.unread.clone())).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.unread.start = self.unread.start.saturating_add(count).min(self.unread.end);
        if self.unread.is_empty()
            && let Some(buffer) = self.input.take()
        {
            SPARE.set(Some(buffer));
        }
    }
}

impl<E: Future<Output = ()>> embedded_io_async::Write for TaskTransport<'_, E> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count =
            self.in_time(false, |this, context, _| Pin::new(&mut this.stream).poll_write(context, bytes)).await?;
        self.moved.sent = self.moved.sent.saturating_add(count as u64);
        Ok(count)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(()) // the socket buffers nothing in user space
    }
}

impl<E: Future<Output = ()>> Transport for TaskTransport<'_, E> {
    fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.deadline = earliest(deadline, self.wait_limit);
        Ok(())
    }

    async fn sleep_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.deadline = earliest(deadline, self.wait_limit);
        poll_fn(|context| self.poll_deadline(context)).await;
        self.time.over();
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self.stream.shutdown().await {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()), // the peer has reset it
            Ok(()) => {
                self.fin_sent = true;
                Ok(())
            }
            outcome => outcome,
        }
    }
}
