//! Resizing a pod in place: what it may use is what was allocated to it, which follows its specification when the node
//! has room, and which survives a restart of the kubelet.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ResourceRequirements;
use serde::{Deserialize, Serialize};

use crate::amounts::{self, Amounts};
use crate::bell::Bells;
use crate::pod::PodView;
use crate::resources;

/// The file that remembers what was allocated to a pod.
const FILE: &str = "allocated.json";

/// What was allocated to a pod's containers, by name, and to the pod as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Allocation {
    /// By container.
    pub containers: BTreeMap<String, ResourceRequirements>,
    /// Of the pod as a whole, if it has any.
    pub whole: Option<ResourceRequirements>,
}

impl Allocation {
    /// What the specification asks for.
    pub fn wanted(pod: &PodView) -> Allocation {
        let spec = pod.spec();
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        Allocation {
            containers: all
                .map(|container| (container.name.clone(), container.resources.clone().unwrap_or_default()))
                .collect(),
            whole: spec.resources.clone(),
        }
    }

    /// Whether there is anything in it.
    pub fn asks_for_something(&self) -> bool {
        let none = ResourceRequirements::default();
        self.whole.is_some() || self.containers.values().any(|resources| *resources != none)
    }

    /// What was remembered in the pod's directory.
    pub fn load(pod_dir: &Path) -> Option<Allocation> {
        let bytes = fs::read(pod_dir.join(FILE)).ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(allocation) => Some(allocation),
            Err(error) => {
                tracing::warn!(path = %pod_dir.display(), "what was allocated cannot be read: {error}");
                None
            }
        }
    }

    /// Remembers it there.
    pub fn save(&self, pod_dir: &Path) -> io::Result<()> {
        fs::create_dir_all(pod_dir)?;
        let fresh = pod_dir.join(format!("{FILE}.new"));
        fs::write(&fresh, serde_json::to_vec(self)?)?;
        fs::rename(fresh, pod_dir.join(FILE))
    }
}

/// Why a pod does not get what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// `Deferred`: when there is room; `Infeasible`: never on this node.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What the pods of the node use, so that each can be told whether there is room for more. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pods: Arc<Mutex<BTreeMap<String, Entry>>>,
    bells: Bells,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    cpu: i64,
    memory: i64,
    /// It waits for room.
    deferred: bool,
}

impl Entry {
    fn of(pod: &PodView) -> Entry {
        Entry { cpu: resources::total(pod, "cpu"), memory: resources::total(pod, "memory"), deferred: false }
    }
}

impl Ledger {
    /// Empty. Those who wait for room are woken by `bells`.
    pub fn new(bells: Bells) -> Ledger {
        Ledger { pods: Arc::default(), bells }
    }

    /// The pod uses what this view of it says.
    pub fn set(&self, pod: &PodView) {
        let entry = Entry::of(pod);
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pods.get(pod.uid()).copied().unwrap_or_default();
        pods.insert(pod.uid().to_owned(), Entry { deferred: before.deferred, ..entry });
        let shrank = entry.cpu < before.cpu || entry.memory < before.memory;
        self.wake(&mut pods, shrank);
    }

    /// The pod uses nothing any more.
    pub fn remove(&self, uid: &str) {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let there = pods.remove(uid).is_some();
        self.wake(&mut pods, there);
    }

    fn wake(&self, pods: &mut BTreeMap<String, Entry>, room: bool) {
        for (uid, entry) in pods.iter_mut().filter(|(_, entry)| room && entry.deferred) {
            entry.deferred = false;
            self.bells.ring(uid);
        }
    }

    /// Whether there is room for the pod as this view of it says.
    pub fn check(&self, pod: &PodView, allocatable: &Amounts) -> Result<(), Pending> {
        let wanted = Entry::of(pod);
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let others = pods.iter().filter(|(uid, _)| uid.as_str() != pod.uid());
        let used = others.fold(Entry::default(), |sum, (_, entry)| Entry {
            cpu: sum.cpu.saturating_add(entry.cpu),
            memory: sum.memory.saturating_add(entry.memory),
            deferred: false,
        });
        for (name, unit, wanted, used) in
            [("cpu", 1, wanted.cpu, used.cpu), ("memory", 1_000, wanted.memory, used.memory)]
        {
            let capacity = amounts::millis_of(Some(allocatable), name);
            let (shown, full) = (wanted / unit, capacity / unit);
            if wanted > capacity {
                let message =
                    format!("Node didn't have enough capacity: {name}, requested: {shown}, capacity: {full}");
                return Err(Pending { reason: "Infeasible", message });
            }
            if wanted.saturating_add(used) > capacity {
                if let Some(entry) = pods.get_mut(pod.uid()) {
                    entry.deferred = true;
                }
                let message = format!(
                    "Node didn't have enough resource: {name}, requested: {shown}, used: {}, capacity: {full}",
                    used / unit
                );
                return Err(Pending { reason: "Deferred", message });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{TempDir, pod};
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    fn with(cpu: &str) -> PodView {
        let resources = json!({"requests": {"cpu": cpu}});
        pod(json!({"containers": [{"name": "a", "resources": resources}]}), Value::Null)
    }

    #[test]
    fn room_is_counted() {
        let ledger = Ledger::new(Bells::default());
        let allocatable = Amounts::from([
            ("cpu".to_owned(), Quantity("2".to_owned())),
            ("memory".to_owned(), Quantity("1Gi".to_owned())),
        ]);
        let reason =
            |pod: &PodView| ledger.check(pod, &allocatable).err().map_or("", |pending| pending.reason);
        assert_eq!(reason(&with("2")), "");
        assert_eq!(reason(&with("3")), "Infeasible");
        ledger.set(&with("2"));
        assert_eq!(reason(&with("2")), "", "what it uses itself does not count");
        let other = crate::tests::other_pod(
            "u2",
            json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}}]}),
        );
        assert_eq!(reason(&other), "Deferred");
        ledger.remove("u1");
        assert_eq!(reason(&other), "");
    }

    #[test]
    fn what_was_allocated_is_remembered() {
        let dir = TempDir::new("allocated");
        assert_eq!(Allocation::load(&dir.0), None);
        let allocation = Allocation::wanted(&with("100m"));
        allocation.save(&dir.0).unwrap();
        assert_eq!(Allocation::load(&dir.0), Some(allocation));
        fs::write(dir.0.join(FILE), "nonsense").unwrap();
        assert_eq!(Allocation::load(&dir.0), None);
    }
}
