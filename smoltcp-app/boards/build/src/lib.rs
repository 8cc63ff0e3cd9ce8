//! What the build script of each board tells the linker.

use std::{env, fs, io, path::PathBuf};

/// Links a board's program with `memory.x` from `folder` (within the package) and with these linker scripts.
///
/// With the feature `defmt` of the board's package, the script that keeps the log's texts out of flash is added.
pub fn link(folder: &str, scripts: &[&str]) {
    let memory = path("CARGO_MANIFEST_DIR").join(folder);
    println!("cargo:rustc-link-search={}", memory.display());
    for script in scripts {
        println!("cargo:rustc-link-arg=-T{script}");
    }
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
    println!("cargo:rustc-link-arg=--icf=all"); // identical functions are kept once
    println!("cargo:rerun-if-changed={}", memory.join("memory.x").display());
    println!("cargo:rerun-if-changed=build.rs");
}

/// Makes the file `device.x` for a board whose vector table has the handlers themselves.
///
/// cortex-m-rt's feature `device` includes that file. A crate with a chip's registers brings its own, with the names of the
/// interrupts.
///
/// # Errors
/// The file cannot be written.
pub fn without_interrupt_names() -> io::Result<()> {
    let output = path("OUT_DIR");
    println!("cargo:rustc-link-search={}", output.display());
    fs::write(output.join("device.x"), "")
}

fn path(variable: &str) -> PathBuf {
    env::var_os(variable).map(PathBuf::from).unwrap_or_default()
}
