//! The end of a server: who is being answered is answered, who watches is told that it is over, and nobody new is heard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Config, Identity, KeyPair, KnownToken, Server};
use bytes::Bytes;
use client::https::{Connection, Credentials};
use env::Env;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const TOKEN: &str = "secret-of-ann";
/// Nothing takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

struct House {
    env: Env,
    server: Arc<Server>,
    ca: Vec<u8>,
}

async fn house() -> House {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let key = made.signing_key.serialize_pem().into_bytes();
    let ca = made.cert.pem().into_bytes();
    config.token_key.clone_from(&key);
    config.serving = KeyPair { chain: ca.clone(), key };
    config.known_tokens = vec![KnownToken::new(TOKEN.to_owned(), Identity::new("ann", &["system:masters"]))];
    config.limits.drain = PATIENCE;
    let env = Env::real();
    let store = store::memory::Memory::new(store::Options::default(), env.child("store"));
    let server = apiserver::start(config, env.clone(), store).await.unwrap();
    server.ready().await;
    House { env, server: Arc::new(server), ca }
}

impl House {
    /// A client that speaks HTTP/2.
    fn client(&self) -> Connection {
        let config = client::https::Config {
            server: format!("https://localhost:{}", self.server.addr.port()),
            ca: self.ca.clone(),
            credentials: Credentials::Token(TOKEN.to_owned()),
            user_agent: "test".to_owned(),
            ..client::https::Config::default()
        };
        Connection::new(&config, &self.env).unwrap()
    }

    /// A connection that speaks HTTP/1.1, letter by letter.
    async fn connect(&self) -> TlsStream<TcpStream> {
        let config = client::https::unverified(&[b"http/1.1"]).unwrap();
        let stream = TcpStream::connect(self.server.addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Begins a request whose body is still to come.
    async fn begin(&self, body: &str) -> TlsStream<TcpStream> {
        let mut stream = self.connect().await;
        let head = format!(
            "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..10]).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }
}

#[tokio::test]
async fn open_requests_are_answered_and_watches_end_in_good_order() {
    let house = house().await;
    let path = "/api/v1/namespaces/default/configmaps?watch=1";
    let watched = house.client().request(Method::GET, path, HeaderMap::new(), Bytes::new()).await.unwrap();
    assert_eq!(watched.status(), 200);
    let mut plain = house.connect().await;
    let watch = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    plain.write_all(watch.as_bytes()).await.unwrap();
    let mut first = [0; 15];
    plain.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"late"}}"#;
    let mut begun = house.begin(body).await;
    // The server has the head of the request as soon as it answers another one on a younger connection.
    let health =
        house.client().request(Method::GET, "/readyz", HeaderMap::new(), Bytes::new()).await.unwrap();
    assert_eq!(health.status(), 200);

    let server = house.server.clone();
    let draining = house.env.tasks.spawn("drain", async move { server.drain().await });
    let clock = house.env.clock.clone();
    // Both watches end as streams do that have no more to say: no error, and the last chunk.
    let ended = clock.timeout(PATIENCE, watched.into_body().collect()).await;
    assert!(ended.expect("the watch ends").is_ok());
    let mut rest = Vec::new();
    let read = clock.timeout(PATIENCE, plain.read_to_end(&mut rest)).await;
    read.expect("the plain watch ends").unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    // What was begun is finished, written down and answered.
    begun.write_all(&body.as_bytes()[10..]).await.unwrap();
    begun.flush().await.unwrap();
    let mut answer = Vec::new();
    let read = clock.timeout(PATIENCE, begun.read_to_end(&mut answer)).await;
    read.expect("the request is answered").unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    let left = clock.timeout(PATIENCE, draining.join()).await;
    assert_eq!(left.expect("the server is drained"), Some(0));
    assert!(TcpStream::connect(house.server.addr).await.is_err(), "nobody new is heard");
    // Those in the same process still are: they go last.
    let api = house.server.transport(Identity::new("ann", &["system:masters"]));
    let call = client::Call::object("default", "late");
    assert!(api.get(client::resources::CONFIG_MAPS, call).await.is_ok());
    assert_eq!(house.env.tasks.stop(PATIENCE).await, 0);
}
