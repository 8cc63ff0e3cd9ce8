//! Serves with a defect: `greet-broken DEFECT [ADDRESS]`, to see what `greet check` says of it.

use std::{env, net::TcpListener, process::ExitCode};

use greet_broken::{DEFECTS, serve};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let name = arguments.first().map_or("", String::as_str);
    let address = arguments.get(1).map_or("127.0.0.1:9999", String::as_str);
    let Some((_, defect, ..)) = DEFECTS.iter().find(|(known, ..)| *known == name) else {
        eprintln!("greet-broken DEFECT [ADDRESS:PORT], where DEFECT is one of:");
        DEFECTS.iter().for_each(|(name, ..)| eprintln!("  {name}"));
        return ExitCode::from(2);
    };
    match TcpListener::bind(address) {
        Ok(listener) => {
            println!("{name} waits on {address}");
            serve(&listener, *defect);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("greet-broken: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
