//! Links every operation of the core for a microcontroller, and does not link if any of them can panic.
//!
//! The panic handler calls a function that is not defined. As long as the optimizer can show that no panic is reachable,
//! it drops the handler and the program links; if a panic is reachable, the linker reports `the_core_can_panic`.
//! `tests/run` builds it, and builds it again with `--cfg deliberate_panic`, which must fail to link: so the check itself is tested.
//!
//! With `--cfg alone="server"` or `--cfg alone="echo"` it links only the machine of that server, to measure its size, and a static
//! array of vacant ones, to show that the array takes no flash.
//!
//! On a target with an operating system it is an empty program.

#![cfg_attr(target_os = "none", no_std, no_main)]
// Both `cfg`s are set on the compiler's command line.
#![allow(unexpected_cfgs)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
#[cfg_attr(any(alone = "server", alone = "echo"), allow(dead_code, unused_imports, unused_macros))]
mod firmware {
    use core::{
        fmt::{self, Write as _},
        hint::black_box,
        pin::pin,
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use embedded_io::{ErrorKind, ErrorType, ReadReady};
    use greet_core::{
        Client, ClientSettings, Echo, EchoSettings, Escaped, Framing, Get, GetEvent, GetRequest, GetSettings,
        HttpMethod, Instant, Machine, Server, ServerSettings, Service, drive, drive::Turn,
    };

    unsafe extern "C" {
        /// Not defined: a reference to it makes linking fail.
        fn the_core_can_panic() -> !;
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // SAFETY: a program that can reach this call does not link.
        unsafe { the_core_can_panic() }
    }

    /// The entry point, from which the linker finds the used code.
    // SAFETY: no other symbol of this program has the name.
    #[unsafe(no_mangle)]
    extern "C" fn _start() -> ! {
        #[cfg(alone = "server")]
        loop {
            black_box(&VACANT);
            server::<64>(|_| ());
        }
        #[cfg(alone = "echo")]
        loop {
            black_box(&VACANT);
            echo::<64>(|_| ());
        }
        #[cfg(not(any(alone = "server", alone = "echo")))]
        loop {
            // One common capacity and the extremes, as the capacity takes part in arithmetic at compile time.
            server::<1>(run);
            server::<64>(turns);
            server::<{ u16::MAX as usize }>(run);
            echo::<1>(run);
            echo::<64>(turns);
            echo::<{ u16::MAX as usize }>(run);
            client::<3>(run);
            client::<64>(turns);
            client::<{ u16::MAX as usize }>(run);
            get::<1>(run);
            get::<64>(turns);
            get::<8192>(run);
            time();
            show();
            #[cfg(deliberate_panic)]
            black_box(black_box(Some(0_u8)).unwrap());
        }
    }

    /// Servers in a static, as on a board.
    #[cfg(alone = "server")]
    // SAFETY: no other symbol of this program has the name. `tests/run` looks up its section.
    #[unsafe(no_mangle)]
    static VACANT: Static<[Server<64>; 8]> = Static(core::cell::UnsafeCell::new([const { Server::vacant() }; 8]));

    /// Echo servers in a static, as on a board.
    #[cfg(alone = "echo")]
    // SAFETY: no other symbol of this program has the name. `tests/run` looks up its section.
    #[unsafe(no_mangle)]
    static VACANT: Static<[Echo<64>; 8]> = Static(core::cell::UnsafeCell::new([const { Echo::vacant() }; 8]));

    /// A static with interior mutability, so that it is placed in RAM.
    #[cfg(any(alone = "server", alone = "echo"))]
    struct Static<T>(core::cell::UnsafeCell<T>);

    // SAFETY: the value is never accessed.
    #[cfg(any(alone = "server", alone = "echo"))]
    unsafe impl<T> Sync for Static<T> {}

    /// A slice whose length and bytes are unknown to the optimizer.
    fn unknown_bytes() -> &'static [u8] {
        black_box(&[0; 100])
    }

    fn unknown_time() -> Instant {
        Instant::from_micros(black_box(0))
    }

    fn unknown_framing() -> Framing {
        black_box(Framing::Auto).decided_by(unknown_bytes())
    }

