//! A machine that only pretends: its containers run on through crashes of its kubelet and cut cables, and die when it
//! loses power.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::Key;
use serde_json::Value;
use smol_str::SmolStr;

use crate::trace::Trace;

/// A pod as its machine knows it.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its name.
    pub key: Key,
    /// Its address, until its end is known to the API.
    pub address: String,
    /// When its containers are ready; `None` if never.
    pub ready_at: Option<Duration>,
    /// When they exit by themselves, and with what.
    pub exits: Option<(Duration, i64)>,
    /// When they are ended.
    pub stops_at: Option<Duration>,
    /// What they exited with.
    pub exited: Option<i64>,
    /// How often they were started anew.
    pub restarts: u64,
}

/// Who is alive under which name, on all machines: a pod of a StatefulSet may be there once.
#[derive(Clone, Debug)]
pub struct Identities {
    trace: Trace,
    alive: Arc<Mutex<BTreeMap<Key, BTreeMap<SmolStr, String>>>>,
}

impl Identities {
    /// Nobody is.
    pub fn new(trace: Trace) -> Identities {
        Identities { trace, alive: Arc::default() }
    }

    fn appear(&self, key: &Key, uid: &SmolStr, machine: &str) {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let holders = alive.entry(key.clone()).or_default();
        holders.insert(uid.clone(), machine.to_owned());
        if holders.len() > 1 {
            self.trace.broken(&format!("the identity {key} is held by more than one live pod: {holders:?}"));
        }
    }

    fn vanish(&self, key: &Key, uid: &SmolStr) {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(holders) = alive.get_mut(key) {
            holders.remove(uid);
        }
    }
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its name, and its node's.
    pub name: String,
    identities: Identities,
    pods: Mutex<BTreeMap<SmolStr, Running>>,
}

impl Machine {
    /// An empty one.
    pub fn new(name: &str, identities: Identities) -> Machine {
        Machine { name: name.to_owned(), identities, pods: Mutex::default() }
    }

    /// Its pods, by identity.
    pub fn pods(&self) -> MutexGuard<'_, BTreeMap<SmolStr, Running>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a pod.
    pub fn start(&self, uid: &SmolStr, pod: Running) {
        self.identities.appear(&pod.key, uid, &self.name);
        self.pods().insert(uid.clone(), pod);
    }

    /// The processes of a pod have ended with this code.
    pub fn stop(&self, uid: &SmolStr, code: i64) {
        if let Some(pod) = self.pods().get_mut(uid) {
            pod.exited = Some(code);
            self.identities.vanish(&pod.key, uid);
        }
    }

    /// Forgets a pod, whose address is then free.
    pub fn forget(&self, uid: &SmolStr) {
        if let Some(pod) = self.pods().remove(uid) {
            self.identities.vanish(&pod.key, uid);
        }
    }

    /// Everything that runs dies at once, unseen.
    pub fn lose_power(&self) {
        let pods = std::mem::take(&mut *self.pods());
        for (uid, pod) in pods {
            self.identities.vanish(&pod.key, &uid);
        }
    }

    /// The lowest free address of a range that is not among `taken`.
    pub fn address(&self, range: &str, taken: &BTreeSet<String>) -> Option<String> {
        let (network, _) = range.split_once('/')?;
        let (prefix, _) = network.rsplit_once('.')?;
        let pods = self.pods();
        (2..255)
            .map(|number| format!("{prefix}.{number}"))
            .find(|address| !taken.contains(address) && pods.values().all(|pod| pod.address != *address))
    }
}

/// The code a pod's first container exits with, and after how many seconds, if its command says so:
/// `["exit", CODE, SECONDS]`.
pub fn exit_of(pod: &Value) -> Option<(i64, u64)> {
    let command = &pod["spec"]["containers"][0]["command"];
    if command[0] != "exit" {
        return None;
    }
    Some((command[1].as_str()?.parse().ok()?, command[2].as_str()?.parse().ok()?))
}
