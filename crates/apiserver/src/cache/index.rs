//! The sorted keys of one collection: cheap to copy as a whole, cheap to change one key of.
//!
//! Entries stand in small sorted chunks below one spine. A copy shares everything; a change after a copy clones the
//! spine and one chunk. So a list or a page holds on to the state it began with, however long it takes to send.

use std::sync::Arc;

use super::entry::Entry;

/// Entries per chunk before it is split: small enough to copy in passing, large enough for a short spine.
const CHUNK: usize = 64;

type Chunk = Vec<Arc<Entry>>;

/// An ordered map from key to entry.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// No chunk is empty.
    chunks: Arc<Vec<Arc<Chunk>>>,
    len: usize,
}

impl Index {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The entry at `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        chunk.binary_search_by(|entry| entry.key().cmp(key)).ok().map(|at| &chunk[at])
    }

    /// Puts an entry at its key and returns the one that stood there.
    pub fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let spine = Arc::make_mut(&mut self.chunks);
        if spine.is_empty() {
            spine.push(Arc::new(vec![entry]));
            self.len = 1;
            return None;
        }
        let at = spine.partition_point(|chunk| last_key(chunk) < entry.key()).min(spine.len() - 1);
        let chunk = Arc::make_mut(&mut spine[at]);
        match chunk.binary_search_by(|other| other.key().cmp(entry.key())) {
            Ok(position) => Some(std::mem::replace(&mut chunk[position], entry)),
            Err(position) => {
                chunk.insert(position, entry);
                self.len += 1;
                if chunk.len() > CHUNK {
                    // Keys often arrive in order; a full chunk then stays nearly full.
                    let keep = if at + 1 == spine.len() { CHUNK } else { CHUNK / 2 };
                    let rest = Arc::make_mut(&mut spine[at]).split_off(keep);
                    spine.insert(at + 1, Arc::new(rest));
                }
                None
            }
        }
    }

    /// Takes the entry at `key` away.
    pub fn remove(&mut self, key: &str) -> Option<Arc<Entry>> {
        let at = self.chunk_of(key);
        let position = self.chunks.get(at)?.binary_search_by(|entry| entry.key().cmp(key)).ok()?;
        let spine = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut spine[at]);
        let removed = chunk.remove(position);
        if chunk.is_empty() {
            spine.remove(at);
        }
        self.len -= 1;
        Some(removed)
    }

    /// Walks the entries from `start` on, in order.
    pub fn starting_at(&self, start: &str) -> Walk {
        let chunk = self.chunk_of(start);
        let position =
            self.chunks.get(chunk).map_or(0, |entries| entries.partition_point(|entry| entry.key() < start));
        Walk { chunks: self.chunks.clone(), chunk, position }
    }

    /// How many entries lie in `start..end`; an empty `end` means all from `start` on.
    pub fn count(&self, start: &str, end: &str) -> usize {
        let until = if end.is_empty() { self.len } else { self.rank(end) };
        until.saturating_sub(self.rank(start))
    }

    fn rank(&self, key: &str) -> usize {
        let at = self.chunk_of(key);
        let before: usize = self.chunks[..at].iter().map(|chunk| chunk.len()).sum();
        let within = self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(|entry| entry.key() < key));
        before + within
    }

    /// The first chunk that may hold `key`.
    fn chunk_of(&self, key: &str) -> usize {
        self.chunks.partition_point(|chunk| last_key(chunk) < key)
    }
}

fn last_key(chunk: &Chunk) -> &str {
    chunk.last().map_or("", |entry| entry.key())
}

/// The entries of an [`Index`] as it was when the walk began.
#[derive(Clone, Debug)]
pub struct Walk {
    chunks: Arc<Vec<Arc<Chunk>>>,
    chunk: usize,
    position: usize,
}

impl Iterator for Walk {
    type Item = Arc<Entry>;

    fn next(&mut self) -> Option<Arc<Entry>> {
        loop {
            let chunk = self.chunks.get(self.chunk)?;
            if let Some(entry) = chunk.get(self.position) {
                self.position += 1;
                return Some(entry.clone());
            }
            self.chunk += 1;
            self.position = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use env::Entropy;

    use super::*;

    fn keys(walk: Walk) -> Vec<String> {
        walk.map(|entry| entry.key().to_owned()).collect()
    }

    #[test]
    fn behaves_as_an_ordered_map_under_random_changes() {
        let entropy = Entropy::from_seed(11);
        let mut model = BTreeMap::new();
        let mut index = Index::default();
        for step in 0..20_000u64 {
            let key = format!("ns{}/p{}", entropy.below(7), entropy.below(400));
            if entropy.below(3) == 0 {
                assert_eq!(index.remove(&key).is_some(), model.remove(&key).is_some());
            } else {
                let entry = Arc::new(Entry::for_test(&key, step));
                assert_eq!(index.insert(entry).is_some(), model.insert(key, step).is_some());
            }
            assert_eq!(index.len(), model.len());
        }
        assert_eq!(keys(index.starting_at("")), model.keys().cloned().collect::<Vec<_>>());
        for start in ["", "ns3/", "ns3/p2", "ns6/p399", "zz"] {
            let expected: Vec<String> = model.range(start.to_owned()..).map(|(key, _)| key.clone()).collect();
            assert_eq!(index.count(start, ""), expected.len());
            assert_eq!(keys(index.starting_at(start)), expected);
        }
        assert_eq!(index.count("ns2/", "ns20"), model.range("ns2/".to_owned().."ns20".to_owned()).count());
        for (key, step) in &model {
            assert_eq!(index.get(key).map(|entry| entry.revision()), Some(*step));
        }
        assert!(index.get("ns9/none").is_none());
    }

    #[test]
    fn a_copy_does_not_change_with_its_original() {
        let mut index = Index::default();
        for number in 0..200 {
            index.insert(Arc::new(Entry::for_test(&format!("{number:04}"), number)));
        }
        let copy = index.clone();
        for number in 0..200 {
            index.remove(&format!("{number:04}"));
        }
        assert_eq!(index.len(), 0);
        assert_eq!(copy.len(), 200);
        assert_eq!(keys(copy.starting_at("0190")).len(), 10);
        assert!(index.starting_at("").next().is_none());
    }
}
