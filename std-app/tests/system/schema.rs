//! The output of `--json` matches the schemas in `std-app/schema`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a failure is reported")]

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use boon::{Compiler, Schemas};
use greet_broken::greeter::Defect;
use serde_json::Value;

use crate::{
    check::broken,
    common::{GREET, Server},
};

/// The documents that a command prints: one on each line, or one on all lines.
fn printed(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(GREET).args(arguments).stdin(Stdio::null()).output().unwrap();
    let documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    documents.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// Asserts that every document is valid and has this format.
#[track_caller]
fn assert_valid(schema: &str, format: &str, documents: &[Value]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(schema);
    let mut schemas = Schemas::new();
    let index = Compiler::new().compile(path.to_str().unwrap(), &mut schemas).unwrap();
    assert!(!documents.is_empty(), "nothing was printed");
    for document in documents {
        assert_eq!(document["format"], format);
        schemas.validate(document, index).unwrap_or_else(|error| panic!("{error:#}\n{document}"));
    }
}

#[test]
fn the_output_of_a_check_matches_its_schema() {
    let server = Server::start(&["--quiet", "--max-connections", "4"]);
    let good = server.address.to_string();
    let bad = broken(Defect::StaleLine).to_string();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let soak = printed(&["check", &good, "--json", "--only", "soak", "--for", "1s"]);
    assert!(soak.iter().all(|document| document["soak"]["messages"].as_u64() > Some(0)));
    assert_valid("check.schema.json", "greet check 5", &soak);
    let only = "reach,connections.concurrent,time.idle,stream.lengths";
    for host in [good, bad, closed] {
        let once = printed(&["check", &host, "--json", "--only", only]);
        assert_eq!(once.len(), 1);
        assert_valid("check.schema.json", "greet check 5", &once);
        let twice = printed(&["check", &host, "--json", "--only", "reach", "--repeat", "2"]);
        assert_eq!(twice.iter().map(|run| run["run"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
        assert_valid("check.schema.json", "greet check 5", &twice);
    }
}

#[test]
fn the_list_of_probes_matches_its_schema() {
    for options in [&[][..], &["--interface", "lo"]] {
        let list = printed(&[&["check", "127.0.0.1", "--list", "--json"][..], options].concat());
        assert_eq!(list.len(), 1);
        assert_valid("check-list.schema.json", "greet check list 1", &list);
    }
}

#[test]
fn the_output_of_a_benchmark_matches_its_schema() {
    let server = Server::start(&["--quiet"]);
    let host = server.address.to_string();
    let short = ["bench", &host, "--json", "-d", "300ms", "--warmup", "0"];
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for options in [&[][..], &["--interval", "100ms"], &["--rate", "500"], &["--pipeline", "4"]] {
        assert_valid("bench.schema.json", "greet bench 2", &printed(&[&short, options].concat()));
    }
    let against = printed(&[&short[..], &["--against", &host, "--turn", "100ms"]].concat());
    assert_valid("bench.schema.json", "greet bench --against 2", &against);
    assert_valid("bench.schema.json", "greet bench error 1", &printed(&["bench", &closed, "--json", "-n", "1"]));
}

#[test]
fn a_document_with_an_unknown_key_is_not_valid() {
    let server = Server::start(&["--quiet"]);
    let mut documents = printed(&["check", &server.address.to_string(), "--json", "--only", "reach"]);
    documents[0]["probes"][0]["unknown"] = 1.into();
    let found = std::panic::catch_unwind(|| assert_valid("check.schema.json", "greet check 5", &documents));
    assert!(found.is_err(), "the schema does not state all keys");
}
