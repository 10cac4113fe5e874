//! The task of one request: answers it, and sends the answer as fast as the peer takes it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use env::Clock;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response};
use hyper::body::Body;

use crate::fault::Code;
use crate::link::{Gone, Link};

/// A request that waits for its answer. Breaks the stream off if the answer does not come to its end.
#[derive(Debug)]
pub struct Pending {
    pub link: Arc<Link>,
    pub id: u32,
    pub clock: Clock,
    /// Whether only the headers are wanted.
    pub headers_only: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.link.lock().running -= 1;
        // Nothing is left of a stream whose answer was given as a whole.
        self.link.reset(self.id, Code::Internal);
    }
}

impl Pending {
    /// Waits for the answer and sends it.
    pub async fn run<B>(self, answer: impl Future<Output = Response<B>>)
    where
        B: Body<Data = Bytes, Error = Infallible> + Unpin,
    {
        let response = answer.await;
        // Whoever asked is gone if it fails.
        let _ = self.send(response).await;
    }

    async fn send<B>(&self, response: Response<B>) -> Result<(), Gone>
    where
        B: Body<Data = Bytes, Error = Infallible> + Unpin,
    {
        let (mut head, mut body) = response.into_parts();
        let length = body.size_hint().exact();
        if let Some(length) = length.filter(|_| !body.is_end_stream()) {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        let begin = (head.status, &head.headers, self.clock.now());
        if self.headers_only || body.is_end_stream() {
            return self.link.answer(self.id, begin, Some(&mut Bytes::new()));
        }
        if length.is_none() {
            self.link.answer(self.id, begin, None)?;
            drop(head);
            return self.pour(&mut body).await;
        }
        // It is there as a whole: it goes out with the headers.
        let mut whole = next(&mut body).await.unwrap_or_default();
        if !body.is_end_stream() {
            self.link.answer(self.id, begin, None)?;
            self.pour_piece(&mut whole, false).await?;
            return self.pour(&mut body).await;
        }
        self.link.answer(self.id, begin, Some(&mut whole))?;
        if whole.is_empty() { Ok(()) } else { self.pour_piece(&mut whole, true).await.map(drop) }
    }

    /// Sends a body that is made while it is sent: no piece is asked for before there is room for some.
    async fn pour<B>(&self, body: &mut B) -> Result<(), Gone>
    where
        B: Body<Data = Bytes, Error = Infallible> + Unpin,
    {
        let mut has_room = false;
        loop {
            if !has_room {
                self.ready().await?;
            }
            let piece = next(body).await;
            let last = piece.is_none() || body.is_end_stream();
            has_room = self.pour_piece(&mut piece.unwrap_or_default(), last).await?;
            if last {
                return Ok(());
            }
        }
    }

    /// Sends a piece; whether there is room for more.
    async fn pour_piece(&self, piece: &mut Bytes, last: bool) -> Result<bool, Gone> {
        loop {
            let has_room = self.link.send(self.id, piece, last)?;
            if piece.is_empty() {
                return Ok(has_room);
            }
            self.ready().await?;
        }
    }

    async fn ready(&self) -> Result<(), Gone> {
        poll_fn(|context| self.link.poll_ready(context, self.id)).await
    }
}

/// The next piece of a body.
async fn next<B>(body: &mut B) -> Option<Bytes>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin,
{
    loop {
        let Ok(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        if let Ok(data) = frame.into_data() {
            return Some(data);
        }
    }
}
