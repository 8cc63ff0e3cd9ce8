//! A prompt that ends when the server sends something. On Unix a signal ends it; elsewhere nothing does, and what the server has
//! sent is shown after the line.

#[cfg(not(unix))]
pub(super) use self::elsewhere::Prompt;
#[cfg(unix)]
pub(super) use self::unix::Prompt;

#[cfg(unix)]
mod unix {
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::{
        io,
        net::TcpStream,
        os::{fd::AsFd, unix::net::UnixStream},
        sync::Arc,
        thread,
    };

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use signal_hook::{consts::SIGINT, flag, low_level};

    /// What a prompt has to watch.
    #[derive(Debug)]
    pub(in crate::chat) struct Prompt<'a> {
        server: &'a TcpStream,
        /// Whether SIGINT ends the program, as it does except at the prompt.
        sigint_ends: Arc<AtomicBool>,
    }

    impl<'a> Prompt<'a> {
        pub(in crate::chat) fn new(server: &'a TcpStream) -> io::Result<Self> {
            let sigint_ends = Arc::new(AtomicBool::new(true));
            flag::register_conditional_default(SIGINT, Arc::clone(&sigint_ends))?;
            Ok(Self { server, sigint_ends })
        }

        /// Runs `readline`, which returns on SIGINT. Returns its result, and whether it was interrupted because the server
        /// has sent something.
        pub(in crate::chat) fn run<T>(&self, readline: impl FnOnce() -> T) -> io::Result<(T, bool)> {
            let (done, prompting) = UnixStream::pair()?;
            let noticed = AtomicBool::new(false);
            self.sigint_ends.store(false, Ordering::SeqCst);
            let line = thread::scope(|scope| {
                scope.spawn(|| {
                    let mut sources =
                        [self.server.as_fd(), done.as_fd()].map(|source| PollFd::new(source, PollFlags::POLLIN));
                    while poll(&mut sources, PollTimeout::NONE).is_err() {} // interrupted by a signal
                    if sources[0].any() == Some(true) && sources[1].any() != Some(true) {
                        noticed.store(true, Ordering::SeqCst);
                        // The editor returns on this signal, with the terminal as it was before.
                        let _ = low_level::raise(SIGINT);
                    }
                });
                let line = readline();
                drop(prompting);
                line
            });
            self.sigint_ends.store(true, Ordering::SeqCst);
            Ok((line, noticed.load(Ordering::SeqCst)))
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use core::marker::PhantomData;
    use std::{io, net::TcpStream};

    #[derive(Debug)]
    pub(in crate::chat) struct Prompt<'a>(PhantomData<&'a TcpStream>);

    impl<'a> Prompt<'a> {
        pub(in crate::chat) fn new(_: &'a TcpStream) -> io::Result<Self> {
            Ok(Self(PhantomData))
        }

        pub(in crate::chat) fn run<T>(&self, readline: impl FnOnce() -> T) -> io::Result<(T, bool)> {
            Ok((readline(), false))
        }
    }
}
