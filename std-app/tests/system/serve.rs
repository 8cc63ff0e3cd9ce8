//! `greet serve`: correct and misbehaving clients, options, signals and limits, on each runtime.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use core::time::Duration;
use std::{
    io::{BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    thread,
    time::Instant,
};

use socket2::{Domain, Socket, Type};

use crate::common::{Client, GREET, Server, TIMEOUT, assert_fails, listen_on_ipv6, runtimes, skip};

/// Runs a test against a server of each runtime.
fn on_each_runtime(options: &[&str], test: impl Fn(Server)) {
    for runtime in runtimes() {
        println!("--runtime {runtime}");
        let mut all = vec!["--runtime", runtime];
        all.extend(options);
        test(Server::start(&all));
    }
}

/// Runs the program to its end.
fn greet(arguments: &[&str]) -> Output {
    Command::new(GREET).args(arguments).output().unwrap()
}

#[test]
fn every_connection_gets_the_lines_of_the_tutorial() {
    on_each_runtime(&[], |mut server| {
        let mut client = server.greeted();
        let own = client.0.local_addr().unwrap();
        assert_eq!(server.line(), format!("Accept new connection from {own}...\n"));
        client.converse("haha");
        client.send("exit");
        assert_eq!(client.rest(), "");
        drop(client);
        assert_eq!(server.line(), format!("Connection from {own} closed.\n"));
    });
}

#[test]
fn a_quiet_server_prints_its_addresses_only() {
    on_each_runtime(&["--quiet"], |mut server| {
        server.greeted().converse("haha");
        server.signal("TERM");
        assert_eq!(server.line(), "");
    });
}

#[test]
fn it_listens_on_every_given_address_of_both_families() {
    if listen_on_ipv6().is_none() {
        return;
    }
    for runtime in runtimes() {
        let mut server = Server::start(&["--listen", "[::1]:0", "--runtime", runtime]);
        let line = server.line();
        let second = line.trim_start_matches("Waiting for connection on ").trim_end_matches("...\n").parse().unwrap();
        Client::connect(second).unwrap().expect("Welcome!");
        server.greeted();

        let mut dual = Server::start_on("[::]:0", &["--runtime", runtime]);
        let port = dual.address.port();
        for address in ["127.0.0.1", "::1"] {
            let mut client = Client::connect((address.parse::<core::net::IpAddr>().unwrap(), port).into()).unwrap();
            client.expect("Welcome!");
            // The address of an IPv4 client is shown as IPv4.
            let own = client.0.local_addr().unwrap();
            assert_eq!(dual.line(), format!("Accept new connection from {own}...\n"));
            drop(client);
            assert_eq!(dual.line(), format!("Connection from {own} closed.\n"));
        }
    }
}

#[test]
fn an_address_it_cannot_listen_on_is_reported_in_one_line_with_advice() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    assert_fails(&greet(&["serve", "--listen", &taken]), 1, &["in use", &taken]);
    assert_fails(&greet(&["serve", "--listen", "192.0.2.1:9999"]), 1, &["no such address"]);
}

#[test]
fn a_privileged_port_without_permission_is_reported() {
    let arguments = ["serve", "--listen", "127.0.0.1:80"];
    let output = if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        // Root drops its privileges first.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
        command.arg(GREET).args(arguments).output()
    } else {
        Command::new(GREET).args(arguments).output()
    };
    assert_fails(&output.unwrap(), 1, &["below 1024"]);
}

#[test]
fn a_bad_option_is_a_usage_error() {
    for arguments in [
        &["serve", "--framing", "words"][..],
        &["serve", "--listen", "nowhere"],
        &["serve", "--delay", "soon"],
        &["serve", "--delay", "-1"],
        &["serve", "--idle-timeout", "0"],
        &["serve", "--max-connections", "0"],
        &["serve", "--backlog", "0"],
        &["serve", "--runtime", "fibres"],
        &["serve", "-v", "-q"],
        &["serve", "extra"],
        &["salve"],
    ] {
        println!("{arguments:?}");
        assert_fails(&greet(arguments), 2, &[]);
    }
}

