//! The messages of etcd's API that the store uses, with the numbers of their fields.

use bytes::Bytes;

use crate::etcd::wire::{Malformed, Reader, Writer};

/// A key as etcd has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) lease: i64,
}

/// Which keys to read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Range<'a> {
    pub(crate) key: &'a [u8],
    /// Empty: one key only.
    pub(crate) end: &'a [u8],
    pub(crate) limit: i64,
    /// Zero: the newest.
    pub(crate) revision: i64,
}

impl Range<'_> {
    /// The request.
    pub(crate) fn message(self) -> Writer {
        let request = Writer::default().bytes(1, self.key).bytes(2, self.end);
        request.number(3, self.limit).number(4, self.revision)
    }

    /// The request as a part of a transaction.
    pub(crate) fn operation(self) -> Writer {
        Writer::default().message(1, &self.message())
    }
}

/// Sets a key, as a part of a transaction.
pub(crate) fn put_operation(key: &[u8], value: &[u8], lease: i64) -> Writer {
    let put = Writer::default().bytes(1, key).bytes(2, value).number(3, lease);
    Writer::default().message(2, &put)
}

/// Removes a key, as a part of a transaction.
pub(crate) fn delete_operation(key: &[u8]) -> Writer {
    Writer::default().message(3, &Writer::default().bytes(1, key))
}

/// Whether a key was last written at a revision; zero: whether it does not exist.
pub(crate) fn modified_at(key: &[u8], revision: i64) -> Writer {
    const TARGET_MODIFIED: i64 = 2;
    Writer::default().number(2, TARGET_MODIFIED).bytes(3, key).choice(6, revision)
}

/// A transaction: what must hold, what happens then, and what is read otherwise.
pub(crate) fn transaction(compares: &[Writer], success: &[Writer], failure: &[Writer]) -> Writer {
    let parts = [(1, compares), (2, success), (3, failure)];
    let parts = parts.into_iter().flat_map(|(field, parts)| parts.iter().map(move |part| (field, part)));
    parts.fold(Writer::default(), |request, (field, part)| request.message(field, part))
}

/// Begins a watch of keys from a revision on: whole transactions with what each event replaced, in pieces if they are
/// large, and a word from time to time when there are none.
pub(crate) fn watch(key: &[u8], end: &[u8], start: i64) -> Writer {
    let create = Writer::default().bytes(1, key).bytes(2, end).number(3, start);
    Writer::default().message(1, &create.flag(4, true).flag(6, true).flag(8, true))
}

/// Asks a watch's stream up to where everything was sent.
pub(crate) fn progress() -> Writer {
    Writer::default().message(3, &Writer::default())
}

/// The answer to a [`Range`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) revision: i64,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) more: bool,
}

impl Found {
    pub(crate) fn read(message: Bytes) -> Result<Found, Malformed> {
        let mut found = Found::default();
        let mut fields = Reader::new(message);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => found.revision = revision(value.bytes())?,
                2 => found.pairs.push(pair(value.bytes())?),
                3 => found.more = value.number() != 0,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The answer to a [`transaction`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Decided {
    pub(crate) revision: i64,
    pub(crate) succeeded: bool,
    /// What was read, in the order asked.
    pub(crate) found: Vec<Found>,
}

impl Decided {
    pub(crate) fn read(message: Bytes) -> Result<Decided, Malformed> {
        let mut decided = Decided::default();
        let mut fields = Reader::new(message);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => decided.revision = revision(value.bytes())?,
                2 => decided.succeeded = value.number() != 0,
                3 => {
                    let mut operation = Reader::new(value.bytes());
                    while let Some((kind, answer)) = operation.next()? {
                        if kind == 1 {
                            decided.found.push(Found::read(answer.bytes())?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(decided)
    }
}

/// One change, as a watch tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) deleted: bool,
    pub(crate) pair: Pair,
    /// When what this replaced was written.
    pub(crate) previous: Option<i64>,
}

/// What comes on the stream of a watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) revision: i64,
    pub(crate) created: bool,
    pub(crate) canceled: bool,
    /// If not zero: the watch began before this revision, which is the oldest.
    pub(crate) compacted: i64,
    pub(crate) reason: String,
    /// More of the same transactions follows.
    pub(crate) fragment: bool,
    pub(crate) changes: Vec<Change>,
}

impl Told {
    pub(crate) fn read(message: Bytes) -> Result<Told, Malformed> {
        let mut told = Told::default();
        let mut fields = Reader::new(message);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => told.revision = revision(value.bytes())?,
                3 => told.created = value.number() != 0,
                4 => told.canceled = value.number() != 0,
                5 => told.compacted = value.number(),
                6 => told.reason = String::from_utf8_lossy(&value.bytes()).into_owned(),
                7 => told.fragment = value.number() != 0,
                11 => told.changes.push(change(value.bytes())?),
                _ => {}
            }
        }
        Ok(told)
    }
}

/// Asks for a lease of so many seconds.
pub(crate) fn grant(seconds: i64) -> Writer {
    Writer::default().number(1, seconds)
}

/// Asks how long a lease lasts.
pub(crate) fn time_to_live(lease: i64) -> Writer {
    Writer::default().number(1, lease)
}

/// A lease as it was granted, or as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leased {
    pub(crate) id: i64,
    pub(crate) seconds: i64,
}

impl Leased {
    pub(crate) fn read(message: Bytes) -> Result<Leased, Malformed> {
        let mut leased = Leased::default();
        let mut fields = Reader::new(message);
        while let Some((field, value)) = fields.next()? {
            match field {
                2 => leased.id = value.number(),
                3 => leased.seconds = value.number(),
                _ => {}
            }
        }
        Ok(leased)
    }
}

/// Asks to forget what was before a revision.
pub(crate) fn compaction(revision: i64) -> Writer {
    Writer::default().number(1, revision)
}

/// The version in a member's word about itself.
pub(crate) fn version(message: Bytes) -> Result<String, Malformed> {
    let mut fields = Reader::new(message);
    while let Some((field, value)) = fields.next()? {
        if field == 2 {
            return Ok(String::from_utf8_lossy(&value.bytes()).into_owned());
        }
    }
    Ok(String::new())
}

/// The revision in the head of an answer.
fn revision(head: Bytes) -> Result<i64, Malformed> {
    let mut fields = Reader::new(head);
    let mut revision = 0;
    while let Some((field, value)) = fields.next()? {
        if field == 3 {
            revision = value.number();
        }
    }
    Ok(revision)
}

fn pair(message: Bytes) -> Result<Pair, Malformed> {
    let mut pair = Pair::default();
    let mut fields = Reader::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => pair.key = value.bytes(),
            2 => pair.created = value.number(),
            3 => pair.modified = value.number(),
            5 => pair.value = value.bytes(),
            6 => pair.lease = value.number(),
            _ => {}
        }
    }
    Ok(pair)
}

