//! What the boards with Wi-Fi share: the name of the network, and the services as tasks of embassy over embassy-net.

#![no_std]
#![forbid(unsafe_code)]

use core::array;

use embassy_executor::{SpawnError, Spawner};
use embassy_net::{Config, ConfigV6, Stack, StackResources};
use embassy_time::{Duration, Timer};
use greet_core::{Echo, Server};
use greet_embassy_net::{Memory, Settings, serve};
use smoltcp_of_embassy_net as _;
use static_cell::{ConstStaticCell, StaticCell};

/// The name of the network: `GREET_WIFI_NAME` at build time.
pub const NAME: &str = match option_env!("GREET_WIFI_NAME") {
    Some(name) => name,
    None => "greet",
};
/// Its password: `GREET_WIFI_PASSWORD` at build time. Without one the network is open.
pub const PASSWORD: Option<&str> = option_env!("GREET_WIFI_PASSWORD");

const _: () = assert!(matches!(NAME.len(), 1..=32), "GREET_WIFI_NAME has to have 1 to 32 bytes");
const _: () = if let Some(password) = PASSWORD {
    assert!(matches!(password.len(), 8..=63), "GREET_WIFI_PASSWORD has to have 8 to 63 bytes");
};

/// The time between two attempts to join the network.
pub const RETRY: Duration = Duration::from_secs(5);

/// The memory of a client: buffers of 2048 bytes. Names have up to 256 bytes.
type Client = Memory<2048>;

/// Eight concurrent clients that are greeted; two of the echo service.
const CLIENTS: usize = 8;
static MEMORY: ConstStaticCell<[Client; CLIENTS]> = ConstStaticCell::new([const { Client::new() }; CLIENTS]);
const ECHO_CLIENTS: usize = 2;
static ECHO_MEMORY: ConstStaticCell<[Client; ECHO_CLIENTS]> =
    ConstStaticCell::new([const { Client::new() }; ECHO_CLIENTS]);

/// The sockets of the stack: one for each client, one for DHCP, one for DNS.
const SOCKETS: usize = CLIENTS + ECHO_CLIENTS + 2;

/// How often the stack is asked whether it has an address: its own future ends at the first one, which may be of IPv6.
const LOOK: Duration = Duration::from_millis(100);

/// The memory of the stack's sockets. Called once.
pub fn resources() -> &'static mut StackResources<SOCKETS> {
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    RESOURCES.init_with(StackResources::new)
}

/// The configuration of the stack: IPv4 by DHCP, IPv6 by SLAAC.
pub fn config() -> Config {
    let mut config = Config::dhcpv4(Default::default());
    config.ipv6 = ConfigV6::Slaac;
    config
}

/// Starts the services: a task for each client, and one that logs the address. Called once.
///
/// The stack's `Runner` needs a task of its own, because each operation on a socket wakes it.
///
/// # Errors
/// It was called before.
pub fn spawn(spawner: Spawner, stack: Stack<'static>) -> Result<(), SpawnError> {
    for memory in MEMORY.take() {
        spawner.spawn(greet(stack, memory)?);
    }
    for memory in ECHO_MEMORY.take() {
        spawner.spawn(echo(stack, memory)?);
    }
    spawner.spawn(log_address(stack)?);
    Ok(())
}

#[embassy_executor::task(pool_size = CLIENTS)]
async fn greet(stack: Stack<'static>, memory: &'static mut Client) {
    serve::<Server<256>, _, _>(stack, &Settings::DEFAULT, array::from_mut(memory), &|_event| ()).await;
}

#[embassy_executor::task(pool_size = ECHO_CLIENTS)]
async fn echo(stack: Stack<'static>, memory: &'static mut Client) {
    serve::<Echo<1024>, _, _>(stack, &Settings::ECHO, array::from_mut(memory), &|_event| ()).await;
}

/// Logs the address of IPv4, once there is one.
#[embassy_executor::task]
async fn log_address(stack: Stack<'static>) {
    let config = loop {
        match stack.config_v4() {
            Some(config) => break config,
            None => Timer::after(LOOK).await,
        }
    };
    #[cfg(feature = "defmt")]
    defmt::info!("listening on {}:{=u16}", config.address.address(), Settings::DEFAULT.port);
    let _ = config;
}
