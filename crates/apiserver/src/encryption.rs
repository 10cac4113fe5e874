//! Encryption at rest: between the store and everything above it, which never sees a sealed value.
//!
//! Which kinds are sealed and with what keys is in a file, in upstream's form. The first provider that a kind has seals;
//! all of them open. A value that another key sealed is sealed anew when its object is written, whether or not it changed.

pub mod config;
mod provider;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use env::Env;
use store::{
    BoxFuture, Event, KeyValue, Outcome, Page, Query, Revision, Store, StoreError, Txn, Watch, WatchItem,
    Write,
};

use self::config::{ConfigError, Rules};
use crate::config::Source;

/// What every sealed value begins with.
const SEALED: &[u8] = b"k8s:enc:";
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A store whose values are sealed.
#[derive(Debug)]
pub struct Sealing {
    inner: Arc<dyn Store>,
    seals: Arc<Seals>,
}

/// How values are sealed, and how those that are stored are.
#[derive(Debug)]
pub struct Seals {
    rules: ArcSwap<Rules>,
    /// What the values of sealed keys begin with, as they are stored: it names provider and key.
    stored: Mutex<HashMap<Bytes, Bytes>>,
}

impl Sealing {
    /// Over a store.
    pub fn new(inner: Arc<dyn Store>, seals: &Arc<Seals>) -> Arc<Sealing> {
        Arc::new(Sealing { inner, seals: seals.clone() })
    }
}

impl Seals {
    /// By these rules.
    pub fn new(rules: Rules) -> Arc<Seals> {
        Arc::new(Seals { rules: ArcSwap::from_pointee(rules), stored: Mutex::default() })
    }

    /// Other rules hold from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    fn stored(&self) -> MutexGuard<'_, HashMap<Bytes, Bytes>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a value is stored otherwise than it would be written now.
    pub fn is_stale(&self, key: &[u8]) -> bool {
        let rules = self.rules.load();
        let Some(providers) = rules.of(key) else {
            return false;
        };
        let wanted = providers.first().map_or(&[][..], |provider| provider.prefix());
        self.stored().get(key).map_or(&[][..], |seal| seal.as_ref()) != wanted
    }

    fn seal(&self, key: &Bytes, value: Bytes) -> Result<Bytes, StoreError> {
        let rules = self.rules.load();
        let Some(provider) = rules.of(key).and_then(|providers| providers.first()) else {
            return Ok(value);
        };
        provider
            .seal(key, &value)
            .map(Bytes::from)
            .ok_or_else(|| StoreError::Unavailable { detail: "a value could not be encrypted".to_owned() })
    }

    /// Opens what was read. What no key opens is handed on as it is: nobody can read it, and nothing is lost.
    fn open(&self, mut pair: KeyValue) -> KeyValue {
        if !pair.value.starts_with(SEALED) {
            if self.rules.load().of(&pair.key).is_some() {
                self.stored().remove(&pair.key);
            }
            return pair;
        }
        let rules = self.rules.load();
        let opened = rules.of(&pair.key).into_iter().flatten().chain(rules.all()).find_map(|provider| {
            let plain = provider.open(&pair.key, &pair.value)?;
            Some((plain, Bytes::copy_from_slice(provider.prefix_of(&pair.value)?)))
        });
        match opened {
            Some((plain, seal)) => {
                self.stored().insert(pair.key.clone(), seal);
                pair.value = Bytes::from(plain);
            }
            None => {
                let key = String::from_utf8_lossy(&pair.key).into_owned();
                tracing::error!(key, "no key of the encryption configuration opens a stored value");
            }
        }
        pair
    }
}

impl Store for Sealing {
    fn commit(&self, mut txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move {
            for write in txn.before.iter_mut().chain(&mut txn.writes) {
                match write {
                    Write::Put { key, value, .. } => *value = self.seals.seal(key, std::mem::take(value))?,
                    Write::Delete(key) => {
                        self.seals.stored().remove(key);
                    }
                }
            }
            Ok(match self.inner.commit(txn).await? {
                Outcome::Conflict { guard, current } => {
                    Outcome::Conflict { guard, current: current.map(|pair| self.seals.open(pair)) }
                }
                committed => committed,
            })
        })
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>, StoreError>> {
        Box::pin(async move { Ok(self.inner.get(key).await?.map(|pair| self.seals.open(pair))) })
    }

    fn range(&self, query: Query) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(async move {
            let mut page = self.inner.range(query).await?;
            page.items = page.items.into_iter().map(|pair| self.seals.open(pair)).collect();
            Ok(page)
        })
    }

    fn watch(&self, prefix: Bytes, after: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move {
            let inner = self.inner.watch(prefix, after).await?;
            Ok(Box::new(Opened { inner, seals: self.seals.clone() }) as Box<dyn Watch>)
        })
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.inner.revision()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.compact(revision)
    }
}

/// A watch whose values are opened.
struct Opened {
    inner: Box<dyn Watch>,
    seals: Arc<Seals>,
}

impl Watch for Opened {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchItem, StoreError>> {
        Box::pin(async move {
            Ok(match self.inner.next().await? {
                WatchItem::Events(events) => {
                    let open = |event: Event| Event {
                        value: event.value.map(|pair| self.seals.open(pair)),
                        ..event
                    };
                    WatchItem::Events(events.into_iter().map(open).collect())
                }
                progress => progress,
            })
        })
    }
}

/// Reads the configuration, if there is one.
pub async fn read(env: &Env, source: Option<&Source>) -> Result<Rules, ConfigError> {
    match source {
        Some(source) => config::parse(&text_of(env, source).await?),
        None => Ok(Rules::default()),
    }
}

async fn text_of(env: &Env, source: &Source) -> Result<String, ConfigError> {
    let read = source.read.clone();
    let text = env.tasks.blocking(move || read()).await;
    let unreadable = |why: String| ConfigError(format!("the encryption configuration cannot be read: {why}"));
    text.ok_or_else(|| unreadable("the reader ended".to_owned()))?
        .map_err(|error| unreadable(error.to_string()))
}

/// Takes the configuration over whenever it changes, for ever. One that is wrong changes nothing.
pub async fn follow(env: Env, source: Source, seals: Arc<Seals>) {
    let mut seen = text_of(&env, &source).await.ok();
    loop {
        env.clock.sleep(LOOK).await;
        let Ok(text) = text_of(&env, &source).await else { continue };
        if seen.as_ref() == Some(&text) {
            continue;
        }
        match config::parse(&text) {
            Ok(rules) => {
                seals.set_rules(rules);
                tracing::info!("the encryption configuration was taken over");
            }
            Err(error) => {
                tracing::error!(%error, "the encryption configuration is wrong; the one before it holds")
            }
        }
        seen = Some(text);
    }
}

#[cfg(test)]
mod tests;
