//! Ten thousand requests by somebody who means no good: each is answered with a refusal or dropped, nobody else notices,
//! and memory stays bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Config, KeyPair, Server};
use env::Env;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Requests in all.
const REQUESTS: usize = 10_000;
/// How many of them break their connection, so that it must be made anew: a handshake costs more than all else.
const BREAKING: usize = 200;
/// What the process may grow by, in pages of 4 KiB: 256 MiB, which holds server and attacker.
const GROWTH_PAGES: usize = 65_536;
/// Nothing takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll(256) as u8).collect()
    }
}

struct Target {
    env: Env,
    server: Server,
    connector: TlsConnector,
}

async fn target() -> Target {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let key = made.signing_key.serialize_pem().into_bytes();
    config.token_key.clone_from(&key);
    // Whoever shows a certificate of another CA is nobody.
    config.client_ca = made.cert.pem().into_bytes();
    config.serving = KeyPair { chain: made.cert.pem().into_bytes(), key };
    let env = Env::real();
    let store = store::memory::Memory::new(store::Options::default(), env.child("store"));
    let server = apiserver::start(config, env.clone(), store).await.unwrap();
    server.ready().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Target { env, server, connector: TlsConnector::from(Arc::new(client)) }
}

impl Target {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.server.addr).await.unwrap();
        self.connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }
}

/// Sends what may be a request; the code of the answer, or `None` if the connection was dropped instead.
async fn send(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> Option<u16> {
    // Who is dropped in the middle of a request sees an error here, and that is an answer too.
    let _ = stream.write_all(request).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let head = loop {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
        }
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let mut left = length.unwrap_or(0).saturating_sub(answer.len() - head);
    while left > 0 {
        let mut piece = vec![0; left.min(4096)];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => left -= read,
        }
    }
    text.split(' ').nth(1)?.parse().ok()
}

