//! Throughput of the server's machine in names and bytes per second, compared with a plain memchr-and-copy loop.
//!
//! `cargo bench -p greet-core`. Targets: at most 8 ns per name for lines of 16 bytes, including receive and transmit,
//! and at least 8 GB/s of input for names of 1,000 bytes.

mod workload;

use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use workload::{NAMES_IN_FLIGHT, Workload, listening_server};

const LINE_LENGTHS: [usize; 2] = [16, 1_001];

fn main() {
    for length in LINE_LENGTHS {
        Workload::new(length).check();
    }
    divan::main();
}

#[divan::bench(args = LINE_LENGTHS)]
fn core(bencher: Bencher<'_, '_>, line_length: usize) {
    let mut workload = Workload::new(line_length);
    let mut server = listening_server();
    bencher
        .counter(ItemsCount::new(NAMES_IN_FLIGHT))
        .counter(BytesCount::new(workload.input.len()))
        .bench_local(|| workload.core(&mut server));
}

#[divan::bench(args = LINE_LENGTHS)]
fn plain(bencher: Bencher<'_, '_>, line_length: usize) {
    let mut workload = Workload::new(line_length);
    bencher
        .counter(ItemsCount::new(NAMES_IN_FLIGHT))
        .counter(BytesCount::new(workload.input.len()))
        .bench_local(|| workload.plain());
}
