//! Asks `grpc.health.v1.Health/Check`: one message each way, so small that they are written by hand.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::ask::Verdict;
use crate::http::connect;

/// An answer has a few bytes; whoever sends more is no health service.
const MOST_ANSWER: usize = 4_096;

/// Asks the service whether it is well.
pub(super) async fn check(host: &str, port: u16, service: &str) -> Verdict {
    match ask(host, port, service).await {
        Ok(1) => Verdict::Yes,
        Ok(status) => {
            let word = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "UNRECOGNIZED",
            };
            Verdict::No(format!("service unhealthy (responded with \"{word}\")"))
        }
        Err(error) => Verdict::No(error),
    }
}

async fn ask(host: &str, port: u16, service: &str) -> Result<u64, String> {
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let stream = connect(host, port).await.map_err(|error| {
        format!("error: failed to connect service {}: {error}", machinery::field::go_quote(&shown))
    })?;
    let failed = |error: hyper::Error| format!("error: health rpc probe failed: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(failed)?;
    let request = Request::post(format!("http://{shown}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(question(service)))
        .map_err(|error| format!("error: health rpc probe failed: {error}"))?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let early = code(response.headers());
        let collected = Limited::new(response.into_body(), MOST_ANSWER).collect().await;
        let collected = collected.map_err(|error| format!("error: health rpc probe failed: {error}"))?;
        let late = collected.trailers().and_then(code);
        Ok::<_, String>((early.or(late), collected.to_bytes()))
    };
    tokio::pin!(talk);
    tokio::pin!(connection);
    let (code, body): (Option<u32>, Bytes) = tokio::select! {
        biased;
        answer = &mut talk => answer?,
        _ = &mut connection => talk.await?,
    };
    match code.unwrap_or(0) {
        0 => answer(&body)
            .ok_or_else(|| "error: health rpc probe failed: the answer cannot be read".to_owned()),
        12 => Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
            .to_owned()),
        code => Err(format!("error: health rpc probe failed: rpc error: code = {code}")),
    }
}

fn code(headers: &http::HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// `HealthCheckRequest { service }` in its frame.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

/// The status in a framed `HealthCheckResponse`.
fn answer(framed: &[u8]) -> Option<u64> {
    let (head, rest) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
    let message = rest.get(..length).filter(|_| head[0] == 0)?;
    match message {
        [] => Some(0),
        [0x08, value @ ..] => value
            .iter()
            .take(10)
            .enumerate()
            .try_fold(0u64, |sum, (position, byte)| {
                let sum = sum | (u64::from(byte & 0x7f) << (7 * position.min(9)));
                if byte & 0x80 == 0 { Err(sum) } else { Ok(sum) }
            })
            .err(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_wire_form() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(answer(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(answer(&[0, 0, 0, 0, 3, 8, 0x81, 1]), Some(129));
        assert_eq!(answer(&[1, 0, 0, 0, 2, 8, 1]), None);
        assert_eq!(answer(&[0, 0, 0, 0, 9, 8]), None);
        assert_eq!(answer(&[]), None);
    }
}
