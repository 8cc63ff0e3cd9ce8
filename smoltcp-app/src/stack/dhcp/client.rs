//! The state machine of a DHCP client (RFC 2131, 4.4): it is given messages and the time, and says what to do.

use core::time::Duration;

use fastrand::Rng;
use greet_core::Instant;
use smoltcp::wire::{DhcpMessageType, EthernetAddress, Ipv4Address};

use super::{
    Notice,
    lease::Lease,
    message::{Question, Reply},
};

/// The wait for the first answer; it doubles up to 64 s (RFC 2131, 4.1, where it begins at 4 s).
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// How often a REQUEST is sent before the client begins again.
const REQUESTS: u32 = 4;
/// The wait after an address was declined, or a lease is unusable (RFC 2131, 3.1.5).
const WAIT_AFTER_DECLINE: Duration = Duration::from_secs(10);
/// Number and interval of ARP probes; a new address is used if none is answered. RFC 5227 would take 5 s and more; in this
/// time a host on the same link has answered, and who comes later is found by the defense of the address.
const PROBES: u32 = 2;
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Renewals are not repeated more often (RFC 2131, 4.4.5).
const RENEW_INTERVAL: Duration = Duration::from_secs(60);

/// What the client is to do.
pub(super) enum Action {
    /// Send this message.
    Ask(Question),
    /// Send an ARP probe for this address.
    Probe(Ipv4Address),
    /// Use this lease from now on.
    Use(Lease),
    /// Stop using the address of the lease that was used.
    Drop,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// An offer is expected.
    Selecting,
    /// The acknowledgement of this offer is expected.
    Requesting(Lease),
    /// Does another host have the address?
    Probing(Lease),
    /// The lease is in use.
    Bound(Lease),
}

/// A DHCP client.
#[derive(Debug)]
pub(super) struct Client {
    hardware: EthernetAddress,
    random: Rng,
    state: State,
    /// The transaction's number. It is the same for each repetition of a message, so that a late answer is one.
    transaction: u32,
    began: Instant,
    /// How often this state's message was sent.
    tries: u32,
    /// When something is due in this state.
    due: Instant,
    /// How many times in a row a server refused, since the last lease.
    refusals: u32,
    /// When the last REQUEST was sent: the lease is counted from there.
    requested_at: Instant,
    /// The address in use.
    current: Option<Ipv4Address>,
    /// What was not acted upon yet.
    pending: Option<Question>,
    drops: bool,
    notice: Option<Notice>,
}

impl Client {
    pub(super) fn new(hardware: EthernetAddress, seed: u64, now: Instant) -> Self {
        let mut client = Self {
            hardware,
            random: Rng::with_seed(seed),
            state: State::Selecting,
            transaction: 0,
            began: now,
            tries: 0,
            due: now,
            refusals: 0,
            requested_at: now,
            current: None,
            pending: None,
            drops: false,
            notice: None,
        };
        client.begin(now, Duration::ZERO);
        client
    }

    /// Begins again after `wait`; an address in use stays in use until another is known.
    #[inline(never)] // called often in the code, but never in a hot loop
    pub(super) fn begin(&mut self, now: Instant, wait: Duration) {
        self.enter(State::Selecting, now + wait);
        self.began = self.due;
        self.change_transaction();
    }

    #[inline(never)]
    fn change_transaction(&mut self) {
        self.transaction = self.random.u32(..);
    }

    fn enter(&mut self, state: State, due: Instant) {
        self.state = state;
        self.tries = 0;
        self.due = due;
    }

    /// When to poll it again.
    pub(super) const fn deadline(&self) -> Instant {
        self.due
    }

    pub(super) const fn take_notice(&mut self) -> Option<Notice> {
        self.notice.take()
    }

