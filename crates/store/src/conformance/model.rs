//! Random histories beside a model that is too simple to be wrong.

use std::collections::BTreeMap;

use env::Entropy;

use super::*;

/// How many histories each run tries. Each has its seed in the failure's message.
const HISTORIES: u64 = 30;
const STEPS: u64 = 120;

/// Every state there ever was, and every event.
#[derive(Default)]
struct Model {
    states: Vec<BTreeMap<Bytes, KeyValue>>,
    events: Vec<Event>,
    compacted: Revision,
    numbers_apart: bool,
}

impl Model {
    fn newest(&self) -> &BTreeMap<Bytes, KeyValue> {
        self.states.last().expect("a model begins with an empty state")
    }

    fn revision(&self) -> Revision {
        self.states.len() as Revision - 1
    }

    fn commit(&mut self, txn: &Txn) -> Outcome {
        for (guard, check) in txn.guards.iter().enumerate() {
            let (key, holds) = match check {
                Guard::Absent(key) => (key, !self.newest().contains_key(key)),
                Guard::ModifiedAt(key, revision) => {
                    (key, self.newest().get(key).is_some_and(|held| held.modified == *revision))
                }
            };
            if !holds {
                return Outcome::Conflict { guard, current: self.newest().get(key).cloned() };
            }
        }
        let parts = if self.numbers_apart {
            vec![txn.before.clone(), txn.writes.clone()]
        } else {
            vec![txn.all_writes().cloned().collect()]
        };
        for writes in &parts {
            self.write(writes);
        }
        Outcome::Committed(self.revision())
    }

    /// What happens at one revision.
    fn write(&mut self, writes: &[Write]) {
        let revision = self.revision() + 1;
        let mut state = self.newest().clone();
        let mut events = Vec::new();
        for write in writes {
            match write {
                Write::Put { key, value, .. } => {
                    let before = state.get(key);
                    let created = before.map_or(revision, |held| held.created);
                    let previous = before.map(|held| held.modified);
                    let held =
                        KeyValue { key: key.clone(), value: value.clone(), created, modified: revision };
                    state.insert(key.clone(), held.clone());
                    events.push(Event { revision, key: key.clone(), value: Some(held), previous });
                }
                Write::Delete(key) => {
                    let Some(held) = state.remove(key) else { continue };
                    events.push(Event {
                        revision,
                        key: key.clone(),
                        value: None,
                        previous: Some(held.modified),
                    });
                }
            }
        }
        if !events.is_empty() {
            self.events.extend(events);
            self.states.push(state);
        }
    }

    fn range(&self, query: &Query) -> Result<Page, StoreError> {
        let revision = query.revision.unwrap_or(self.revision());
        if revision < self.compacted {
            return Err(StoreError::Compacted { asked: revision, oldest: self.compacted });
        }
        if revision > self.revision() {
            return Err(StoreError::Future { asked: revision, newest: self.revision() });
        }
        let state = &self.states[revision as usize];
        let inside = |key: &Bytes| *key >= query.start && (query.end.is_empty() || *key < query.end);
        let mut items: Vec<KeyValue> = state.values().filter(|held| inside(&held.key)).cloned().collect();
        let more = query.limit != 0 && items.len() > query.limit;
        if more {
            items.truncate(query.limit);
        }
        Ok(Page { items, more, revision })
    }
}

fn key(entropy: &Entropy) -> Bytes {
    let letter = |count| char::from(b'a' + entropy.below(count) as u8);
    bytes(&format!("/{}/{}", letter(3), letter(4)))
}

