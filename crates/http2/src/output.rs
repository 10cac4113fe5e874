//! What waits to be sent on a connection: small frames are gathered in one piece of memory, large payloads stay where
//! they are.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::frame::{HEAD, Head};

/// From this size on a payload is not copied.
const LARGE: usize = 4 * 1024;
/// Room to gather in: a record of TLS.
const ROOM: usize = 16 * 1024;
/// Rooms that are kept for the next connection: more than there are processors that use one at the same time.
const ROOMS: usize = 16;

/// Rooms to gather or to read in. A connection has one only while it has something to write or to read, so that idle ones
/// cost nothing.
#[derive(Clone, Debug)]
pub struct Rooms {
    size: usize,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms::of(ROOM)
    }
}

impl Rooms {
    /// Rooms of this size.
    pub fn of(size: usize) -> Rooms {
        Rooms { size, free: Arc::default() }
    }

    /// One of them; what is in it is of no meaning.
    pub fn take(&self) -> Vec<u8> {
        let room = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        room.unwrap_or_else(|| Vec::with_capacity(self.size))
    }

    /// Keeps it for the next.
    pub fn give_back(&self, room: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if room.capacity() >= self.size && room.capacity() <= 2 * self.size && free.len() < ROOMS {
            free.push(room);
        }
    }
}

/// A part of what is sent.
#[derive(Debug)]
pub enum Part {
    /// Frames, one after the other.
    Gathered(Vec<u8>),
    /// One frame.
    Frame([u8; HEAD], Bytes),
}

/// What waits to be sent.
#[derive(Debug)]
pub struct Output {
    parts: VecDeque<Part>,
    tail: Vec<u8>,
    length: usize,
    rooms: Rooms,
}

impl Output {
    pub fn new(rooms: Rooms) -> Output {
        Output { parts: VecDeque::new(), tail: Vec::new(), length: 0, rooms }
    }

    /// How many bytes wait.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Adds frames as they are.
    pub fn push(&mut self, frames: &[u8]) {
        self.tail(frames.len()).extend_from_slice(frames);
        self.length += frames.len();
    }

    /// Adds what `write` appends.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let tail = self.tail(0);
        let before = tail.len();
        write(tail);
        self.length += self.tail.len() - before;
    }

    /// Adds a frame with its payload.
    pub fn frame(&mut self, head: Head, payload: Bytes) {
        if payload.len() < LARGE {
            let tail = self.tail(HEAD + payload.len());
            tail.extend_from_slice(&head.bytes());
            tail.extend_from_slice(&payload);
            self.length += HEAD + payload.len();
            return;
        }
        self.close_tail();
        self.length += HEAD + payload.len();
        self.parts.push_back(Part::Frame(head.bytes(), payload));
    }

    /// Everything that waits.
    pub fn take(&mut self) -> VecDeque<Part> {
        self.close_tail();
        self.length = 0;
        std::mem::take(&mut self.parts)
    }

    /// Where so many bytes are appended.
    fn tail(&mut self, more: usize) -> &mut Vec<u8> {
        if self.tail.len() + more > ROOM {
            self.close_tail();
        }
        if self.tail.capacity() == 0 {
            self.tail = self.rooms.take();
            self.tail.clear();
        }
        &mut self.tail
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push_back(Part::Gathered(std::mem::take(&mut self.tail)));
        }
    }
}

/// What is being sent.
#[derive(Debug, Default)]
pub struct Sending {
    parts: VecDeque<Part>,
    /// Bytes of the first part that are sent already.
    sent: usize,
}

impl Sending {
    pub fn new(parts: VecDeque<Part>) -> Sending {
        Sending { parts, sent: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The next bytes, as many as there are slices for; how many slices that are.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.sent;
        let mut count = 0;
        for part in &self.parts {
            let bytes: [&[u8]; 2] = match part {
                Part::Gathered(frames) => [frames, &[]],
                Part::Frame(head, payload) => [head, payload],
            };
            for bytes in bytes {
                let begin = skip.min(bytes.len());
                skip -= begin;
                if begin == bytes.len() {
                    continue;
                }
                let Some(slice) = slices.get_mut(count) else { return count };
                *slice = IoSlice::new(&bytes[begin..]);
                count += 1;
            }
        }
        count
    }

    /// Notes that so many bytes are sent.
    pub fn advance(&mut self, bytes: usize, rooms: &Rooms) {
        self.sent += bytes;
        while let Some(first) = self.parts.front() {
            let length = match first {
                Part::Gathered(frames) => frames.len(),
                Part::Frame(_, payload) => HEAD + payload.len(),
            };
            if self.sent < length {
                return;
            }
            self.sent -= length;
            if let Some(Part::Gathered(room)) = self.parts.pop_front() {
                rooms.give_back(room);
            }
        }
        // The queue's own room goes as well: it may have been long.
        self.parts = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::kind;

    fn sent(output: &mut Output, at_once: usize, slices: usize) -> Vec<u8> {
        let rooms = Rooms::default();
        let mut sending = Sending::new(output.take());
        let mut all = Vec::new();
        while !sending.is_empty() {
            let mut room = vec![IoSlice::new(&[]); slices];
            let count = sending.fill(&mut room);
            assert!(count > 0);
            let bytes: Vec<u8> = room[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
            let part = at_once.min(bytes.len());
            all.extend_from_slice(&bytes[..part]);
            sending.advance(part, &rooms);
        }
        all
    }

    #[test]
    fn what_is_added_is_sent_in_order_however_it_is_cut() {
        for (at_once, slices) in [(101, 1), (977, 2), (LARGE + 3, 3), (usize::MAX, 64)] {
            let mut output = Output::new(Rooms::default());
            let mut expected = Vec::new();
            for number in 0..40_usize {
                let size = [3, LARGE - 1, LARGE, 9_000, ROOM][number % 5];
                let payload: Vec<u8> = (0..size).map(|byte| (byte * number % 251) as u8).collect();
                let head = Head { length: size, kind: kind::DATA, flags: 0, stream: 1 };
                expected.extend_from_slice(&head.bytes());
                expected.extend_from_slice(&payload);
                output.frame(head, Bytes::from(payload));
                output.push(b"control");
                expected.extend_from_slice(b"control");
                output.write(|tail| tail.extend_from_slice(b"written"));
                expected.extend_from_slice(b"written");
            }
            assert_eq!(output.length(), expected.len());
            assert!(sent(&mut output, at_once, slices) == expected, "{at_once} bytes of {slices} slices");
            assert_eq!(output.length(), 0);
        }
    }

    #[test]
    fn rooms_are_used_again_and_few_are_kept() {
        let rooms = Rooms::default();
        let taken: Vec<Vec<u8>> = (0..3 * ROOMS).map(|_| rooms.take()).collect();
        taken.into_iter().for_each(|room| rooms.give_back(room));
        rooms.give_back(Vec::with_capacity(10 * ROOM));
        rooms.give_back(Vec::new());
        assert_eq!(rooms.free.lock().unwrap().len(), ROOMS);
    }
}
