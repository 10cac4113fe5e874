//! What load balancers ask a node: whether it has endpoints of a Service whose traffic must stay on the node it comes to.
//! Each such Service has a port of every node for that (`healthCheckNodePort`).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::Key;
use env::Env;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::netlink::Namespace;

/// How long somebody may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of a question is read: it has a few headers and no body.
const QUESTION_BYTES_MAX: usize = 8 << 10;
/// How many questions are answered at once, of each Service: load balancers are few.
const AT_ONCE: usize = 32;
/// The pause after the machine could not give us a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// A Service that is asked about.
#[derive(Debug)]
struct Asked {
    port: u16,
    endpoints: Arc<AtomicUsize>,
    task: env::TaskHandle<()>,
}

/// The ports at which is answered.
#[derive(Debug)]
pub struct Checks {
    namespace: Namespace,
    env: Env,
    open: BTreeMap<Key, Asked>,
}

impl Checks {
    /// None yet.
    pub fn new(namespace: Namespace, env: Env) -> Checks {
        Checks { namespace, env, open: BTreeMap::new() }
    }

    /// Answers for a Service at a port from now on, and tells how many endpoints of it are here; or no more.
    pub fn set(&mut self, key: &Key, wish: Option<(u16, usize)>) {
        let known = self.open.get(key);
        match (known, wish) {
            (Some(known), Some((port, count))) if known.port == port => {
                known.endpoints.store(count, Ordering::Release);
                return;
            }
            (None, None) => return,
            _ => {}
        }
        if let Some(known) = self.open.remove(key) {
            known.task.abort();
        }
        let Some((port, count)) = wish else { return };
        match self.listen(port) {
            Ok(listener) => {
                let endpoints = Arc::new(AtomicUsize::new(count));
                let serving = serve(listener, key.clone(), endpoints.clone(), self.env.clone());
                let task = self.env.tasks.spawn("health checks of a Service", serving);
                self.open.insert(key.clone(), Asked { port, endpoints, task });
            }
            // It is tried again when the Service or its endpoints change.
            Err(error) => {
                tracing::warn!(service = %key, port, %error, "load balancers cannot be told of its endpoints");
            }
        }
    }

    fn listen(&self, port: u16) -> std::io::Result<TcpListener> {
        let open = || -> std::io::Result<std::net::TcpListener> {
            let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
                // A machine without IPv6.
                .or_else(|_| std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = self.namespace.run(open).map_err(std::io::Error::other)??;
        TcpListener::from_std(listener)
    }
}

async fn serve(listener: TcpListener, key: Key, endpoints: Arc<AtomicUsize>, env: Env) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answer = answer(&key, endpoints.load(Ordering::Acquire));
                let clock = env.clock.clone();
                env.tasks.spawn("health check", async move {
                    // Whoever does not ask properly, or in time, gets nothing.
                    let _ = clock.timeout(PATIENCE, converse(stream, &answer)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a health check could not be accepted");
                env.clock.sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut question = Vec::new();
    let mut piece = [0; 1024];
    while !question.windows(4).any(|window| window == b"\r\n\r\n") {
        let length = stream.read(&mut piece).await?;
        if length == 0 || question.len() + length > QUESTION_BYTES_MAX {
            return Ok(());
        }
        question.extend_from_slice(&piece[..length]);
    }
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The answer, in kube-proxy's form.
fn answer(key: &Key, endpoints: usize) -> String {
    let status = if endpoints > 0 { "200 OK" } else { "503 Service Unavailable" };
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{}\",\n\t\t\"name\": \"{}\"\n\t}},\n\t\"localEndpoints\": \
         {endpoints},\n\t\"serviceProxyHealthy\": true\n}}",
        key.namespace, key.name
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
         X-Load-Balancing-Endpoint-Weight: {endpoints}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_endpoints_is_well() {
        let text = answer(&Key::new("shop", "web"), 2);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("\r\nX-Load-Balancing-Endpoint-Weight: 2\r\n"), "{text}");
        let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["service"], serde_json::json!({"namespace": "shop", "name": "web"}));
        assert_eq!((&body["localEndpoints"], &body["serviceProxyHealthy"]), (&2.into(), &true.into()));
        assert!(answer(&Key::new("shop", "web"), 0).starts_with("HTTP/1.1 503 "));
    }
}
