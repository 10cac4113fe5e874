//! What a client of HTTP/2 may say to the server.

use std::time::Duration;

use bytes::Bytes;
use env::{Env, WallTime};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use http2::{Config, Incoming, Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::target::{Target, Verdict, holds, outcome};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Heads of frames, settings, and fields.
const WORDS: &[&str] = &[
    "\0\0\0\u{4}\0\0\0\0\0",
    "\0\0\u{4}\u{8}\0\0\0\0\0\0\0\u{1}\0",
    "\0\0\u{4}\u{3}\0\0\0\0\u{1}\0\0\0\u{8}",
    "\0\0\u{5}\0\u{1}\0\0\0\u{1}hello",
    "\0\0\u{8}\u{6}\0\0\0\0\0pingpong",
    "\u{4}\u{5}/echo",
];
const CONFIG: Config = Config {
    limits: Limits { streams: 10, headers: 4_096, unread: 70_000 },
    preface: Duration::from_secs(10),
    ping: Duration::from_secs(30),
    drain: Duration::from_secs(10),
};
/// Bytes of a frame's head.
const HEAD: usize = 9;
const LONGEST: usize = 16_384;

pub fn target() -> Target {
    // `:method: POST`, `:scheme: https`, `:path: /echo`.
    let block = [&[0x83, 0x87, 0x04, 5][..], b"/echo"].concat();
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0x10, 0]);
    let whole = [settings.clone(), frame(1, 5, 1, &block)].concat();
    let with_body = [settings.clone(), frame(1, 4, 1, &block), frame(0, 1, 1, b"hello")].concat();
    let continued = [
        settings.clone(),
        frame(1, 0, 1, &block[..3]),
        frame(9, 4, 1, &block[3..]),
        frame(8, 0, 1, &[0, 0, 1, 0]),
        frame(0, 8, 1, b"\x02hello--"),
        frame(1, 5, 1, &[0, 1, b'a', 1, b'b']),
        frame(3, 0, 1, &[0, 0, 0, 8]),
    ]
    .concat();
    let others =
        [settings, frame(6, 0, 0, b"12345678"), frame(2, 0, 1, b"\0\0\0\x03\x10"), frame(7, 0, 0, &[0; 8])];
    let seeds = vec![whole, with_body, continued, others.concat()];
    Target { name: "http2", seeds, words: WORDS, run: Box::new(run) }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}

fn run(input: &[u8]) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let (said, ended) = runtime.block_on(conversation(input))?;
    let kinds = frames(&said)?;
    // A body comes back at most once, and each frame is answered with a few at most.
    holds("what comes back is bounded", said.len() <= 4_096 + 40 * input.len())?;
    Ok(outcome(&format!("{} frames", kinds.len().min(9)), &ended))
}

/// What the server says, and why it ends.
async fn conversation(input: &[u8]) -> Result<(Vec<u8>, String), String> {
    let env = Env::simulated(WallTime::from_secs(1_000_000_000), 1);
    let server = Server::new(CONFIG, &env);
    let (near, mut far) = duplex(1 << 20);
    let served = env.tasks.spawn_until_done("connection", async move {
        let ended = server.serve(near, answer).await;
        ended.map_or_else(|error| error.to_string(), |()| "in peace".to_owned())
    });
    // Whoever is gone does not hear it.
    let _ = far.write_all(&[PREFACE, input].concat()).await;
    let _ = far.shutdown().await;
    let mut said = Vec::new();
    far.read_to_end(&mut said).await.map_err(|error| error.to_string())?;
    let ended = env.clock.timeout(Duration::from_secs(600), served.join()).await;
    let ended = ended.ok_or("a connection that is over does not end")?;
    Ok((said, ended.ok_or("the connection's task panicked")?))
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let echo = request.uri().path() == "/echo";
    let body = request.into_body().collect().await.map(|all| all.to_bytes());
    Response::new(Full::new(if echo { body.unwrap_or_default() } else { Bytes::from_static(b"hello") }))
}

/// The kinds of the frames that were said.
fn frames(mut said: &[u8]) -> Result<Vec<u8>, String> {
    let mut kinds = Vec::new();
    while !said.is_empty() {
        holds("frames are whole", said.len() >= HEAD)?;
        let length = usize::from(said[0]) << 16 | usize::from(said[1]) << 8 | usize::from(said[2]);
        holds("frames are as long as every peer takes them", length <= LONGEST)?;
        holds("frames are whole", said.len() >= HEAD + length)?;
        kinds.push(said[3]);
        said = &said[HEAD + length..];
    }
    Ok(kinds)
}
