//! Connections as clients see them: one that keeps to the protocol (hyper's), and ones that do not.

mod peer;

use std::sync::atomic::{AtomicUsize, Ordering};

use env::{Env, WallTime};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use self::peer::{Peer, headers_of, request};
use super::*;
use crate::frame::{flag, kind};
use crate::receive::Limits;
use crate::server::{Config, Server};

const CONFIG: Config = Config {
    limits: Limits { streams: 100, headers: 16_384, unread: 1 << 20 },
    preface: Duration::from_secs(10),
    ping: Duration::from_secs(30),
    drain: Duration::from_secs(10),
};

/// What a test answers with.
enum Answer {
    Whole(Bytes),
    /// Pieces of a size, so many of them.
    Pieces(usize, usize),
    /// Never ends.
    Endless,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Answer::Whole(bytes) if bytes.is_empty() => None,
            Answer::Whole(bytes) => Some(std::mem::take(bytes)),
            Answer::Pieces(_, 0) => None,
            Answer::Pieces(size, count) => {
                *count -= 1;
                Some(Bytes::from(vec![*count as u8; *size]))
            }
            Answer::Endless => return Poll::Pending,
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// Counts the answers that are under way, and those that were dropped on their way.
#[derive(Debug, Default)]
struct Counted {
    running: AtomicUsize,
    ended: AtomicUsize,
}

struct Running(Arc<Counted>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the test server does, by path.
async fn answer(counted: Arc<Counted>, request: Request<Incoming>) -> Response<Answer> {
    counted.running.fetch_add(1, Ordering::SeqCst);
    let running = Running(counted);
    let path = request.uri().path().to_owned();
    let body = match path.as_str() {
        "/echo" => match request.into_body().collect().await {
            Ok(all) => Answer::Whole(all.to_bytes()),
            Err(_) => Answer::Whole(Bytes::from_static(b"broken off")),
        },
        "/ignore" => Answer::Whole(Bytes::from_static(b"not read")),
        "/large" => Answer::Pieces(50_000, 100),
        "/small" => Answer::Pieces(10, 1_000),
        "/watch" => Answer::Endless,
        "/never" => std::future::pending().await,
        "/panic" => panic!("a test wants it so"),
        _ => Answer::Whole(Bytes::new()),
    };
    drop(running);
    let mut response = Response::new(body);
    if path == "/headers" {
        for number in 0..500 {
            let value = HeaderValue::from_str(&format!("{number}").repeat(40)).unwrap();
            response.headers_mut().append("x-long", value);
        }
    }
    response
}

struct Served {
    env: Env,
    counted: Arc<Counted>,
    far: DuplexStream,
}

/// A connection over a pipe of this size.
fn serve(room: usize) -> Served {
    serve_with(CONFIG, room)
}

fn serve_with(config: Config, room: usize) -> Served {
    let env = Env::simulated(WallTime::from_secs(1_000_000_000), 7);
    let server = Server::new(config, &env);
    let counted = Arc::new(Counted::default());
    let (near, far) = duplex(room);
    let counting = counted.clone();
    env.tasks.spawn_until_done("connection", async move {
        drop(server.serve(near, |request| answer(counting.clone(), request)).await);
    });
    Served { env, counted, far }
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn client(served: Served) -> (Sender, Env, Arc<Counted>) {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(served.far)).await.unwrap();
    served.env.tasks.spawn("client", connection);
    (sender, served.env, served.counted)
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap()
}

fn post(path: &str, body: Bytes) -> Request<Full<Bytes>> {
    Request::post(format!("https://localhost{path}")).body(Full::new(body)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn bodies_come_in_and_go_out_whole_whatever_their_size() {
    for room in [100, 5_000, 1 << 20] {
        let (mut sender, env, _) = client(serve(room)).await;
        for size in [0, 1, 100, 16_384, 16_385, 70_000, 3 << 20] {
            let body: Bytes = (0..size).map(|byte| (byte % 251) as u8).collect();
            let answer = sender.send_request(post("/echo", body.clone())).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[DATE], "Sun, 09 Sep 2001 01:46:40 GMT");
            if size > 0 {
                assert_eq!(answer.headers()[CONTENT_LENGTH], size.to_string());
            }
            assert!(answer.into_body().collect().await.unwrap().to_bytes() == body, "{size} through {room}");
        }
        for (path, length) in [("/large", 5_000_000), ("/small", 10_000)] {
            let answer = sender.send_request(get(path)).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), length);
        }
        env.tasks.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn many_requests_share_a_connection() {
    let (sender, env, counted) = client(serve(3_000)).await;
    let asked: Vec<_> = (0..90_usize)
        .map(|number| {
            let mut sender = sender.clone();
            env.tasks.spawn("asks", async move {
                let path = ["/echo", "/large", "/small"][number % 3];
                let body = Bytes::from(vec![1; 1_000 * number]);
                let answer = sender.send_request(post(path, body)).await.unwrap();
                answer.into_body().collect().await.unwrap().to_bytes().len()
            })
        })
        .collect();
    for (number, task) in asked.into_iter().enumerate() {
        let expected = [1_000 * number, 5_000_000, 10_000][number % 3];
        assert_eq!(task.join().await, Some(expected));
    }
    assert_eq!(counted.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_needs_no_body_ends_the_upload() {
    let (mut sender, ..) = client(serve(4_000)).await;
    for _ in 0..5 {
        let answer = sender.send_request(post("/ignore", Bytes::from(vec![0; 5 << 20]))).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "not read");
    }
    // The connection's window is whole again.
    let body = Bytes::from(vec![5; 2 << 20]);
    let answer = sender.send_request(post("/echo", body.clone())).await.unwrap();
    assert!(answer.into_body().collect().await.unwrap().to_bytes() == body);
}

#[tokio::test(start_paused = true)]
async fn only_headers_are_sent_to_whom_asks_for_them_and_long_ones_arrive() {
    let (mut sender, ..) = client(serve(4_000)).await;
    let head = Request::head("https://localhost/ignore").body(Full::default()).unwrap();
    let answer = sender.send_request(head).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_LENGTH], "8");
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    let served = serve(4_000);
    let (mut peer, _) = Peer::open(served.far).await;
    peer.send(&request(1, "/headers", true)).await;
    let first = peer.next().await;
    assert_eq!((first.head.kind, first.head.flags), (kind::HEADERS, flag::END_STREAM));
    let mut frames = 1;
    loop {
        let more = peer.next().await;
        assert_eq!((more.head.kind, more.head.stream), (kind::CONTINUATION, 1));
        frames += 1;
        if more.head.has(flag::END_HEADERS) {
            break;
        }
    }
    assert!(frames > 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_a_request_back_ends_its_work() {
    let served = serve(10_000);
    let counted = served.counted.clone();
    let (mut peer, _) = Peer::open(served.far).await;
    for id in [1, 3, 5] {
        peer.send(&request(id, "/never", true)).await;
    }
    peer.quiet().await;
    assert_eq!(counted.running.load(Ordering::SeqCst), 3);
    peer.send(&frame::reset(3, Code::None)).await;
    peer.quiet().await;
    assert_eq!((counted.running.load(Ordering::SeqCst), counted.ended.load(Ordering::SeqCst)), (2, 1));
    drop(peer);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(counted.running.load(Ordering::SeqCst), 0, "nobody is there any more");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_taken_back_breaks_off() {
    let served = serve(10_000);
    let (mut peer, _) = Peer::open(served.far).await;
    peer.send(&request(1, "/echo", false)).await;
    peer.send(&Head { length: 3, kind: kind::DATA, flags: 0, stream: 1 }.bytes()).await;
    peer.send(b"abc").await;
    peer.quiet().await;
    peer.send(&frame::reset(1, Code::None)).await;
    peer.quiet().await;
    assert_eq!(served.counted.ended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_breaks_one_stream_off() {
    let served = serve(10_000);
    let (mut peer, _) = Peer::open(served.far).await;
    peer.send(&request(1, "/panic", true)).await;
    peer.expect_reset(1, Code::Internal).await;
    peer.send(&request(3, "/", true)).await;
    assert_eq!(peer.next().await.head.kind, kind::HEADERS);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_limit_are_refused_and_may_be_tried_again() {
    let served = serve(10_000);
    let (mut peer, _) = Peer::open(served.far).await;
    let most = CONFIG.limits.streams;
    for number in 0..most {
        peer.send(&request(1 + 2 * number, "/never", true)).await;
    }
    peer.send(&request(1 + 2 * most, "/", true)).await;
    peer.expect_reset(1 + 2 * most, Code::RefusedStream).await;
    peer.send(&frame::reset(1, Code::None)).await;
    peer.quiet().await;
    peer.send(&request(3 + 2 * most, "/", true)).await;
    let answer = peer.next().await;
    assert_eq!((answer.head.kind, answer.head.stream), (kind::HEADERS, 3 + 2 * most));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_beyond_the_windows() {
    let served = serve(1 << 20);
    let (mut peer, _) = Peer::open(served.far).await;
    // Streams take 1,000 bytes each, the connection what the protocol begins with.
    peer.send(&frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1_000)], 0)).await;
    peer.send(&request(1, "/large", true)).await;
    assert_eq!(peer.data(1).await, 1_000);
    peer.send(&frame::more_window(1, 500)).await;
    assert_eq!(peer.data(1).await, 500);
    peer.send(&frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)], 0)).await;
    assert_eq!(peer.data(1).await, 65_535 - 1_500, "the connection's window ends");
    // Smaller than what was sent already: it must grow above nothing again.
    peer.send(&frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)], 0)).await;
    peer.send(&frame::more_window(0, 1 << 20)).await;
    assert_eq!(peer.data(1).await, 0);
    peer.send(&frame::more_window(1, 65_535 + 7 - 500)).await;
    assert_eq!(peer.data(1).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_holds_little_and_costs_others_nothing() {
    let served = serve(1_000);
    let (mut peer, _) = Peer::open(served.far).await;
    let wide = [(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)];
    peer.send(&frame::settings(&wide, 0)).await;
    peer.send(&frame::more_window(0, 0x7000_0000)).await;
    for number in 0..5 {
        peer.send(&request(1 + 2 * number, "/large", true)).await;
    }
    // All of it arrives once it is read.
    let mut left = 5 * 5_000_000;
    while left > 0 {
        let frame = peer.next().await;
        if frame.head.kind == kind::DATA {
            left -= frame.payload.len();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_floods_and_does_not_read_is_not_read_either() {
    let served = serve(100_000);
    let (mut peer, _) = Peer::open(served.far).await;
    let ping = frame::ping(*b"12345678", 0);
    let mut sent = 0;
    let flood = async {
        loop {
            peer.send(&ping).await;
            sent += ping.len();
        }
    };
    assert!(served.env.clock.timeout(Duration::from_secs(5), flood).await.is_none());
    assert!(sent < 2_000_000, "{sent} bytes were taken of whom takes nothing");
    // It goes on when it reads.
    for _ in 0..10_000 {
        assert_eq!(peer.next().await.head.kind, kind::PING);
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_says_goodbye_and_lets_open_requests_end() {
    let served = serve(10_000);
    let tasks = served.env.tasks.clone();
    let (mut peer, _) = Peer::open(served.far).await;
    peer.send(&request(1, "/echo", false)).await;
    peer.quiet().await;
    tasks.cancel();
    let first = peer.next().await;
    assert_eq!((first.head.kind, &first.payload[..4]), (kind::GOAWAY, &0x7fff_ffff_u32.to_be_bytes()[..]));
    let ping = peer.next().await;
    assert_eq!(ping.head.kind, kind::PING);
    // It was on its way already.
    peer.send(&request(3, "/", true)).await;
    assert_eq!(peer.next().await.head.stream, 3);
    peer.send(&frame::ping(ALIVE, flag::ACK)).await;
    let second = peer.next().await;
    assert_eq!((second.head.kind, &second.payload[..4]), (kind::GOAWAY, &3_u32.to_be_bytes()[..]));
    peer.send(&request(5, "/", true)).await;
    peer.send(&Head { length: 2, kind: kind::DATA, flags: flag::END_STREAM, stream: 1 }.bytes()).await;
    peer.send(b"ok").await;
    assert_eq!(peer.next().await.head.stream, 1);
    assert_eq!(peer.next().await.payload, b"ok");
    assert!(peer.is_closed().await, "nothing is left to do, and nobody looked at the last request");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_after_the_goodbye_is_broken_off() {
    let served = serve(10_000);
    let tasks = served.env.tasks.clone();
    let (mut peer, _) = Peer::open(served.far).await;
    peer.send(&request(1, "/watch", true)).await;
    assert_eq!(peer.next().await.head.kind, kind::HEADERS);
    tasks.cancel();
    assert_eq!(peer.next().await.head.kind, kind::GOAWAY);
    assert_eq!(peer.next().await.head.kind, kind::PING);
    let begin = served.env.clock.monotonic();
    assert!(peer.is_closed().await);
    assert!(served.env.clock.monotonic() - begin >= CONFIG.drain);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_silent_is_asked_and_then_left() {
    let served = serve(10_000);
    let (mut peer, _) = Peer::open(served.far).await;
    for _ in 0..3 {
        assert_eq!(peer.next().await.head, Head { length: 8, kind: kind::PING, flags: 0, stream: 0 });
        peer.send(&frame::ping(ALIVE, flag::ACK)).await;
    }
    assert_eq!(peer.next().await.head.kind, kind::PING);
    assert!(peer.is_closed().await);
    let mute = serve(10_000);
    let mut peer = Peer::new(mute.far);
    let settings = peer.next().await;
    assert_eq!(settings.head.kind, kind::SETTINGS);
    assert_eq!(peer.next().await.head.kind, kind::WINDOW_UPDATE);
    assert!(peer.is_closed().await, "who does not begin is not waited for");
}

#[tokio::test(start_paused = true)]
async fn frames_may_come_in_pieces() {
    let served = serve(10_000);
    let mut peer = Peer::new(served.far);
    let mut all = PREFACE.to_vec();
    all.extend_from_slice(&frame::settings(&[], 0));
    all.extend_from_slice(&request(1, "/echo", false));
    all.extend_from_slice(&Head { length: 5, kind: kind::DATA, flags: flag::END_STREAM, stream: 1 }.bytes());
    all.extend_from_slice(b"hello");
    for byte in all {
        peer.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    let kinds = [kind::SETTINGS, kind::WINDOW_UPDATE, kind::SETTINGS, kind::HEADERS, kind::DATA];
    for kind in kinds {
        let frame = peer.next().await;
        assert_eq!(frame.head.kind, kind);
        if kind == kind::DATA {
            assert_eq!(frame.payload, b"hello");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn headers_may_be_continued_and_be_too_many() {
    let served = serve(10_000);
    let (mut peer, _) = Peer::open(served.far).await;
    let block = headers_of("/", &[("x-long", &"v".repeat(10_000))]);
    peer.send(&peer::in_frames(1, &block, 1_000)).await;
    assert_eq!(peer.next().await.payload[0], 0x88, "200");
    let block = headers_of("/", &[("x-long", &"v".repeat(15_000)), ("x-longer", &"w".repeat(1_400))]);
    peer.send(&peer::in_frames(3, &block, 16_000)).await;
    let refused = peer.next().await;
    assert_eq!((refused.head.stream, &refused.payload[2..5]), (3, &b"431"[..]));
    let block = headers_of("/", &[("x-long", &"v".repeat(40_000))]);
    peer.send(&peer::in_frames(5, &block, 16_000)).await;
    peer.expect_end(Code::EnhanceYourCalm).await;
}

/// Frames that end a connection, and with which code.
fn deadly() -> Vec<(&'static str, Vec<u8>, Code)> {
    let frame = |kind, flags, stream, payload: &[u8]| {
        let mut frame = Head { length: payload.len(), kind, flags, stream }.bytes().to_vec();
        frame.extend_from_slice(payload);
        frame
    };
    let mut interrupted = frame(kind::HEADERS, 0, 1, b"");
    interrupted.extend_from_slice(&frame::ping([0; 8], 0));
    let mut other = frame(kind::HEADERS, 0, 1, b"");
    other.extend_from_slice(&frame(kind::CONTINUATION, flag::END_HEADERS, 3, b""));
    let endless =
        [frame(kind::HEADERS, 0, 1, b""), frame(kind::CONTINUATION, 0, 1, b"").repeat(100)].concat();
    let mut open = request(1, "/never", false);
    open.extend_from_slice(&frame(kind::DATA, 0, 1, b"").repeat(200));
    let pair = |name: u16, value: u32| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
    let wide = frame::more_window(0, 0x7fff_ffff).repeat(2);
    vec![
        ("data of no stream", frame(kind::DATA, 0, 0, b"x"), Code::Protocol),
        ("data of a stream to come", frame(kind::DATA, 0, 5, b"x"), Code::Protocol),
        ("a reset of a stream to come", frame::reset(5, Code::None).to_vec(), Code::Protocol),
        ("a window of a stream to come", frame::more_window(5, 1).to_vec(), Code::Protocol),
        ("headers of no stream", frame(kind::HEADERS, flag::END_HEADERS, 0, b""), Code::Protocol),
        ("a stream of the server's", frame(kind::HEADERS, flag::END_HEADERS, 2, b""), Code::Protocol),
        ("headers that are interrupted", interrupted, Code::Protocol),
        ("headers continued elsewhere", other, Code::Protocol),
        ("headers without end", endless, Code::EnhanceYourCalm),
        ("a continuation of nothing", frame(kind::CONTINUATION, 0, 1, b""), Code::Protocol),
        (
            "headers that cannot be unpacked",
            frame(kind::HEADERS, flag::END_HEADERS, 1, b"\x80"),
            Code::Compression,
        ),
        ("too much padding", frame(kind::HEADERS, flag::PADDED, 1, b"\x05abc"), Code::Protocol),
        ("half a priority", frame(kind::HEADERS, flag::PRIORITY, 1, b"abc"), Code::FrameSize),
        ("a priority of nothing", frame(kind::PRIORITY, 0, 0, b"abcde"), Code::Protocol),
        ("half a reset", frame(kind::RST_STREAM, 0, 1, b"abc"), Code::FrameSize),
        ("settings of a stream", frame(kind::SETTINGS, 0, 1, b""), Code::Protocol),
        ("half a setting", frame(kind::SETTINGS, 0, 0, b"abc"), Code::FrameSize),
        ("an agreement that says more", frame(kind::SETTINGS, flag::ACK, 0, &pair(1, 1)), Code::FrameSize),
        ("a push that is neither on nor off", frame(kind::SETTINGS, 0, 0, &pair(2, 2)), Code::Protocol),
        ("a first window too wide", frame(kind::SETTINGS, 0, 0, &pair(4, 1 << 31)), Code::FlowControl),
        ("frames too small", frame(kind::SETTINGS, 0, 0, &pair(5, 16_383)), Code::Protocol),
        ("frames too large", frame(kind::SETTINGS, 0, 0, &pair(5, 1 << 24)), Code::Protocol),
        ("a promise", frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, b""), Code::Protocol),
        ("a ping of a stream", frame(kind::PING, 0, 1, b"12345678"), Code::Protocol),
        ("half a ping", frame(kind::PING, 0, 0, b"1234"), Code::FrameSize),
        ("a stream that goes away", frame(kind::GOAWAY, 0, 1, b"12345678"), Code::Protocol),
        ("half a goodbye", frame(kind::GOAWAY, 0, 0, b"1234"), Code::FrameSize),
        ("a window by nothing", frame::more_window(0, 0).to_vec(), Code::Protocol),
        ("a window too wide", wide, Code::FlowControl),
        ("half a window", frame(kind::WINDOW_UPDATE, 0, 0, b"abc"), Code::FrameSize),
        (
            "a frame too long",
            Head { length: 16_385, kind: 77, flags: 0, stream: 0 }.bytes().to_vec(),
            Code::FrameSize,
        ),
        ("frames without content", open, Code::EnhanceYourCalm),
        ("a stream left out", [request(5, "/", true), request(3, "/", true)].concat(), Code::Protocol),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_breaks_the_protocol_ends_the_connection_with_its_reason() {
    for (what, bytes, code) in deadly() {
        let served = serve(1 << 20);
        let counted = served.counted.clone();
        let (mut peer, _) = Peer::open(served.far).await;
        peer.send(&bytes).await;
        let said = peer.end().await;
        assert_eq!(said, Some(code as u32), "{what}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(counted.running.load(Ordering::SeqCst), 0, "{what}");
    }
    let served = serve(1 << 20);
    let mut peer = Peer::new(served.far);
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(peer.end().await, Some(Code::Protocol as u32));
    let served = serve(1 << 20);
    let mut peer = Peer::new(served.far);
    peer.send(PREFACE).await;
    peer.send(&frame::ping([0; 8], 0)).await;
    assert_eq!(peer.end().await, Some(Code::Protocol as u32));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_on_one_stream_ends_only_that() {
    let served = serve(1 << 20);
    let (mut peer, _) = Peer::open(served.far).await;
    let data = |stream, flags, payload: &[u8]| {
        let mut frame = Head { length: payload.len(), kind: kind::DATA, flags, stream }.bytes().to_vec();
        frame.extend_from_slice(payload);
        frame
    };
    // More, or less, than was told.
    for (id, body, last) in [(1, &b"abcd"[..], 0), (3, &b"ab"[..], flag::END_STREAM)] {
        let block = headers_of("/echo", &[("content-length", "3")]);
        peer.send(&peer::headers(id, &block, false)).await;
        peer.send(&data(id, last, body)).await;
        peer.expect_reset(id, Code::Protocol).await;
    }
    peer.send(&peer::headers(5, &headers_of("/", &[("content-length", "3")]), true)).await;
    peer.expect_reset(5, Code::Protocol).await;
    peer.send(&peer::headers(7, &headers_of("/", &[("connection", "close")]), true)).await;
    peer.expect_reset(7, Code::Protocol).await;
    // After the end.
    peer.send(&request(9, "/never", true)).await;
    peer.send(&data(9, 0, b"x")).await;
    peer.expect_reset(9, Code::StreamClosed).await;
    // Trailers that are no end.
    peer.send(&request(11, "/echo", false)).await;
    peer.send(&peer::headers(11, &[], false)).await;
    peer.expect_reset(11, Code::Protocol).await;
    peer.send(&request(13, "/never", true)).await;
    peer.send(&frame::more_window(13, 0x7fff_ffff)).await;
    peer.expect_reset(13, Code::FlowControl).await;
    peer.send(&request(15, "/never", true)).await;
    peer.send(&frame::more_window(15, 0)).await;
    peer.expect_reset(15, Code::Protocol).await;
    // Frames that are late, or that nobody knows, are no harm.
    peer.send(&data(13, 0, b"late")).await;
    peer.send(&frame::more_window(13, 5)).await;
    peer.send(&frame::reset(13, Code::None)).await;
    peer.send(&Head { length: 0, kind: 99, flags: 255, stream: 7 }.bytes()).await;
    // What comes after both sides have said their last is one.
    peer.send(&request(17, "/", true)).await;
    assert_eq!(peer.next().await.head.stream, 17);
    peer.send(&data(17, 0, b"late")).await;
    peer.expect_reset(17, Code::StreamClosed).await;
    // Trailers that are one.
    peer.send(&request(19, "/echo", false)).await;
    peer.send(&data(19, 0, b"body")).await;
    peer.send(&peer::headers(19, &[], true)).await;
    assert_eq!(peer.next().await.head.stream, 19);
    assert_eq!(peer.next().await.payload, b"body");
    peer.send(&request(19, "/echo", true)).await;
    peer.expect_end(Code::StreamClosed).await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_requests_back_again_and_again_is_left() {
    let served = serve(1 << 20);
    let counted = served.counted.clone();
    let (mut peer, _) = Peer::open(served.far).await;
    for number in 0..1_001 {
        peer.send(&request(1 + 2 * number, "/never", true)).await;
        peer.send(&frame::reset(1 + 2 * number, Code::None)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    peer.expect_end(Code::EnhanceYourCalm).await;
    assert_eq!(counted.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_may_not_send_more_than_it_was_allowed() {
    let config = Config { limits: Limits { unread: 100_000, ..CONFIG.limits }, ..CONFIG };
    let served = serve_with(config, 1 << 20);
    let (mut peer, _) = Peer::open(served.far).await;
    peer.send(&request(1, "/never", false)).await;
    let data = Head { length: 10_000, kind: kind::DATA, flags: 0, stream: 1 };
    for _ in 0..11 {
        peer.send(&data.bytes()).await;
        peer.send(&[0; 10_000]).await;
    }
    assert_eq!(peer.end().await, Some(Code::FlowControl as u32));
}
