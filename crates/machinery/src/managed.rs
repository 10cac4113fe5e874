//! `managedFields`, as objects share them: nearly half of what an object weighs, and often the same in many of them (the
//! pods of a deployment, say). Each distinct list is kept once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// A list of managed fields: its JSON, and its protobuf once somebody asked for that.
#[derive(Debug)]
pub struct ManagedFields {
    json: Box<[u8]>,
    message: OnceLock<Box<[u8]>>,
}

impl ManagedFields {
    /// From the JSON of the list (`[…]`).
    pub fn new(json: &[u8]) -> Arc<ManagedFields> {
        Arc::new(ManagedFields { json: json.into(), message: OnceLock::new() })
    }

    /// The list as JSON (`[…]`).
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The list as it stands in the protobuf of metadata; `make` runs once.
    pub fn message(&self, make: impl FnOnce(&[u8]) -> Box<[u8]>) -> &[u8] {
        self.message.get_or_init(|| make(&self.json))
    }
}

impl PartialEq for ManagedFields {
    fn eq(&self, other: &ManagedFields) -> bool {
        self.json == other.json
    }
}

/// The lists that are in use.
#[derive(Debug, Default)]
pub struct Pool {
    known: Mutex<Known>,
}

/// By a hash of their JSON. Two lists with the same hash are not shared; one of them is forgotten.
#[derive(Debug, Default)]
struct Known {
    lists: HashMap<u64, Weak<ManagedFields>>,
    /// How many there may be before those that nobody uses any more are looked for.
    sweep_at: usize,
}

/// So many lists may be forgotten and still stand in the pool.
const SLACK: usize = 1_024;

impl Pool {
    /// The list with this JSON that all share.
    pub fn share(&self, json: &[u8]) -> Arc<ManagedFields> {
        let hash = hash(json);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = known.lists.get(&hash).and_then(Weak::upgrade)
            && *shared.json == *json
        {
            return shared;
        }
        let list = ManagedFields::new(json);
        if known.lists.len() >= known.sweep_at {
            known.lists.retain(|_, list| list.strong_count() > 0);
            known.sweep_at = known.lists.len() * 2 + SLACK;
        }
        known.lists.insert(hash, Arc::downgrade(&list));
        list
    }
}

/// Fast, and good enough for what is compared afterwards.
fn hash(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(PRIME);
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_kept_once_and_only_while_somebody_uses_them() {
        let pool = Pool::default();
        let first = pool.share(b"[1]");
        assert!(Arc::ptr_eq(&first, &pool.share(b"[1]")));
        assert!(!Arc::ptr_eq(&first, &pool.share(b"[2]")));
        for number in 0..10 * SLACK {
            pool.share(number.to_string().as_bytes());
        }
        assert!(pool.known.lock().unwrap().lists.len() <= 2 * SLACK + 4);
        assert!(Arc::ptr_eq(&first, &pool.share(b"[1]")), "what is used is not swept away");
    }

    #[test]
    fn hashes_differ_where_any_byte_does() {
        let base: Vec<u8> = (0..37).collect();
        let mut seen = std::collections::BTreeSet::from([hash(&base), hash(&base[..36])]);
        for at in 0..base.len() {
            let mut other = base.clone();
            other[at] ^= 1;
            assert!(seen.insert(hash(&other)), "{at}");
        }
    }
}
