//! Tells the linker where the memory is.

fn main() -> std::io::Result<()> {
    // The board with a Cortex-M33 has its memory elsewhere than the others, which are all alike.
    let an505 = std::env::var_os("CARGO_FEATURE_AN505").is_some();
    greet_board_build::link(if an505 { "memory/an505" } else { "memory/others" }, &["link.x"]);
    greet_board_build::without_interrupt_names()
}
