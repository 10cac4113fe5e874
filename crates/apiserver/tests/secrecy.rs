//! What is secret is in no line of the log, however much is logged, and whatever goes wrong with it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::{Config, Identity, KeyPair, KnownToken};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use client::https::{Connection, Credentials};
use env::Env;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use machinery::json;

const VALUE: &str = "the-value-that-nobody-may-see";
const KNOWN: &str = "the-token-that-is-known";
const GUESSED: &str = "the-token-that-was-guessed";

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Asks; the code and the answer.
async fn ask(client: &Connection, method: Method, path: &str, (kind, body): (&str, String)) -> (u16, String) {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_str(kind).unwrap());
    let response = client.request(method, path, headers, Bytes::from(body)).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn what_is_secret_is_never_logged() {
    let log = Log::default();
    let kept = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || kept.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.token_key = key.clone().into_bytes();
    config.serving = KeyPair { chain: made.cert.pem().into_bytes(), key: key.clone().into_bytes() };
    config.known_tokens = vec![KnownToken::new(KNOWN.to_owned(), Identity::new("ann", &["system:masters"]))];
    let env = Env::real();
    let store = store::memory::Memory::new(store::Options::default(), env.child("store"));
    let server = apiserver::start(config, env.clone(), store).await.unwrap();
    server.ready().await;
    let client = |token: &str| {
        let config = client::https::Config {
            server: format!("https://localhost:{}", server.addr.port()),
            ca: made.cert.pem().into_bytes(),
            credentials: Credentials::Token(token.to_owned()),
            user_agent: "test".to_owned(),
            ..client::https::Config::default()
        };
        Connection::new(&config, &env).unwrap()
    };
    let (ann, guest) = (client(KNOWN), client(GUESSED));
    let secrets = "/api/v1/namespaces/default/secrets";
    let sealed = STANDARD.encode(VALUE);
    let secret = |name: &str, more: &str| {
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"{name}"}},"data":{{"k":"{sealed}"}}{more}}}"#
        );
        ("application/json", text)
    };
    let strict = format!("{secrets}?fieldValidation=Strict");
    let account = "/api/v1/namespaces/default/serviceaccounts";
    let asks = [
        (&ann, Method::POST, secrets, secret("a", ""), 201),
        (&ann, Method::POST, secrets, secret("a", ""), 409),
        (&ann, Method::POST, secrets, secret("Not A Name", ""), 422),
        (&ann, Method::POST, secrets, secret("b", r#","type":3"#), 400),
        (&ann, Method::POST, &strict, secret("b", r#","unknown":1"#), 400),
        (&ann, Method::POST, secrets, ("application/json", format!("{{\"data\": {VALUE}")), 400),
        (
            &ann,
            Method::PATCH,
            &format!("{secrets}/a"),
            ("application/merge-patch+json", format!("[{VALUE}")),
            400,
        ),
        (&ann, Method::GET, secrets, secret("", ""), 200),
        (&guest, Method::POST, secrets, secret("c", ""), 401),
        (&guest, Method::GET, &format!("{secrets}?token={VALUE}"), secret("", ""), 401),
        (
            &ann,
            Method::POST,
            account,
            (
                "application/json",
                r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"s"}}"#.to_owned(),
            ),
            201,
        ),
    ];
    for (who, method, path, sent, expected) in asks {
        let (code, answer) = ask(who, method.clone(), path, sent).await;
        assert_eq!(code, expected, "{method} {path}: {answer}");
    }
    let wanted = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}"#.to_owned();
    let path = format!("{account}/s/token");
    let (code, answer) = ask(&ann, Method::POST, &path, ("application/json", wanted)).await;
    assert_eq!(code, 201, "{answer}");
    let answer = json::parse(answer.as_bytes()).unwrap();
    let token = answer.at(&["status", "token"]).str_or_empty().to_owned();
    let (code, _) = ask(&client(&token), Method::GET, secrets, secret("", "")).await;
    assert_eq!(code, 403, "the token is good, and its account may not");
    env.tasks.stop(Duration::from_secs(30)).await;

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("credentials were refused"), "the log is kept");
    let own = key.lines().nth(1).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    // Their own client logs nothing of what it sends; what the server hears it may not repeat.
    for secret in [VALUE, &sealed, KNOWN, GUESSED, &token, signature, own] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret is in the log");
    }
}