    fn unknown_service() -> Service {
        if black_box(true) { Service::Greet } else { Service::Echo }
    }

    fn server<const N: usize>(asynchronous: fn(&mut Server<N>)) {
        let settings = ServerSettings {
            framing: unknown_framing(),
            delay: black_box(Duration::ZERO),
            idle_timeout: black_box(Some(Duration::ZERO)),
        };
        let mut server: Server<N> = black_box(Server::vacant());
        if black_box(true) {
            server = Server::new(settings, unknown_time());
        }
        while black_box(true) {
            any_operation(&mut server);
            black_box((server.end(), server.framing()));
            #[cfg(not(alone = "server"))]
            black_box(server.clone());
        }
        #[cfg(not(alone = "server"))]
        blocking(&mut server);
        asynchronous(&mut server);
    }

    fn echo<const N: usize>(asynchronous: fn(&mut Echo<N>)) {
        let settings = EchoSettings { idle_timeout: black_box(Some(Duration::ZERO)) };
        let mut echo: Echo<N> = black_box(Echo::vacant());
        if black_box(true) {
            echo = Echo::new(settings, unknown_time());
        }
        while black_box(true) {
            any_operation(&mut echo);
            black_box(echo.end());
            #[cfg(not(alone = "echo"))]
            black_box(echo.clone());
        }
        #[cfg(not(alone = "echo"))]
        blocking(&mut echo);
        asynchronous(&mut echo);
    }

    fn client<const N: usize>(asynchronous: fn(&mut Client<N>)) {
        let settings = ClientSettings {
            service: unknown_service(),
            framing: unknown_framing(),
            timeout: black_box(Some(Duration::ZERO)),
        };
        let mut client: Client<N> = Client::new(settings, unknown_time());
        while black_box(true) {
            any_operation(&mut client);
            if let Err(refused) = client.say(unknown_bytes()) {
                black_box(refused);
            }
            black_box((
                client.waiting_for(),
                client.is_idle(),
                client.outcome(),
                client.verified(),
                Client::<N>::LONGEST_NAME,
            ));
            black_box(client.clone());
        }
        blocking(&mut client);
        asynchronous(&mut client);
    }

