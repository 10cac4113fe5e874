//! The body of a request as it comes in.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::link::Link;

/// A body broke off before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request was taken back before all of it had come")]
pub struct BrokenOff;

/// The body of a request. What is read of it the peer may send again; what is not read when it is dropped is thrown away.
#[derive(Debug)]
pub struct Incoming(Option<Source>);

#[derive(Debug)]
struct Source {
    link: Arc<Link>,
    id: u32,
}

impl Incoming {
    /// No body.
    pub fn empty() -> Incoming {
        Incoming(None)
    }

    pub(crate) fn new(link: Arc<Link>, id: u32) -> Incoming {
        Incoming(Some(Source { link, id }))
    }
}

impl Source {
    fn poll_piece(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let mut state = self.link.lock();
        let Some(stream) = state.streams.get_mut(self.id) else { return Poll::Ready(Some(Err(BrokenOff))) };
        if let Some(piece) = stream.inbox.pieces.pop_front() {
            state.credit_stream(self.id, piece.len());
            state.credit(piece.len());
            return Poll::Ready(Some(Ok(piece)));
        }
        if !stream.inbox.open {
            return Poll::Ready(None);
        }
        stream.inbox.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        let Some(stream) = state.streams.get_mut(self.id) else { return };
        stream.inbox.unwanted = true;
        let left = std::mem::take(&mut stream.inbox.pieces).iter().map(Bytes::len).sum();
        state.credit_stream(self.id, left);
        state.credit(left);
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(source) = &self.0 else { return Poll::Ready(None) };
        let polled = source.poll_piece(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.0.is_none() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
