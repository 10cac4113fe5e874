//! A map that forgets what was not touched for longest.

use std::collections::BTreeMap;

/// As many as upstream keeps.
const CAPACITY: usize = 4_096;

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    serial: u64,
    values: BTreeMap<K, (u64, V)>,
    ages: BTreeMap<u64, K>,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    pub(super) fn new() -> Recent<K, V> {
        Recent { serial: 0, values: BTreeMap::new(), ages: BTreeMap::new() }
    }

    /// The value of `key`, made by `make` if there is none.
    pub(super) fn touch(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        self.serial += 1;
        let serial = self.serial;
        if let Some((age, _)) = self.values.get(key) {
            self.ages.remove(age);
        } else if self.values.len() >= CAPACITY
            && let Some((_, oldest)) = self.ages.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.ages.insert(serial, key.clone());
        let entry = self.values.entry(key.clone()).or_insert_with(|| (serial, make()));
        entry.0 = serial;
        &mut entry.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_touched_goes_first() {
        let mut recent = Recent::new();
        for key in 0..CAPACITY {
            recent.touch(&key, || key);
        }
        recent.touch(&0, || 7);
        recent.touch(&CAPACITY, || CAPACITY);
        assert_eq!(*recent.touch(&0, || 99), 0);
        assert_eq!(*recent.touch(&1, || 99), 99, "it was the oldest and was forgotten");
    }
}
