//! Serves over embassy-net at 192.168.69.1 and fdaa::1, on the Linux TAP device `tap0`: greetings on port 9999, echoes on port 7.
//!
//! `smoltcp-app/tap up` makes the device. On a board only the driver differs, and the executor, which polls the futures.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use embassy_futures::select::select3;
    use embassy_net::{
        Config, ConfigV4, ConfigV6, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr, StackResources, StaticConfigV4,
        StaticConfigV6,
    };
    use embassy_net_tuntap::TunTapDevice;
    use greet_core::{Echo, Server};
    use greet_embassy_net::{Event, Memory, Settings, serve};

    const GREET_CLIENTS: usize = 8;
    const ECHO_CLIENTS: usize = 8;

    pub(super) fn main() -> io::Result<()> {
        let mut resources: StackResources<{ GREET_CLIENTS + ECHO_CLIENTS + 1 }> = StackResources::new();
        let (stack, mut runner) =
            embassy_net::new(TunTapDevice::new("tap0")?, addresses(), &mut resources, 0x6772_6565_7421);
        let mut greet: [Memory<8192>; GREET_CLIENTS] = [const { Memory::new() }; _];
        let mut echo: [Memory<8192>; ECHO_CLIENTS] = [const { Memory::new() }; _];
        println!("listening on 192.168.69.1:{}", Settings::DEFAULT.port);
        let tell = |event: Event<'_>| match event {
            Event::Closed(peer, outcome) => eprintln!("{peer}: {outcome:?}"),
            Event::Accepted(_) | Event::Heard(..) => {}
        };
        // One future with the stack: simple, but it never sleeps. Firmware runs the stack in a task of its own.
        async_io::block_on(async {
            let greet = serve::<Server<256>, _, _>(stack, &Settings::DEFAULT, &mut greet, &tell);
            let echo = serve::<Echo<1024>, _, _>(stack, &Settings::ECHO, &mut echo, &tell);
            select3(runner.run(), greet, echo).await;
        });
        Ok(())
    }

    fn addresses() -> Config {
        let mut config = Config::default();
        config.ipv4 = ConfigV4::Static(StaticConfigV4 {
            address: Ipv4Cidr::new(Ipv4Address::new(192, 168, 69, 1), 24),
            gateway: None,
            dns_servers: Default::default(),
        });
        config.ipv6 = ConfigV6::Static(StaticConfigV6 {
            address: Ipv6Cidr::new(Ipv6Address::new(0xfdaa, 0, 0, 0, 0, 0, 0, 1), 64),
            gateway: None,
            dns_servers: Default::default(),
        });
        config
    }
}
