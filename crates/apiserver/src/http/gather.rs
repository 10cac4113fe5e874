//! A connection that gathers what is written: answers and events that are ready at about the same time go out in one
//! piece, as few TLS records and one call of the system, instead of one each. What is large is not copied for that.
//!
//! Whoever flushes first only gets a place at the end of the run queue: tasks that are ready by then write first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is handed on at a time, if there is as much: a record of TLS.
const RECORD: usize = 16 * 1024;
/// From this size on something is worth a record of its own; what is smaller waits for company.
const LARGE: usize = 4 * 1024;
/// How many pieces are looked at in one write: a frame has two.
const SLICES: usize = 8;
/// Rooms that are kept for the next connection that writes: more than there are processors to write at the same time.
const ROOMS: usize = 16;

/// Room to gather in. A connection has some only while it has something to write, so that idle ones cost nothing.
#[derive(Clone, Debug, Default)]
pub struct Rooms(Arc<Mutex<Vec<Vec<u8>>>>);

impl Rooms {
    fn take(&self) -> Vec<u8> {
        let room = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        room.unwrap_or_else(|| Vec::with_capacity(RECORD))
    }

    fn give_back(&self, mut room: Vec<u8>) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if room.capacity() > 0 && rooms.len() < ROOMS {
            room.clear();
            rooms.push(room);
        }
    }
}

/// A connection whose writes are gathered until they are flushed. The stream below takes what is handed on and sends it
/// no sooner than it must.
#[derive(Debug)]
pub struct Gather<S> {
    stream: S,
    rooms: Rooms,
    gathered: Vec<u8>,
    /// What of it was handed on already.
    written: usize,
    /// Whether anything was written since the last flush.
    unflushed: bool,
    /// Whether others had their turn since the first flush.
    waited: bool,
}

impl<S> Gather<S> {
    /// Over a stream.
    pub fn new(stream: S, rooms: Rooms) -> Gather<S> {
        Gather { stream, rooms, gathered: Vec::new(), written: 0, unflushed: false, waited: false }
    }

    /// How many of `more` bytes go on with what is gathered: as many as fill records, and the rest if it is large.
    fn handed_on(&self, more: usize) -> usize {
        let waiting = self.gathered.len() - self.written;
        let rest = (waiting + more) % RECORD;
        if rest >= LARGE && more >= LARGE { more } else { more.saturating_sub(rest) }
    }

    fn gather(&mut self, bytes: &[u8]) {
        if self.gathered.capacity() == 0 {
            self.gathered = self.rooms.take();
        }
        self.gathered.extend_from_slice(bytes);
    }

    /// Notes that so many of the gathered bytes are handed on.
    fn pass(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written == self.gathered.len() {
            self.written = 0;
            self.rooms.give_back(std::mem::take(&mut self.gathered));
        }
    }
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    /// Hands on what was gathered, and as much of these slices as the stream takes; answers how much of them that was.
    fn poll_hand_on(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let waiting = self.gathered.len() - self.written;
            if waiting == 0 && slices.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let mut all = [IoSlice::new(&[]); SLICES + 1];
            all[0] = IoSlice::new(&self.gathered[self.written..]);
            let count = slices.len().min(SLICES);
            all[1..=count].copy_from_slice(&slices[..count]);
            let begin = usize::from(waiting == 0);
            let stream = Pin::new(&mut self.stream);
            match ready!(stream.poll_write_vectored(context, &all[begin..=count]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.pass(written.min(waiting));
                    if written > waiting {
                        return Poll::Ready(Ok(written - waiting));
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.unflushed = true;
        let slices = &slices[..slices.len().min(SLICES)];
        let more: usize = slices.iter().map(|slice| slice.len()).sum();
        let on = this.handed_on(more);
        if on == 0 {
            slices.iter().for_each(|slice| this.gather(slice));
            return Poll::Ready(Ok(more));
        }
        let (mut large, mut count, mut left) = ([IoSlice::new(&[]); SLICES], 0, on);
        for slice in slices {
            large[count] = IoSlice::new(&slice[..slice.len().min(left)]);
            left -= large[count].len();
            count += 1;
        }
        let taken = ready!(this.poll_hand_on(context, &large[..count]))?;
        if taken < on {
            return Poll::Ready(Ok(taken));
        }
        let mut passed = on;
        for slice in slices {
            let begin = passed.min(slice.len());
            passed -= begin;
            if begin < slice.len() {
                this.gather(&slice[begin..]);
            }
        }
        Poll::Ready(Ok(more))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed && !self.waited {
            self.waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_hand_on(context, &[]))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        (self.unflushed, self.waited) = (false, false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_on(context, &[]))?;
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

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.poll_write(context, &all)
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
    async fn what_is_written_goes_out_in_order_whatever_its_size() {
        let bytes: Vec<u8> = (0..10 * RECORD + 17).map(|number| (number % 251) as u8).collect();
        for most in [None, Some(1_000), Some(RECORD + 1)] {
            for size in [1_000, LARGE - 1, LARGE, 7_000, RECORD, RECORD + 9, 3 * RECORD + 5_000] {
                let mut gather = Gather::new(Sink { most, ..Sink::default() }, Rooms::default());
                for piece in bytes.chunks(size) {
                    let (head, body) = piece.split_at(9.min(piece.len()));
                    let mut left = head.len() + body.len();
                    while left > 0 {
                        let rest = &piece[piece.len() - left..];
                        let (head, body) = rest.split_at(left.saturating_sub(body.len()));
                        let slices = [IoSlice::new(head), IoSlice::new(body)];
                        left -= gather.write_vectored(&slices).await.unwrap();
                    }
                    assert!(gather.gathered.len() < RECORD + LARGE, "{most:?} {size}");
                }
                gather.flush().await.unwrap();
                assert!(gather.stream.bytes == bytes, "{most:?} {size}");
                assert_eq!(gather.gathered.capacity(), 0, "room is given back");
            }
        }
    }

    #[test]
    fn records_are_full_or_worth_it() {
        let mut gather = Gather::new(Sink::default(), Rooms::default());
        // What waits, what comes, and what of it goes on.
        for (waiting, more, expected) in [
            (0, 100, 0),
            (0, LARGE - 1, 0),
            (0, LARGE, LARGE),
            (100, RECORD, RECORD - 100),
            (RECORD - 100, 200, 100),
            (9, RECORD + LARGE, RECORD + LARGE),
            (LARGE, 100, 0),
        ] {
            gather.gathered = vec![0; waiting];
            assert_eq!(gather.handed_on(more), expected, "{more} after {waiting}");
        }
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
