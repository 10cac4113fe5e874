//! What is worked out once for a decision and asked for each node.

use crate::plugins::{interpod_affinity, topology_spread};
use crate::pod::Pod;
use crate::snapshot::Snapshot;

/// A decision under way.
pub struct Cycle<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// Where pods it wants to be spread with are.
    pub spread: topology_spread::State,
    /// Where pods it wants to be near, or apart from, are; and who keeps it away.
    pub nearness: interpod_affinity::State,
}

impl<'a> Cycle<'a> {
    /// Begins a decision.
    pub fn new(pod: &'a Pod, snapshot: &'a Snapshot) -> Cycle<'a> {
        Cycle {
            pod,
            snapshot,
            spread: topology_spread::State::count(pod, snapshot),
            nearness: interpod_affinity::State::count(pod, snapshot),
        }
    }
}
