//! Gzip, for large answers to those who ask for it.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue};

use super::body::Pieces;
use super::{Body, Response};

/// Answers below this size are sent as they are: upstream's threshold.
const THRESHOLD: usize = 128 * 1024;

/// Upstream's level: the fastest. Lists shrink to a tenth even so.
const LEVEL: Compression = Compression::fast();

/// How much is compressed before others have their turn.
const PART: usize = 32 * 1024;

/// Whether the client takes gzip.
pub fn wanted(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| coding.split(';').next().is_some_and(|name| name.trim() == "gzip"))
    })
}

/// Compresses an answer that is large enough to be worth it. Watches must not come here: their events may not wait.
pub fn compress(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let body = match body {
        Body::Full(bytes) if bytes.len() < THRESHOLD => return Response::from_parts(head, Body::Full(bytes)),
        Body::Full(bytes) => match gzip(&bytes) {
            Some(small) => Body::Full(small),
            None => return Response::from_parts(head, Body::Full(bytes)),
        },
        Body::Pieces(pieces) => Body::Pieces(gzip_pieces(pieces)),
    };
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(head, body)
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), LEVEL);
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn gzip_pieces(pieces: Pieces) -> Pieces {
    let start = Some((pieces, Bytes::new(), GzEncoder::new(Vec::new(), LEVEL)));
    Box::pin(futures_util::stream::unfold(start, |state| async move {
        let (mut pieces, mut rest, mut encoder) = state?;
        // The connection is to send what is ready before more is compressed.
        tokio::task::yield_now().await;
        loop {
            if rest.is_empty() {
                let Some(piece) = pieces.next().await else {
                    // Writing to memory does not fail.
                    return encoder.finish().ok().map(|last| (Bytes::from(last), None));
                };
                rest = piece;
            }
            let part = rest.split_to(rest.len().min(PART));
            encoder.write_all(&part).ok()?;
            if !encoder.get_ref().is_empty() {
                let ready = std::mem::take(encoder.get_mut());
                return Some((Bytes::from(ready), Some((pieces, rest, encoder))));
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn pieces_come_out_as_one_gzip_stream() {
        let parts: Vec<Bytes> =
            (0..50).map(|number| Bytes::from(format!("{number},").repeat(700 * number))).collect();
        let plain: Vec<u8> = parts.concat();
        let pieces: Pieces = Box::pin(futures_util::stream::iter(parts));
        let packed: Vec<u8> = gzip_pieces(pieces).collect::<Vec<_>>().await.concat();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }

    #[test]
    fn only_large_answers_are_compressed() {
        let answer = |size: usize| compress(Response::new(Body::from(vec![b'x'; size])));
        assert!(answer(1_000).headers().get(CONTENT_ENCODING).is_none());
        assert!(answer(200_000).headers().get(CONTENT_ENCODING).is_some());
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("deflate, gzip;q=0.5"));
        assert!(wanted(&headers));
    }
}
