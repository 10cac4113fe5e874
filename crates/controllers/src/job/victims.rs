//! Which pods go when there are too many.

use std::collections::{BTreeMap, BTreeSet};

use env::WallTime;
use smol_str::SmolStr;

use super::tally::Member;
use crate::pod::Pod;
use crate::replicaset::victims;

/// At least `surplus` pods that go, and in any case those without an index the Job knows, and all but one of each index.
pub fn choose<'a>(active: &[&'a Member], surplus: usize, is_indexed: bool, now: WallTime) -> Vec<&'a Member> {
    let by_uid: BTreeMap<&SmolStr, &Member> = active.iter().map(|member| (member.uid(), *member)).collect();
    let first = |members: &[&Member], count: usize| -> Vec<SmolStr> {
        let pods: Vec<Pod> = members.iter().map(|member| member.pod.clone()).collect();
        let chosen = victims::choose(&pods, count, &BTreeMap::new(), now);
        chosen.iter().map(|pod| pod.object.header().uid.clone()).collect()
    };
    let mut goes: Vec<SmolStr> = Vec::new();
    if is_indexed {
        let mut by_index: BTreeMap<Option<u32>, Vec<&Member>> = BTreeMap::new();
        for member in active {
            by_index.entry(member.index).or_default().push(member);
        }
        for (index, members) in by_index {
            let kept = usize::from(index.is_some());
            goes.extend(first(&members, members.len() - kept));
        }
    }
    if goes.len() < surplus {
        let known: BTreeSet<&SmolStr> = goes.iter().collect();
        let left: Vec<&Member> =
            active.iter().copied().filter(|member| !known.contains(member.uid())).collect();
        let more = first(&left, surplus - goes.len());
        goes.extend(more);
    }
    goes.iter().filter_map(|uid| by_uid.get(uid).copied()).collect()
}