#[test]
fn at_the_maximum_number_of_connections_the_next_client_waits_for_a_close() {
    on_each_runtime(&["--max-connections", "2"], |server| {
        let first = server.greeted();
        let mut second = server.greeted();
        let mut third = server.connect();
        third.expect_silence();
        second.converse("still here");
        drop(first);
        third.expect("Welcome!");
        third.converse("at last");
    });
}

#[test]
fn the_maximum_number_of_connections_is_shared_fairly_by_all_addresses() {
    on_each_runtime(&["--max-connections", "1", "--listen", "127.0.0.1:0"], |mut server| {
        let other = server.line();
        let other = other.trim_end_matches("...\n").rsplit(' ').next().unwrap().parse().unwrap();
        for _ in 0..2 {
            let mut first = Client(TcpStream::connect(server.address).unwrap());
            first.expect("Welcome!");
            let mut second = Client(TcpStream::connect::<core::net::SocketAddr>(other).unwrap());
            second.expect_silence();
            drop(first);
            second.expect("Welcome!");
        }
    });
}

#[test]
fn every_line_of_a_megabyte_of_names_is_answered() {
    on_each_runtime(&[], |server| {
        let lines: String = (0..120_000).map(|number| format!("n{number:07}\n")).collect();
        let replies: String = (0..120_000).map(|number| format!("Hello, n{number:07}!\n")).collect();
        assert!(lines.len() > 1_000_000);
        let mut client = server.greeted();
        let mut writer = client.0.try_clone().unwrap();
        let sender = thread::spawn(move || {
            writer.write_all(lines.as_bytes()).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        assert!(client.rest() == replies);
        sender.join().unwrap();
    });
}

#[test]
fn two_thousand_concurrent_clients_are_served() {
    on_each_runtime(&["--quiet", "--backlog", "4096"], |server| {
        let mut clients: Vec<Client> = (0..2_000).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.expect("Welcome!");
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&format!("client {number}"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.expect(&format!("Hello, client {number}!"));
            client.send("exit");
        }
        for client in &mut clients {
            assert_eq!(client.rest(), "");
        }
    });
}

#[test]
fn misbehaving_clients_do_not_affect_other_clients() {
    on_each_runtime(&["--framing", "line"], |server| {
        // A client that sends without end and never reads,
        let deaf = server.connect();
        deaf.0.set_nonblocking(true).unwrap();
        let lines = "name\n".repeat(10_000);
        while (&deaf.0).write(lines.as_bytes()).is_ok() {}
        // one that sends single bytes with pauses,
        let mut slow = server.connect();
        slow.expect("Welcome!\n");
        slow.send("s");
        // some that reset the connection during a name,
        for _ in 0..50 {
            let mut rude = server.connect();
            rude.send("half a na");
            rude.reset();
        }
        // and one that closes before the greeting.
        drop(server.connect());

        let mut good = server.connect();
        good.expect("Welcome!\n");
        for round in 0..200 {
            good.send(&format!("round {round}\n"));
            good.expect(&format!("Hello, round {round}!\n"));
        }
        slow.send("low\n");
        slow.expect("Hello, slow!\n");
    });
}

#[test]
fn an_idle_conversation_gets_an_error_reply_and_is_closed() {
    on_each_runtime(&["--idle-timeout", "0.5"], |server| {
        let mut client = server.greeted();
        client.converse("haha");
        let start = Instant::now();
        assert_eq!(client.rest(), "Error: idle for 0.5 s");
        assert!(start.elapsed() >= Duration::from_millis(450));
    });
}

#[test]
fn an_idle_timeout_that_input_moved_more_than_once_still_ends_the_conversation() {
    on_each_runtime(&["--idle-timeout", "1s"], |server| {
        let mut client = server.greeted();
        for _ in 0..8 {
            client.converse("haha");
            thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(client.rest(), "Error: idle for 1 s");
    });
}

#[test]
fn a_delay_applies_to_each_reply_in_sequence() {
    on_each_runtime(&["--delay", "200ms", "--framing", "line"], |server| {
        let mut client = server.connect();
        client.expect("Welcome!\n");
        let start = Instant::now();
        client.send("a\nb\nexit\n");
        client.expect("Hello, a!\n");
        assert!(start.elapsed() >= Duration::from_millis(190));
        client.expect("Hello, b!\n");
        assert!(start.elapsed() >= Duration::from_millis(390));
        assert_eq!(client.rest(), "");
        assert!(start.elapsed() >= Duration::from_millis(590));
    });
}

#[test]
fn bytes_sent_after_exit_do_not_cause_a_reset() {
    on_each_runtime(&["--framing", "line"], |server| {
        for _ in 0..20 {
            let mut client = server.connect();
            // C1: unread input at a close would send a reset instead of a FIN, and the replies could be lost.
            client.send(&format!("a\nb\nexit\n{}", "never answered\n".repeat(1_000)));
            assert_eq!(client.rest(), "Welcome!\nHello, a!\nHello, b!\n");
        }
    });
}

#[test]
fn a_client_that_sends_everything_before_it_reads_gets_its_replies_and_a_fin() {
    on_each_runtime(&["--framing", "line"], |server| {
        // With small buffers, so that most replies are not sent yet when the server has read `exit`.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        socket.connect(&server.address.into()).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut client = Client(socket.into());
        // C1: more input follows `exit` than the server discards, and it arrives before the FIN is sent.
        let (names, more) = ("a\n".repeat(5_000), "never answered\n".repeat(20_000));
        client.send(&format!("{names}exit\n{more}"));
        thread::sleep(Duration::from_millis(300));
        assert_eq!(client.rest(), format!("Welcome!\n{}", "Hello, a!\n".repeat(5_000)));
    });
}

#[test]
fn on_a_signal_every_open_conversation_gets_its_replies_and_a_fin() {
    for signal in ["TERM", "INT", "HUP"] {
        on_each_runtime(&["--delay", "300ms", "--framing", "line"], |server| {
            let mut busy = server.connect();
            busy.send("a\nb\n");
            busy.expect("Welcome!\n");
            let mut silent = server.connect();
            silent.expect("Welcome!\n");
            let mut unfinished = server.connect();
            unfinished.expect("Welcome!\n");
            unfinished.send("no line feed");
            thread::sleep(Duration::from_millis(50));
            server.signal(signal);
            assert_eq!(busy.rest(), "Hello, a!\nHello, b!\n");
            assert_eq!(silent.rest(), "");
            assert_eq!(unfinished.rest(), "");
            drop((busy, silent, unfinished));
            let (status, said) = server.wait();
            assert!(status.success(), "{said}");
        });
    }
}

#[test]
fn on_a_signal_a_client_that_sends_without_pause_gets_complete_replies_up_to_the_end() {
    on_each_runtime(&["--grace", "2s", "--framing", "line", "--quiet"], |server| {
        let mut client = server.connect();
        client.expect("Welcome!\n");
        let mut writer = client.0.try_clone().unwrap();
        let sender = thread::spawn(move || {
            let mut number = 0_u64;
            while writer.write_all(format!("{number}\n").as_bytes()).is_ok() && number < 10_000_000 {
                number += 1;
            }
        });
        client.expect("Hello, 0!\n"); // it sends now
        thread::sleep(Duration::from_millis(100));
        server.signal("TERM");
        // Complete replies in order, then the end.
        let mut received = Vec::new();
        let outcome = client.0.read_to_end(&mut received);
        let text = String::from_utf8(received).unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
        // On a busy computer it may have paused just then.
        assert!(text.is_empty() || text.ends_with("!\n"));
        for (number, line) in (1..).zip(text.lines()) {
            assert_eq!(line, format!("Hello, {number}!"));
        }
        drop(client);
        sender.join().unwrap();
        let (status, said) = server.wait();
        assert!(status.success(), "{said}");
    });
}

#[test]
fn after_the_grace_period_open_connections_are_closed() {
    on_each_runtime(&["--delay", "1h", "--grace", "300ms"], |server| {
        let mut client = server.greeted();
        client.send("in an hour");
        thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        server.signal("TERM");
        let (status, said) = server.wait();
        assert!(status.success());
        assert!(start.elapsed() >= Duration::from_millis(290));
        assert!(said.contains("1 conversation"), "{said}");
    });
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    on_each_runtime(&["--delay", "1h", "--grace", "1h"], |server| {
        let mut client = server.greeted();
        client.send("in an hour");
        thread::sleep(Duration::from_millis(50));
        server.signal("TERM");
        thread::sleep(Duration::from_millis(200));
        server.signal("INT");
        let (status, _) = server.wait();
        assert_eq!(status.code(), Some(1));
    });
}

#[test]
fn without_free_descriptors_it_serves_open_connections_warns_once_and_accepts_again_later() {
    for runtime in runtimes() {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 40; exec \"$0\" serve --listen 127.0.0.1:0 --runtime \"$1\"", GREET, runtime]);
        let mut server = Server::spawn(command);
        let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
        clients[0].expect("Welcome!");
        thread::sleep(Duration::from_millis(300));
        let before = server.processor_ticks();
        thread::sleep(Duration::from_secs(1));
        let spent = server.processor_ticks() - before;
        assert!(spent <= 10, "{spent} ticks of processor time in a second of waiting");
        clients[0].converse("still here");
        // The last connection waits in the backlog until others are closed.
        let mut last = clients.pop().unwrap();
        clients.truncate(1);
        last.expect("Welcome!");
        last.converse("at last");
        clients[0].converse("and still here");
        drop((clients, last));
        server.signal("TERM");
        let mut said = String::new();
        server.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said.matches("cannot accept more connections").count(), 1, "{runtime}: {said}");
        assert!(said.contains("ulimit -n"), "{said}");
    }
}

