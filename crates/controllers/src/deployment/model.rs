//! A Deployment and its sets while a plan is made: what was seen, changed as the plan goes along.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources};
use env::WallTime;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetCondition};
use machinery::Object;
use serde_json::json;
use smol_str::SmolStr;

use super::status::Draft;
use crate::scaled::{Rounding, scaled};
use crate::template::Template;

/// The number a set has in its Deployment's history.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The numbers it had before, when it became the newest again.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many replicas its Deployment wanted when it was last sized.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with the surge.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// The label that tells the pods of one template from those of another.
pub const TEMPLATE_HASH: &str = "pod-template-hash";

/// A ReplicaSet.
#[derive(Clone, Debug)]
pub struct Set {
    /// As it was seen; `None` for one the plan is about to make.
    pub object: Option<Object>,
    /// Its name.
    pub name: SmolStr,
    /// Its identity; empty for one that is about to be made.
    pub uid: SmolStr,
    /// `spec.replicas`, as the plan has it so far.
    pub replicas: i32,
    /// Its annotations, as the plan has them so far.
    pub annotations: BTreeMap<String, String>,
    /// `spec.template`
    pub template: Template,
    /// `spec.minReadySeconds`
    pub min_ready_secs: i32,
    /// `metadata.creationTimestamp`
    pub created: WallTime,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// `metadata.generation`
    pub generation: i64,
    /// What it says of itself.
    pub status: SetStatus,
    /// What of it the plan may change, as it was seen.
    pub seen: Seen,
}

/// What a plan may change of a set.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    replicas: i32,
    annotations: BTreeMap<String, String>,
    min_ready_secs: i32,
}

/// What a set says of itself.
#[derive(Clone, Debug, Default)]
pub struct SetStatus {
    /// `replicas`
    pub replicas: i32,
    /// `readyReplicas`
    pub ready: i32,
    /// `availableReplicas`
    pub available: i32,
    /// `terminatingReplicas`
    pub terminating: Option<i32>,
    /// `observedGeneration`
    pub observed_generation: i64,
    /// `conditions`
    pub conditions: Vec<ReplicaSetCondition>,
}

impl Set {
    /// From an object and its view.
    pub fn read(object: &Object, typed: Arc<ReplicaSet>) -> Set {
        let header = object.header();
        let spec = typed.spec.as_ref();
        let status = typed.status.clone().unwrap_or_default();
        let seen = Seen {
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            annotations: typed.metadata.annotations.clone().unwrap_or_default(),
            min_ready_secs: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
        };
        Set {
            object: Some(object.clone()),
            name: header.name.clone(),
            uid: header.uid.clone(),
            replicas: seen.replicas,
            annotations: seen.annotations.clone(),
            min_ready_secs: seen.min_ready_secs,
            created: typed
                .metadata
                .creation_timestamp
                .as_ref()
                .map_or(WallTime(0), |at| client::time::wall(at.0)),
            deleting: header.deleting,
            generation: header.generation,
            status: SetStatus {
                replicas: status.replicas,
                ready: status.ready_replicas.unwrap_or(0),
                available: status.available_replicas.unwrap_or(0),
                terminating: status.terminating_replicas,
                observed_generation: status.observed_generation.unwrap_or(0),
                conditions: status.conditions.unwrap_or_default(),
            },
            seen,
            template: Template::Of(typed),
        }
    }

    /// Whether it was seen as this Deployment's own.
    pub fn is_owned_by(&self, deployment: &Object) -> bool {
        let owner = self.object.as_ref().and_then(|set| set.header().controller());
        owner.is_some_and(|owner| owner.uid == deployment.header().uid)
    }

    /// Its number in the Deployment's history; zero if it has none.
    pub fn revision(&self) -> i64 {
        self.annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// How many available pods it keeps. What it was told to give up it may still count, but not for long.
    pub fn serving(&self) -> i32 {
        self.status.available.min(self.replicas)
    }

    /// A number in one of its annotations.
    pub fn number(&self, annotation: &str) -> Option<i32> {
        self.annotations.get(annotation)?.parse().ok()
    }
}

/// What a plan works on.
pub struct Model {
    /// The Deployment as it was seen.
    pub object: Object,
    /// The same, typed.
    pub deployment: Arc<Deployment>,
    /// All its sets, oldest first.
    pub sets: Vec<Set>,
    /// Which of them has the newest template.
    pub newest: Option<usize>,
    /// What the Deployment is going to say of itself.
    pub draft: Draft,
    /// The decision so far.
    pub plan: Plan,
    /// When it is made.
    pub now: WallTime,
}

impl Model {
    /// `spec`
    pub fn spec(&self) -> &DeploymentSpec {
        self.deployment.spec.as_ref().expect("a Deployment without a spec is not planned for")
    }

