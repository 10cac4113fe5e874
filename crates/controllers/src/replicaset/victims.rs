//! Which pods go first when there are too many: those whose loss costs least.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use env::WallTime;
use smol_str::SmolStr;

use crate::pod::{Phase, Pod};

/// The `count` pods that go. `neighbours` counts related pods by node.
pub fn choose(pods: &[Pod], count: usize, neighbours: &BTreeMap<SmolStr, usize>, now: WallTime) -> Vec<Pod> {
    let mut pods = pods.to_vec();
    if count < pods.len() {
        pods.sort_by(|left, right| order(left, right, neighbours, now));
        pods.truncate(count);
    }
    pods
}

/// Less goes first.
fn order(left: &Pod, right: &Pod, neighbours: &BTreeMap<SmolStr, usize>, now: WallTime) -> Ordering {
    let (l, r) = (&left.facts, &right.facts);
    let crowd = |node: &SmolStr| neighbours.get(node).copied().unwrap_or(0);
    let by_rank = (!l.node.is_empty())
        .cmp(&!r.node.is_empty())
        .then(phase_rank(l.phase).cmp(&phase_rank(r.phase)))
        .then(l.is_ready.cmp(&r.is_ready))
        .then(l.deletion_cost.cmp(&r.deletion_cost))
        .then(crowd(&r.node).cmp(&crowd(&l.node)));
    let by_readiness = || {
        if l.is_ready && r.is_ready { by_age(l.ready_changed, r.ready_changed, now) } else { Ordering::Equal }
    };
    by_rank
        .then_with(by_readiness)
        .then(r.restarts.cmp(&l.restarts))
        .then_with(|| by_age(Some(l.created), Some(r.created), now))
        .then_with(|| left.object.header().uid.cmp(&right.object.header().uid))
}

fn phase_rank(phase: Phase) -> u8 {
    match phase {
        Phase::Pending => 0,
        Phase::Unknown => 1,
        _ => 2,
    }
}

/// The younger goes first, by the order of magnitude of its age: among pods of about the same age the choice is as
/// good as random, so that not all of the newest, which may be in one zone, go. Unknown times go first.
fn by_age(left: Option<WallTime>, right: Option<WallTime>, now: WallTime) -> Ordering {
    match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(left), Some(right)) => magnitude(left, now).cmp(&magnitude(right, now)),
    }
}

fn magnitude(time: WallTime, now: WallTime) -> Option<u32> {
    u64::try_from(now.since(time).as_nanos()).unwrap_or(u64::MAX).checked_ilog2()
}