    /// What is to be done now, one thing at a time.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Action> {
        if core::mem::take(&mut self.drops) {
            self.current = None;
            return Some(Action::Drop);
        }
        if let Some(question) = self.pending.take() {
            return Some(Action::Ask(question));
        }
        if now < self.due {
            return None;
        }
        self.tries = self.tries.saturating_add(1);
        match self.state {
            State::Selecting => {
                self.due = now + self.wait(self.tries);
                let requested_ip = self.current;
                Some(Action::Ask(Question { requested_ip, ..self.question(DhcpMessageType::Discover, now) }))
            }
            State::Requesting(_) if self.tries > REQUESTS => {
                self.begin(now, Duration::ZERO);
                self.poll(now)
            }
            State::Requesting(offer) => {
                self.due = now + self.wait(self.tries);
                self.requested_at = now;
                let question = self.question(DhcpMessageType::Request, now);
                Some(Action::Ask(Question {
                    requested_ip: Some(offer.address.address()),
                    server_identifier: Some(offer.server),
                    ..question
                }))
            }
            State::Probing(lease) if self.tries <= PROBES => {
                self.due = now + PROBE_INTERVAL;
                Some(Action::Probe(lease.address.address()))
            }
            State::Probing(lease) => Some(self.bind(lease)),
            State::Bound(lease) if now >= lease.expires() => {
                self.notice = Some(Notice::Expired(lease.address.address()));
                self.begin(now, Duration::ZERO);
                self.current = None;
                Some(Action::Drop)
            }
            State::Bound(lease) => Some(Action::Ask(self.renew(&lease, now))),
        }
    }

    /// The time until a message is repeated for the `tries`th time, up to a second longer or shorter where that is much.
    #[inline(never)]
    fn wait(&mut self, tries: u32) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(5)).min(LONGEST_WAIT);
        wait + Duration::from_millis(self.random.u32(..=1000).into()) - Duration::from_millis(500)
    }

    fn question(&self, kind: DhcpMessageType, now: Instant) -> Question {
        let seconds = u16::try_from(now.since(self.began).as_secs()).unwrap_or(u16::MAX);
        Question::new(kind, self.hardware, self.transaction, seconds)
    }

    fn bind(&mut self, lease: Lease) -> Action {
        self.refusals = 0;
        self.current = Some(lease.address.address());
        self.enter(State::Bound(lease), lease.renews());
        Action::Use(lease)
    }

    /// The next REQUEST for a lease in use: to its server, and later to all.
    fn renew(&mut self, lease: &Lease, now: Instant) -> Question {
        if self.tries == 1 {
            self.began = now;
            self.change_transaction();
        }
        let rebinds = now >= lease.rebinds();
        let until = if rebinds { lease.expires() } else { lease.rebinds() };
        let next = now + (until.since(now) / 2).max(RENEW_INTERVAL);
        self.due = if next + RENEW_INTERVAL > until { until } else { next };
        self.requested_at = now;
        Question {
            client_ip: lease.address.address(),
            server: (!rebinds).then_some((lease.server_hardware, lease.server)),
            ..self.question(DhcpMessageType::Request, now)
        }
    }

    /// A server's message.
    pub(super) fn receive(&mut self, reply: &Reply, now: Instant) {
        if reply.transaction != self.transaction || reply.hardware != self.hardware {
            return;
        }
        match (self.state, reply.kind) {
            (State::Selecting, DhcpMessageType::Offer) if self.tries > 0 => match Lease::read(reply, now) {
                Ok(offer) => self.enter(State::Requesting(offer), now),
                Err(notice) => self.notice = Some(notice),
            },
            (State::Requesting(offer) | State::Bound(offer), DhcpMessageType::Ack) if self.tries > 0 => {
                self.acknowledged(offer, reply, now);
            }
            // A NAK of another server says nothing about this lease.
            (State::Requesting(lease) | State::Bound(lease), DhcpMessageType::Nak)
                if self.tries > 0 && reply.server == Some(lease.server) =>
            {
                self.notice = Some(Notice::Refused(lease.server));
                self.drops = self.current.is_some();
                // A server that always refuses is not asked as fast as it answers.
                let wait = if self.refusals == 0 { Duration::ZERO } else { self.wait(self.refusals) };
                self.refusals = self.refusals.saturating_add(1);
                self.begin(now, wait);
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, asked: Lease, reply: &Reply, now: Instant) {
        let lease = match Lease::read(reply, self.requested_at) {
            Ok(lease) if lease.address.address() == asked.address.address() => lease,
            Ok(lease) => {
                self.notice =
                    Some(Notice::OtherAddress { asked: asked.address.address(), given: lease.address.address() });
                return; // as if it had not come: the message is repeated
            }
            Err(notice) => {
                self.notice = Some(notice);
                if matches!(self.state, State::Requesting(_)) {
                    self.begin(now, WAIT_AFTER_DECLINE);
                }
                return;
            }
        };
        if lease.router.is_none() && self.current != Some(lease.address.address()) {
            self.notice = Some(Notice::NoRouter(lease.server));
        }
        // An address in use was probed already. It is due at once: the lease is new, if the address is not.
        let known = self.current == Some(lease.address.address());
        self.enter(State::Probing(lease), now);
        if known {
            self.tries = PROBES;
        }
    }

    /// Another host has sent an ARP message from `address`, or is probing for it.
    pub(super) fn conflict(&mut self, address: Ipv4Address, now: Instant) {
        let State::Probing(lease) = self.state else { return };
        if lease.address.address() != address {
            return;
        }
        self.notice = Some(Notice::InUse(address));
        self.pending = Some(Question {
            requested_ip: Some(address),
            server_identifier: Some(lease.server),
            ..self.question(DhcpMessageType::Decline, now)
        });
        self.begin(now, WAIT_AFTER_DECLINE);
    }
}
