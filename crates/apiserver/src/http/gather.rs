//! A connection that gathers what is written: answers and events that are ready at about the same time go out in one
//! piece, as one TLS record and one call of the system, instead of one each.
//!
//! Whoever flushes first only gets a place at the end of the run queue: tasks that are ready by then write first.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is gathered at most: four records of TLS, which is also what it takes at a time.
const FULL: usize = 64 * 1024;
/// Rooms that are kept for the next connection that writes: more than there are processors to write at the same time.
const ROOMS: usize = 16;

/// Room to gather in. A connection has some only while it has something to write, so that idle ones cost nothing.
#[derive(Clone, Debug, Default)]
pub struct Rooms(Arc<Mutex<Vec<Vec<u8>>>>);

impl Rooms {
    fn take(&self) -> Vec<u8> {
        let room = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        room.unwrap_or_else(|| Vec::with_capacity(FULL))
    }

    fn give_back(&self, mut room: Vec<u8>) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if room.capacity() > 0 && rooms.len() < ROOMS {
            room.clear();
            rooms.push(room);
        }
    }
}

/// A connection whose writes are gathered until they are flushed.
#[derive(Debug)]
pub struct Gather<S> {
    stream: S,
    rooms: Rooms,
    gathered: Vec<u8>,
    /// What of it was written already.
    written: usize,
    /// Whether others had their turn since the first flush.
    waited: bool,
}

impl<S> Gather<S> {
    /// Over a stream.
    pub fn new(stream: S, rooms: Rooms) -> Gather<S> {
        Gather { stream, rooms, gathered: Vec::new(), written: 0, waited: false }
    }
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    /// Hands on what was gathered.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.written = 0;
        self.rooms.give_back(std::mem::take(&mut self.gathered));
        Poll::Ready(Ok(()))
    }

    /// How much more may be gathered; makes room if there is none.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= FULL {
            ready!(self.poll_drain(context))?;
        }
        if self.gathered.capacity() == 0 {
            self.gathered = self.rooms.take();
        }
        Poll::Ready(Ok(FULL - self.gathered.len()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(context))?;
        let taken = bytes.len().min(room);
        self.gathered.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut room = ready!(self.poll_room(context))?;
        let all = room;
        for slice in slices {
            let taken = slice.len().min(room);
            self.gathered.extend_from_slice(&slice[..taken]);
            room -= taken;
            if room == 0 {
                break;
            }
        }
        Poll::Ready(Ok(all - room))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() {
            if !self.waited {
                self.waited = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.poll_drain(context))?;
        }
        self.waited = false;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Keeps what it is given, and how often it was given something.
    #[derive(Debug, Default)]
    struct Sink {
        bytes: Vec<u8>,
        writes: usize,
        /// Takes no more than this at a time.
        most: Option<usize>,
    }

    impl AsyncWrite for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most.unwrap_or(usize::MAX));
            self.bytes.extend_from_slice(&bytes[..taken]);
            self.writes += 1;
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn small_writes_go_out_together_and_in_order() {
        let mut gather = Gather::new(Sink::default(), Rooms::default());
        for part in ["one ", "two ", "three"] {
            gather.write_all(part.as_bytes()).await.unwrap();
        }
        assert_eq!(gather.stream.writes, 0, "nothing goes out before it is flushed");
        gather.flush().await.unwrap();
        assert_eq!((gather.stream.bytes.as_slice(), gather.stream.writes), (b"one two three".as_slice(), 1));
        gather.write_all(b"!").await.unwrap();
        gather.shutdown().await.unwrap();
        assert_eq!(gather.stream.bytes.last(), Some(&b'!'));
    }

    #[tokio::test]
    async fn much_is_handed_on_in_pieces_of_bounded_size_and_room_is_given_back() {
        let bytes: Vec<u8> = (0..10 * FULL + 17).map(|number| (number % 251) as u8).collect();
        let mut gather = Gather::new(Sink { most: Some(1_000), ..Sink::default() }, Rooms::default());
        gather.write_all(&bytes).await.unwrap();
        assert!(gather.gathered.len() <= FULL);
        gather.flush().await.unwrap();
        assert!(gather.stream.bytes == bytes);
        assert_eq!(gather.gathered.capacity(), 0);
        assert_eq!(gather.rooms.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn whoever_is_ready_writes_before_the_first_flush_is_done() {
        let mut gather = Gather::new(Sink::default(), Rooms::default());
        gather.write_all(b"one ").await.unwrap();
        let waker = std::task::Waker::noop();
        let mut context = Context::from_waker(waker);
        assert!(Pin::new(&mut gather).poll_flush(&mut context).is_pending(), "others get their turn");
        gather.write_all(b"two").await.unwrap();
        assert!(Pin::new(&mut gather).poll_flush(&mut context).is_ready());
        assert_eq!((gather.stream.bytes.as_slice(), gather.stream.writes), (b"one two".as_slice(), 1));
    }
}
