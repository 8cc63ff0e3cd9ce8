//! Rule C1 on a link with loss: the 2 s begin when the client has received the replies and the FIN, not when they are sent;
//! and the loss of the acknowledgement of the client's FIN does not cause a reset.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use core::time::Duration;

use greet_core::{Framing, LINGER, ServerSettings};
use greet_smoltcp::pool::{Limits, Settings};
use greet_tests::{
    memory::Memory,
    segment::{RawHost, Segment, segment},
};
use smoltcp::wire::{EthernetAddress, IpAddress, Ipv4Address, TcpControl, TcpRepr, TcpSeqNumber};

const INSTANT: Duration = Duration::from_millis(1);

/// A client whose acknowledgements the test writes, and a server to which it has sent `exit`.
struct LingeringClient {
    server: Memory,
    host: RawHost,
    /// The client's next segment, which acknowledges everything except the last reply and the FIN.
    segment: TcpRepr<'static>,
    /// The acknowledgement number that includes them.
    all: TcpSeqNumber,
}

impl LingeringClient {
    fn new(sockets: usize) -> Self {
        let settings = ServerSettings { framing: Framing::Line, ..ServerSettings::DEFAULT };
        let server = Memory::with(Settings { server: settings, ..Settings::DEFAULT }, sockets);
        let hardware = EthernetAddress([2, 0, 0, 0, 1, 9]);
        let (server_hardware, IpAddress::Ipv4(address)) = Memory::server() else { panic!("it has an IPv4 address") };
        let own = Ipv4Address::new(10, 0, 0, 9);
        let mut host = RawHost::new(server.port(hardware), hardware, own, server_hardware, address);
        host.introduce();
        host.send(&TcpRepr { control: TcpControl::Syn, ..segment(1000, 7) });
        server.pass(Duration::ZERO);
        let answer = host.received().pop().unwrap();
        let greeted = TcpRepr { ack_number: Some(answer.sequence + 1), ..segment(1000, 8) };
        host.send(&greeted);
        host.send(&TcpRepr { payload: b"haha\nexit\n", ..greeted });
        server.pass(Duration::ZERO);
        let Segment { control, sequence, payload, .. } = host.received().pop().unwrap();
        assert_eq!(control, TcpControl::Fin);
        let segment = TcpRepr { seq_number: TcpSeqNumber(8 + 10), ..greeted };
        Self { server, host, segment, all: sequence + payload.len() + 1 }
    }

    /// The client has received the reply and the FIN.
    fn acknowledge(&mut self) {
        self.segment.ack_number = Some(self.all);
        self.host.send(&self.segment);
        self.server.pass(Duration::ZERO);
    }

    fn resets(&mut self) -> usize {
        self.host.received().iter().filter(|segment| segment.control == TcpControl::Rst).count()
    }

    /// The client sends data that is too late, and half-closes.
    fn end(&mut self) {
        self.host.send(&TcpRepr { payload: b"late\n", ..self.segment });
        self.segment.seq_number += 5;
        self.end_again();
    }

    fn end_again(&mut self) {
        self.host.send(&TcpRepr { control: TcpControl::Fin, ..self.segment });
        self.server.pass(Duration::ZERO);
    }
}

/// Transit times of the FIN: a little longer than the linger time, and much longer.
const TRANSIT_TIMES: [Duration; 4] =
    [Duration::from_millis(10), Duration::from_millis(1900), Duration::from_millis(2100), Duration::from_secs(8)];

#[test]
fn a_client_whose_fin_was_lost_still_has_the_full_linger_time_after_the_retransmission() {
    for transit in TRANSIT_TIMES {
        let mut client = LingeringClient::new(1);
        client.server.pass(transit);
        client.acknowledge();
        client.server.pass(LINGER - INSTANT);
        assert_eq!((client.server.busy(), client.resets()), (1, 0), "{transit:?}");
        client.end();
        assert_eq!((client.server.busy(), client.resets()), (0, 0), "{transit:?}");
        assert_eq!(client.server.counters().completed, 1, "{transit:?}");
    }
}

#[test]
fn a_client_whose_fin_was_lost_and_that_never_closes_loses_its_slot() {
    for transit in TRANSIT_TIMES {
        let mut client = LingeringClient::new(1);
        client.server.pass(transit);
        client.acknowledge();
        client.server.pass(LINGER);
        assert_eq!((client.server.busy(), client.resets()), (0, 1), "{transit:?}");
        assert_eq!(client.server.counters().completed, 1, "{transit:?}");
    }
}

#[test]
fn a_client_that_never_receives_the_fin_loses_its_slot() {
    let client = LingeringClient::new(1);
    client.server.pass(LINGER + Limits::DEFAULT.delivery);
    assert_eq!((client.server.busy(), client.server.counters().timed_out), (0, 1));
}

#[test]
fn a_retransmitted_fin_is_acknowledged_again() {
    let mut client = LingeringClient::new(2);
    client.acknowledge();
    client.end();
    // smoltcp repeats it once a second at most.
    for later in [200, 1200] {
        client.host.received();
        client.server.pass(Duration::from_millis(later));
        client.end_again();
        assert_eq!(client.server.busy(), 0, "no client is served");
        let received = client.host.received();
        assert!(received.iter().all(|segment| segment.control == TcpControl::None), "{received:?}");
        assert_eq!(received.last().unwrap().acknowledged, Some(client.segment.seq_number + 1));
    }
    client.server.pass(Duration::from_secs(2));
    assert_eq!(client.server.next(), None, "that wait ends too");
}

#[test]
fn a_socket_that_waits_for_a_repeated_fin_accepts_a_client_if_no_other_socket_is_free() {
    let mut client = LingeringClient::new(2);
    client.acknowledge();
    client.end();
    client.host.received();
    // Both arrive before the server is polled.
    for port in [2000, 2001] {
        client.host.send(&TcpRepr { control: TcpControl::Syn, ..segment(port, 7) });
    }
    client.server.pass(Duration::ZERO);
    let answers = client.host.received();
    let accepted = answers.iter().filter(|segment| segment.control == TcpControl::Syn).count();
    assert_eq!((accepted, client.server.busy(), client.server.frames().refused), (2, 2, 0), "{answers:?}");
}
