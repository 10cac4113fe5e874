//! One watcher: reads nothing of its events but their revisions, so that ten thousand of them leave the server its cores.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What stands before the revision of an object; nothing else in an event looks so.
const MARK: &[u8] = b"\"resourceVersion\":\"";

/// A watcher.
#[derive(Debug, Default)]
pub struct Follower {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    /// How much of the mark was read.
    matched: usize,
    /// The revision that is being read.
    number: Option<u64>,
}

/// What a watcher saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Events.
    pub count: u64,
    /// Of their revisions.
    pub sum: u64,
    /// The newest revision.
    pub last: u64,
    /// Revisions that were not newer than the one before.
    pub disorder: u64,
    /// Whether the watch ended.
    pub closed: bool,
}

impl Follower {
    /// Reads a piece of the stream; how many events it had.
    pub fn feed(&self, piece: &[u8]) -> u64 {
        let mut state = self.state();
        let before = state.seen.count;
        let mut rest = piece;
        while !rest.is_empty() {
            rest = state.step(rest);
        }
        state.seen.count - before
    }

    /// The watch ended.
    pub fn close(&self) {
        self.state().seen.closed = true;
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.state().seen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn step<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if let Some(number) = self.number {
            if let Some(digit) = piece.first().filter(|byte| byte.is_ascii_digit()) {
                self.number = Some(number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
            } else {
                self.seen.add(number);
                self.number = None;
            }
            return &piece[1..];
        }
        if self.matched == 0 {
            let Some(at) = piece.iter().position(|byte| *byte == MARK[0]) else { return &[] };
            self.matched = 1;
            return &piece[at + 1..];
        }
        if piece[0] != MARK[self.matched] {
            // A quote may begin the mark anew; no other part of it is like its beginning.
            self.matched = usize::from(piece[0] == MARK[0]);
            return &piece[1..];
        }
        self.matched += 1;
        if self.matched == MARK.len() {
            (self.matched, self.number) = (0, Some(0));
        }
        &piece[1..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_found_however_the_stream_is_cut() {
        let stream = br#"{"uid":"a","resourceVersion":"12"}{"resource":"","resourceVersion":"7","x":1}"#;
        for cut in 1..stream.len() {
            let follower = Follower::default();
            let found: u64 = stream.chunks(cut).map(|piece| follower.feed(piece)).sum();
            let seen = follower.seen();
            assert_eq!(
                (found, seen.count, seen.sum, seen.last, seen.disorder),
                (2, 2, 19, 7, 1),
                "cut {cut}"
            );
        }
    }
}
