//! The keys that plugins opened, as long as they may be needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::envelope::Digest;
use super::key::Key;

/// How long a key is kept after it was opened. There is one for each key of the plugin and each start of a server.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// How many are kept at most: more than anybody has who rewrites values now and then.
const MOST: usize = 4096;

/// A key, and what tells values that it sealed from others.
#[derive(Debug)]
pub struct Held {
    /// The key.
    pub key: Key,
    /// What tells its values from others.
    pub mark: Bytes,
}

/// Opened keys, by the hash of what names them.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: BTreeMap<Digest, (Duration, Arc<Held>)>,
}

impl Keyring {
    /// A key that was opened.
    pub fn get(&self, digest: &Digest) -> Option<Arc<Held>> {
        // However old: it cannot have changed.
        self.keys.get(digest).map(|(_, held)| held.clone())
    }

    /// Keeps a key, and lets go of old ones.
    pub fn keep(&mut self, digest: Digest, held: Arc<Held>, now: Duration) {
        self.keys.retain(|_, (since, _)| *since + KEEP > now);
        if self.keys.len() >= MOST {
            let oldest = self.keys.iter().min_by_key(|(_, (since, _))| *since).map(|(digest, _)| *digest);
            oldest.and_then(|oldest| self.keys.remove(&oldest));
        }
        self.keys.insert(digest, (now, held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Arc<Held> {
        Arc::new(Held { key: Key::random().unwrap(), mark: Bytes::new() })
    }

    #[test]
    fn keys_are_kept_for_a_day_and_are_never_too_many() {
        let mut keyring = Keyring::default();
        keyring.keep([1; 32], held(), Duration::ZERO);
        keyring.keep([2; 32], held(), KEEP - Duration::from_secs(1));
        assert!(keyring.get(&[1; 32]).is_some() && keyring.get(&[3; 32]).is_none());
        keyring.keep([3; 32], held(), KEEP);
        assert!(keyring.get(&[1; 32]).is_none() && keyring.get(&[2; 32]).is_some());
        for number in 0..MOST + 7 {
            let mut digest = [9; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            keyring.keep(digest, held(), KEEP + Duration::from_secs(number as u64));
        }
        assert_eq!(keyring.keys.len(), MOST);
        assert!(keyring.get(&[2; 32]).is_none(), "the oldest go first");
    }
}
