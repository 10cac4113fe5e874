//! Pods want to be near some pods and apart from others.

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::object::Header;
use smol_str::SmolStr;

use super::{BEST, Rejection};
use crate::decide::cycle::Cycle;
use crate::node::Node;
use crate::pod::{Affinity, Pod, Term};
use crate::snapshot::Snapshot;

/// Its name.
pub const NAME: &str = "InterPodAffinity";

/// What another pod's hard wish to be near counts in scoring.
const HARD_WISH: i64 = 1;

type Places = BTreeMap<(SmolStr, SmolStr), i64>;

/// What was counted for a decision.
#[derive(Default)]
pub struct State {
    /// Pods that meet all terms the pod wants to be near, by the places of each term.
    near: Places,
    /// Pods the pod must be apart from.
    apart: Places,
    /// Pods that keep the pod away.
    kept_away: Places,
}

fn count(places: &mut Places, key: &SmolStr, node: &Node, by: i64) {
    if let Some(place) = node.label(key) {
        *places.entry((key.clone(), SmolStr::new(place))).or_default() += by;
    }
}

/// Asks terms about pods, with the labels of their namespaces.
struct Matcher<'a> {
    snapshot: &'a Snapshot,
}

impl Matcher<'_> {
    fn is_about(&self, term: &Term, of: &Pod, other: &Pod) -> bool {
        let (own, other) = (&of.object.header().namespace, other.object.header());
        let labels: Option<&Header> = self.snapshot.namespace(&other.namespace).map(|object| object.header());
        term.matches(own, other, labels)
    }
}

impl State {
    /// Counts for a decision about `pod`.
    pub fn count(pod: &Pod, snapshot: &Snapshot) -> State {
        let mut state = State::default();
        let matcher = Matcher { snapshot };
        let own = pod.facts.affinity.as_deref().filter(|own| !own.near.is_empty() || !own.apart.is_empty());
        if own.is_none() && !snapshot.has_anti_affinity() {
            return state;
        }
        for node in snapshot.nodes() {
            if own.is_none() && node.with_anti_affinity == 0 {
                continue;
            }
            for other in &node.pods {
                state.count_one(&matcher, pod, own, (node, other));
            }
        }
        state
    }

    fn count_one(
        &mut self,
        matcher: &Matcher<'_>,
        pod: &Pod,
        own: Option<&Affinity>,
        (node, other): (&Node, &Pod),
    ) {
        let theirs = other.facts.affinity.as_deref();
        for term in theirs.map_or(&[][..], |theirs| &theirs.apart) {
            if matcher.is_about(term, other, pod) {
                count(&mut self.kept_away, &term.topology_key, node, 1);
            }
        }
        let Some(own) = own else { return };
        if !own.near.is_empty() && own.near.iter().all(|term| matcher.is_about(term, pod, other)) {
            for term in &own.near {
                count(&mut self.near, &term.topology_key, node, 1);
            }
        }
        for term in &own.apart {
            if matcher.is_about(term, pod, other) {
                count(&mut self.apart, &term.topology_key, node, 1);
            }
        }
    }
}

fn has(places: &Places, key: &SmolStr, node: &Node) -> bool {
    let place = node.label(key).map(SmolStr::new);
    place.is_some_and(|place| places.get(&(key.clone(), place)).is_some_and(|count| *count > 0))
}

pub(super) fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    let state = &cycle.nearness;
    let own = cycle.pod.facts.affinity.as_deref();
    if let Some(own) = own.filter(|own| !own.near.is_empty() && !is_near(cycle, own, node)) {
        debug_assert!(!own.near.is_empty());
        return Some(Rejection::final_for(NAME, "node(s) didn't match pod affinity rules"));
    }
    let apart = own.map_or(&[][..], |own| &own.apart);
    if apart.iter().any(|term| has(&state.apart, &term.topology_key, node)) {
        return Some(Rejection::resolvable(NAME, "node(s) didn't match pod anti-affinity rules"));
    }
    let is_kept_away = !state.kept_away.is_empty()
        && state.kept_away.keys().any(|(key, place)| node.label(key) == Some(place));
    is_kept_away
        .then(|| Rejection::resolvable(NAME, "node(s) didn't satisfy existing pods anti-affinity rules"))
}

fn is_near(cycle: &Cycle<'_>, own: &Affinity, node: &Node) -> bool {
    if own.near.iter().any(|term| node.label(&term.topology_key).is_none()) {
        return false;
    }
    if own.near.iter().all(|term| has(&cycle.nearness.near, &term.topology_key, node)) {
        return true;
    }
    // The first of a group that wants to be together may go anywhere.
    let matcher = Matcher { snapshot: cycle.snapshot };
    cycle.nearness.near.is_empty() && own.near.iter().all(|term| matcher.is_about(term, cycle.pod, cycle.pod))
}

pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
    let own = cycle.pod.facts.affinity.as_deref();
    let own = own.filter(|own| !own.preferred_near.is_empty() || !own.preferred_apart.is_empty());
    let matcher = Matcher { snapshot: cycle.snapshot };
    let mut places = Places::new();
    for node in cycle.snapshot.nodes() {
        if own.is_none() && node.with_affinity == 0 {
            continue;
        }
        for other in &node.pods {
            weigh(&mut places, &matcher, cycle.pod, (node, other));
        }
    }
    if places.is_empty() {
        return None;
    }
    let sum = |node: &&Arc<Node>| {
        let here = places.iter().filter(|((key, place), _)| node.label(key) == Some(place));
        here.map(|(_, weight)| weight).sum::<i64>()
    };
    let sums: Vec<i64> = nodes.iter().map(sum).collect();
    let lowest = sums.iter().copied().min().unwrap_or(0);
    let range = sums.iter().copied().max().unwrap_or(0) - lowest;
    Some(sums.into_iter().map(|sum| if range == 0 { 0 } else { BEST * (sum - lowest) / range }).collect())
}

/// What another pod, on its node, speaks for and against that node's places.
fn weigh(places: &mut Places, matcher: &Matcher<'_>, pod: &Pod, (node, other): (&Node, &Pod)) {
    if let Some(own) = pod.facts.affinity.as_deref() {
        for (wishes, sign) in [(&own.preferred_near, 1), (&own.preferred_apart, -1)] {
            for wish in wishes.iter().filter(|wish| matcher.is_about(&wish.wish, pod, other)) {
                count(places, &wish.wish.topology_key, node, sign * wish.weight);
            }
        }
    }
    let Some(theirs) = other.facts.affinity.as_deref() else { return };
    for term in theirs.near.iter().filter(|term| matcher.is_about(term, other, pod)) {
        count(places, &term.topology_key, node, HARD_WISH);
    }
    for (wishes, sign) in [(&theirs.preferred_near, 1), (&theirs.preferred_apart, -1)] {
        for wish in wishes.iter().filter(|wish| matcher.is_about(&wish.wish, other, pod)) {
            count(places, &wish.wish.topology_key, node, sign * wish.weight);
        }
    }
}
