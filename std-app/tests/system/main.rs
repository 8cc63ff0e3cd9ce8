//! System tests of the program `greet`. One test binary: each file is a module, so that it is linked once.

mod bench;
mod bench_measuring;
mod bench_reports;
mod chat;
mod chat_terminal;
mod check;
mod check_echo;
mod check_series;
mod check_soak;
mod command_line;
mod common;
mod conformance;
mod echo;
mod fetch;
mod fetch_bodies;
mod fetch_encrypted;
mod fetch_files;
mod fetch_redirects;
mod schema;
mod serve;
mod serve_behind_proxy;
mod serve_managed;
mod serve_observed;
mod tutorial;
