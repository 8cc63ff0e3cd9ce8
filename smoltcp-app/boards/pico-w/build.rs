//! Tells the linker where the memory is.

use std::env;

fn main() {
    println!("cargo:rustc-link-search={}", env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    // The second script is embassy-rp's, for the second stage of the boot loader.
    for script in ["link.x", "link-rp.x"] {
        println!("cargo:rustc-link-arg=-T{script}");
    }
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
}
