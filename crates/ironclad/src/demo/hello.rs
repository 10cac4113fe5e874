//! The demo page: a small web server that says which pod answered. What the image `ironclad.local/hello` runs.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

/// Bytes of a request's head: more is no browser's doing.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Connections at a time: it is a demo.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves until it is asked to end (SIGTERM or SIGINT), then lets open answers finish.
pub fn serve(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            // A machine without IPv6.
            Err(_) => TcpListener::bind(("0.0.0.0", port)).await.with_context(|| format!("port {port}"))?,
        };
        println!("hello: serving on port {port}");
        let tasks = env::Tasks::new();
        accept(listener, &tasks).await?;
        println!("hello: ending");
        tasks.stop(Duration::from_secs(5)).await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, tasks: &env::Tasks) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let places = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await?;
        let accepted = tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else { continue };
        tasks.spawn_until_done("demo connection", async move {
            if let Some(Ok(request)) = env::Clock::real().timeout(PATIENCE, answer(stream)).await {
                println!("{} {request}", peer.ip().to_canonical());
            }
            drop(place);
        });
    }
}

/// Reads one request, answers it, and tells what was asked.
async fn answer(mut stream: TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await?;
        head.extend_from_slice(&chunk[..count]);
        if count == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let request = head.lines().next().unwrap_or_default().to_owned();
    let (status, body) = page(&request, |name| std::env::var(name).ok());
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(request)
}

/// What a request is answered, given the environment.
fn page(request: &str, variable: impl Fn(&str) -> Option<String>) -> (&'static str, String) {
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "GET" {
        return ("405 Method Not Allowed", "only GET is answered here\n".to_owned());
    }
    let host = variable("HOSTNAME").unwrap_or_else(|| "somebody".to_owned());
    match path.split('?').next().unwrap_or_default() {
        "/" => {
            let message = variable("MESSAGE").unwrap_or_else(|| "Hello from Ironclad!".to_owned());
            ("200 OK", format!("{message}\nYou reached {host}.\n"))
        }
        "/hostname" => ("200 OK", format!("{host}\n")),
        "/healthz" => ("200 OK", "ok\n".to_owned()),
        _ => ("404 Not Found", "there is /, /hostname and /healthz\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> (&'static str, String) {
        page(request, |name| (name == "HOSTNAME").then(|| "pod-1".to_owned()))
    }

    #[test]
    fn the_page_says_who_answered() {
        assert_eq!(
            ask("GET / HTTP/1.1"),
            ("200 OK", "Hello from Ironclad!\nYou reached pod-1.\n".to_owned())
        );
        assert_eq!(ask("GET /hostname?x=1 HTTP/1.1"), ("200 OK", "pod-1\n".to_owned()));
        assert_eq!(ask("GET /nothing HTTP/1.1").0, "404 Not Found");
        assert_eq!(ask("POST / HTTP/1.1").0, "405 Method Not Allowed");
        assert_eq!(ask("").0, "405 Method Not Allowed");
    }
}
