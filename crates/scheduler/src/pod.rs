//! What the scheduler asks of pods, worked out once per revision.

mod affinity;
mod slim;

use std::sync::Arc;

use client::cache::Facts;
use client::{Entry, Key};
use env::WallTime;
use machinery::{Object, Status};
use smol_str::SmolStr;

pub use affinity::{Affinity, NodeTerm, Spread, Term, Weighted};

use crate::resources::Amounts;

/// A pod in the cache.
pub type Pod = Arc<Entry<PodFacts>>;

/// The scheduler that pods ask for by default.
pub const SCHEDULER_NAME: &str = "default-scheduler";

/// A port of the node a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The address; `0.0.0.0` for all.
    pub ip: SmolStr,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: SmolStr,
    /// The number.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be had on one node.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        let any = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == any || other.ip == any)
    }
}

/// What a pod bears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toleration {
    /// The taint's key; empty for all.
    pub key: SmolStr,
    /// Whether any value is borne; else it must be [`Toleration::value`].
    pub any_value: bool,
    /// The taint's value.
    pub value: SmolStr,
    /// The taint's effect; empty for all.
    pub effect: SmolStr,
}

/// What a node repels pods by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: SmolStr,
    /// Its value.
    pub value: SmolStr,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: SmolStr,
}

impl Toleration {
    /// Whether the taint is borne.
    pub fn bears(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.any_value || self.value == taint.value)
    }
}

/// What is asked of pods.
#[derive(Clone, Debug, Default)]
pub struct PodFacts {
    /// The node it is bound to; empty if none.
    pub node: SmolStr,
    /// Whether it is for us to place.
    pub is_ours: bool,
    /// Whether it has ended.
    pub is_over: bool,
    /// When it was made.
    pub created: WallTime,
    /// When it was started on its node.
    pub started: Option<WallTime>,
    /// `spec.priority`
    pub priority: i32,
    /// Whether it may displace others.
    pub may_preempt: bool,
    /// The node it was promised.
    pub nominated: SmolStr,
    /// What it asks for.
    pub requests: Amounts,
    /// The same, with defaults where it asks for nothing: for scoring.
    pub scored: (i64, i64),
    /// The node's ports it takes.
    pub ports: Box<[HostPort]>,
    /// What it bears.
    pub tolerations: Box<[Toleration]>,
    /// `spec.nodeSelector`
    pub node_selector: Box<[(SmolStr, SmolStr)]>,
    /// Where it wants to be, and near whom.
    pub affinity: Option<Box<Affinity>>,
    /// How it wants to be spread.
    pub spread: Box<[Spread]>,
    /// The images of its containers.
    pub images: Box<[SmolStr]>,
    /// How many containers it has, those that prepare it included.
    pub containers: usize,
    /// What holds it back.
    pub gates: Box<[SmolStr]>,
    /// The condition `PodScheduled` as it is: its status, reason and message.
    pub scheduled: Option<Box<(SmolStr, SmolStr, String)>>,
}

impl Facts for PodFacts {
    fn of(object: &Object) -> Result<PodFacts, Status> {
        let slim: slim::Slim = client::cache::read(object)?;
        slim.into_facts().map_err(Status::internal)
    }
}

/// The key of a pod.
pub fn key(pod: &Pod) -> Key {
    Key::of(&pod.object)
}
