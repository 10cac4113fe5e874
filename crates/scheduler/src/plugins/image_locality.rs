//! Nodes that have a pod's images are better, the more so the larger these are.

use std::sync::Arc;

use super::BEST;
use crate::decide::cycle::Cycle;
use crate::node::Node;

/// Images smaller than this are pulled so quickly that they do not matter.
const SMALL: i64 = 23 << 20;
/// Images larger than this, per container, matter no more than this.
const LARGE: i64 = 1_000 << 20;

pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
    let facts = &cycle.pod.facts;
    let total = i64::try_from(cycle.snapshot.nodes().len()).unwrap_or(i64::MAX).max(1);
    let most = LARGE * i64::try_from(facts.containers).unwrap_or(1).max(1);
    let names: Vec<String> = facts.images.iter().map(|image| full_name(image)).collect();
    let score = |node: &&Arc<Node>| {
        let images = &node.entry.facts.images;
        let sizes = names.iter().filter_map(|name| {
            let size = images.get(name.as_str())?;
            // An image that few nodes have must not draw every pod to them.
            let having = i64::try_from(cycle.snapshot.nodes_with_image(name)).unwrap_or(0);
            Some(size * having / total)
        });
        let sum: i64 = sizes.sum();
        BEST * (sum.clamp(SMALL, most) - SMALL) / (most - SMALL)
    };
    Some(nodes.iter().map(score).collect())
}

/// With a tag, as nodes name images.
fn full_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}
