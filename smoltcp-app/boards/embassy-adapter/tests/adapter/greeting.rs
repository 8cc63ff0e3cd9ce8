//! A client is greeted through the adapter, at both ends, and each end is polled only when its driver has woken it or its deadline has passed.

use core::time::Duration;

use embassy_net_driver::HardwareAddress;
use greet_core::{Instant, Server, ServerSettings};
use greet_embassy::{Adapter, WakeFlag};
use greet_smoltcp::{
    pool::{Pool, Settings, Slot},
    stack::{self, Stack},
};
use smoltcp::{
    iface::{SocketSet, SocketStorage},
    socket::tcp::{Socket, SocketBuffer},
    wire::{EthernetAddress, IpAddress, IpCidr, IpEndpoint},
};

use crate::driver::Told;

const SERVER: IpAddress = IpAddress::v4(10, 0, 0, 1);
const CLIENT: IpAddress = IpAddress::v4(10, 0, 0, 2);

/// An end of the link: its device, its stack, and when it is to be polled.
struct End {
    device: Adapter<Told>,
    stack: Stack<'static>,
    flag: &'static WakeFlag,
    due: Option<Instant>,
}

impl End {
    fn new(last: u8, address: IpAddress) -> Self {
        let flag: &WakeFlag = Box::leak(Box::default());
        let hardware = [2, 0, 0, 0, 0, last];
        // Room for few frames, so that it is often exhausted.
        let driver = Told { address: HardwareAddress::Ethernet(hardware), room: 2, ..Told::default() };
        let mut device = Adapter::new(driver, flag.waker()).unwrap();
        let settings = stack::Settings {
            addresses: &[IpCidr::new(address, 24)],
            ..stack::Settings::new(EthernetAddress(hardware), u64::from(last))
        };
        let stack = Stack::new(
            settings,
            &mut device,
            SocketSet::new(Vec::from([const { SocketStorage::EMPTY }; 3]).leak()),
            Instant::ZERO,
        )
        .unwrap();
        Self { device, stack, flag, due: None }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.flag.take() || self.due.is_some_and(|due| due <= now)
    }

    /// Moves sent frames to the other end. Returns whether there were any.
    fn pass_to(&mut self, other: &mut Self) -> bool {
        let sent = core::mem::take(&mut self.device.driver().sent);
        let any = !sent.is_empty();
        for frame in sent {
            self.device.driver().make_room();
            other.device.driver().come(frame);
        }
        any
    }
}

fn buffer() -> SocketBuffer<'static> {
    SocketBuffer::new(vec![0; 512].leak())
}

#[test]
fn a_client_is_greeted_and_answered() {
    let (mut server, mut client) = (End::new(1, SERVER), End::new(2, CLIENT));
    let (mut slots, mut read) = ([const { Slot::<Server<64>>::new() }; 2], [0; 512]);
    let settings = Settings { server: ServerSettings::DEFAULT, ..Settings::DEFAULT };
    let mut pool = Pool::new(settings, &mut slots, &mut read);
    assert!(pool.open(server.stack.sockets(), buffer(), buffer()));
    let handle = client.stack.sockets().add(Socket::new(buffer(), buffer()));
    client.stack.connect(handle, IpEndpoint::new(SERVER, 9999), 50_000).unwrap();

    let names = 40;
    let mut owed: Vec<u8> = (0..names).flat_map(|number| format!("name {number}\n").into_bytes()).collect();
    owed.extend_from_slice(b"exit\n");
    let (mut received, mut now, mut polls) = (Vec::new(), Instant::ZERO, 0);
    while pool.counters().completed == 0 {
        if server.is_due(now) {
            polls += 1;
            server.due =
                server.stack.poll(now, &mut server.device, |sockets, reason| pool.serve(now, sockets, reason, |_| {}));
        }
        if client.is_due(now) {
            client.due = client.stack.poll(now, &mut client.device, |sockets, _| {
                let socket = sockets.get_mut::<Socket<'_>>(handle);
                if socket.can_send() {
                    let sent = socket.send_slice(&owed).unwrap();
                    owed.drain(..sent);
                }
                let _ = socket.recv(|bytes| (bytes.len(), received.extend_from_slice(bytes)));
                if socket.state() == smoltcp::socket::tcp::State::CloseWait && !socket.can_recv() {
                    socket.close();
                }
                None
            });
        }
        // If neither end has anything to do, time advances to the next deadline.
        let moved = server.pass_to(&mut client) | client.pass_to(&mut server);
        if !moved && !server.flag.is_set() && !client.flag.is_set() {
            now = server.due.into_iter().chain(client.due).min().unwrap().max(now);
        }
        assert!(now < Instant::ZERO + Duration::from_secs(60), "after {polls} polls: {}", received.escape_ascii());
    }
    let received = String::from_utf8(received).unwrap();
    for number in 0..names {
        assert_eq!(received.matches(&format!("Hello, name {number}!")).count(), 1, "{received}");
    }
    assert!(now < Instant::ZERO + Duration::from_secs(2), "a frame was retransmitted: {now:?}");
}
