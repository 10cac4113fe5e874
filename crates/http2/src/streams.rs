//! The streams of a connection that are open, by their numbers.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use env::TaskHandle;

/// A request, its body and its answer, as far as the connection is concerned.
#[derive(Debug)]
pub struct Stream {
    /// How many bytes the peer takes.
    pub window: i64,
    /// Who waits to send more.
    pub sender: Option<Waker>,
    /// Whether it stands in the queue of those who wait for room.
    pub queued: bool,
    /// Whether the answer has begun.
    pub answered: bool,
    /// What the peer sends.
    pub inbox: Inbox,
    /// The task that answers.
    pub task: Option<TaskHandle<()>>,
}

/// What the peer has sent of a body, and nobody has read.
#[derive(Debug)]
pub struct Inbox {
    pub pieces: VecDeque<Bytes>,
    /// Whether more may come.
    pub open: bool,
    /// How many bytes the peer may send.
    pub window: i64,
    /// How many were read that the peer was not told of.
    pub owed: u32,
    /// How many bytes must come, if that was told.
    pub expected: Option<u64>,
    /// Whether nobody will read it.
    pub unwanted: bool,
    /// Who waits for more.
    pub reader: Option<Waker>,
}

/// All of them. Their numbers grow, and they are few.
#[derive(Debug, Default)]
pub struct Streams(Vec<(u32, Box<Stream>)>);

impl Streams {
    /// Adds one; its number is larger than those of all others.
    pub fn push(&mut self, id: u32, stream: Stream) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < id), "numbers of streams grow");
        self.0.push((id, Box::new(stream)));
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.find(id)?;
        Some(&mut self.0[at].1)
    }

    pub fn remove(&mut self, id: u32) -> Option<Box<Stream>> {
        let at = self.find(id)?;
        let (_, stream) = self.0.remove(at);
        if self.0.is_empty() {
            // There may have been many.
            self.0 = Vec::new();
        }
        Some(stream)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Stream)> {
        self.0.iter_mut().map(|(id, stream)| (*id, &mut **stream))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all of them out.
    pub fn take(&mut self) -> impl Iterator<Item = Box<Stream>> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|(_, stream)| stream)
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok()
    }
}
