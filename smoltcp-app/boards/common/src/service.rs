//! The loop: poll, serve, log, wait.

use core::time::Duration;

use greet_core::{Framing, Instant, ServerSettings};
use greet_smoltcp::{
    pool::{Pool, Settings},
    stack::{self, Stack},
};
use smoltcp::{
    iface::SocketSet,
    socket::tcp::SocketBuffer,
    wire::{IpAddress, IpCidr, Ipv4Address, Ipv4Cidr},
};

use crate::{
    Board, Identity, Memory,
    report::{Counted, Report, log_event},
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
    memory.fill();
    let Memory { sockets, slots, receive, transmit, read } = memory;
    let mut report = Report::new(identity, CLIENTS, NAME);
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
    let mut pool = Pool::new(settings, slots, read);
    for (receive, transmit) in receive.iter_mut().zip(transmit) {
        pool.open(stack.sockets(), SocketBuffer::new(&mut receive[..]), SocketBuffer::new(&mut transmit[..]));
    }

    #[cfg(target_os = "none")]
    crate::failure::on_purpose();

    let mut look = now;
    let mut silence = Silence::new(now);
    loop {
        let now = board.now();
        if look <= now {
            look = now + LOOK_EVERY;
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
        let next = stack.poll(now, board.device(), |sockets, reason| pool.serve(now, sockets, reason, log_event));
        report.addresses(stack.addresses(), settings.port);
        report.problems(&mut stack);
        let counted =
            Counted { busy: pool.busy(), pool: pool.counters(), stack: stack.counters(), losses: board.losses() };
        let due = report.counters(now, counted);
        board.wait(next.into_iter().chain(due).fold(look, Instant::min));
    }
}

/// Ends the program.
fn end() -> ! {
    #[cfg(target_os = "none")]
    crate::failure::end();
    #[cfg(not(target_os = "none"))]
    unreachable!("the host only runs unit tests")
}
