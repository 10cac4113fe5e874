//! A StatefulSet and its pods while a plan is made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources};
use env::WallTime;
use k8s_openapi::api::apps::v1::StatefulSetSpec;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use machinery::Object;
use smol_str::SmolStr;

use super::identity;
use crate::claim::Owner;
use crate::history::Revision;
use crate::pod::{Phase, Pod};

/// Pods made or removed in one go; the rest follows when the cache has seen these.
pub const BURST: usize = 500;

/// What a plan works on.
pub struct Model<'a> {
    /// The set.
    pub owner: Owner<'a>,
    /// `spec`
    pub spec: &'a StatefulSetSpec,
    /// The claims there are, by name.
    pub claims: &'a BTreeMap<SmolStr, Object>,
    /// The pods whose ordinals are wanted.
    pub pods: BTreeMap<i32, Pod>,
    /// The pods whose ordinals are not, the highest first.
    pub condemned: Vec<(i32, Pod)>,
    /// The revision pods have that are not to be updated yet, and its template.
    pub current: (Revision, PodTemplateSpec),
    /// The newest revision, and its template.
    pub newest: (Revision, PodTemplateSpec),
    /// The decision so far.
    pub plan: Plan,
    /// When it is made.
    pub now: WallTime,
}

/// How many pods are wanted.
fn wanted(spec: &StatefulSetSpec) -> i32 {
    spec.replicas.unwrap_or(1).max(0)
}

/// The first ordinal.
fn start(spec: &StatefulSetSpec) -> i32 {
    spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
}

/// The ordinals that are wanted. A user may ask for two thousand million: walk no further than needed.
fn range(spec: &StatefulSetSpec) -> impl Iterator<Item = i32> {
    let start = i64::from(start(spec));
    (start..start + i64::from(wanted(spec))).map_while(|ordinal| i32::try_from(ordinal).ok())
}

/// Whether an ordinal is wanted.
pub fn is_wanted(spec: &StatefulSetSpec, ordinal: i32) -> bool {
    let from_start = i64::from(ordinal) - i64::from(start(spec));
    (0..i64::from(wanted(spec))).contains(&from_start)
}

/// The ordinals a plan can have to do with: those of pods, and the next that are missing.
pub fn ordinals(set: &str, spec: &StatefulSetSpec, pods: &[Pod]) -> BTreeSet<i32> {
    let of_pods = pods.iter().filter_map(|pod| identity::ordinal(set, &pod.object.header().name));
    let mut ordinals: BTreeSet<i32> = of_pods.collect();
    let missing: Vec<i32> = range(spec).filter(|ordinal| !ordinals.contains(ordinal)).take(BURST).collect();
    ordinals.extend(missing);
    ordinals
}

impl<'a> Model<'a> {
    /// How many pods are wanted.
    pub fn wanted(&self) -> i32 {
        wanted(self.spec)
    }

    /// The ordinals that are wanted, ascending.
    pub fn range(&self) -> impl Iterator<Item = i32> + use<'a> {
        range(self.spec)
    }

    /// Whether pods are made and removed one after another.
    pub fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    /// Whether pods of older revisions are replaced without being asked.
    pub fn is_rolling(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        strategy.unwrap_or("RollingUpdate") == "RollingUpdate"
    }

    /// How many of the lowest ordinals are not updated.
    pub fn partition(&self) -> i32 {
        let rolling =
            self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        rolling.and_then(|rolling| rolling.partition).unwrap_or(0)
    }

    /// Whether an ordinal is among those that are not updated.
    pub fn is_kept_back(&self, ordinal: i32) -> bool {
        i64::from(ordinal) - i64::from(start(self.spec)) < i64::from(self.partition())
    }

    /// The revision a new pod of an ordinal has, and its template.
    pub fn revision_for(&self, ordinal: i32) -> (&Revision, &PodTemplateSpec) {
        let (revision, template) =
            if self.is_rolling() && self.is_kept_back(ordinal) { &self.current } else { &self.newest };
        (revision, template)
    }

    /// How long a pod must be ready to count as available.
    pub fn min_ready(&self) -> Duration {
        let secs = self.spec.min_ready_seconds.unwrap_or(0);
        Duration::from_secs(u64::try_from(secs).unwrap_or(0))
    }

    /// Whether claims go with pods that are one too many.
    pub fn goes_when_scaled(&self) -> bool {
        let policy = self.spec.persistent_volume_claim_retention_policy.as_ref();
        policy.and_then(|policy| policy.when_scaled.as_deref()) == Some("Delete")
    }

    /// Whether claims go with the set.
    pub fn goes_when_deleted(&self) -> bool {
        let policy = self.spec.persistent_volume_claim_retention_policy.as_ref();
        policy.and_then(|policy| policy.when_deleted.as_deref()) == Some("Delete")
    }

    /// Whether a pod runs and is ready.
    pub fn is_ready(pod: &Pod) -> bool {
        pod.facts.phase == Phase::Running && pod.facts.is_ready
    }

    /// Whether a pod serves: it has been ready for long enough, and stays.
    pub fn is_serving(&self, pod: &Pod) -> bool {
        self.is_available(pod) && pod.facts.deletion.is_none()
    }

    /// Whether a pod has been ready for long enough.
    pub fn is_available(&self, pod: &Pod) -> bool {
        Self::is_ready(pod) && pod.facts.is_available(self.min_ready(), self.now)
    }

    /// Why those after a pod wait for it; `None` if they need not.
    pub fn unsettled(&self, pod: &Pod) -> Option<String> {
        let name = &pod.object.header().name;
        if pod.facts.deletion.is_some() {
            return Some(format!("waits for {name} to end"));
        }
        if !Self::is_ready(pod) {
            return Some(format!("waits for {name} to run and be ready"));
        }
        (!self.is_available(pod)).then(|| format!("waits for {name} to have been ready for long enough"))
    }

    /// What events are about.
    pub fn about(&self) -> About {
        About::object(self.owner.object)
    }

    /// The same write, with events that say what became of it.
    pub fn told(&self, op: Op, verb: &str, pod: &str) -> Op {
        let (good, bad) = match verb {
            "create" => ("SuccessfulCreate", "FailedCreate"),
            "update" => ("SuccessfulUpdate", "FailedUpdate"),
            _ => ("SuccessfulDelete", "FailedDelete"),
        };
        let text = format!("{verb} Pod {pod} in StatefulSet {}", self.owner.object.header().name);
        op.on_success(Note::normal(&self.about(), good, format!("{text} successful")))
            .on_failure(Note::warning(&self.about(), bad, format!("{text} failed error: {{error}}")))
    }

    /// The write that removes a pod.
    pub fn removal(&self, pod: &Pod) -> Op {
        let header = pod.object.header();
        let op = Op::delete(resources::PODS, &Key::of(&pod.object), &header.uid);
        self.told(op, "delete", &header.name)
    }
}
