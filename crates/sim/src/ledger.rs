//! Every commit, as it happens: the true state of the cluster, which no component sees, and the promises that are
//! checked against it at every step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::Key;
use machinery::Object;
use serde_json::Value;
use smol_str::SmolStr;
use store::memory::Memory;
use store::{Outcome, Store, StoreError, Txn, Write};

use crate::checks::{self, Check};
use crate::trace::Trace;

/// What is written all the time and says nothing about what is declared.
const UNWATCHED: [&str; 1] = ["Lease"];

/// A kind and a name.
pub type Name = (SmolStr, Key);

/// An object as it is in the store.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its header, and whatever else is asked of it.
    pub object: Object,
    /// All of it.
    pub document: Value,
}

/// All objects there are.
#[derive(Debug, Default)]
pub struct Objects {
    by_name: BTreeMap<Name, Seen>,
    by_uid: BTreeMap<SmolStr, Name>,
}

impl Objects {
    /// One object.
    pub fn get(&self, kind: &str, key: &Key) -> Option<&Seen> {
        self.by_name.get(&(SmolStr::new(kind), key.clone()))
    }

    /// The object of an identity.
    pub fn by_uid(&self, uid: &str) -> Option<&Seen> {
        self.by_uid.get(uid).and_then(|name| self.by_name.get(name))
    }

    /// All objects of a kind, by namespace and name.
    pub fn of_kind<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Seen> + use<'a> {
        let kind = SmolStr::new(kind);
        let first = (kind.clone(), Key::new("", ""));
        self.by_name.range(first..).take_while(move |((of, _), _)| *of == kind).map(|(_, seen)| seen)
    }

    /// All objects.
    pub fn all(&self) -> impl Iterator<Item = &Seen> {
        self.by_name.values()
    }

    fn set(&mut self, name: &Name, new: Option<&Seen>) -> Option<Seen> {
        let old = match new {
            Some(seen) => self.by_name.insert(name.clone(), seen.clone()),
            None => self.by_name.remove(name),
        };
        if let Some(old) = &old {
            self.by_uid.remove(&old.object.header().uid);
        }
        if let Some(new) = new {
            self.by_uid.insert(new.object.header().uid.clone(), name.clone());
        }
        old
    }
}

/// One change of one object.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Its name.
    pub name: &'a Name,
    /// As it was.
    pub old: Option<&'a Seen>,
    /// As it is.
    pub new: Option<&'a Seen>,
    /// Who is deleting it at this moment, as far as that is known.
    pub deleters: &'a [String],
    /// When, since the run began.
    pub at: Duration,
}

impl Change<'_> {
    /// Whether its deletion began with this change: it is gone, or it is to end.
    pub fn is_end(&self) -> bool {
        let is_ending = |seen: &Seen| seen.object.header().deleting;
        self.old.is_some_and(|old| !is_ending(old)) && self.new.is_none_or(is_ending)
    }
}

#[derive(Default)]
struct State {
    objects: Objects,
    /// Which key of the store holds which object.
    names: BTreeMap<bytes::Bytes, Name>,
    deleters: BTreeMap<Name, Vec<String>>,
    checks: Vec<Box<dyn Check>>,
    /// Commits of objects that are not written all the time.
    commits: u64,
}

/// The store, and everything that was ever committed to it.
pub struct Ledger {
    store: Arc<Memory>,
    trace: Trace,
    state: Mutex<State>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Ledger({:?})", self.store)
    }
}

