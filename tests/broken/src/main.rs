//! Runs a server with a defect: `greet-broken DEFECT [ADDRESS:PORT]`, to try `greet check` on it.

use std::{env, net::TcpListener, process::ExitCode};

use greet_broken::{DEFECTS, serve};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let name = arguments.first().map_or("", String::as_str);
    let address = arguments.get(1).map_or("127.0.0.1:9999", String::as_str);
    let Some((_, defect, ..)) = DEFECTS.iter().find(|(known, ..)| *known == name) else {
        eprintln!("usage: greet-broken DEFECT [ADDRESS:PORT]\nDEFECT is one of:");
        DEFECTS.iter().for_each(|(name, ..)| eprintln!("  {name}"));
        return ExitCode::from(2);
    };
    match TcpListener::bind(address) {
        Ok(listener) => {
            println!("{name}: listening on {address}");
            serve(&listener, *defect);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("greet-broken: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