    fn unknown_text() -> &'static str {
        black_box("unknown")
    }

    fn get<const N: usize>(asynchronous: fn(&mut Get<N>)) {
        let fields = [(unknown_text(), unknown_text())];
        let request = GetRequest {
            method: black_box(HttpMethod::Head),
            host: unknown_text(),
            target: unknown_text(),
            fields: fields.get(..black_box(1)).unwrap_or_default(),
        };
        let settings = GetSettings { timeout: Some(Duration::ZERO), max_head: Some(N) };
        let mut get: Get<N> = match Get::new(request, black_box(settings), unknown_time()) {
            Ok(get) => get,
            Err(error) => {
                black_box(error);
                return;
            }
        };
        while black_box(true) {
            any_operation(&mut get);
            if let Some(GetEvent::Head { head, .. }) = get.receive(unknown_time(), unknown_bytes()).event {
                black_box((head.bytes(), head.version(), head.status(), head.reason(), head.field(unknown_text())));
            }
            black_box(get.outcome());
            black_box(get.clone());
        }
        blocking(&mut get);
        asynchronous(&mut get);
    }

    /// Calls any operation of a machine.
    fn any_operation(machine: &mut impl Machine) {
        let now = unknown_time();
        match black_box(0) {
            0 => drop(black_box(machine.receive(now, unknown_bytes()))),
            1 => machine.receive_end(now),
            2 => machine.close(now),
            3 => drop(black_box(machine.deadline())),
            4 => drop(black_box(machine.state())),
            5 => machine.handle_timeout(now),
            6 => machine.progress(now),
            7 => machine.delivered(now),
            _ => {
                let mut output = [0; 100];
                let output = output.get_mut(..black_box(100)).unwrap_or_default();
                black_box(machine.transmit(now, output));
                black_box(output);
            }
        }
    }

    fn time() {
        let (earlier, later) = (unknown_time(), unknown_time());
        black_box(later + black_box(Duration::ZERO));
        black_box((later.since(earlier), later.as_micros(), later < earlier));
    }

    /// The `Display` implementations: escaped bytes, and the error of a refused name.
    fn show() {
        struct Display;
        impl fmt::Write for Display {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                black_box(text);
                black_box(Ok(()))
            }
        }
        black_box(write!(Display, "{}", Escaped(unknown_bytes()))).unwrap_or_default();
        let mut client: Client<64> = Client::new(ClientSettings::default(), unknown_time());
        if let Err(refused) = client.say(unknown_bytes()) {
            black_box(write!(Display, "{refused}")).unwrap_or_default();
        }
    }

    /// A transport that returns any result.
    struct MockTransport;

    fn unknown_result<T>(value: T) -> Result<T, ErrorKind> {
        black_box(if black_box(true) { Ok(value) } else { Err(black_box(ErrorKind::TimedOut)) })
    }

    impl ErrorType for MockTransport {
        type Error = ErrorKind;
    }

    impl ReadReady for MockTransport {
        fn read_ready(&mut self) -> Result<bool, ErrorKind> {
            unknown_result(black_box(true))
        }
    }

    macro_rules! transport {
        ($io:ident, $style:ident $(, $async:tt)?) => {
            impl $io::Read for MockTransport {
                $($async)? fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
                    black_box(buffer);
                    unknown_result(black_box(0))
                }
            }
            impl $io::BufRead for MockTransport {
                $($async)? fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
                    unknown_result(unknown_bytes())
                }
                fn consume(&mut self, amount: usize) {
                    black_box(amount);
                }
            }
            impl $io::Write for MockTransport {
                $($async)? fn write(&mut self, buffer: &[u8]) -> Result<usize, ErrorKind> {
                    black_box(buffer);
                    unknown_result(black_box(0))
                }
                $($async)? fn flush(&mut self) -> Result<(), ErrorKind> {
                    unknown_result(())
                }
            }
            impl drive::$style::Transport for MockTransport {
                fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<(), ErrorKind> {
                    black_box(deadline);
                    unknown_result(())
                }
                $($async)? fn sleep_until(&mut self, deadline: Option<Instant>) -> Result<(), ErrorKind> {
                    black_box(deadline);
                    unknown_result(())
                }
                $($async)? fn shutdown(&mut self) -> Result<(), ErrorKind> {
                    unknown_result(())
                }
            }
        };
    }

    transport!(embedded_io, blocking);
    transport!(embedded_io_async, asynchronous, async);

    fn blocking<M: Machine>(machine: &mut M) {
        let mut output = [0; 100];
        let output = output.get_mut(..black_box(100)).unwrap_or_default();
        let mut transport = MockTransport;
        let mut driver = drive::blocking::Driver::new(machine, &mut transport, unknown_time, output);
        while !matches!(black_box(driver.turn()), Ok(Turn::Over)) {
            black_box(driver.machine().state());
        }
        let _ = black_box(driver.run());
    }

    /// Drives a machine with `turn`.
    ///
    /// The compiler adds a panic to every `async fn`, for a future that is polled after its end. `.await` never does that,
    /// so it does not count. The optimizer removes it if the only caller polls once. So each future has one caller here,
    /// and a machine is driven either by `turns` or by `run`.
    fn turns<M: Machine>(machine: &mut M) {
        let mut output = [0; 100];
        let output = output.get_mut(..black_box(100)).unwrap_or_default();
        let mut transport = MockTransport;
        let mut driver = drive::asynchronous::Driver::new(machine, &mut transport, unknown_time, output);
        while black_box(true) {
            poll_once(driver.turn());
            black_box(driver.machine().state());
        }
    }

    fn run<M: Machine>(machine: &mut M) {
        let mut output = [0; 100];
        let output = output.get_mut(..black_box(100)).unwrap_or_default();
        let mut transport = MockTransport;
        poll_once(drive::asynchronous::Driver::new(machine, &mut transport, unknown_time, output).run());
    }

    /// One poll completes the future: this transport is always ready.
    fn poll_once<F: Future>(future: F) {
        let poll = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = poll {
            black_box(output);
        }
    }
}
