//! The log's lines: the board, its addresses, its clients, and the counters.

use core::time::Duration;

use greet_core::{Instant, ServerEnd, ServerEvent};
use greet_smoltcp::{
    pool::{self, Event, Outcome},
    stack::{self, Stack},
};
use smoltcp::{config::IFACE_MAX_ADDR_COUNT, wire::IpCidr};

use crate::{Identity, Link, Losses};

/// How often the counters are logged at most: while clients are connected, and when none is.
const WHILE_BUSY: Duration = Duration::from_secs(10);
const WHILE_IDLE: Duration = Duration::from_secs(1);

/// Without a log none of this needs to be in flash.
const NO_LOG: bool = cfg!(not(feature = "defmt"));

#[cfg(feature = "echo")]
const ECHO_PORT: u16 = pool::Settings::ECHO.port;

/// What was logged last, so that only changes are logged.
#[derive(Debug)]
pub(crate) struct Report {
    link: Option<Link>,
    addresses: [Option<IpCidr>; IFACE_MAX_ADDR_COUNT],
    counted: Counted,
    events: Events,
    /// When the counters were logged last.
    since: Instant,
}

/// All counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) busy: usize,
    pub(crate) pool: pool::Counters,
    pub(crate) stack: stack::Counters,
    pub(crate) losses: Losses,
}

/// What the pool's counters do not tell apart. They wrap.
#[derive(Clone, Copy, Debug, Default)]
struct Events {
    exit: u32,
    fin: u32,
    idle: u32,
    closed: u32,
    not_utf8: u32,
    too_long: u32,
}

impl Events {
    fn count(&mut self, event: &Event<'_>) {
        let counter = match event {
            Event::Heard(_, ServerEvent::NotUtf8(_)) => &mut self.not_utf8,
            Event::Heard(_, ServerEvent::TooLong) => &mut self.too_long,
            Event::Closed(_, Outcome::Completed(ServerEnd::Exit)) => &mut self.exit,
            Event::Closed(_, Outcome::Completed(ServerEnd::ByPeer)) => &mut self.fin,
            Event::Closed(_, Outcome::Completed(ServerEnd::Idle)) => &mut self.idle,
            Event::Closed(_, Outcome::Completed(ServerEnd::Closed)) => &mut self.closed,
            _ => return,
        };
        *counter = counter.wrapping_add(1);
    }
}

impl Report {
    pub(crate) fn new(identity: &Identity, clients: usize, name: usize) -> Self {
        info!(
            "greet on {=str}: {=usize} concurrent clients, names of up to {=usize} bytes",
            identity.name, clients, name
        );
        let [a, b, c, d, e, f] = identity.hardware_address.0;
        info!("MAC {=u8:02x}:{=u8:02x}:{=u8:02x}:{=u8:02x}:{=u8:02x}:{=u8:02x}", a, b, c, d, e, f);
        info!("entropy: {=str}", identity.entropy);
        Self {
            link: None,
            addresses: [None; IFACE_MAX_ADDR_COUNT],
            counted: Counted::default(),
            events: Events::default(),
            since: Instant::ZERO,
        }
    }

    /// Logs the state of the link if it has changed. Returns whether it has come up.
    pub(crate) fn link(&mut self, link: Link) -> bool {
        let before = self.link.replace(link);
        if before == Some(link) {
            return false;
        }
        match link {
            Link::Down => info!("link down"),
            Link::Up { megabits, full_duplex: true } => info!("link up, {=u16} Mbit/s, full duplex", megabits),
            Link::Up { megabits, full_duplex: false } => info!("link up, {=u16} Mbit/s, half duplex", megabits),
            Link::UpUnknownSpeed => info!("link up, speed unknown"),
            Link::Unknown => info!("link state unknown, assumed up"),
        }
        link != Link::Down && before.is_none_or(|before| before == Link::Down)
    }

