//! Replacing pods of older templates: either an old pod goes first, within the bounds of unavailability, or a new one
//! comes first, within the bounds of surge.

use smol_str::SmolStr;

use super::manage::Changes;
use super::place::Fit;
use super::plan::Model;
use crate::pod::Pod;

/// The pods of one node: the one of the newest template, and the other. `None` if there are several of a sort.
fn of_node<'m>(model: &Model<'_>, pods: &'m [Pod]) -> Option<(Option<&'m Pod>, Option<&'m Pod>)> {
    let (mut newest, mut older) = (None, None);
    for pod in pods.iter().filter(|pod| pod.facts.deletion.is_none()) {
        let place = if model.is_newest(pod) { &mut newest } else { &mut older };
        if place.replace(pod).is_some() {
            return None;
        }
    }
    Some((newest, older))
}

/// Every node where there is a pod or is to be one.
fn nodes<'m>(model: &'m Model<'_>) -> impl Iterator<Item = (&'m SmolStr, &'m [Pod])> {
    let pods = |node: &SmolStr| model.pods.get(node).map_or(&[][..], Vec::as_slice);
    let wanted = model.fits.iter().filter(move |(node, fit)| **fit == Fit::Wanted || !pods(node).is_empty());
    let known = wanted.map(move |(node, _)| (node, pods(node)));
    let others = model.pods.iter().filter(|(node, _)| !model.fits.contains_key(*node));
    known.chain(others.map(|(node, pods)| (node, pods.as_slice())))
}

/// The next changes of a rolling update.
pub fn changes(model: &Model<'_>) -> Changes {
    if model.max_surge() == 0 { removing_first(model) } else { making_first(model) }
}

fn removing_first(model: &Model<'_>) -> Changes {
    let mut unavailable = 0;
    let (mut useless, mut candidates) = (Vec::new(), Vec::new());
    for (_, pods) in nodes(model) {
        match of_node(model, pods) {
            Some((Some(newest), None)) => unavailable += i32::from(!model.is_available(newest)),
            Some((None, Some(older))) if model.is_available(older) => candidates.push(older.clone()),
            Some((None, Some(older))) => {
                // It serves nobody: nothing is lost with it.
                unavailable += 1;
                useless.push(older.clone());
            }
            // What is amiss there is put right first.
            _ => unavailable += 1,
        }
    }
    let spare = usize::try_from(model.max_unavailable() - unavailable).unwrap_or(0);
    let pods = useless.into_iter().chain(candidates.into_iter().take(spare)).collect();
    Changes { nodes: Vec::new(), pods }
}

fn making_first(model: &Model<'_>) -> Changes {
    let (mut surging, mut available) = (0, 0);
    let mut changes = Changes::default();
    let (mut candidates, mut unwanted) = (Vec::new(), Vec::new());
    for (node, pods) in nodes(model) {
        let Some((newest, older)) = of_node(model, pods) else {
            surging += 1;
            continue;
        };
        available += i32::from(older.or(newest).is_some_and(|pod| model.is_available(pod)));
        let is_wanted = model.fits.get(node) == Some(&Fit::Wanted);
        match (newest, older) {
            (_, None) => {}
            (None, Some(older)) => match (model.is_available(older), is_wanted) {
                (false, false) => changes.pods.push(older.clone()),
                (false, true) => changes.nodes.push(node.clone()),
                (true, false) => unwanted.push(older.clone()),
                (true, true) => candidates.push(node.clone()),
            },
            (Some(newest), Some(older)) if model.is_available(newest) => changes.pods.push(older.clone()),
            (Some(_), Some(_)) => surging += 1,
        }
    }
    // Where no pod is wanted any more one goes only when another serves in its stead.
    let spare = usize::try_from(available - model.desired()).unwrap_or(0);
    changes.pods.extend(unwanted.into_iter().take(spare));
    let room = usize::try_from(model.max_surge() - surging).unwrap_or(0);
    changes.nodes.extend(candidates.into_iter().take(room));
    changes
}
