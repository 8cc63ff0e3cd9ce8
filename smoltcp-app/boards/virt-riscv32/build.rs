//! Tells the linker where the memory is.

fn main() {
    greet_board_build::link("", &["memory.x", "link.x"]);
}