    /// `spec.replicas`
    pub fn wanted(&self) -> i32 {
        self.spec().replicas.unwrap_or(1)
    }

    /// Whether pods are replaced step by step.
    pub fn is_rolling(&self) -> bool {
        let strategy = self.spec().strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        strategy.unwrap_or("RollingUpdate") == "RollingUpdate"
    }

    /// How many pods more than wanted there may be, and how many fewer: not both nothing.
    fn bounds(&self) -> (i32, i32) {
        let rolling = self.spec().strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let wanted = self.wanted();
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
        let surge = surge.and_then(|surge| scaled(surge, wanted, Rounding::Up)).unwrap_or(0);
        let fewer = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let fewer = fewer.and_then(|fewer| scaled(fewer, wanted, Rounding::Down)).unwrap_or(0);
        if surge == 0 && fewer == 0 { (0, 1) } else { (surge, fewer) }
    }

    /// How many pods more than wanted there may be.
    pub fn max_surge(&self) -> i32 {
        if self.is_rolling() { self.bounds().0 } else { 0 }
    }

    /// How many pods fewer than wanted there may be.
    pub fn max_unavailable(&self) -> i32 {
        let wanted = self.wanted();
        if !self.is_rolling() || wanted == 0 { 0 } else { self.bounds().1.min(wanted) }
    }

    /// The set of the newest template.
    pub fn newest(&self) -> Option<&Set> {
        self.newest.map(|index| &self.sets[index])
    }

    /// The positions of all other sets, oldest first.
    pub fn old(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|index| Some(*index) != self.newest).collect()
    }

    /// The positions of the other sets that are to have pods, oldest first.
    pub fn active_old(&self) -> Vec<usize> {
        self.old().into_iter().filter(|index| self.sets[*index].replicas > 0).collect()
    }

    /// How many pods all sets together are to have.
    pub fn total(&self) -> i32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    /// What events are about.
    pub fn about(&self) -> About {
        About::object(&self.object)
    }

    /// Sizes a set. Answers with whether that changes its size.
    pub fn scale(&mut self, index: usize, replicas: i32) -> bool {
        if self.sets[index].replicas == replicas {
            return false;
        }
        self.resize(index, replicas);
        true
    }

    /// Sizes a set, and notes on it what size the Deployment has.
    pub fn resize(&mut self, index: usize, replicas: i32) {
        let (wanted, limit) = (self.wanted(), self.wanted() + self.max_surge());
        let set = &mut self.sets[index];
        set.replicas = replicas;
        set.annotations.insert(DESIRED_REPLICAS.to_owned(), wanted.to_string());
        set.annotations.insert(MAX_REPLICAS.to_owned(), limit.to_string());
    }

    /// Adds one write for each set that the plan changed, those that grow first.
    pub fn write_sets(&mut self) {
        let mut writes: Vec<(bool, Op, Option<String>)> =
            self.sets.iter().filter_map(|set| self.change(set)).collect();
        writes.sort_by_key(|(grows, _, _)| !grows);
        for (_, op, reason) in writes {
            self.plan.reasons.extend(reason);
            self.plan.push(op);
        }
    }

    /// The write that makes a set what the plan has it; with whether it grows, and what is to be told.
    fn change(&self, set: &Set) -> Option<(bool, Op, Option<String>)> {
        let object = set.object.as_ref()?;
        let before = &set.seen;
        let annotations: BTreeMap<&String, &String> = set
            .annotations
            .iter()
            .filter(|(name, text)| before.annotations.get(*name) != Some(text))
            .collect();
        let is_sized = set.replicas != before.replicas;
        if annotations.is_empty() && !is_sized && set.min_ready_secs == before.min_ready_secs {
            return None;
        }
        // It was worked out from what was seen, so it must not fall upon anything newer.
        let mut patch = json!({ "metadata": { "resourceVersion": object.header().revision.to_string() } });
        if !annotations.is_empty() {
            patch["metadata"]["annotations"] = json!(annotations);
        }
        if is_sized {
            patch["spec"]["replicas"] = json!(set.replicas);
        }
        if set.min_ready_secs != before.min_ready_secs {
            patch["spec"]["minReadySeconds"] = json!(set.min_ready_secs);
        }
        let op = Op::patch(resources::REPLICA_SETS, &Key::of(object), &patch);
        if !is_sized {
            return Some((false, op, None));
        }
        let grows = set.replicas > before.replicas;
        let (from, to) = (before.replicas, set.replicas);
        let direction = if grows { "up" } else { "down" };
        let text = format!("Scaled {direction} replica set {} from {from} to {to}", set.name);
        let op = op.on_success(Note::normal(&self.about(), "ScalingReplicaSet", text.clone()));
        Some((grows, op, Some(text)))
    }
}
