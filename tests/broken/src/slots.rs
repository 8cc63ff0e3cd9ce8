//! A few slots, a thread for each client, and the defects of accepting them.

use core::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use std::{
    collections::VecDeque,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Weak},
    thread,
};

use socket2::SockRef;

/// How clients are accepted.
pub(crate) struct Accepting {
    /// The number of clients at the same time.
    pub(crate) slots: usize,
    /// What happens to a client if no slot is free.
    pub(crate) when_full: WhenFull,
    /// After this number of clients no other is accepted.
    pub(crate) clients: usize,
    /// Of clients that connect in the same instant one is served, and the others are reset.
    pub(crate) one_of_a_burst: bool,
}

/// What happens to a client if no slot is free.
pub(crate) enum WhenFull {
    /// It is reset, as by a stack without a listening socket.
    Reset,
    Close,
    /// It is accepted and never served.
    Forget,
    /// It is served, and the oldest client's connection is closed.
    Replace,
}

/// What happens to a slot at the end of a conversation.
pub(crate) enum Slot {
    FreeAfter(Duration),
    Lost,
}

impl Accepting {
    /// As a correct server does.
    pub(crate) const DEFAULT: Self =
        Self { slots: 8, when_full: WhenFull::Reset, clients: usize::MAX, one_of_a_burst: false };
}

/// Serves clients until the listener fails: each has a thread that runs `converse`.
pub(crate) fn serve(
    listener: &TcpListener,
    accepting: &Accepting,
    converse: impl Fn(&TcpStream) -> Slot + Send + Sync + 'static,
) {
    let converse = Arc::new(converse);
    let taken = Arc::new(AtomicUsize::new(0));
    let mut forgotten = Vec::new();
    let mut clients = VecDeque::new();
    for _ in 0..accepting.clients {
        let Ok((stream, _)) = listener.accept() else { return };
        let stream = Arc::new(stream);
        if accepting.one_of_a_burst {
            reset_others(listener);
        }
        let is_full = taken.load(Ordering::SeqCst) >= accepting.slots;
        match accepting.when_full {
            WhenFull::Replace => {
                clients.push_back(Arc::downgrade(&stream));
                let oldest = if clients.len() > accepting.slots { clients.pop_front() } else { None };
                // If this fails, its client has left already.
                let _ = oldest.as_ref().and_then(Weak::upgrade).map(|oldest| oldest.shutdown(Shutdown::Both));
            }
            _ if !is_full => {}
            WhenFull::Reset => {
                reset(&stream);
                continue;
            }
            WhenFull::Close => continue,
            WhenFull::Forget => {
                forgotten.push(stream);
                continue;
            }
        }
        taken.fetch_add(1, Ordering::SeqCst);
        let (converse, taken) = (Arc::clone(&converse), Arc::clone(&taken));
        thread::spawn(move || {
            let slot = converse(&stream);
            drop(stream); // closed before the slot is free
            if let Slot::FreeAfter(time) = slot {
                thread::sleep(time);
                taken.fetch_sub(1, Ordering::SeqCst);
            }
        });
    }
    loop {
        thread::park();
    }
}

/// Resets the connection when it is closed.
pub(crate) fn reset(stream: &TcpStream) {
    // If this fails, it is closed by a FIN instead.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Resets the connections in the backlog.
fn reset_others(listener: &TcpListener) {
    thread::sleep(Duration::from_millis(5)); // the same instant, for this server
    // If this fails, they are served.
    let _ = listener.set_nonblocking(true);
    while let Ok((stream, _)) = listener.accept() {
        reset(&stream);
    }
    let _ = listener.set_nonblocking(false);
}
