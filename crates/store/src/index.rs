//! The newest state: every key in order, with where its value is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use crate::Revision;
use crate::row::{Row, RowId};

/// What is known of a key without reading the log.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// The row that wrote the value.
    pub(crate) id: RowId,
    /// The revision that created the key.
    pub(crate) created: Revision,
    /// When the key goes by itself, in seconds since the epoch; zero for never.
    pub(crate) expires: u32,
    /// The length of the value.
    pub(crate) length: u32,
    /// The value, if it was written so lately that it is still in memory.
    pub(crate) value: Option<Bytes>,
}

/// Every key that exists, in byte order.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: BTreeMap<Box<[u8]>, Slot>,
    /// Keys that go by themselves, soonest first.
    expiring: BTreeSet<(u32, Box<[u8]>)>,
}

impl Slot {
    /// What a row leaves behind; the value only if it is handed over.
    pub(crate) fn of(row: &Row, length: usize) -> Slot {
        Slot {
            id: row.id,
            created: row.created,
            expires: row.expires,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            value: row.value.clone(),
        }
    }
}

impl Index {
    /// How a key stands.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Slot> {
        self.slots.get(key)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Keys from `start`, inclusive, to `end`, exclusive (empty: no end).
    pub(crate) fn range(&self, start: &[u8], end: &[u8]) -> impl Iterator<Item = (&[u8], &Slot)> {
        let upper = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        // An empty span must not reach the map, which takes it for a defect of the caller.
        let empty = !end.is_empty() && start >= end;
        let bounds =
            if empty { (Bound::Excluded(end), Bound::Unbounded) } else { (Bound::Included(start), upper) };
        let limit = if empty { 0 } else { usize::MAX };
        self.slots.range::<[u8], _>(bounds).take(limit).map(|(key, slot)| (&**key, slot))
    }

    /// Sets a key and returns what it held.
    pub(crate) fn put(&mut self, key: &[u8], slot: Slot) -> Option<Slot> {
        let expires = slot.expires;
        // Looked for once: that takes longer than to make a key that may turn out not to be needed.
        let before = self.slots.insert(key.into(), slot);
        let expired_before = before.as_ref().map_or(0, |before| before.expires);
        if expired_before != expires {
            self.forget_expiry(expired_before, key);
            if expires != 0 {
                self.expiring.insert((expires, key.into()));
            }
        }
        before
    }

    /// Removes a key and returns what it held.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Slot> {
        let before = self.slots.remove(key)?;
        self.forget_expiry(before.expires, key);
        Some(before)
    }

    /// Lets go of a value in memory, if the key still stands as that row left it.
    pub(crate) fn cool(&mut self, key: &[u8], id: RowId) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.id == id
        {
            slot.value = None;
        }
    }

    /// At most `limit` keys whose time is over, with the revision that wrote them.
    pub(crate) fn expired(&self, now: u32, limit: usize) -> Vec<(Bytes, Revision)> {
        let due = self.expiring.iter().take_while(|(expires, _)| *expires <= now).take(limit);
        due.filter_map(|(_, key)| {
            let slot = self.slots.get(key)?;
            Some((Bytes::copy_from_slice(key), slot.id.revision()))
        })
        .collect()
    }

    fn forget_expiry(&mut self, expires: u32, key: &[u8]) {
        if expires != 0 {
            self.expiring.remove(&(expires, key.into()));
        }
    }
}
