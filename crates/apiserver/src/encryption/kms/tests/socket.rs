//! The same over a socket: a plugin that speaks gRPC.

use std::convert::Infallible;

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use machinery::protobuf::wire::{self, Reader, WireType};
use tokio::net::UnixListener;

use super::super::message;
use super::super::plugin::Remote;
use super::*;

/// How long anything may take, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket that goes with its test.
struct Socket(PathBuf);

impl Socket {
    fn new(name: &str) -> Socket {
        let path = std::env::temp_dir().join(format!("ironclad-kms-{}-{name}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Socket(path)
    }

    fn settings(&self, timeout: Duration) -> Settings {
        Settings { name: "p".to_owned(), endpoint: format!("unix://{}", self.0.display()), timeout }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Serves the plugin until the environment's tasks are stopped.
fn serve(listener: UnixListener, fake: &Arc<Fake>, env: &Env) {
    let (fake, tasks) = (fake.clone(), env.tasks.clone());
    env.tasks.spawn("plugin", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let fake = fake.clone();
            let answer = service_fn(move |request| answer(fake.clone(), request));
            let connection =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer);
            tasks.spawn("plugin connection", connection);
        }
    });
}

type Frames = StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn answer(fake: Arc<Fake>, request: Request<Incoming>) -> Result<Response<Frames>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let outcome = match path.strip_prefix("/v2.KeyManagementService/").unwrap() {
        "Status" => fake.health().map(|health| {
            let texts = [(1, &health.version), (2, &health.healthz), (3, &health.key_id)];
            let mut out = Vec::new();
            texts.iter().for_each(|(number, text)| wire::bytes(*number, text.as_bytes(), &mut out));
            out
        }),
        "Encrypt" => fake.seal(&fields(&body[5..])[0].1).map(|source| {
            let mut out = Vec::new();
            wire::bytes(1, &source.ciphertext, &mut out);
            wire::bytes(2, source.key_id.as_bytes(), &mut out);
            message::put_annotations(3, &source.annotations, &mut out);
            out
        }),
        _ => {
            let mut source = Source::default();
            for (number, bytes) in fields(&body[5..]) {
                match number {
                    1 => source.ciphertext = bytes,
                    3 => source.key_id = String::from_utf8(bytes).unwrap(),
                    4 => message::take_annotation(&bytes, &mut source.annotations).unwrap(),
                    _ => {}
                }
            }
            fake.open(&source).map(|plain| {
                let mut out = Vec::new();
                wire::bytes(1, &plain, &mut out);
                out
            })
        }
    };
    let (mut frames, mut trailers) = (Vec::new(), HeaderMap::new());
    let code = match outcome {
        Ok(message) => {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            frames.push(Ok(Frame::data(Bytes::from([&[0][..], &length, &message].concat()))));
            0
        }
        Err(failure) => {
            trailers.insert("grpc-message", HeaderValue::from_str(&failure.message).unwrap());
            failure.code.0
        }
    };
    trailers.insert("grpc-status", HeaderValue::from(code));
    frames.push(Ok(Frame::trailers(trailers)));
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

fn fields(message: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let (mut reader, mut found) = (Reader::new(message), Vec::new());
    while let Some((number, form)) = reader.tag().unwrap() {
        assert_eq!(form, WireType::Bytes);
        found.push((number, reader.bytes().unwrap().to_vec()));
    }
    found
}

#[tokio::test]
async fn a_plugin_behind_a_socket_seals_and_opens() {
    let (env, fake, socket) = (Env::real(), Arc::new(Fake::new()), Socket::new("whole"));
    serve(UnixListener::bind(&socket.0).unwrap(), &fake, &env);
    let remote = || Arc::new(Remote::new(&socket.settings(PATIENCE), &env));
    let kms = Kms::new(socket.settings(PATIENCE), remote(), &env);
    kms.check().await.unwrap();
    let sealed = kms.seal(AT, b"hunter2").unwrap();
    let another = Kms::new(socket.settings(PATIENCE), remote(), &env);
    assert_eq!(another.open(AT, &sealed[17..]).await.unwrap().0, b"hunter2");
    assert_eq!((fake.asked("Encrypt"), fake.asked("Decrypt")), (1, 1));
    fake.state().failure = Some(Failure::new(Code(7), "not you"));
    let third = Kms::new(socket.settings(PATIENCE), remote(), &env);
    let error = third.open(AT, &sealed[17..]).await.unwrap_err();
    assert_eq!(error, "failed to decrypt DEK, error: rpc error: code = PermissionDenied desc = not you");
    env.tasks.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_plugin_that_comes_late_is_waited_for_and_one_that_never_comes_is_not_for_ever() {
    let (env, fake, socket) = (Env::real(), Arc::new(Fake::new()), Socket::new("late"));
    let kms = |timeout| {
        let settings = socket.settings(timeout);
        let remote = Arc::new(Remote::new(&settings, &env));
        Kms::new(settings, remote, &env)
    };
    let error = kms(Duration::from_millis(200)).check().await.unwrap_err();
    assert!(
        error.ends_with("rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
        "{error}"
    );
    let patient = kms(PATIENCE);
    let check = async { patient.check().await };
    let (checked, ()) = futures_util::future::join(check, async {
        env.clock.sleep(Duration::from_millis(300)).await;
        serve(UnixListener::bind(&socket.0).unwrap(), &fake, &env);
    })
    .await;
    checked.unwrap();
    env.tasks.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_plugin_that_was_started_anew_is_found_again() {
    let (env, fake, socket) = (Env::real(), Arc::new(Fake::new()), Socket::new("anew"));
    let first = Env::real();
    serve(UnixListener::bind(&socket.0).unwrap(), &fake, &first);
    let remote = Remote::new(&socket.settings(PATIENCE), &env);
    remote.status().await.unwrap();
    first.tasks.stop(PATIENCE).await;
    std::fs::remove_file(&socket.0).unwrap();
    serve(UnixListener::bind(&socket.0).unwrap(), &fake, &env);
    // The first call after the end may still find the connection as it was.
    let mut outcome = remote.status().await;
    for _ in 0..100 {
        if outcome.is_ok() {
            break;
        }
        env.clock.sleep(Duration::from_millis(100)).await;
        outcome = remote.status().await;
    }
    assert_eq!(outcome.unwrap().key_id, "1");
    env.tasks.stop(PATIENCE).await;
}
