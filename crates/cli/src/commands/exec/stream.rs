//! The connection to a command: WebSocket frames whose first byte says which stream they belong to.

use std::io::{Read, Write};

use client::https::Upgrade;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use machinery::{Status, Value};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::terminal;
use crate::Failure;
use crate::session::{Session, failure};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

const PROTOCOL: &str = "v5.channel.k8s.io";

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Connects, and passes everything through until the command has ended.
pub async fn run(session: &Session, path: &str, with_stdin: bool, tty: bool) -> Result<(), Failure> {
    let socket = connect(session, path).await?;
    let (mut sender, mut receiver) = socket.split();
    let mut input = if with_stdin { Some(read_stdin()) } else { None };
    let mut resized = signal(SignalKind::window_change())?;
    if tty {
        send_size(&mut sender).await?;
    }
    loop {
        tokio::select! {
            biased;
            message = receiver.next() => match message {
                Some(Ok(Message::Binary(frame))) => {
                    if let Some(result) = show(&frame)? {
                        return result;
                    }
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::client(format!("the connection broke: {error}"))),
            },
            _ = resized.recv(), if tty => send_size(&mut sender).await?,
            chunk = next(&mut input), if input.is_some() => match chunk {
                Some(mut chunk) => {
                    chunk.insert(0, STDIN);
                    send(&mut sender, chunk).await?;
                }
                None => {
                    input = None;
                    send(&mut sender, vec![CLOSE, STDIN]).await?;
                }
            },
        }
    }
}

async fn connect(session: &Session, path: &str) -> Result<Socket, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    headers.insert("sec-websocket-protocol", HeaderValue::from_static(PROTOCOL));
    let key = tokio_tungstenite::tungstenite::handshake::client::generate_key();
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert("sec-websocket-key", key);
    }
    let upgrade = session.connection().upgrade(Method::GET, path, headers).await;
    match upgrade.map_err(|error| Failure::client(error.chain()))? {
        Upgrade::Refused(answer) => Err(failure(answer).await),
        Upgrade::Switched(_, stream) => {
            Ok(WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await)
        }
    }
}

/// Shows a frame; answers the result if it is the last one.
fn show(frame: &[u8]) -> Result<Option<Result<(), Failure>>, Failure> {
    let Some((channel, data)) = frame.split_first() else { return Ok(None) };
    match *channel {
        STDOUT => {
            let mut out = std::io::stdout().lock();
            out.write_all(data)?;
            out.flush()?;
        }
        STDERR => std::io::stderr().write_all(data)?,
        ERROR => return Ok(Some(result(data))),
        _ => {}
    }
    Ok(None)
}

/// What the status at the end says.
fn result(data: &[u8]) -> Result<(), Failure> {
    let document = machinery::json::parse(data)
        .map_err(|error| Failure::client(format!("the command's status cannot be read: {error}")))?;
    if document.get("status").as_str() == Some("Success") {
        return Ok(());
    }
    let code = document.at(&["details", "causes"]).items().iter().find_map(exit_code);
    match code {
        Some(code) => Err(Failure::Exited(code)),
        None => Err(Failure::client(Status::from_value(&document).message)),
    }
}

fn exit_code(cause: &Value) -> Option<u8> {
    if cause.get("reason").as_str() != Some("ExitCode") {
        return None;
    }
    cause.get("message").as_str()?.parse().ok()
}

async fn next(input: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match input {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

/// Reads what is typed on a thread of its own: a terminal cannot be waited on otherwise.
fn read_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        loop {
            match std::io::stdin().read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

async fn send_size(sender: &mut SplitSink<Socket, Message>) -> Result<(), Failure> {
    let Some((columns, rows)) = terminal::size() else { return Ok(()) };
    let mut frame = vec![RESIZE];
    frame.extend_from_slice(format!("{{\"Width\":{columns},\"Height\":{rows}}}").as_bytes());
    send(sender, frame).await
}

async fn send(sender: &mut SplitSink<Socket, Message>, frame: Vec<u8>) -> Result<(), Failure> {
    let sent = sender.send(Message::Binary(frame.into())).await;
    sent.map_err(|error| Failure::client(format!("the connection broke: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_at_the_end_tells_how_it_went() {
        assert!(result(br#"{"status":"Success"}"#).is_ok());
        let failed = br#"{"status":"Failure","message":"command terminated with non-zero exit code","reason":
            "NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#;
        assert_eq!(result(failed).expect_err("it failed").exit_code(), 42);
        let missing = br#"{"status":"Failure","message":"no such container"}"#;
        assert_eq!(result(missing).expect_err("it failed").to_string(), "error: no such container");
    }
}