fn change(message: Bytes) -> Result<Change, Malformed> {
    let mut change = Change::default();
    let mut fields = Reader::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => change.deleted = value.number() == 1,
            2 => change.pair = pair(value.bytes())?,
            3 => change.previous = Some(pair(value.bytes())?.modified),
            _ => {}
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of a frame.
    fn message(writer: &Writer) -> Bytes {
        writer.framed().slice(5..)
    }

    fn head(revision: i64) -> Writer {
        Writer::default().number(1, 77).number(2, 88).number(3, revision).number(4, 2)
    }

    fn stored(key: &[u8], modified: i64) -> Writer {
        let pair = Writer::default().bytes(1, key).number(2, 3).number(3, modified);
        pair.number(4, 2).bytes(5, b"value").number(6, 9)
    }

    fn expected(key: &'static [u8], modified: i64) -> Pair {
        let (key, value) = (Bytes::from_static(key), Bytes::from_static(b"value"));
        Pair { key, value, created: 3, modified, lease: 9 }
    }

    #[test]
    fn answers_are_read() {
        let range = Writer::default().message(1, &head(12)).message(2, &stored(b"a", 4)).flag(3, true);
        let found = Found::read(message(&range)).expect("well formed");
        assert_eq!((found.revision, found.more, found.pairs), (12, true, vec![expected(b"a", 4)]));

        let operation = Writer::default().message(1, &Writer::default().message(2, &stored(b"b", 5)));
        let nothing = Writer::default().message(1, &Writer::default());
        let answer = Writer::default().message(1, &head(13)).message(3, &operation).message(3, &nothing);
        let decided = Decided::read(message(&answer)).expect("well formed");
        assert_eq!((decided.revision, decided.succeeded, decided.found.len()), (13, false, 2));
        assert_eq!((&decided.found[0].pairs, &decided.found[1].pairs), (&vec![expected(b"b", 5)], &vec![]));

        let deletion =
            Writer::default().number(1, 1).message(2, &Writer::default().bytes(1, b"c").number(3, 6));
        let deletion = deletion.message(3, &stored(b"c", 5));
        let told = Writer::default().message(1, &head(6)).flag(7, true).message(11, &deletion);
        let told = Told::read(message(&told)).expect("well formed");
        assert_eq!((told.revision, told.fragment, told.created, told.canceled), (6, true, false, false));
        let [change] = &told.changes[..] else { panic!("one change") };
        assert_eq!((change.deleted, change.pair.modified, change.previous), (true, 6, Some(5)));

        let refused = Writer::default().flag(4, true).number(5, 40).bytes(6, b"why");
        let told = Told::read(message(&refused)).expect("well formed");
        assert_eq!((told.canceled, told.compacted, told.reason.as_str()), (true, 40, "why"));

        let granted = Writer::default().message(1, &head(1)).number(2, 5).number(3, 60);
        let leased = Leased::read(message(&granted)).expect("well formed");
        assert_eq!((leased.id, leased.seconds), (5, 60));
        let status = Writer::default().message(1, &head(1)).bytes(2, b"3.6.1").number(3, 1000);
        assert_eq!(version(message(&status)).as_deref(), Ok("3.6.1"));
    }

    #[test]
    fn a_transaction_keeps_its_parts_apart() {
        let compares = [modified_at(b"k", 0)];
        let request = transaction(
            &compares,
            &[put_operation(b"k", b"", 0), delete_operation(b"l")],
            &[Range { key: b"k", limit: 1, ..Range::default() }.operation()],
        );
        let expected = [
            &b"\x0a\x07\x10\x02\x1a\x01k\x30\x00"[..],
            b"\x12\x05\x12\x03\x0a\x01k",
            b"\x12\x05\x1a\x03\x0a\x01l",
            b"\x1a\x07\x0a\x05\x0a\x01k\x18\x01",
        ];
        assert_eq!(message(&request), expected.concat());
    }

    #[test]
    fn a_watch_says_where_it_begins_and_progress_is_asked_for_by_an_empty_message() {
        assert_eq!(
            message(&watch(b"a", b"b", 5)),
            &b"\x0a\x0e\x0a\x01a\x12\x01b\x18\x05\x20\x01\x30\x01\x40\x01"[..]
        );
        assert_eq!(message(&progress()), &b"\x1a\x00"[..]);
    }
}
