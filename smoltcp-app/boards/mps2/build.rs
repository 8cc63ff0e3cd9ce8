//! Tells the linker where the machine's memory is, and how the log's texts are kept out of flash.

use std::{env, path::PathBuf};

fn main() {
    let folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    // The machine with a Cortex-M33 has its memory elsewhere than the others, which are all alike.
    let machine = if env::var_os("CARGO_FEATURE_AN505").is_some() { "memory/an505" } else { "memory/others" };
    println!("cargo:rustc-link-search={}", folder.display());
    println!("cargo:rustc-link-search={}", folder.join(machine).display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rustc-link-arg=--icf=all"); // functions that are the same are there once
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
    println!("cargo:rerun-if-changed=memory");
    println!("cargo:rerun-if-changed=build.rs");
}
