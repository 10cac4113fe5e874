//! Looks, every ten seconds, at what the node and its pods use, and sends away the pod that must go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::Cache;
use cri::ContainerStats;
use tokio::sync::mpsc;

use super::rank::is_critical;
use super::{Eviction, Member, Pressure, Readings, Shortage, Usage, Watched, choose, limits, signals};
use crate::kit::{Kit, about};
use crate::pod::{PodView, Role};
use crate::{amounts, resources};

/// How often it is looked: upstream's interval.
const LOOK: Duration = Duration::from_secs(10);

/// What the node is short of, for all who need to know. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pressures(Arc<Mutex<BTreeSet<Pressure>>>);

impl Pressures {
    /// All of it.
    pub fn now(&self) -> BTreeSet<Pressure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, pressures: BTreeSet<Pressure>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pressures;
    }
}

/// Watches for ever. Pods that must go are sent to `evictions`.
pub(crate) async fn watch(kit: Arc<Kit>, pods: Cache, evictions: mpsc::Sender<Eviction>) {
    let mut watched = Watched::default();
    loop {
        kit.env.clock.sleep(LOOK).await;
        let readings = read(&kit).await;
        let now = kit.env.clock.now();
        kit.pressures.set(watched.take(&kit.config.eviction, &readings, now));
        let mut chosen = of_limits(&kit, &pods).await;
        if chosen.is_empty()
            && let Some(shortage) = watched.shortages(&kit.config.eviction, &readings, now).first()
        {
            chosen.extend(for_shortage(&kit, &pods, shortage).await);
        }
        for eviction in chosen {
            if evictions.send(eviction).await.is_err() {
                return;
            }
        }
    }
}

async fn read(kit: &Kit) -> Readings {
    let root = kit.config.root.clone();
    kit.env.tasks.blocking(move || signals::read(&root)).await.unwrap_or_default()
}

/// The pods that run here.
fn running(kit: &Kit, pods: &Cache) -> Vec<PodView> {
    let views = pods.list().into_iter().filter_map(|entry| PodView::new(&entry.object).ok());
    let is_over = |pod: &PodView| matches!(pod.status().phase.as_deref(), Some("Succeeded" | "Failed"));
    views.filter(|pod| !is_over(pod) && kit.observer.pod(pod.uid()).running().next().is_some()).collect()
}

/// Pods that write more than they may.
async fn of_limits(kit: &Kit, pods: &Cache) -> Vec<Eviction> {
    let mut evictions = Vec::new();
    for pod in running(kit, pods).into_iter().filter(limits::has_any) {
        let (usage, volumes) = measure(kit, &pod).await;
        if let Some(message) = limits::exceeded(&pod, &usage, &volumes).filter(|_| !usage.critical) {
            tell(kit, &pod, &message);
            evictions.push(Eviction::of_greedy(pod.uid().to_owned(), message, false));
        }
    }
    evictions
}

/// What is done about a shortage: images that nobody uses go first, then the pod that is to go first.
async fn for_shortage(kit: &Kit, pods: &Cache, shortage: &Shortage) -> Option<Eviction> {
    tracing::warn!(signal = ?shortage.signal, available = shortage.available, "the node runs short");
    if shortage.signal.is_of_disk() && crate::images::collect::all_unused(kit).await > 0 {
        // The next look shows whether that was enough.
        return None;
    }
    let running = running(kit, pods);
    let mut usages = Vec::new();
    for pod in &running {
        usages.push(measure(kit, pod).await.0);
    }
    let eviction = choose(shortage, usages)?;
    let pod = running.iter().find(|pod| pod.uid() == eviction.uid)?;
    tell(kit, pod, &eviction.message);
    Some(eviction)
}

fn tell(kit: &Kit, pod: &PodView, message: &str) {
    kit.recorder.warning(&about(pod), "Evicted", message);
}

/// What a pod uses, and the bytes in its scratch volumes.
async fn measure(kit: &Kit, pod: &PodView) -> (Usage, BTreeMap<String, i64>) {
    let observed = kit.observer.pod(pod.uid());
    let mut usage = Usage {
        uid: pod.uid().to_owned(),
        priority: pod.spec().priority.unwrap_or(0),
        critical: is_critical(pod),
        memory: (0, resources::total(pod, "memory") / 1_000),
        disk: (0, resources::total(pod, "ephemeral-storage") / 1_000),
        ..Usage::default()
    };
    for container in observed.running() {
        // One that ended in between uses nothing.
        let Ok(stats) = kit.runtime.container_stats(container.id.clone()).await else { continue };
        add(&mut usage, pod, &container.name, &stats);
    }
    let logs = kit.config.log_dir(&pod.id());
    let pod_dir = kit.config.pod_dir(pod.uid());
    let scratch: Vec<_> = pod
        .spec()
        .volumes
        .iter()
        .flatten()
        .filter(|volume| volume.empty_dir.is_some())
        .filter_map(|volume| Some((volume.name.clone(), crate::volumes::path(&pod_dir, volume)?)))
        .collect();
    let in_memory: BTreeSet<String> = pod
        .spec()
        .volumes
        .iter()
        .flatten()
        .filter(|volume| {
            volume.empty_dir.as_ref().is_some_and(|source| source.medium.as_deref() == Some("Memory"))
        })
        .map(|volume| volume.name.clone())
        .collect();
    let names: Vec<String> = usage.members.iter().map(|member| member.name.clone()).collect();
    let counted = kit.env.tasks.blocking(move || {
        let logs: BTreeMap<String, (i64, i64)> =
            names.into_iter().map(|name| (name.clone(), signals::usage(&logs.join(name)))).collect();
        let volumes: BTreeMap<String, (i64, i64)> =
            scratch.into_iter().map(|(name, path)| (name, signals::usage(&path))).collect();
        (logs, volumes)
    });
    let (logs, volumes) = counted.await.unwrap_or_default();
    for member in &mut usage.members {
        let (bytes, files) = logs.get(&member.name).copied().unwrap_or_default();
        member.disk.0 += bytes;
        usage.disk.0 += bytes;
        usage.inodes += files;
    }
    for (bytes, files) in volumes.iter().filter(|(name, _)| !in_memory.contains(*name)).map(|(_, used)| used)
    {
        usage.disk.0 += bytes;
        usage.inodes += files;
    }
    (usage, volumes.into_iter().map(|(name, (bytes, _))| (name, bytes)).collect())
}

fn add(usage: &mut Usage, pod: &PodView, name: &str, stats: &ContainerStats) {
    let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let member = pod.member(name).filter(|member| member.role != Role::Ephemeral);
    let asked = |resource: &str| {
        let resources = member.as_ref().and_then(|member| member.spec.resources.as_ref());
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        amounts::whole_of(requests, resource)
    };
    usage.memory.0 += signed(stats.memory_working_set);
    usage.disk.0 += signed(stats.rootfs_used);
    usage.inodes += signed(stats.rootfs_inodes);
    usage.pids += signed(stats.pids);
    usage.members.push(Member {
        name: name.to_owned(),
        memory: (signed(stats.memory_working_set), asked("memory")),
        disk: (signed(stats.rootfs_used), asked("ephemeral-storage")),
    });
}
