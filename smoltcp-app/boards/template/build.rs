//! Tells the linker where the memory is.

fn main() -> std::io::Result<()> {
    greet_board_build::link("", &["link.x"]);
    greet_board_build::without_interrupt_names()
}
