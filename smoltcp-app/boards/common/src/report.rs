//! The log's lines: who the board is, where it listens, who comes and goes, and what was counted.

use core::time::Duration;

use greet_core::Instant;
use greet_smoltcp::{
    pool::{self, Event},
    stack,
};
use smoltcp::{config::IFACE_MAX_ADDR_COUNT, wire::IpCidr};

use crate::{Identity, Link, Losses};

/// The counters are logged at most so often while clients are served, and so often when all are gone.
const EVERY_BUSY: Duration = Duration::from_secs(10);
const EVERY_IDLE: Duration = Duration::from_secs(1);

/// There is no log: so nothing of this needs to be in flash.
const NOBODY_READS: bool = cfg!(not(feature = "defmt"));

/// What was logged, so that nothing is twice.
#[derive(Debug)]
pub(crate) struct Report {
    link: Option<Link>,
    addresses: [Option<IpCidr>; IFACE_MAX_ADDR_COUNT],
    counted: Counted,
    /// When the counters were logged last.
    since: Instant,
}

/// All counters that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) busy: usize,
    pub(crate) pool: pool::Counters,
    pub(crate) stack: stack::Counters,
    pub(crate) losses: Losses,
}

impl Report {
    pub(crate) fn new(identity: &Identity, clients: usize, name: usize) -> Self {
        info!("greet on {=str}: {=usize} clients at once, names of up to {=usize} bytes", identity.name, clients, name);
        let [a, b, c, d, e, f] = identity.hardware_address.0;
        info!("MAC {=u8:02x}:{=u8:02x}:{=u8:02x}:{=u8:02x}:{=u8:02x}:{=u8:02x}", a, b, c, d, e, f);
        info!("entropy: {=str}", identity.entropy);
        Self { link: None, addresses: [None; IFACE_MAX_ADDR_COUNT], counted: Counted::default(), since: Instant::ZERO }
    }

    /// Logs how the link stands, if that is new; whether it is up now and was not before.
    pub(crate) fn link(&mut self, link: Link) -> bool {
        let before = self.link.replace(link);
        if before == Some(link) {
            return false;
        }
        match link {
            Link::Down => info!("link down"),
            Link::Up { megabits, full_duplex: true } => info!("link up, {=u16} Mbit/s, full duplex", megabits),
            Link::Up { megabits, full_duplex: false } => info!("link up, {=u16} Mbit/s, half duplex", megabits),
            Link::UpSomehow => info!("link up, speed unknown"),
            Link::Unknown => info!("link unknown, taken for up"),
        }
        link != Link::Down && before.is_none_or(|before| before == Link::Down)
    }

    /// Logs where the service listens, as far as that is new.
    pub(crate) fn addresses(&mut self, addresses: &[IpCidr], port: u16) {
        if NOBODY_READS || self.addresses.iter().flatten().eq(addresses) {
            return;
        }
        for network in addresses.iter().filter(|network| !self.addresses.contains(&Some(**network))) {
            match network {
                IpCidr::Ipv4(network) => {
                    info!("address {}", network);
                    info!("listening on {}:{=u16}", network.address(), port);
                }
                #[cfg(feature = "ipv6")]
                IpCidr::Ipv6(network) => {
                    info!("address {}", network);
                    info!("listening on [{}]:{=u16}", network.address(), port);
                }
            }
        }
        for (index, place) in self.addresses.iter_mut().enumerate() {
            *place = addresses.get(index).copied();
        }
    }

    /// Writes the lines of the log that wait, and says how many were dropped.
    pub(crate) fn dropped_lines(&self) {
        #[cfg(all(feature = "defmt", feature = "qemu", target_os = "none"))]
        match crate::semihosting_log::flush() {
            0 => {}
            lines => error!("{=u32} lines of the log were dropped, because nobody read them", lines),
        }
    }

    /// Logs the counters, if the service has moved and it is time. When to come back for that, otherwise.
    pub(crate) fn counters(&mut self, now: Instant, counted: Counted) -> Option<Instant> {
        if NOBODY_READS {
            return None;
        }
        // Frames alone, that others on the wire send to everybody, are nothing to tell.
        let stack = stack::Counters { refused: counted.stack.refused, ..self.counted.stack };
        if (Counted { stack, ..counted }) == self.counted {
            return None;
        }
        let due = self.since + if counted.busy == 0 { EVERY_IDLE } else { EVERY_BUSY };
        if now < due {
            return Some(due);
        }
        self.since = now;
        self.counted = counted;
        let Counted { busy, pool, stack, losses } = counted;
        info!(
            "connections: {=usize} busy, {=u32} accepted, {=u32} completed, {=u32} reset, {=u32} timed out, {=u32} \
             unfinished, {=u32} refused",
            busy, pool.accepted, pool.completed, pool.reset, pool.timed_out, pool.unfinished, stack.refused
        );
        info!(
            "conversations: {=u32} names, {=u64} bytes received, {=u64} bytes sent",
            pool.names, pool.bytes_received, pool.bytes_sent
        );
        info!(
            "frames: {=u32} received, {=u32} sent, {=u32} overruns, {=u32} unusable, {=u32} unsent",
            stack.frames_received, stack.frames_sent, losses.overruns, losses.unusable, losses.unsent
        );
        None
    }
}

/// Logs who comes and goes.
pub(crate) fn tell(event: Event<'_>) {
    match event {
        Event::Accepted(peer) => info!("accepted {}", peer),
        Event::Heard(..) => {}
        Event::Closed(peer, outcome) => info!("closed {}: {}", peer, outcome),
    }
}
