//! What the build script of each board tells the linker.

use std::{env, fs, path::PathBuf};

/// The handlers of interrupts are in the vector table itself; cortex-m-rt still asks for this file, which could name them.
const DEVICE: &str = "device.x";

/// Links a board's program with `memory.x` from `folder` (within the package) and with these linker scripts.
///
/// With the feature `defmt` of the board's package, the script that keeps the log's texts out of flash is added.
///
/// # Errors
/// A file in Cargo's output folder cannot be written.
pub fn link(folder: &str, scripts: &[&str]) -> std::io::Result<()> {
    let variable = |name| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let memory = variable("CARGO_MANIFEST_DIR").join(folder);
    let output = variable("OUT_DIR");
    fs::write(output.join(DEVICE), "")?;
    for path in [&memory, &output] {
        println!("cargo:rustc-link-search={}", path.display());
    }
    for script in scripts {
        println!("cargo:rustc-link-arg=-T{script}");
    }
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
    println!("cargo:rustc-link-arg=--icf=all"); // identical functions are kept once
    println!("cargo:rerun-if-changed={}", memory.join("memory.x").display());
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
