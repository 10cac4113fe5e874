//! What is still to come: an empty answer means that everything declared is real.

use std::collections::BTreeSet;

use machinery::object::Header;
use serde_json::Value;

use crate::checks::{is_active, is_ready, is_terminal, selects};
use crate::kubelet::BROKEN;
use crate::ledger::{Objects, Seen};

/// Everything that is not as it should be, in words.
pub fn unsettled(all: &Objects) -> Vec<String> {
    let mut open = Vec::new();
    let mut look = |kind: &str, find: fn(&Seen, &Objects) -> Option<String>| {
        let found = all.of_kind(kind).filter_map(|seen| Some((seen, find(seen, all)?)));
        open.extend(found.map(|(seen, why)| format!("{kind} {}: {why}", seen.object.header().key())));
    };
    look("Node", node);
    look("Pod", pod);
    look("Deployment", deployment);
    look("ReplicaSet", replica_set);
    look("StatefulSet", stateful_set);
    look("DaemonSet", daemon_set);
    look("Job", job);
    look("Service", service);
    look("PodDisruptionBudget", budget);
    look("ResourceQuota", quota);
    for seen in all.all() {
        let header = seen.object.header();
        let name = format!("{} {}", header.kind, header.key());
        if header.deleting {
            open.push(format!("{name}: is still to go, and waits for {:?}", header.finalizers));
        }
        let owners = &header.owners;
        if !owners.is_empty() && owners.iter().all(|owner| all.by_uid(&owner.uid).is_none()) {
            open.push(format!("{name}: has outlived its owners"));
        }
    }
    open
}

fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or(0)
}

fn namespace_of(seen: &Seen) -> &str {
    &seen.object.header().namespace
}

fn owned<'a>(owner: &'a Seen, all: &'a Objects) -> impl Iterator<Item = &'a Seen> {
    let uid = &owner.object.header().uid;
    let is_owned = move |header: &Header| header.controller().is_some_and(|found| found.uid == *uid);
    all.of_kind("Pod").filter(move |pod| is_owned(pod.object.header()))
}

/// The first of these that does not hold, in words.
fn first_wrong(of: &Value, wanted: &[(&str, u64)]) -> Option<String> {
    let wrong = wanted.iter().find(|(name, wanted)| number(of, name) != *wanted)?;
    Some(format!("{} is {} and should be {}", wrong.0, number(of, wrong.0), wrong.1))
}

fn unobserved(seen: &Seen) -> Option<String> {
    let observed = seen.document["status"]["observedGeneration"].as_i64();
    let generation = seen.object.header().generation;
    (observed != Some(generation)).then(|| format!("generation {generation} is not observed"))
}

fn node(seen: &Seen, _: &Objects) -> Option<String> {
    let taints = seen.document["spec"]["taints"].as_array().map_or(0, Vec::len);
    (taints > 0).then(|| format!("it has taints: {}", seen.document["spec"]["taints"]))
}

fn pod(seen: &Seen, all: &Objects) -> Option<String> {
    let spec = &seen.document["spec"];
    if is_terminal(seen) {
        let is_tracked =
            seen.object.header().finalizers.iter().any(|name| name == "batch.kubernetes.io/job-tracking");
        return is_tracked.then(|| "it has ended and is not counted".to_owned());
    }
    let node = spec["nodeName"].as_str().unwrap_or_default();
    if all.get("Node", &client::Key::new("", node)).is_none() {
        return Some(format!("its node is {node:?}"));
    }
    let is_broken = spec["containers"][0]["image"] == BROKEN;
    (!is_ready(seen) && !is_broken).then(|| "it is not ready".to_owned())
}

fn deployment(seen: &Seen, _: &Objects) -> Option<String> {
    let (spec, status) = (&seen.document["spec"], &seen.document["status"]);
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    let names = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    unobserved(seen).or_else(|| first_wrong(status, &names.map(|name| (name, replicas))))
}

fn replica_set(seen: &Seen, all: &Objects) -> Option<String> {
    let replicas = seen.document["spec"]["replicas"].as_u64().unwrap_or(1);
    let pods = u64::try_from(owned(seen, all).filter(|pod| is_active(pod)).count()).unwrap_or(0);
    let ready = u64::try_from(owned(seen, all).filter(|pod| is_ready(pod)).count()).unwrap_or(0);
    if pods != replicas {
        return Some(format!("it has {pods} pods and wants {replicas}"));
    }
    // A clock that was set back makes pods available later; until then there is something to tell.
    let wanted = [
        ("replicas", replicas),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("fullyLabeledReplicas", replicas),
    ];
    unobserved(seen).or_else(|| first_wrong(&seen.document["status"], &wanted))
}

