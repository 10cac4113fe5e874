//! A plugin for tests: it keeps its keys in memory, says what it is told to, and can be there or not.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use grpc::{Code, Failure};
use store::BoxFuture;

use super::plugin::{Health, Plugin, Source};

/// A plugin whose keys are numbers: what one seals it turns bit by bit.
#[derive(Debug)]
pub struct Fake {
    state: Mutex<State>,
}

/// What the plugin is told to be like, and what it was asked.
#[derive(Debug)]
pub struct State {
    pub health: Health,
    /// The key that seals; mostly that of the health.
    pub seals: String,
    pub failure: Option<Failure>,
    pub asked: BTreeMap<&'static str, usize>,
}

impl Fake {
    pub fn new() -> Fake {
        let health = Health { version: "v2".to_owned(), healthz: "ok".to_owned(), key_id: "1".to_owned() };
        let state = State { health, seals: "1".to_owned(), failure: None, asked: BTreeMap::new() };
        Fake { state: Mutex::new(state) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another key seals from now on.
    pub fn rotate(&self, key_id: &str) {
        let mut state = self.state();
        state.health.key_id = key_id.to_owned();
        state.seals = key_id.to_owned();
    }

    pub fn leave(&self) {
        self.state().failure = Some(Failure::new(Code::UNAVAILABLE, "gone"));
    }

    pub fn come_back(&self) {
        self.state().failure = None;
    }

    pub fn asked(&self, method: &'static str) -> usize {
        self.state().asked.get(method).copied().unwrap_or_default()
    }

    fn hear(&self, method: &'static str) -> Result<MutexGuard<'_, State>, Failure> {
        let mut state = self.state();
        *state.asked.entry(method).or_default() += 1;
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(state),
        }
    }

    pub fn health(&self) -> Result<Health, Failure> {
        Ok(self.hear("Status")?.health.clone())
    }

    pub fn seal(&self, plain: &[u8]) -> Result<Source, Failure> {
        let state = self.hear("Encrypt")?;
        let key_id = state.seals.clone();
        Ok(Source {
            ciphertext: turned(&key_id, plain),
            annotations: BTreeMap::from([("sum.plugin.example.com".to_owned(), vec![sum(plain)])]),
            key_id,
        })
    }

    pub fn open(&self, source: &Source) -> Result<Vec<u8>, Failure> {
        drop(self.hear("Decrypt")?);
        let plain = turned(&source.key_id, &source.ciphertext);
        match source.annotations.get("sum.plugin.example.com") {
            Some(known) if known.as_slice() == [sum(&plain)] => Ok(plain),
            _ => Err(Failure::new(Code::INVALID_ARGUMENT, "that is not mine")),
        }
    }
}

fn turned(key_id: &str, bytes: &[u8]) -> Vec<u8> {
    let key = sum(key_id.as_bytes());
    bytes.iter().map(|byte| byte ^ key).collect()
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(7, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(*byte))
}

impl Plugin for Fake {
    fn status(&self) -> BoxFuture<'_, Result<Health, Failure>> {
        Box::pin(async { self.health() })
    }

    fn encrypt<'a>(&'a self, _: &'a str, plain: &'a [u8]) -> BoxFuture<'a, Result<Source, Failure>> {
        Box::pin(async { self.seal(plain) })
    }

    fn decrypt<'a>(&'a self, _: &'a str, source: &'a Source) -> BoxFuture<'a, Result<Vec<u8>, Failure>> {
        Box::pin(async { self.open(source) })
    }
}
