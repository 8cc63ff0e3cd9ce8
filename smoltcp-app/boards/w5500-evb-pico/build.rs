//! Tells the linker where the memory is, and how the log's texts are kept out of flash.

use std::{env, path::PathBuf};

fn main() {
    let folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    println!("cargo:rustc-link-search={}", folder.display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rustc-link-arg=--icf=all"); // functions that are the same are there once
    println!("cargo:rustc-link-arg=-Tlink-rp.x"); // the boot loader's second stage, by embassy-rp
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
}
