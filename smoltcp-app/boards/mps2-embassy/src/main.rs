//! The greeting service over embassy-net, on the Arm MPS2 board AN385: Cortex-M3, a LAN9118 network card.

#![no_std]
#![no_main]

mod network;
mod time;

use core::pin::pin;

use cortex_m::{interrupt::InterruptNumber, peripheral::NVIC};
use cortex_m_rt::entry;
use embassy_futures::join::join3;
use embassy_net::{Config, StackResources};
use greet_board::{
    cortex_m::{Handler, interrupts},
    error, failure, info, qemu,
};
use greet_embassy::{Rest, WakeFlag};
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

/// Four concurrent clients, names of up to 256 bytes, buffers of 2048 bytes.
const CLIENTS: usize = 4;
static MEMORY: ConstStaticCell<[Memory<256, 2048>; CLIENTS]> = ConstStaticCell::new([const { Memory::new() }; CLIENTS]);

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
    let mut resources: StackResources<{ CLIENTS + 2 }> = StackResources::new(); // one for DHCP, too
    let (stack, mut runner) = embassy_net::new(network, Config::dhcpv4(Default::default()), &mut resources, seed);
    let settings = Settings::default();
    let tell = |event: Event<'_>| {
        if let Event::Closed(_, outcome) = event {
            info!("closed: {}", outcome);
            let _ = outcome;
        }
    };
    let say = async {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            info!("listening on {}:{=u16}", config.address.address(), settings.port);
            let _ = config;
        }
    };
    let all = pin!(join3(runner.run(), serve(stack, &settings, MEMORY.take(), &tell), say));

    // What an executor does: polls the future when it is woken, and sleeps otherwise.
    static WOKEN: WakeFlag = WakeFlag::new();
    static NEVER: WakeFlag = WakeFlag::new();
    let mut rest = Rest::with_task(&NEVER, &WOKEN, all);
    loop {
        rest.wait(greet_embassy::now() + core::time::Duration::from_secs(3600));
    }
}
