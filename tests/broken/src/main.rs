//! Runs a server with a defect: `greet-broken NAME [ADDRESS:PORT]`, to try `greet check` on it.
//! `greet-broken --list` prints each name, the probe that has to find the defect, and a part of the cause, separated by tabs.

use std::{env, net::TcpListener, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let name = arguments.first().map_or("", String::as_str);
    let address = arguments.get(1).map_or("127.0.0.1:9999", String::as_str);
    if name == "--list" {
        greet_broken::all().for_each(|broken| println!("{}\t{}\t{}", broken.name, broken.probe, broken.cause));
        return ExitCode::SUCCESS;
    }
    let Some(broken) = greet_broken::all().find(|broken| broken.name == name) else {
        eprintln!("usage: greet-broken NAME [ADDRESS:PORT]\nNAME is one of:");
        greet_broken::all().for_each(|broken| eprintln!("  {}", broken.name));
        return ExitCode::from(2);
    };
    match TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((address, listener)) => {
            println!("{name}: listening on {address}");
            broken.server.serve(&listener);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("greet-broken: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
