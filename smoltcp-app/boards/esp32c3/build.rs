//! Links with esp-hal's script, which has the memory's layout, and with defmt's.

fn main() {
    println!("cargo:rustc-link-arg=-Tlinkall.x");
    if std::env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
