//! A Deployment keeps its bounds: never more pods wanted than its surge allows, and none taken away while too few are
//! ready. Its controller may still work from any of the specifications it has not yet said to have seen; pods that
//! others took away a moment ago are not held against it, nor are those that became ready a moment ago and that their set
//! has not told of yet.

use std::collections::BTreeMap;
use std::time::Duration;

use machinery::object::Header;
use smol_str::SmolStr;

use super::{Check, STALE, is_ready, portion};
use crate::ledger::{Change, Objects, Seen};

const REPLICA_SETS: &str = "system:serviceaccount:kube-system:replicaset-controller";

/// The promise.
#[derive(Default)]
pub struct Rollout {
    known: BTreeMap<SmolStr, Known>,
    /// Since when each pod that is ready has been so.
    ready_since: BTreeMap<SmolStr, Duration>,
}

#[derive(Default)]
struct Known {
    versions: Vec<Version>,
    lost: Vec<Duration>,
}

/// What a specification allows.
struct Version {
    generation: i64,
    most: i64,
    least: i64,
}

impl Version {
    fn of(deployment: &Seen) -> Version {
        let spec = &deployment.document["spec"];
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let generation = deployment.object.header().generation;
        if spec["strategy"]["type"] == "Recreate" {
            return Version { generation, most: replicas, least: 0 };
        }
        let rolling = &spec["strategy"]["rollingUpdate"];
        let surge = portion(&rolling["maxSurge"], replicas, true).unwrap_or(1);
        let mut unavailable = portion(&rolling["maxUnavailable"], replicas, false).unwrap_or(0);
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Version { generation, most: replicas + surge, least: replicas - unavailable }
    }
}

fn owner<'a>(header: &'a Header, kind: &str) -> Option<&'a SmolStr> {
    header.controller().filter(|owner| owner.kind == kind).map(|owner| &owner.uid)
}

fn replicas(set: &Seen) -> i64 {
    set.document["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// How many available pods a set tells of.
fn told(set: &Seen) -> i64 {
    set.document["status"]["availableReplicas"].as_i64().unwrap_or(0)
}

fn ready_pods<'a>(set: &'a Seen, all: &'a Objects) -> impl Iterator<Item = &'a Seen> {
    let uid = &set.object.header().uid;
    all.of_kind("Pod")
        .filter(move |pod| owner(pod.object.header(), "ReplicaSet") == Some(uid) && is_ready(pod))
}

/// How many pods of a set are ready, and have been for long enough if that is asked for.
fn ready(set: &Seen, all: &Objects) -> i64 {
    let ready = ready_pods(set, all).map(|_| 1).sum();
    let is_at_once = set.document["spec"]["minReadySeconds"].as_i64().unwrap_or(0) == 0;
    if is_at_once { ready } else { told(set).min(ready) }
}

impl Rollout {
    fn see_deployment(&mut self, change: &Change<'_>) {
        let Some(new) = change.new else { return };
        let header = new.object.header();
        let known = self.known.entry(header.uid.clone()).or_default();
        let observed = new.document["status"]["observedGeneration"].as_i64().unwrap_or(0);
        if known.versions.last().is_none_or(|version| version.generation != header.generation) {
            known.versions.push(Version::of(new));
        }
        known.versions.retain(|version| version.generation >= observed);
    }

    fn see_set(&mut self, change: &Change<'_>, all: &Objects) -> Result<(), String> {
        let Some(set) = change.new else { return Ok(()) };
        let Some(uid) = owner(set.object.header(), "Deployment") else { return Ok(()) };
        let Some(deployment) = all.by_uid(uid).filter(|found| !found.object.header().deleting) else {
            return Ok(());
        };
        let is_new = |pod: &&Seen| {
            let since = self.ready_since.get(&pod.object.header().uid);
            since.is_some_and(|since| *since + STALE > change.at)
        };
        let new: i64 = ready_pods(set, all).filter(is_new).map(|_| 1).sum();
        let Some(known) = self.known.get_mut(uid) else { return Ok(()) };
        let (before, after) = (change.old.map_or(0, replicas), replicas(set));
        let is_sibling = |other: &&Seen| owner(other.object.header(), "Deployment") == Some(uid);
        let name = deployment.object.header().key();
        if after > before {
            let total: i64 = all.of_kind("ReplicaSet").filter(is_sibling).map(replicas).sum();
            let most = known.versions.iter().map(|version| version.most).max().unwrap_or(i64::MAX);
            if total > most {
                return Err(format!("the deployment {name} wants {total} pods, of {most} at most"));
            }
        }
        if after < before {
            known.lost.retain(|at| *at + STALE > change.at);
            let slack = i64::try_from(known.lost.len()).unwrap_or(i64::MAX);
            let sets = || all.of_kind("ReplicaSet").filter(is_sibling);
            let left: i64 = sets().map(|other| ready(other, all).min(replicas(other))).sum();
            let least = known.versions.iter().map(|version| version.least).min().unwrap_or(0);
            let takes_ready_ones =
                ready(set, all) > after && (told(set) > after || ready(set, all) - new > after);
            if takes_ready_ones && left + slack < least {
                let each = sets().map(|other| {
                    let (name, ready, wanted) =
                        (&other.object.header().name, ready(other, all), replicas(other));
                    format!("{name}: {ready} ready of {wanted}, {} told", told(other))
                });
                let each: Vec<String> = each.collect();
                return Err(format!(
                    "the deployment {name} keeps {left} of {least} pods ({})",
                    each.join("; ")
                ));
            }
        }
        Ok(())
    }

    fn see_pod(&mut self, change: &Change<'_>, all: &Objects) {
        let uid = |pod: &Seen| pod.object.header().uid.clone();
        match (change.old, change.new.filter(|new| is_ready(new))) {
            (_, Some(new)) => drop(self.ready_since.entry(uid(new)).or_insert(change.at)),
            (Some(old), None) => drop(self.ready_since.remove(&uid(old))),
            (None, None) => {}
        }
        let Some(old) = change.old.filter(|old| is_ready(old)) else { return };
        if change.new.is_some_and(is_ready) {
            return;
        }
        let Some(set) = owner(old.object.header(), "ReplicaSet").and_then(|uid| all.by_uid(uid)) else {
            return;
        };
        let Some(uid) = owner(set.object.header(), "Deployment") else { return };
        let is_asked =
            change.deleters.iter().any(|who| who == REPLICA_SETS) && ready(set, all) >= replicas(set);
        if !is_asked {
            self.known.entry(uid.clone()).or_default().lost.push(change.at);
        }
    }
}

impl Check for Rollout {
    fn see(&mut self, change: &Change<'_>, all: &Objects) -> Result<(), String> {
        match change.name.0.as_str() {
            "Deployment" => self.see_deployment(change),
            "ReplicaSet" => return self.see_set(change, all),
            "Pod" => self.see_pod(change, all),
            _ => {}
        }
        Ok(())
    }
}
