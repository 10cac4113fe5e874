//! One watcher: reads nothing of its events but their revisions, so that ten thousand of them leave the server its cores.

use memchr::memmem::Finder;

/// What stands before the revision of an object; nothing else in an event looks so.
const MARK: &[u8] = b"\"resourceVersion\":\"";

/// What finds revisions. To prepare it costs more than to use it once.
#[derive(Debug)]
pub struct Mark(Finder<'static>);

/// A watcher.
#[derive(Debug, Default)]
pub struct Follower {
    seen: Seen,
    /// How much of the mark was read.
    matched: usize,
    /// The revision that is being read.
    number: Option<u64>,
}

/// What a watcher saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

impl Default for Mark {
    fn default() -> Mark {
        Mark(Finder::new(MARK))
    }
}

impl Seen {
    /// Takes a revision in.
    pub fn add(&mut self, revision: u64) {
        self.disorder += u64::from(revision <= self.last);
        self.last = revision;
        self.count += 1;
        self.sum = self.sum.wrapping_add(revision);
    }
}

impl Follower {
    /// Reads a piece of the stream; how many events it had.
    pub fn feed(&mut self, mark: &Mark, piece: &[u8]) -> u64 {
        let before = self.seen.count;
        let mut rest = piece;
        while !rest.is_empty() {
            rest = if self.number.is_some() {
                self.read_number(rest)
            } else if self.matched > 0 {
                self.match_on(rest)
            } else {
                self.search(mark, rest)
            };
        }
        self.seen.count - before
    }

    /// The watch ended.
    pub fn close(&mut self) {
        self.seen.closed = true;
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    fn read_number<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let digits = piece.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = piece[..digits].iter().fold(self.number.unwrap_or_default(), |number, digit| {
            number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
        });
        self.number = Some(number);
        if digits < piece.len() {
            self.seen.add(number);
            self.number = None;
        }
        &piece[digits..]
    }

    /// Goes on in the midst of the mark.
    fn match_on<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if piece[0] == MARK[self.matched] {
            self.matched += 1;
            if self.matched == MARK.len() {
                (self.matched, self.number) = (0, Some(0));
            }
        } else {
            // A quote may begin the mark anew; what follows a quote within the mark does not.
            self.matched = usize::from(piece[0] == MARK[0]);
        }
        &piece[1..]
    }

    fn search<'a>(&mut self, mark: &Mark, piece: &'a [u8]) -> &'a [u8] {
        if let Some(at) = mark.0.find(piece) {
            self.number = Some(0);
            return &piece[at + MARK.len()..];
        }
        self.matched = begun(piece);
        &[]
    }
}

/// How much of the mark stands at the end of a piece that does not have all of it.
fn begun(piece: &[u8]) -> usize {
    // Most pieces are whole lines.
    if piece.last() == Some(&b'\n') {
        return 0;
    }
    let longest = piece.len().min(MARK.len() - 1);
    (1..=longest).rev().find(|length| piece.ends_with(&MARK[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_found_however_the_stream_is_cut() {
        let stream = b"{\"uid\":\"a\",\"resourceVersion\":\"12\"}\n\
            {\"resource\":\"\",\"resourceVersion\":\"7\",\"x\":1}\n";
        let mark = Mark::default();
        let expected = Seen { count: 2, sum: 19, last: 7, disorder: 1, closed: false };
        for cut in 1..=stream.len() {
            let mut follower = Follower::default();
            let found: u64 = stream.chunks(cut).map(|piece| follower.feed(&mark, piece)).sum();
            assert_eq!((found, follower.seen()), (2, expected), "cut {cut}");
            let mut follower = Follower::default();
            let (before, after) = stream.split_at(cut);
            let found = follower.feed(&mark, before) + follower.feed(&mark, after);
            assert_eq!((found, follower.seen()), (2, expected), "cut at {cut}");
        }
    }
}
