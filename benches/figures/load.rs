//! A client that keeps a number of connections busy, each with one request at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const KEEP: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Whether a connection serves more than one request.
#[derive(Clone, Copy)]
pub(crate) enum Connections {
    Kept,
    Fresh,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) took: Duration,
}

/// Asks for `span`, on so many connections at a time.
pub(crate) fn run(address: SocketAddr, count: usize, connections: Connections, span: Duration) -> Load {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("descriptors");
    runtime.block_on(async {
        let begun = Instant::now();
        let end = begun + span;
        let mut clients = JoinSet::new();
        for _ in 0..count {
            match connections {
                Connections::Kept => clients.spawn(kept(address, end)),
                Connections::Fresh => clients.spawn(fresh(address, end)),
            };
        }
        let mut load = Load::default();
        while let Some(client) = clients.join_next().await {
            let (answered, failed) = client.expect("it does not panic");
            load.answered += answered;
            load.failed += failed;
        }
        load.took = begun.elapsed();
        load
    })
}

async fn kept(address: SocketAddr, end: Instant) -> (u64, u64) {
    let (mut answered, mut failed) = (0, 0);
    while Instant::now() < end {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            failed += 1;
            continue;
        };
        let mut buffer = Vec::with_capacity(1024);
        while Instant::now() < end {
            if exchange(&mut stream, KEEP, &mut buffer).await.is_none() {
                failed += 1;
                break;
            }
            answered += 1;
        }
    }
    (answered, failed)
}

async fn fresh(address: SocketAddr, end: Instant) -> (u64, u64) {
    let (mut answered, mut failed) = (0, 0);
    let mut buffer = Vec::with_capacity(1024);
    while Instant::now() < end {
        let answer = async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            exchange(&mut stream, CLOSE, &mut buffer).await?;
            // The server is the one to close.
            (stream.read(&mut [0; 8]).await.ok()? == 0).then_some(())
        };
        match answer.await {
            Some(()) => answered += 1,
            None => failed += 1,
        }
    }
    (answered, failed)
}

/// One request, and the whole of its answer.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
    stream.write_all(request).await.ok()?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        if is_whole(buffer)? {
            return Some(());
        }
    }
}

/// Whether this is an answer with all of its body. `None`: it is no answer of a server that is well.
fn is_whole(answer: &[u8]) -> Option<bool> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Some(false) };
    let text = std::str::from_utf8(&answer[..head]).ok()?;
    if !text.starts_with("HTTP/1.1 200") {
        return None;
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(answer.len() >= head + 4 + length.parse::<usize>().ok()?)
}

/// Asks once, and again if the connection breaks, and says which worker answered.
pub(crate) fn who_answers(address: SocketAddr) -> String {
    use std::io::{Read, Write};
    loop {
        let answer = std::net::TcpStream::connect(address).and_then(|mut stream| {
            stream.write_all(CLOSE)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        let worker = answer
            .ok()
            .and_then(|answer| answer.lines().find_map(|line| line.strip_prefix("x-worker: ")).map(str::to_owned));
        if let Some(worker) = worker {
            return worker;
        }
    }
}
