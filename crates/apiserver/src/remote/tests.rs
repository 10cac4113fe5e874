//! A server that answers as a test wants.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::http::tls;

/// What a test answers to a path and a document.
pub(crate) type Answers = Arc<dyn Fn(&str, Value) -> (u16, Value) + Send + Sync>;

/// Serves on the loopback until the environment's tasks stop; its address, and the CA of its certificate.
pub(crate) async fn serve(env: &Env, answers: Answers) -> (SocketAddr, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem().into_bytes();
    let pair = crate::config::KeyPair { chain: certificate.clone(), key: key.serialize_pem().into_bytes() };
    let acceptor = TlsAcceptor::from(tls::server_config(&pair).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = env.tasks.clone();
    env.tasks.spawn("test server", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answers) = (acceptor.clone(), answers.clone());
            tasks.spawn("test connection", async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request: http::Request<Incoming>| {
                    let answers = answers.clone();
                    async move {
                        let path = request.uri().path().to_owned();
                        let body = request.into_body().collect().await?.to_bytes();
                        let (code, answer) =
                            answers(&path, machinery::json::parse(&body).unwrap_or_default());
                        let body = Full::new(Bytes::from(machinery::json::to_vec(&answer)));
                        Ok::<_, hyper::Error>(http::Response::builder().status(code).body(body).unwrap())
                    }
                });
                let is_second = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2);
                let io = TokioIo::new(stream);
                if is_second {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    drop(builder.serve_connection(io, service).await);
                } else {
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
                }
            });
        }
    });
    (address, certificate)
}

/// Somebody at an address whose certificate we know.
pub(crate) fn remote(env: &Env, address: SocketAddr, ca: Vec<u8>) -> Remote {
    let config = Config { server: format!("https://{address}"), ca, ..Config::default() };
    Remote::new(env, config, Duration::from_secs(30)).unwrap()
}

#[tokio::test]
async fn answers_are_read_and_failures_told() {
    let env = Env::real();
    let answers: Answers = Arc::new(|path, document| match path {
        "/echo" => (200, document),
        _ => (500, Value::object()),
    });
    let (address, ca) = serve(&env, answers).await;
    let remote = remote(&env, address, ca);
    let document = Value::from([("a", Value::from("b"))]);
    assert_eq!(remote.post("/echo", &document).await.unwrap(), document);
    assert!(remote.get("/other").await.unwrap_err().contains("500"));
    env.tasks.stop(Duration::from_secs(5)).await;
}

#[test]
fn addresses_are_taken_apart() {
    assert_eq!(split_url("https://h:1/a?b=c").unwrap(), ("https://h:1".to_owned(), "/a?b=c".to_owned()));
    assert_eq!(split_url("https://h").unwrap().1, "/");
    assert!(split_url("nonsense").is_err());
}
