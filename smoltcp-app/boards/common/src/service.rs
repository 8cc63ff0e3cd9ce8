//! The service: poll, serve, log; and the loop around it.

use core::time::Duration;

#[cfg(feature = "echo")]
use greet_core::Echo;
use greet_core::{Framing, Instant, Server, ServerSettings};
use greet_smoltcp::{
    pool::{Pool, Settings},
    stack::{self, Stack},
};
#[cfg(feature = "echo")]
use greet_smoltcp::{stack::Reason, time::earliest};
use smoltcp::{
    iface::SocketSet,
    socket::tcp::SocketBuffer,
    wire::{IpAddress, IpCidr, Ipv4Address, Ipv4Cidr},
};

use crate::{
    Board, ECHO_CLIENTS, Identity, Memory,
    report::{Counted, Report},
    silence::{Silence, Verdict},
};

/// The IPv4 address without a DHCP server: that of `greet-tap`, on whose network a board can be tried.
const FALLBACK: IpCidr = IpCidr::Ipv4(Ipv4Cidr::new(Ipv4Address::new(192, 168, 69, 1), 24));
/// The gateway of that network.
const FALLBACK_GATEWAY: IpAddress = IpAddress::Ipv4(Ipv4Address::new(192, 168, 69, 100));

/// How often the link is checked and the watchdog reset.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The framing: `GREET_FRAMING` at build time, by default `auto`.
const FRAMING: Framing = match option_env!("GREET_FRAMING") {
    None => Framing::Auto,
    Some(framing) => match framing.as_bytes() {
        b"auto" => Framing::Auto,
        b"line" => Framing::Line,
        b"chunk" => Framing::Chunk,
        _ => panic!("GREET_FRAMING is auto, line or chunk"),
    },
};

/// Serves on `board` and never returns.
pub fn run<B: Board, const NAME: usize, const BUFFER: usize, const CLIENTS: usize>(
    board: &mut B,
    identity: &Identity,
    memory: &'static mut Memory<NAME, BUFFER, CLIENTS>,
) -> ! {
    let mut service = Service::new(board, identity, memory);
    loop {
        let now = board.now();
        let until = service.step(board, now);
        board.wait(until);
    }
}

/// The service between two waits, for a firmware that has work of its own.
///
/// [`run`] is the shortest use of it: a loop of [`step`](Self::step) and [`Board::wait`]. A superloop does its own work between
/// the two, and waits until the earlier deadline. A task of RTIC calls `step`, and is spawned again at the deadline and by the
/// interrupt of the network card.
#[derive(Debug)]
pub struct Service<const NAME: usize> {
    stack: Stack<'static>,
    pool: Pool<'static, Server<NAME>>,
    #[cfg(feature = "echo")]
    echo: Pool<'static, Echo<NAME>>,
    report: Report,
    silence: Silence,
    /// When the link is checked next, and the watchdog reset.
    look: Instant,
}

impl<const NAME: usize> Service<NAME> {
    /// Opens all sockets, and logs what the board is.
    pub fn new<B: Board, const BUFFER: usize, const CLIENTS: usize>(
        board: &mut B,
        identity: &Identity,
        memory: &'static mut Memory<NAME, BUFFER, CLIENTS>,
    ) -> Self {
        memory.fill();
        let Memory { sockets, slots, receive, transmit, read, .. } = memory;
        let report = Report::new(identity, CLIENTS.saturating_sub(ECHO_CLIENTS), NAME);
        let settings =
            Settings { server: ServerSettings { framing: FRAMING, ..ServerSettings::DEFAULT }, ..Settings::DEFAULT };
        let now = board.now();
        let stack = Stack::new(
            stack::Settings {
                port: settings.port,
                addresses: &[FALLBACK],
                gateways: &[FALLBACK_GATEWAY],
                dhcp: true,
                #[cfg(feature = "ipv6")]
                slaac: true,
                ..stack::Settings::new(identity.hardware_address, identity.random_seed)
            },
            board.device(),
            SocketSet::new(sockets.as_mut_slice()),
            now,
        );
        let mut stack = match stack {
            Ok(stack) => stack,
            Err(wrong) => {
                error!("wrong settings: {}", wrong);
                end()
            }
        };
        #[cfg(feature = "reassembly")]
        stack.reassemble(&mut memory.fragments);
        let mut pool = Pool::new(settings, slots, read);
        let mut buffers = receive.iter_mut().zip(transmit);
        for (receive, transmit) in buffers.by_ref().take(CLIENTS.saturating_sub(ECHO_CLIENTS)) {
            pool.open(stack.sockets(), SocketBuffer::new(&mut receive[..]), SocketBuffer::new(&mut transmit[..]));
        }
        #[cfg(feature = "echo")]
        let mut echo = Pool::new(Settings::ECHO, &mut memory.echo.slots, &mut memory.echo.read);
        #[cfg(feature = "echo")]
        for (receive, transmit) in buffers {
            echo.open(stack.sockets(), SocketBuffer::new(&mut receive[..]), SocketBuffer::new(&mut transmit[..]));
        }

        #[cfg(target_os = "none")]
        crate::failure::on_purpose();

        Self {
            stack,
            pool,
            #[cfg(feature = "echo")]
            echo,
            report,
            silence: Silence::new(now),
            look: now,
        }
    }

    /// Receives, serves and sends as far as possible without waiting. Returns when to call it again at the latest; a received
    /// frame makes it due at once. `now` is the board's time.
    pub fn step<B: Board>(&mut self, board: &mut B, now: Instant) -> Instant {
        let Self { stack, pool, report, silence, look, .. } = self;
        if *look <= now {
            *look = now + LOOK_EVERY;
            board.alive();
            if report.link(board.link()) {
                stack.link_up(now);
            }
            let verdict = silence.judge(now, stack.counters().frames_received);
            if verdict == Verdict::Restart && pool.busy() > 0 {
                info!("nothing was received for 10 s: the receiver is restarted");
            }
            if verdict != Verdict::Fine {
                board.set_receiver(false);
                board.set_receiver(true);
            }
            #[cfg(target_os = "none")]
            if crate::failure::is_deaf_now(now) {
                board.set_receiver(false);
            }
            report.dropped_lines();
        }
        let next = stack.poll(now, board.device(), |sockets, reason| {
            let next = pool.serve(now, sockets, reason, |event| report.on_event(event));
            #[cfg(feature = "echo")]
            let next = match reason {
                Reason::NoListener => next, // that is about the greeting service's port
                Reason::Received | Reason::Sent => {
                    earliest(next, self.echo.serve(now, sockets, reason, crate::report::log_event))
                }
            };
            next
        });
        report.addresses(stack.addresses(), pool.settings().port);
        report.problems(stack);
        let counted =
            Counted { busy: pool.busy(), pool: pool.counters(), stack: stack.counters(), losses: board.losses() };
        let due = report.counters(now, counted);
        next.into_iter().chain(due).fold(*look, Instant::min)
    }
}

/// Ends the program.
fn end() -> ! {
    #[cfg(target_os = "none")]
    crate::failure::end();
    #[cfg(not(target_os = "none"))]
    unreachable!("the host only runs unit tests")
}
