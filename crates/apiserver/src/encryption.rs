//! Encryption at rest: between the store and everything above it, which never sees a sealed value.
//!
//! Which kinds are sealed and with what keys is in a file, in upstream's form. The first provider that a kind has seals;
//! all of them open. A value that another key sealed is sealed anew when its object is written, whether or not it changed.
//! What nobody can open is an error, not nothing: whoever took it for nothing would throw away what belongs to it.

pub mod config;
pub(crate) mod kms;
mod provider;
mod rules;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use env::Env;
use store::{
    BoxFuture, KeyValue, Outcome, Page, Query, Revision, Store, StoreError, Txn, Watch, WatchItem, Write,
};

use self::config::ConfigError;
use self::kms::plugin::{Plugin, Remote};
use self::rules::Rules;
use crate::config::Source;

/// What every sealed value begins with.
const SEALED: &[u8] = b"k8s:enc:";
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long the plugins of a new configuration may take to be well, at least, and how often they are looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_millis(100);

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

    /// Whether the plugins that keep keys are well; `None` if there are none.
    pub async fn health(&self) -> Option<Result<(), String>> {
        self.rules.load_full().health().await
    }

    fn stored(&self) -> MutexGuard<'_, HashMap<Bytes, Bytes>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a value is stored otherwise than it would be written now.
    pub fn is_stale(&self, key: &[u8]) -> bool {
        let rules = self.rules.load();
        let Some(provider) = rules.of(key).and_then(|providers| providers.first()) else {
            return false;
        };
        // As long as nothing can be sealed there is no better way.
        let Some(wanted) = provider.mark() else { return false };
        self.stored().get(key).map_or(&[][..], |seal| seal.as_ref()) != wanted
    }

    fn seal(&self, key: &Bytes, value: Bytes) -> Result<Bytes, StoreError> {
        let rules = self.rules.load();
        match rules.of(key).and_then(|providers| providers.first()) {
            Some(provider) => provider.seal(key, &value).map_err(|detail| StoreError::Seal { detail }),
            None => Ok(value),
        }
    }

    /// Whether a value is sealed, or should be.
    fn concern(&self, pair: &KeyValue) -> bool {
        pair.value.starts_with(SEALED) || self.rules.load().of(&pair.key).is_some()
    }

    /// Opens what was read, if it was sealed.
    async fn open(&self, mut pair: KeyValue) -> Result<KeyValue, StoreError> {
        if !pair.value.starts_with(SEALED) {
            if self.rules.load().of(&pair.key).is_some() {
                self.stored().remove(&pair.key);
            }
            return Ok(pair);
        }
        let rules = self.rules.load_full();
        let own = rules.of(&pair.key).unwrap_or_default();
        let others = rules.all().filter(|other| !own.iter().any(|one| std::ptr::eq(one, *other)));
        let mut wrong = Vec::new();
        for provider in own.iter().chain(others) {
            match provider.open(&pair.key, &pair.value).await {
                Some(Ok((plain, seal))) => {
                    self.stored().insert(pair.key.clone(), seal);
                    pair.value = Bytes::from(plain);
                    return Ok(pair);
                }
                Some(Err(why)) => wrong.push(why),
                None => {}
            }
        }
        let key = machinery::field::go_quote(&String::from_utf8_lossy(&pair.key));
        let why = kms::joined(wrong).unwrap_or_else(|| "no matching prefix found".to_owned());
        Err(StoreError::Seal { detail: format!("unable to transform key {key}: {why}") })
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
                Outcome::Conflict { guard, current: Some(current) } => {
                    Outcome::Conflict { guard, current: Some(self.seals.open(current).await?) }
                }
                other => other,
            })
        })
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>, StoreError>> {
        Box::pin(async move {
            match self.inner.get(key).await? {
                Some(pair) => self.seals.open(pair).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn range(&self, query: Query) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(async move {
            let mut page = self.inner.range(query).await?;
            for pair in &mut page.items {
                if self.seals.concern(pair) {
                    *pair = self.seals.open(pair.clone()).await?;
                }
            }
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

/// Whether a value is one that nobody could open.
pub fn is_sealed(value: &[u8]) -> bool {
    value.starts_with(SEALED)
}

/// A watch whose values are opened. One that cannot be opened is handed on as it is: a watch tells of every change.
struct Opened {
    inner: Box<dyn Watch>,
    seals: Arc<Seals>,
}

impl Watch for Opened {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchItem, StoreError>> {
        Box::pin(async move {
            let mut item = self.inner.next().await?;
            let WatchItem::Events(events) = &mut item else { return Ok(item) };
            let values = events.iter_mut().filter_map(|event| event.value.as_mut());
            for pair in values.filter(|pair| self.seals.concern(pair)) {
                match self.seals.open(pair.clone()).await {
                    Ok(opened) => *pair = opened,
                    Err(error) => tracing::error!(%error, "what was written cannot be read"),
                }
            }
            Ok(item)
        })
    }
}

/// Reads the configuration, if there is one, and begins to ask the plugins that it names.
pub async fn read(env: &Env, source: Option<&Source>) -> Result<Rules, ConfigError> {
    let Some(source) = source else { return Ok(Rules::default()) };
    let rules = rules(env, &text_of(env, source).await?)?;
    rules.begin().await;
    Ok(rules)
}

fn rules(env: &Env, text: &str) -> Result<Rules, ConfigError> {
    let connect = |settings: &kms::Settings| Arc::new(Remote::new(settings, env)) as Arc<dyn Plugin>;
    Ok(Rules::new(config::parse(text)?, env, &connect))
}

async fn text_of(env: &Env, source: &Source) -> Result<String, ConfigError> {
    let read = source.read.clone();
    let text = env.tasks.blocking(move || read()).await;
    let unreadable = |why: String| ConfigError(format!("the encryption configuration cannot be read: {why}"));
    text.ok_or_else(|| unreadable("the reader ended".to_owned()))?
        .map_err(|error| unreadable(error.to_string()))
}

/// Takes the configuration over whenever it changes, for ever. One that is wrong, or whose plugins are not well, changes
/// nothing; the latter is tried again.
pub async fn follow(env: Env, source: Source, seals: Arc<Seals>) {
    let mut seen = text_of(&env, &source).await.ok();
    loop {
        env.clock.sleep(LOOK).await;
        let Ok(text) = text_of(&env, &source).await else { continue };
        if seen.as_ref() == Some(&text) {
            continue;
        }
        match rules(&env, &text) {
            Ok(rules) => {
                if let Err(error) = well(&env, &rules).await {
                    tracing::error!(
                        error,
                        "health check for new transformers failed; the configuration before it holds"
                    );
                    continue;
                }
                rules.begin().await;
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

/// Waits until all plugins are well, as long as they may take to become so.
async fn well(env: &Env, rules: &Rules) -> Result<(), String> {
    let end = env.clock.monotonic() + PATIENCE.max(2 * rules.patience());
    loop {
        match rules.health().await {
            None | Some(Ok(())) => return Ok(()),
            Some(Err(error)) if env.clock.monotonic() >= end => return Err(error),
            Some(Err(_)) => env.clock.sleep(TRY_AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests;