/// A request, and the codes that are right for it.
fn request(dice: &mut Dice) -> (Vec<u8>, &'static [u16]) {
    let with = |head: &str, headers: &str, body: &str| {
        let length = body.len();
        format!("{head} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    };
    const TRICKS: [&str; 12] = [
        "/api/v1/../../etc/passwd",
        "/api/v1/namespaces/%2e%2e/secrets",
        "//api//v1//secrets",
        "/api/v1/namespaces/kube-system/secrets/..%2f..%2f",
        "/apis/%00/v1/pods",
        "/api/v1/namespaces/default/pods/a/proxy/../../../../secrets",
        "/api/v1/watch/secrets",
        "/%61pi/v1/secrets",
        "/api/v1/secrets;x=y",
        "/api/v1/secrets%3fwatch=1",
        "/debug/pprof",
        "/metrics",
    ];
    match dice.roll(8) {
        0 => (with(&format!("GET {}", TRICKS[dice.roll(TRICKS.len())]), "", ""), &[400, 403, 404]),
        1 => {
            let token: String =
                (0..dice.roll(600) + 1).map(|_| char::from(b'!' + dice.roll(90) as u8)).collect();
            (with("GET /api/v1/secrets", &format!("Authorization: Bearer {token}\r\n"), ""), &[401])
        }
        2 => {
            let part = |dice: &mut Dice| {
                let length = dice.roll(40);
                (0..length).map(|_| char::from(b'A' + dice.roll(26) as u8)).collect::<String>()
            };
            let token = format!("{}.{}.{}", part(dice), part(dice), part(dice));
            (with("GET /api", &format!("Authorization: Bearer {token}\r\n"), ""), &[401])
        }
        3 => {
            let depth = dice.roll(20_000) + 1;
            let kind = "Content-Type: application/json\r\n";
            let body = ["[", "{\"a\":"][dice.roll(2)].repeat(depth);
            // A review may be posted by nobody either; what nobody may do is refused before it is read.
            (with("POST /api/v1/namespaces/default/configmaps", kind, &body), &[400, 403])
        }
        4 => {
            let user = ["system:admin", "", "a\u{fffd}"][dice.roll(3)];
            let headers = format!("Impersonate-User: {user}\r\nImpersonate-Group: system:masters\r\n");
            (with("GET /api/v1/secrets", &headers, ""), &[400, 401, 403])
        }
        5 => {
            let verb = ["PUT", "PATCH", "DELETE", "TRACE", "FROB", "OPTIONS"][dice.roll(6)];
            (with(&format!("{verb} /api/v1/namespaces/default"), "", "{}"), &[400, 403, 404, 405, 415])
        }
        6 => {
            let query: String =
                (0..dice.roll(2_000)).map(|_| ["a", "=", "&", "%", "+", ","][dice.roll(6)]).collect();
            (with(&format!("GET /api/v1/pods?{query}"), "", ""), &[400, 403])
        }
        _ => {
            let headers: String =
                (0..dice.roll(90)).map(|number| format!("X-{number}: {}\r\n", "y".repeat(200))).collect();
            (with("GET /apis/apps/v1/deployments", &headers, ""), &[400, 403, 431])
        }
    }
}

/// Something after which the connection is no good; whatever is answered must be a refusal.
async fn breaking(target: &Target, dice: &mut Dice) {
    match dice.roll(4) {
        0 => {
            // No TLS at all.
            let mut stream = TcpStream::connect(target.server.addr).await.unwrap();
            let noise = dice.noise(300);
            let _ = stream.write_all(&noise).await;
        }
        1 => {
            let mut stream = target.connect().await;
            let noise = dice.noise(2_000);
            let code = send(&mut stream, &[&noise[..], b"\r\n\r\n"].concat()).await;
            assert!(code.is_none_or(|code| (400..500).contains(&code)), "{code:?}");
        }
        2 => {
            // More headers than anybody needs.
            let mut stream = target.connect().await;
            let headers = format!("X: {}\r\n", "y".repeat(10_000)).repeat(200);
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            let code = send(&mut stream, request.as_bytes()).await;
            assert!(code.is_none_or(|code| (400..500).contains(&code)), "{code:?}");
        }
        _ => {
            // A body that is promised and never comes.
            let mut stream = target.connect().await;
            let request = "POST /api/v1/namespaces HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n{";
            let _ = stream.write_all(request.as_bytes()).await;
        }
    }
}

/// Pages that the process has in memory.
fn pages() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_refused_and_nobody_else_notices() {
    let target = target().await;
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let before = pages();
    let attack = async {
        let mut stream = target.connect().await;
        for number in 0..REQUESTS {
            if number % (REQUESTS / BREAKING) == 0 {
                breaking(&target, &mut dice).await;
                continue;
            }
            let (request, right) = request(&mut dice);
            match send(&mut stream, &request).await {
                Some(code) => {
                    let begin = String::from_utf8_lossy(&request[..request.len().min(120)]).into_owned();
                    assert!(right.contains(&code), "{code} for {begin}");
                    // What was refused unread leaves its body on the connection.
                    if request.len() > 4_096 || code == 400 {
                        stream = target.connect().await;
                    }
                }
                None => stream = target.connect().await,
            }
        }
        send(&mut target.connect().await, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await
    };
    let alive = tokio::time::timeout(PATIENCE, attack).await.expect("the attack ends in time");
    assert_eq!(alive, Some(200), "whoever means well is still answered");
    let grown = pages().saturating_sub(before);
    assert!(grown < GROWTH_PAGES, "{grown} pages more");
    target.server.shutdown();
    target.env.tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_certificate_of_somebody_elses_ca_is_nobodys() {
    let target = target().await;
    let other = rcgen::generate_simple_self_signed(vec!["system:masters".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let config = {
        let stream = target.connect().await;
        let (_, session) = stream.get_ref();
        roots.add(session.peer_certificates().unwrap()[0].clone().into_owned()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from(other.cert.der().to_vec())];
        let key = PrivateKeyDer::from_pem_slice(other.signing_key.serialize_pem().as_bytes()).unwrap();
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap()
    };
    let stream = TcpStream::connect(target.server.addr).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let code = send(&mut stream, b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(code, Some(401));
    target.env.tasks.stop(Duration::from_secs(5)).await;
}
