//! The greeting server that one writes with tokio in the first five minutes: what `greet serve` is compared with.
//!
//! Listens on a free port of 127.0.0.1 and prints it. A name is what one read delivers, or with the argument `line` a line.
//! No limits, no UTF-8, no timeouts.
#![expect(clippy::print_stdout, reason = "it says where it waits")]

use std::{env, io};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    runtime,
};

fn main() -> io::Result<()> {
    let in_lines = env::args().nth(1).as_deref() == Some("line");
    runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("Waiting for connection on {}...", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move { if in_lines { lines(stream).await } else { reads(stream).await } });
        }
    })
}

async fn reads(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"Welcome!").await?;
    let mut name = [0; 1024];
    loop {
        let count = stream.read(&mut name).await?;
        match name.get(..count) {
            None | Some(b"" | b"exit") => return Ok(()),
            Some(name) => stream.write_all(&[b"Hello, ", name, b"!"].concat()).await?,
        }
    }
}

async fn lines(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"Welcome!").await?;
    let (input, mut output) = stream.split();
    let mut names = BufReader::new(input).lines();
    while let Some(name) = names.next_line().await?.filter(|name| name != "exit") {
        output.write_all(format!("Hello, {name}!\n").as_bytes()).await?;
    }
    Ok(())
}
