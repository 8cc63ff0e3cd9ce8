//! The greeting service and the echo service over embassy-net, on the Arm MPS2 board AN385: Cortex-M3, a LAN9118 network card.

#![no_std]
#![no_main]

mod network;
mod time;

use core::{future::Future, pin::pin, task::Context};

use cortex_m::{interrupt::InterruptNumber, peripheral::NVIC};
use cortex_m_rt::entry;
use embassy_futures::join::join3;
use embassy_net::{
    Config, ConfigV4, ConfigV6, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr, Stack, StackResources, StaticConfigV4,
    StaticConfigV6,
};
use embassy_time::{Duration, Instant, Timer};
use greet_board::{
    cortex_m::{Handler, interrupts},
    error, failure, info, qemu,
};
use greet_core::{Echo, Server};
use greet_embassy::WakeFlag;
use greet_embassy_net::{Event, Memory, Settings, serve};
use static_cell::ConstStaticCell;

use crate::{
    network::{Network, on_network},
    time::on_alarm,
};

/// Where the registers of the network card are, and those of the timer; what the timer counts, in Hz.
const NETWORK: usize = 0x4020_0000;
const TIMER: usize = 0x4000_2000;
const FREQUENCY: u32 = 25_000_000;

/// Four concurrent clients that are greeted, names of up to 256 bytes; four of the echo service. Buffers of 8192 bytes.
const CLIENTS: usize = 4;
static MEMORY: ConstStaticCell<[Memory<8192>; CLIENTS]> = ConstStaticCell::new([const { Memory::new() }; CLIENTS]);
const ECHO_CLIENTS: usize = 4;
static ECHO_MEMORY: ConstStaticCell<[Memory<8192>; ECHO_CLIENTS]> =
    ConstStaticCell::new([const { Memory::new() }; ECHO_CLIENTS]);

/// How long DHCP may take before the board uses the address of the other boards without DHCP.
const DHCP_TIMEOUT: Duration = Duration::from_secs(10);
const FALLBACK: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(192, 168, 69, 1), 24);

/// How often the stack is asked whether it has an address: its own future ends at the first one, which is of IPv6.
const LOOK: Duration = Duration::from_millis(10);

/// An interrupt that is used here.
#[derive(Clone, Copy)]
enum Interrupt {
    Timer = 10,
    Network = 13,
}

// SAFETY: these are the numbers of the interrupts, and they do not change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// The interrupts' part of the vector table.
// SAFETY: the section is the one in which the processor looks for it, and the name the one by which it is kept.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; Interrupt::Network as usize + 1] =
    interrupts([(Interrupt::Timer as usize, on_alarm), (Interrupt::Network as usize, on_network)]);

#[entry]
fn main() -> ! {
    time::start();
    let network = match Network::new() {
        Ok(network) => network,
        Err(why) => {
            error!("the network card does not start: {}", why);
            failure::end()
        }
    };
    // SAFETY: the handlers are in the vector table, and no critical section depends on these interrupts being masked.
    unsafe {
        NVIC::unmask(Interrupt::Timer);
        NVIC::unmask(Interrupt::Network);
    }
    let (seed, _) = qemu::random_seed(0);
    let mut resources: StackResources<{ CLIENTS + ECHO_CLIENTS + 2 }> = StackResources::new(); // one for DHCP, too
    let mut config = Config::dhcpv4(Default::default());
    config.ipv6 = ConfigV6::Static(link_local(network.address()));
    let (stack, mut runner) = embassy_net::new(network, config, &mut resources, seed);
    let tell = |event: Event<'_>| {
        if let Event::Closed(_, outcome) = event {
            info!("closed: {}", outcome);
            let _ = outcome;
        }
    };
    let mut stack_task = pin!(runner.run());
    let mut services = pin!(join3(
        serve::<Server<256>, _, _>(stack, &Settings::DEFAULT, MEMORY.take(), &tell),
        serve::<Echo<1024>, _, _>(stack, &Settings::ECHO, ECHO_MEMORY.take(), &tell),
        address(stack),
    ));

    // What an executor does: polls each task when it is woken, and sleeps otherwise. The stack is a task of its own, because each
    // operation on a socket wakes it.
    static STACK: WakeFlag = WakeFlag::new();
    static SERVICES: WakeFlag = WakeFlag::new();
    loop {
        if STACK.take() {
            let _ = stack_task.as_mut().poll(&mut Context::from_waker(&STACK.waker()));
        }
        if SERVICES.take() {
            let _ = services.as_mut().poll(&mut Context::from_waker(&SERVICES.waker()));
        }
        // An interrupt between the check and the sleep is held pending, and ends the sleep at once.
        critical_section::with(|_| {
            if !STACK.is_set() && !SERVICES.is_set() {
                cortex_m::asm::dsb();
                cortex_m::asm::wfi();
            }
        });
    }
}

/// The IPv6 configuration of a network without a router: the link-local address made from the MAC address (RFC 4291, appendix A).
///
/// There is no SLAAC: with it, and no router, the idle firmware executed three times as many instructions.
fn link_local([a, b, c, d, e, f]: [u8; 6]) -> StaticConfigV6 {
    let address = Ipv6Address::from([0xFE, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xFF, 0xFE, d, e, f]);
    StaticConfigV6 { address: Ipv6Cidr::new(address, 64), gateway: None, dns_servers: Default::default() }
}

/// Waits for an address from DHCP, takes the fallback if there is none in time, and logs where the service listens.
async fn address(stack: Stack<'_>) {
    let until = Instant::now() + DHCP_TIMEOUT;
    while stack.config_v4().is_none() && Instant::now() < until {
        Timer::after(LOOK).await;
    }
    let address = match stack.config_v4() {
        Some(config) => config.address,
        None => {
            let config = StaticConfigV4 { address: FALLBACK, gateway: None, dns_servers: Default::default() };
            stack.set_config_v4(ConfigV4::Static(config));
            FALLBACK
        }
    };
    info!("listening on {}:{=u16}", address.address(), Settings::DEFAULT.port);
    let _ = address;
}