fn stateful_set(seen: &Seen, all: &Objects) -> Option<String> {
    let (spec, status) = (&seen.document["spec"], &seen.document["status"]);
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    let name = &seen.object.header().name;
    let is_named = |pod: &&Seen| {
        let number = pod.object.header().name.strip_prefix(&format!("{name}-")).and_then(|n| n.parse().ok());
        number.is_some_and(|number: u64| number < replicas)
    };
    let pods = u64::try_from(owned(seen, all).filter(is_named).count()).unwrap_or(0);
    if pods != replicas || owned(seen, all).count() > owned(seen, all).filter(is_named).count() {
        return Some(format!("it has {pods} pods of its names and wants {replicas}"));
    }
    if status["currentRevision"] != status["updateRevision"] {
        return Some("it is being updated".to_owned());
    }
    let names = ["replicas", "readyReplicas", "availableReplicas", "currentReplicas"];
    unobserved(seen).or_else(|| first_wrong(status, &names.map(|name| (name, replicas))))
}

fn daemon_set(seen: &Seen, all: &Objects) -> Option<String> {
    let nodes = u64::try_from(all.of_kind("Node").count()).unwrap_or(0);
    let names = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "updatedNumberScheduled",
        "numberReady",
        "numberAvailable",
    ];
    let on: BTreeSet<&str> =
        owned(seen, all).filter_map(|pod| pod.document["spec"]["nodeName"].as_str()).collect();
    if u64::try_from(on.len()).unwrap_or(0) != nodes {
        return Some(format!("it has pods on {on:?}, of {nodes} nodes"));
    }
    unobserved(seen).or_else(|| first_wrong(&seen.document["status"], &names.map(|name| (name, nodes))))
}

fn job(seen: &Seen, all: &Objects) -> Option<String> {
    let status = &seen.document["status"];
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let is_over = conditions.iter().any(|condition| {
        (condition["type"] == "Complete" || condition["type"] == "Failed") && condition["status"] == "True"
    });
    if !is_over {
        return Some("it is not over".to_owned());
    }
    let active = owned(seen, all).filter(|pod| is_active(pod)).count();
    (active > 0 || number(status, "active") > 0).then(|| format!("it is over and {active} pods are active"))
}

/// The addresses of the pods of a Service.
fn addresses(service: &Seen, all: &Objects) -> BTreeSet<String> {
    let selector = &service.document["spec"]["selector"];
    let is_ours =
        |pod: &&Seen| namespace_of(pod) == namespace_of(service) && selects(selector, pod) && is_ready(pod);
    let address = |pod: &Seen| pod.document["status"]["podIP"].as_str().map(str::to_owned);
    all.of_kind("Pod").filter(is_ours).filter_map(address).collect()
}

fn service(seen: &Seen, all: &Objects) -> Option<String> {
    if !seen.document["spec"]["selector"].is_object() {
        return None;
    }
    let header = seen.object.header();
    let wanted = addresses(seen, all);
    let mut told = BTreeSet::new();
    for slice in all.of_kind("EndpointSlice") {
        let is_ours = slice.object.header().label("kubernetes.io/service-name") == Some(&header.name)
            && namespace_of(slice) == namespace_of(seen);
        for endpoint in slice.document["endpoints"].as_array().into_iter().flatten().filter(|_| is_ours) {
            if endpoint["conditions"]["ready"] == true {
                told.extend(endpoint["addresses"][0].as_str().map(str::to_owned));
            }
        }
    }
    if told != wanted {
        return Some(format!("its slices tell {told:?} and should tell {wanted:?}"));
    }
    let endpoints = all.get("Endpoints", &client::Key::new(&header.namespace, &header.name));
    let subsets = endpoints.and_then(|found| found.document["subsets"].as_array());
    let known = subsets.into_iter().flatten().flat_map(|subset| subset["addresses"].as_array()).flatten();
    let known: BTreeSet<String> =
        known.filter_map(|address| address["ip"].as_str().map(str::to_owned)).collect();
    (known != wanted).then(|| format!("its endpoints are {known:?} and should be {wanted:?}"))
}

fn budget(seen: &Seen, all: &Objects) -> Option<String> {
    let selector = &seen.document["spec"]["selector"];
    let is_healthy =
        |pod: &&Seen| namespace_of(pod) == namespace_of(seen) && selects(selector, pod) && is_ready(pod);
    let healthy = u64::try_from(all.of_kind("Pod").filter(is_healthy).count()).unwrap_or(0);
    unobserved(seen).or_else(|| first_wrong(&seen.document["status"], &[("currentHealthy", healthy)]))
}

fn quota(seen: &Seen, all: &Objects) -> Option<String> {
    let is_counted = |pod: &&Seen| namespace_of(pod) == namespace_of(seen) && !is_terminal(pod);
    let used = all.of_kind("Pod").filter(is_counted).count().to_string();
    let status = &seen.document["status"];
    if status["hard"] != seen.document["spec"]["hard"] {
        return Some("its limits are not taken over".to_owned());
    }
    (status["used"]["pods"] != used).then(|| format!("it counts {} of {used} pods", status["used"]["pods"]))
}