fn transaction(entropy: &Entropy, model: &Model) -> Txn {
    let mut writes = BTreeMap::new();
    for _ in 0..entropy.below(4) {
        let key = key(entropy);
        let write = if entropy.below(3) == 0 {
            Write::Delete(key.clone())
        } else {
            let value = Bytes::from(vec![b'v'; entropy.below(40) as usize]);
            Write::Put { key: key.clone(), value, ttl_secs: None }
        };
        writes.insert(key, write);
    }
    let guards = (0..entropy.below(3)).map(|_| {
        let key = key(entropy);
        match model.newest().get(&key) {
            // Mostly guards that hold, some that do not.
            Some(held) if entropy.below(5) > 0 => Guard::ModifiedAt(key, held.modified),
            Some(_) => Guard::Absent(key),
            None if entropy.below(5) > 0 => Guard::Absent(key),
            None => Guard::ModifiedAt(key, entropy.below(10)),
        }
    });
    let guards = guards.collect();
    let mut writes: Vec<Write> = writes.into_values().collect();
    let before = if entropy.below(3) == 0 { writes.split_off(writes.len() / 2) } else { Vec::new() };
    Txn { guards, writes, before }
}

fn query(entropy: &Entropy, model: &Model) -> Query {
    let prefix = ["", "/a/", "/b/", "/c", "/b/a"][entropy.below(5) as usize];
    let revision = (entropy.below(2) == 0).then(|| entropy.below(model.revision() + 3));
    let start = if entropy.below(4) == 0 { key(entropy) } else { bytes(prefix) };
    Query { start, limit: entropy.below(4) as usize, revision, ..Query::prefix(prefix.as_bytes()) }
}

pub(crate) async fn random_histories_match_the_model<B: Backend>() {
    for seed in 0..HISTORIES {
        let entropy = Entropy::from_seed(seed);
        let hot_bytes = [0, 1000, 1 << 20][entropy.below(3) as usize];
        let backend = B::make(Options { hot_bytes, ..tight() }).await;
        let store = backend.store();
        let mut model =
            Model { states: vec![BTreeMap::new()], numbers_apart: B::NUMBERS_APART, ..Model::default() };
        for step in 0..STEPS {
            let at = format!("seed {seed}, step {step}");
            match entropy.below(10) {
                0..6 => {
                    let txn = transaction(&entropy, &model);
                    assert_eq!(store.commit(txn.clone()).await, Ok(model.commit(&txn)), "{at}: {txn:?}");
                }
                6..8 => {
                    let query = query(&entropy, &model);
                    let (found, expected) = (store.range(query.clone()).await, model.range(&query));
                    match (found, expected) {
                        (Ok(found), Ok(expected)) => {
                            assert_eq!(found.items, expected.items, "{at}: {query:?}");
                            assert_eq!(
                                (found.more, found.revision),
                                (expected.more, expected.revision),
                                "{at}"
                            );
                        }
                        (found, expected) => {
                            assert_eq!(found.err(), expected.err(), "{at}: {query:?}");
                        }
                    }
                }
                8 => {
                    // The newest revision is always told to who watches everything.
                    let all = !backend.tells_progress().await;
                    let prefix = if all { "" } else { ["", "/a/", "/b/"][entropy.below(3) as usize] };
                    follow(store, &model, (&entropy, prefix), &at).await;
                }
                _ => {
                    let revision =
                        model.compacted + entropy.below(model.revision() - model.compacted + 1) / 2;
                    assert_eq!(store.compact(revision).await, Ok(()), "{at}");
                    model.compacted = revision;
                }
            }
        }
    }
}

async fn follow(store: &dyn Store, model: &Model, (entropy, prefix): (&Entropy, &str), at: &str) {
    let after = model.compacted + entropy.below(model.revision() - model.compacted + 1);
    let prefix = bytes(prefix);
    let mut watch = store.watch(prefix.clone(), after).await.expect("a watch of retained history");
    let events = events_until(&mut *watch, model.revision()).await;
    let wanted = model.events.iter().filter(|event| event.revision > after && event.key.starts_with(&prefix));
    assert_eq!(events, wanted.cloned().collect::<Vec<_>>(), "{at}: after {after}");
}