#[test]
fn an_unread_standard_output_does_not_block_conversations() {
    on_each_runtime(&[], |mut server| {
        // More lines than a pipe can buffer.
        for _ in 0..1_500 {
            let mut client = server.greeted();
            client.send("exit");
            assert_eq!(client.rest(), "");
        }
        server.signal("TERM");
        let start = Instant::now();
        while server.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < TIMEOUT, "the server does not end");
            thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn a_closed_standard_output_does_not_end_the_server() {
    on_each_runtime(&[], |mut server| {
        let nothing = Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap();
        server.output = BufReader::new(nothing); // now the server's pipe has no reader
        for _ in 0..10 {
            server.greeted().converse("haha");
        }
        assert!(server.child.try_wait().unwrap().is_none());
    });
}

#[test]
fn netcat_gets_every_reply_to_piped_lines() {
    on_each_runtime(&[], |server| {
        let port = server.address.port().to_string();
        let mut netcat = match Command::new("nc")
            .args(["-N", "127.0.0.1", &port])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        {
            Ok(netcat) => netcat,
            Err(error) => return skip(&format!("no nc ({error}): sudo apt-get install netcat-openbsd")),
        };
        netcat.stdin.take().unwrap().write_all(b"haha\nexit\n").unwrap();
        let output = netcat.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "Welcome!Hello, haha!\n");
    });
}

#[test]
fn a_restarted_server_can_use_its_port_at_once() {
    for runtime in runtimes() {
        let server = Server::start(&["--runtime", runtime]);
        let address = server.address;
        let client = server.greeted();
        server.signal("TERM");
        let mut rest = String::new();
        let mut stream: TcpStream = client.0;
        stream.read_to_string(&mut rest).unwrap(); // the server closes first, so that its port is in TIME-WAIT
        drop(stream);
        assert!(server.wait().0.success());
        Server::start_on(&address.to_string(), &["--runtime", runtime]).greeted();
    }
}
