//! Tells the linker where the memory is.

fn main() {
    // The second script is embassy-rp's, for the second stage of the boot loader.
    greet_board_build::link("", &["link.x", "link-rp.x"]);
}