    /// Logs new addresses, where the service listens on them, and lost addresses.
    pub(crate) fn addresses(&mut self, addresses: &[IpCidr], port: u16) {
        if NO_LOG || self.addresses.iter().flatten().eq(addresses) {
            return;
        }
        for lost in self.addresses.iter().flatten().filter(|lost| !addresses.contains(lost)) {
            info!("address {} lost", lost);
        }
        for network in addresses.iter().filter(|network| !self.addresses.contains(&Some(**network))) {
            match network {
                IpCidr::Ipv4(network) => {
                    info!("address {}", network);
                    info!("listening on {}:{=u16}", network.address(), port);
                    #[cfg(feature = "echo")]
                    info!("echo server on {}:{=u16}", network.address(), ECHO_PORT);
                }
                #[cfg(feature = "ipv6")]
                IpCidr::Ipv6(network) => {
                    info!("address {}", network);
                    info!("listening on [{}]:{=u16}", network.address(), port);
                    #[cfg(feature = "echo")]
                    info!("echo server on [{}]:{=u16}", network.address(), ECHO_PORT);
                }
            }
        }
        for (index, entry) in self.addresses.iter_mut().enumerate() {
            *entry = addresses.get(index).copied();
        }
    }

    /// Logs what is wrong with the DHCP server or its lease, and other hosts that use an address of this board.
    pub(crate) fn problems(&self, stack: &mut Stack<'_>) {
        if NO_LOG {
            return;
        }
        if let Some(notice) = stack.take_dhcp_notice() {
            error!("DHCP: {}", notice);
        }
        if let Some(conflict) = stack.take_conflict() {
            error!("{}", conflict);
        }
    }

    /// Writes the waiting lines of the log, and logs how many were dropped. The counters are logged again then, because their
    /// last line may be one of those.
    pub(crate) fn dropped_lines(&mut self) {
        #[cfg(all(feature = "defmt", feature = "qemu", target_os = "none"))]
        match crate::semihosting_log::flush() {
            0 => {}
            lines => {
                error!("{=u32} lines of the log were dropped because it was not read", lines);
                self.counted = Counted::default();
            }
        }
    }

    /// An event of the greeting service: logs and counts it.
    pub(crate) fn on_event(&mut self, event: Event<'_>) {
        if NO_LOG {
            return;
        }
        self.events.count(&event);
        log_event(event);
    }

    /// Logs the counters if they have changed and enough time has passed. Returns when to call it again if not.
    pub(crate) fn counters(&mut self, now: Instant, counted: Counted) -> Option<Instant> {
        if NO_LOG {
            return None;
        }
        // Frames alone are no change: hosts on the network send some to everybody.
        let stack = stack::Counters { refused: counted.stack.refused, ..self.counted.stack };
        if (Counted { stack, ..counted }) == self.counted {
            return None;
        }
        let due = self.since + if counted.busy == 0 { WHILE_IDLE } else { WHILE_BUSY };
        if now < due {
            return Some(due);
        }
        self.since = now;
        self.counted = counted;
        let Counted { busy, pool, stack, losses } = counted;
        let Events { exit, fin, idle, closed, not_utf8, too_long } = self.events;
        info!(
            "connections: {=usize} open, {=u32} accepted, {=u32} refused, {=u32} unfinished; ended: {=u32} exit, {=u32} fin, \
             {=u32} idle-timeout, {=u32} shutdown, {=u32} reset, {=u32} vanished; names: {=u32}, {=u32} not UTF-8, {=u32} too long; bytes: \
             {=u64} received, {=u64} sent",
            busy,
            pool.accepted,
            stack.refused,
            pool.unfinished,
            exit,
            fin,
            idle,
            closed,
            pool.reset,
            pool.timed_out,
            pool.names,
            not_utf8,
            too_long,
            pool.bytes_received,
            pool.bytes_sent
        );
        info!(
            "frames: {=u32} received, {=u32} sent, {=u32} overruns, {=u32} unusable, {=u32} unsent",
            stack.frames_received, stack.frames_sent, losses.overruns, losses.unusable, losses.unsent
        );
        None
    }
}

/// Logs connections as they are accepted and closed.
pub(crate) fn log_event(event: Event<'_>) {
    match event {
        Event::Accepted(peer) => info!("accepted {}", peer),
        Event::Heard(..) | Event::Moved(..) => {}
        Event::Closed(peer, outcome) => info!("closed {}: {}", peer, outcome),
    }
}