impl Ledger {
    /// On an empty store.
    pub fn new(store: Arc<Memory>, trace: Trace, checks: Vec<Box<dyn Check>>) -> Ledger {
        Ledger { store, trace, state: Mutex::new(State { checks, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store itself, for what changes nothing.
    pub fn store(&self) -> &Arc<Memory> {
        &self.store
    }

    /// Looks at all objects.
    pub fn look<T>(&self, look: impl FnOnce(&Objects) -> T) -> T {
        look(&self.state().objects)
    }

    /// How often something was written that is not written all the time.
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    /// Somebody is about to delete an object; until the answer is dropped.
    pub fn deleting(self: &Arc<Ledger>, name: Name, who: &str) -> Deleting {
        self.state().deleters.entry(name.clone()).or_default().push(who.to_owned());
        Deleting { ledger: self.clone(), name, who: who.to_owned() }
    }

    /// Commits and checks.
    pub async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let (before, writes) = (txn.before.clone(), txn.writes.clone());
        let outcome = self.store.commit(txn).await?;
        if let Outcome::Committed(revision) = outcome {
            let mut state = self.state();
            let before = before.into_iter().map(|write| (write, revision - 1));
            for (write, revision) in before.chain(writes.into_iter().map(|write| (write, revision))) {
                self.note(&mut state, write, revision);
            }
        }
        Ok(outcome)
    }

    fn note(&self, state: &mut State, write: Write, revision: u64) {
        let (store_key, seen) = match write {
            Write::Put { key, value, .. } => {
                let Ok(object) = Object::from_stored(&value, revision) else { return };
                (key, Some(object))
            }
            Write::Delete(key) => (key, None),
        };
        let name = match &seen {
            Some(object) => {
                let name = (object.header().kind.clone(), Key::of(object));
                state.names.insert(store_key, name.clone());
                name
            }
            None => match state.names.remove(&store_key) {
                Some(name) => name,
                None => return,
            },
        };
        if UNWATCHED.contains(&name.0.as_str()) {
            return;
        }
        let new = seen.map(|object| {
            let document = serde_json::from_slice(object.body()).unwrap_or_default();
            Seen { object, document }
        });
        let old = state.objects.set(&name, new.as_ref());
        state.commits += 1;
        self.say(&name, old.as_ref(), new.as_ref(), revision);
        let deleters = state.deleters.get(&name).cloned().unwrap_or_default();
        let change = Change {
            name: &name,
            old: old.as_ref(),
            new: new.as_ref(),
            deleters: &deleters,
            at: self.trace.now(),
        };
        for check in &mut state.checks {
            if let Err(broken) = check.see(&change, &state.objects) {
                self.trace.broken(&broken);
            }
        }
    }

    fn say(&self, (kind, key): &Name, old: Option<&Seen>, new: Option<&Seen>, revision: u64) {
        let uid = new.or(old).map_or("", |seen| seen.object.header().uid.as_str());
        let what = match (old, new) {
            (None, _) => "made",
            (_, None) => "gone",
            (_, Some(new)) if new.object.header().deleting => "ending",
            _ => "changed",
        };
        let uid = uid.get(..8).unwrap_or(uid);
        let gist = new.map(gist).unwrap_or_default();
        self.trace.say(format_args!("@{revision} {kind} {key} {what} ({uid}) {gist}"));
    }
}

/// What of an object is worth a word in the trace.
fn gist(seen: &Seen) -> String {
    let (spec, status) = (&seen.document["spec"], &seen.document["status"]);
    match seen.object.header().kind.as_str() {
        "Pod" => {
            let ready = if checks::is_ready(seen) { "ready" } else { "not ready" };
            format!("{} {ready} on {} at {}", status["phase"], spec["nodeName"], status["podIP"])
        }
        "Deployment" | "ReplicaSet" | "StatefulSet" => {
            format!("wants {} of {}: {status}", spec["replicas"], seen.object.header().generation)
        }
        "Job" | "DaemonSet" | "PodDisruptionBudget" | "ResourceQuota" => status.to_string(),
        "Node" => format!("{} {}", spec["podCIDR"], spec["taints"]),
        "Event" => seen.document["message"].to_string(),
        _ => String::new(),
    }
}

/// Somebody is deleting an object.
#[derive(Debug)]
pub struct Deleting {
    ledger: Arc<Ledger>,
    name: Name,
    who: String,
}

impl Drop for Deleting {
    fn drop(&mut self) {
        let mut state = self.ledger.state();
        if let Some(deleters) = state.deleters.get_mut(&self.name) {
            if let Some(position) = deleters.iter().position(|who| *who == self.who) {
                deleters.remove(position);
            }
            if deleters.is_empty() {
                state.deleters.remove(&self.name);
            }
        }
    }
}
