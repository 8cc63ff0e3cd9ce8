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
fn on_both(options: &[&str], test: impl Fn(Server)) {
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
fn every_connection_gets_the_tutorials_lines() {
    on_both(&[], |mut server| {
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
fn a_quiet_server_says_where_it_waits_and_nothing_else() {
    on_both(&["--quiet"], |mut server| {
        server.greeted().converse("haha");
        server.signal("TERM");
        assert_eq!(server.line(), "");
    });
}

#[test]
fn it_listens_on_every_address_it_is_given_and_on_both_families_at_once() {
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
fn what_it_cannot_listen_on_is_one_line_that_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    assert_fails(&greet(&["serve", "--listen", &taken]), 1, &["in use", &taken]);
    assert_fails(&greet(&["serve", "--listen", "192.0.2.1:9999"]), 1, &["no such address"]);
}

#[test]
fn a_privileged_port_without_the_right_is_told_so() {
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
fn at_the_cap_the_next_client_waits_until_one_has_left() {
    on_both(&["--max-connections", "2"], |server| {
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
fn the_cap_is_for_all_addresses_together_and_starves_none_of_them() {
    on_both(&["--max-connections", "1", "--listen", "127.0.0.1:0"], |mut server| {
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
fn a_megabyte_of_lines_is_answered_to_the_last_one() {
    on_both(&[], |server| {
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
fn two_thousand_clients_are_served_at_once() {
    on_both(&["--quiet", "--backlog", "4096"], |server| {
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
fn clients_with_bad_habits_are_nobody_elses_concern() {
    on_both(&["--framing", "line"], |server| {
        // A client that sends forever and never reads,
        let deaf = server.connect();
        deaf.0.set_nonblocking(true).unwrap();
        let lines = "name\n".repeat(10_000);
        while (&deaf.0).write(lines.as_bytes()).is_ok() {}
        // one that sends a byte now and then,
        let mut slow = server.connect();
        slow.expect("Welcome!\n");
        slow.send("s");
        // some that reset in the middle,
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
fn an_idle_conversation_is_told_so_and_ended() {
    on_both(&["--idle-timeout", "0.5"], |server| {
        let mut client = server.greeted();
        client.converse("haha");
        let start = Instant::now();
        assert_eq!(client.rest(), "Error: idle for 0.5 s");
        assert!(start.elapsed() >= Duration::from_millis(450));
    });
}

#[test]
fn a_delay_holds_replies_back_one_after_the_other() {
    on_both(&["--delay", "200ms", "--framing", "line"], |server| {
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
fn after_exit_what_is_still_sent_destroys_no_reply() {
    on_both(&["--framing", "line"], |server| {
        for _ in 0..20 {
            let mut client = server.connect();
            // C1: unread input at a close would send a reset instead of a FIN, and the replies could be lost.
            client.send(&format!("a\nb\nexit\n{}", "never answered\n".repeat(1_000)));
            assert_eq!(client.rest(), "Welcome!\nHello, a!\nHello, b!\n");
        }
    });
}

#[test]
fn a_client_that_sends_ahead_and_reads_late_gets_its_replies_and_a_fin() {
    on_both(&["--framing", "line"], |server| {
        // With small buffers, so that most replies are still at the server when it has read `exit`.
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
fn at_a_signal_every_open_conversation_gets_its_replies_and_a_fin() {
    for signal in ["TERM", "INT", "HUP"] {
        on_both(&["--delay", "300ms", "--framing", "line"], |server| {
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
fn at_a_signal_a_client_that_never_pauses_loses_nothing_but_what_it_sent_last() {
    on_both(&["--grace", "2s", "--framing", "line", "--quiet"], |server| {
        let mut client = server.connect();
        client.expect("Welcome!\n");
        let mut writer = client.0.try_clone().unwrap();
        let sender = thread::spawn(move || {
            let mut number = 0_u64;
            while writer.write_all(format!("{number}\n").as_bytes()).is_ok() && number < 10_000_000 {
                number += 1;
            }
        });
        thread::sleep(Duration::from_millis(100));
        server.signal("TERM");
        // Complete replies in order, then the end.
        let mut received = Vec::new();
        let outcome = client.0.read_to_end(&mut received);
        let text = String::from_utf8(received).unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
        assert!(text.ends_with("!\n"));
        for (number, line) in text.lines().enumerate() {
            assert_eq!(line, format!("Hello, {number}!"));
        }
        drop(client);
        sender.join().unwrap();
        let (status, said) = server.wait();
        assert!(status.success(), "{said}");
    });
}

#[test]
fn when_the_grace_is_over_whoever_is_left_is_cut_off() {
    on_both(&["--delay", "1h", "--grace", "300ms"], |server| {
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
fn a_second_signal_ends_the_service_at_once() {
    on_both(&["--delay", "1h", "--grace", "1h"], |server| {
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
fn out_of_descriptors_it_serves_those_it_has_says_so_once_and_accepts_again() {
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
        // The last one waits in the backlog until other connections are closed.
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
fn nobody_reading_its_output_holds_up_no_conversation() {
    on_both(&[], |mut server| {
        // Far more lines than a pipe holds.
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
fn standard_output_that_is_gone_ends_nothing() {
    on_both(&[], |mut server| {
        let nothing = Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap();
        server.output = BufReader::new(nothing); // and so the server's pipe has no reader any more
        for _ in 0..10 {
            server.greeted().converse("haha");
        }
        assert!(server.child.try_wait().unwrap().is_none());
    });
}

#[test]
fn netcat_gets_every_reply_to_a_pipe_of_lines() {
    on_both(&[], |server| {
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
fn a_restarted_service_takes_its_port_back_at_once() {
    for runtime in runtimes() {
        let server = Server::start(&["--runtime", runtime]);
        let address = server.address;
        let client = server.greeted();
        server.signal("TERM");
        let mut rest = String::new();
        let mut stream: TcpStream = client.0;
        stream.read_to_string(&mut rest).unwrap(); // the server ends first: its port is in TIME-WAIT
        drop(stream);
        assert!(server.wait().0.success());
        Server::start_on(&address.to_string(), &["--runtime", runtime]).greeted();
    }
}
