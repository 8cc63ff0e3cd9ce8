//! A tokio TCP stream as the async driver's transport, and where the driver gathers replies: neither holds a buffer while
//! it waits.

use core::{
    cell::Cell,
    future::{Future, poll_fn},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::io;

use embedded_io::ErrorType;
use greet_core::{
    Instant,
    drive::{Output, asynchronous::Transport},
};
use greet_host::clock;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep, sleep_until},
};

use crate::{
    delivery::{Delivery, PAUSE},
    transport::READ,
};

/// How many bytes of replies leave in one write at the most: to the kernel a long write costs hardly more than a short one.
const OUTPUT: usize = 16 * 1024;

thread_local! {
    /// A buffer that nobody uses now: connections that wait for their clients hold none.
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    /// The same, for replies.
    static SPARE_REPLIES: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// A buffer for replies while there are some.
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

/// A stream, what was read from it, and what ends a wait: the deadline, and `ending` once it is ready.
#[derive(Debug)]
pub(super) struct TaskTransport<'a, E> {
    stream: TcpStream,
    ending: Option<Pin<&'a mut E>>,
    input: Option<Box<[u8]>>,
    unread: Range<usize>,
    deadline: Option<Instant>,
    /// Set to a deadline of earlier, most of the time: each byte moves the deadline, and this only follows when it is
    /// over, or too late.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Since this side is ended.
    delivery: Option<Delivery>,
}

impl<'a, E: Future<Output = ()>> TaskTransport<'a, E> {
    /// A transport in which waiting for input fails once with `Interrupted`, when `ending` is ready.
    pub(super) fn new(stream: TcpStream, ending: Pin<&'a mut E>) -> Self {
        Self { stream, ending: Some(ending), input: None, unread: 0..0, deadline: None, alarm: None, delivery: None }
    }

    /// Before the socket is closed: waits until the client has what this side has said, if it ended its side, as long as the
    /// client takes some of it.
    pub(super) async fn deliver(&mut self) {
        while self.delivery.as_mut().is_some_and(|delivery| delivery.is_under_way(&self.stream)) {
            sleep(PAUSE).await;
        }
    }

    /// Ready when the deadline is over.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        loop {
            let (set_to, alarm) = match &mut self.alarm {
                Some(alarm) if alarm.0 <= deadline => alarm,
                _ => self.alarm.insert((deadline, Box::pin(sleep_until(clock::system(deadline).into())))),
            };
            ready!(alarm.as_mut().poll(context));
            if *set_to >= deadline || clock::now() >= deadline {
                self.alarm = None;
                return Poll::Ready(());
            }
            self.alarm = None; // it stood at an earlier deadline
        }
    }

    /// `operation`, unless the deadline is over before it is ready.
    async fn in_time<T>(
        &mut self,
        mut operation: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        poll_fn(|context| match operation(self, context) {
            Poll::Pending => self.poll_deadline(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
            done => done,
        })
        .await
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = SPARE.take().unwrap_or_else(|| vec![0; READ].into_boxed_slice());
        let mut read = ReadBuf::new(&mut buffer);
        let outcome = Pin::new(&mut self.stream).poll_read(context, &mut read);
        let count = read.filled().len();
        self.keep(buffer, count);
        if outcome.is_pending()
            && let Some(ending) = &mut self.ending
            && ending.as_mut().poll(context).is_ready()
        {
            self.ending = None;
            return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
        }
        outcome
    }

    /// So much was read into this buffer.
    fn keep(&mut self, buffer: Box<[u8]>, count: usize) {
        self.unread = 0..count;
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
        // A read that did not fill the buffer has taken all there was: then there is no need to ask.
        if self.unread.is_empty() && self.unread.end == READ {
            let mut buffer = SPARE.take().unwrap_or_else(|| vec![0; READ].into_boxed_slice());
            // Of an error, and of the client's end, the next read tells as well.
            let count = self.stream.try_read(&mut buffer).unwrap_or(0);
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
            self.in_time(Self::poll_fill).await?;
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
        self.in_time(|this, context| Pin::new(&mut this.stream).poll_write(context, bytes)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a socket holds nothing back
    }
}

impl<E: Future<Output = ()>> Transport for TaskTransport<'_, E> {
    fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.deadline = deadline;
        Ok(())
    }

    async fn sleep_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.deadline = deadline;
        poll_fn(|context| self.poll_deadline(context)).await;
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self.stream.shutdown().await {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()), // the peer has reset it
            Ok(()) => {
                self.delivery = Some(Delivery::begin(&self.stream)?);
                Ok(())
            }
            outcome => outcome,
        }
    }
}
