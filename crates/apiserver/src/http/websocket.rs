//! An answer's bytes as WebSocket messages, for clients that can read them in no other way (browsers, say).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use env::{Clock, Env};
use futures_util::{SinkExt, StreamExt, stream};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::Status;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::body::Pieces;
use super::{Body, Response};

/// What is spoken: bytes, or base64 in text messages.
const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";
/// How long a client gets to take leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// Whether the client wants a WebSocket.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let says = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    says(CONNECTION, "upgrade") && says(UPGRADE, "websocket")
}

/// The headers without what they say of the connection.
pub fn without_upgrade(mut headers: HeaderMap) -> HeaderMap {
    let of_connection = [
        CONNECTION,
        UPGRADE,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION,
    ];
    for name in of_connection {
        headers.remove(name);
    }
    headers
}

/// Makes messages of the body of an answer. `headers` are those of the request.
pub fn switch(
    env: &Env,
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
    answer: Response,
) -> Result<Response, Status> {
    let refuse = |why: &str| Status::bad_request(format!("unable to upgrade: {why}"));
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| refuse("Sec-WebSocket-Key is missing"))?;
    let upgrade = upgrade.ok_or_else(|| refuse("the connection cannot be upgraded"))?;
    let protocol = choose(headers)?;
    let mut switched = Response::new(Body::empty());
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = switched.headers_mut();
    out.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = derive_accept_key(key.as_bytes());
    out.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).map_err(Status::internal)?);
    if !protocol.is_empty() {
        out.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    let pieces: Pieces = match answer.into_body() {
        Body::Full(bytes) => Box::pin(stream::iter([bytes])),
        Body::Pieces(pieces) => pieces,
    };
    let clock = env.clock.clone();
    env.tasks.spawn("WebSocket", send(upgrade, pieces, protocol == BASE64, clock));
    Ok(switched)
}

/// The first of the client's protocols that is spoken here.
fn choose(headers: &HeaderMap) -> Result<&'static str, Status> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    if offered.iter().all(|name| name.is_empty()) {
        return Ok("");
    }
    let known = [BINARY, BASE64];
    let found = offered.iter().find_map(|offer| known.into_iter().find(|name| name == offer));
    found.ok_or_else(|| {
        Status::bad_request(format!("unable to upgrade: none of the subprotocols {offered:?} is supported"))
    })
}

async fn send(upgrade: OnUpgrade, mut pieces: Pieces, base64: bool, clock: Clock) {
    let stream = match upgrade.await {
        Ok(stream) => TokioIo::new(stream),
        Err(error) => return tracing::debug!(%error, "a connection could not be upgraded"),
    };
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    // Tells the client that it is connected.
    let mut next = Some(Bytes::new());
    while let Some(piece) = next {
        let message = match base64 {
            true => Message::Text(STANDARD.encode(&piece).into()),
            false => Message::Binary(piece),
        };
        if socket.send(message).await.is_err() {
            return;
        }
        next = loop {
            tokio::select! {
                biased;
                piece = pieces.next() => break piece,
                // Nothing is expected of the client but that it takes leave.
                said = socket.next() => match said {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
            }
        };
    }
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let farewell = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    clock.timeout(FAREWELL, farewell).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::service::service_fn;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    use super::*;

    /// What a client that offers these protocols gets: the protocol chosen and the messages.
    async fn talk(protocols: &str) -> Result<(String, Vec<Message>), String> {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let env = Env::real();
        let answering = env.clone();
        let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            assert!(is_wanted(request.headers()));
            let upgrade = request.extensions_mut().remove::<OnUpgrade>();
            let pieces = ["container is ", "alive\n"].map(|piece| Bytes::from_static(piece.as_bytes()));
            let answer = Response::new(Body::Pieces(Box::pin(stream::iter(pieces))));
            let headers = request.headers().clone();
            let switched = switch(&answering, &headers, upgrade, answer);
            let answer = switched.unwrap_or_else(|status| {
                let mut answer = Response::new(Body::from(status.message));
                *answer.status_mut() = StatusCode::BAD_REQUEST;
                answer
            });
            async move { Ok::<_, Infallible>(answer) }
        });
        let server = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(theirs), service)
            .with_upgrades();
        env.tasks.spawn("server", server);
        let mut request = "ws://server/log".into_client_request().unwrap();
        if !protocols.is_empty() {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocols.parse().unwrap());
        }
        let (socket, answer) =
            tokio_tungstenite::client_async(request, ours).await.map_err(|error| error.to_string())?;
        let chosen = answer.headers().get(SEC_WEBSOCKET_PROTOCOL);
        let chosen = chosen.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        Ok((chosen, socket.map(|message| message.unwrap()).collect().await))
    }

    #[tokio::test]
    async fn a_body_comes_as_messages_in_the_form_that_was_asked_for() {
        let close = || Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
        let binary = |text: &'static str| Message::Binary(Bytes::from_static(text.as_bytes()));
        let plain = vec![binary(""), binary("container is "), binary("alive\n"), close()];
        assert_eq!(talk(BINARY).await, Ok((BINARY.to_owned(), plain.clone())));
        // The server chooses nothing when nothing is offered; an unknown offer before a known one is passed over.
        let (ours, theirs) = (String::new(), format!("unknown, {BINARY}"));
        assert_eq!(talk(&ours).await, Ok((String::new(), plain.clone())));
        assert_eq!(talk(&theirs).await, Ok((BINARY.to_owned(), plain)));
        let text = |text: &str| Message::Text(STANDARD.encode(text).into());
        let encoded = vec![text(""), text("container is "), text("alive\n"), close()];
        assert_eq!(talk(BASE64).await, Ok((BASE64.to_owned(), encoded)));
        assert!(talk("channel.k8s.io").await.is_err());
    }

    #[test]
    fn what_is_said_of_the_connection_stays_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "k"),
            ("accept", "*/*"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        assert!(is_wanted(&headers));
        let rest = without_upgrade(headers);
        assert!(!is_wanted(&rest) && rest.len() == 1 && rest.contains_key("accept"));
    }
}
