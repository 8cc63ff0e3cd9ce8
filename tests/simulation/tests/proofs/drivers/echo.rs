//! An echo server and its client over both drivers: no byte is lost with reads and writes of any size and with interruptions.

use embedded_io::ErrorKind;
use greet_core::{
    Client, ClientSettings, Echo, EchoSettings, Instant, Machine as _, Outcome, ServerEnd, Service, State,
};

use super::{
    STYLES, at,
    mock::{Incoming, Mock, drive},
    reads,
};

const INPUT: [&[u8]; 4] = [b"ha\0ha", b"\n", b"byebye, and a few more bytes than the server can hold", b"end"];

#[test]
fn with_reads_and_writes_of_any_size_and_interruptions_all_bytes_are_sent_back_and_then_the_fin() {
    for style in STYLES {
        for (write, output, prompt) in [(1, 1, false), (5, 16, true), (3, 100, true), (100, 100, false)] {
            let converse = |interruption: Option<usize>| {
                let mut echo: Echo<8> = Echo::new(EchoSettings::DEFAULT, Instant::ZERO);
                let mut mock = Mock::new(reads(&INPUT));
                mock.write_sizes = [write].into();
                mock.prompt = prompt;
                mock.fault = interruption.map(|call| (call, ErrorKind::Interrupted));
                let report = drive(style, &mut echo, &mut mock, output);
                assert_eq!((report.result, mock.shutdowns), (Ok(()), 1), "{style:?} {write} {output}");
                assert_eq!((mock.written(), echo.state()), (INPUT.concat(), State::Over));
                mock.calls
            };
            for call in 1..=converse(None) {
                converse(Some(call));
            }
        }
    }
}

#[test]
fn a_client_that_does_not_read_is_disconnected_after_the_idle_timeout() {
    for style in STYLES {
        let mut echo: Echo<8> = Echo::new(EchoSettings::DEFAULT, Instant::ZERO);
        let mut mock = Mock::new([Incoming::Read(b"haha".to_vec())]);
        mock.stuck = at(0)..at(1000);
        drive(style, &mut echo, &mut mock, 16);
        assert_eq!((echo.end(), mock.clock.now()), (Some(ServerEnd::Idle), at(302))); // B5
        assert!(mock.written().is_empty());
    }
}

#[test]
fn the_client_sends_its_fin_directly_after_its_messages_and_reads_the_rest() {
    for style in STYLES {
        let settings = ClientSettings { service: Service::Echo, ..ClientSettings::default() };
        let mut client: Client<64> = Client::new(settings, Instant::ZERO);
        client.say(b"haha").unwrap();
        client.say(b"byebye").unwrap();
        client.close(Instant::ZERO);
        let mut mock = Mock::new(reads(&[b"ha", b"habye", b"bye"]));
        let report = drive(style, &mut client, &mut mock, 64);
        assert_eq!((report.result, client.outcome()), (Ok(()), Some(Outcome::Complete)));
        assert_eq!((mock.written(), mock.shutdowns), (b"hahabyebye".to_vec(), 1));
        assert_eq!(report.events, ["Reply([104, 97, 104, 97])", "Reply([98, 121, 101, 98, 121, 101])"]);
    }
}
