//! Serves over embassy-net at 192.168.69.1, port 9999, on the Linux TAP device `tap0`.
//!
//! `smoltcp-app/tap up` makes the device. On a board only the driver differs, and the executor, which polls the two futures.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use embassy_futures::select::select;
    use embassy_net::{Config, Ipv4Address, Ipv4Cidr, StackResources, StaticConfigV4};
    use embassy_net_tuntap::TunTapDevice;
    use greet_embassy_net::{Event, Memory, Settings, serve};

    const CLIENTS: usize = 8;

    pub(super) fn main() -> io::Result<()> {
        let device = TunTapDevice::new("tap0")?;
        let config = Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(Ipv4Address::new(192, 168, 69, 1), 24),
            gateway: None,
            dns_servers: Default::default(),
        });
        let mut resources: StackResources<{ CLIENTS + 1 }> = StackResources::new();
        let (stack, mut runner) = embassy_net::new(device, config, &mut resources, 0x6772_6565_7421);
        let mut memory: [Memory<256, 2048>; CLIENTS] = [const { Memory::new() }; CLIENTS];
        let settings = Settings::default();
        println!("listening on 192.168.69.1:{}", settings.port);
        let tell = |event: Event<'_>| match event {
            Event::Closed(peer, outcome) => eprintln!("{peer}: {outcome:?}"),
            Event::Accepted(_) | Event::Heard(..) => {}
        };
        async_io::block_on(async {
            select(runner.run(), serve(stack, &settings, &mut memory, &tell)).await;
        });
        Ok(())
    }
}
