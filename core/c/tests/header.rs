//! The checked-in header is what the source says.

use std::{env, fs, path::Path};

/// With `GREET_UPDATE=1` in the environment it writes the header anew.
#[test]
fn the_header_is_made_of_this_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = folder.join("include/greet.h");
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    let builder = cbindgen::Builder::new().with_src(folder.join("src/lib.rs")); // and its modules
    builder.with_config(config).generate().unwrap().write(&mut made);
    if env::var_os("GREET_UPDATE").is_some() {
        fs::create_dir_all(header.parent().unwrap()).unwrap();
        fs::write(&header, &made).unwrap();
    }
    let kept = fs::read(&header).unwrap();
    assert!(kept == made, "make it anew: GREET_UPDATE=1 cargo test -p greet-c");
}
