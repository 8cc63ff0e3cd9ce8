//! Tells the linker where the memory is.

fn main() -> std::io::Result<()> {
    greet_board_build::link("../mps2/memory/others", &["link.x"]);
    greet_board_build::without_interrupt_names()
}
