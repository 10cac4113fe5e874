//! `LimitRanger`: what a namespace's limit ranges say of containers, pods and claims: defaults first, then bounds.

mod bounds;

use machinery::status::GroupName;
use machinery::{Status, Value};

use super::{Operation, Plugin, Review, Step, Surroundings};

/// Tells on a pod what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

#[derive(Debug)]
pub(super) struct LimitRanger;

/// The limit ranges of a namespace.
fn ranges(namespace: &str, around: Surroundings<'_>) -> Result<Vec<Value>, Status> {
    let Some(all) = around.caches.collection("core/limitranges") else { return Ok(Vec::new()) };
    let prefix = format!("{namespace}/");
    let snapshot = all.snapshot();
    let own = snapshot.starting_at(&prefix).take_while(|entry| entry.key().starts_with(&prefix));
    own.map(|entry| entry.object().to_value()).collect()
}

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        // What is on its way out is not held to anything any more.
        if !review.old.at(&["metadata", "deletionTimestamp"]).is_null() {
            return false;
        }
        let (is_create, is_update) =
            (review.operation == Operation::Create, review.operation == Operation::Update);
        if review.served.is("", "pods") {
            // Containers cannot change otherwise.
            return match review.subresource {
                "" => is_create,
                "resize" => is_update,
                _ => false,
            };
        }
        review.served.is("", "persistentvolumeclaims")
            && review.subresource.is_empty()
            && (is_create || is_update)
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        if !review.served.is("", "pods") {
            return None;
        }
        let outcome = ranges(review.namespace, around).map(|ranges| {
            for range in &ranges {
                fill_in(&mut review.object, range);
            }
        });
        outcome.err().map(|status| -> Step<'a> { Box::pin(std::future::ready(Err(status))) })
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        let refused = check(review, around).err()?;
        Some(Box::pin(std::future::ready(Err(refused))))
    }
}

fn check(review: &Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
    let plural = review.served.plural.as_str();
    for range in ranges(review.namespace, around)? {
        let found = if plural == "pods" {
            bounds::of_pod(&range, &review.object)
        } else {
            bounds::of_claim(&range, &review.object)
        };
        if let Some(why) = one_text(found) {
            return Err(Status::forbidden(GroupName { group: "", name: plural }, review.name, &why));
        }
    }
    Ok(())
}

/// Several reasons as one.
fn one_text(mut reasons: Vec<String>) -> Option<String> {
    let mut seen = Vec::new();
    reasons.retain(|reason| {
        let is_new = !seen.contains(reason);
        seen.push(reason.clone());
        is_new
    });
    match reasons.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    }
}

/// Gives a pod's containers what a range has for those that say nothing.
fn fill_in(pod: &mut Value, range: &Value) {
    let of_containers = |field: &str| {
        let mut all = Value::object();
        for limit in range.at(&["spec", "limits"]).items() {
            if limit.get("type").as_str() == Some("Container") {
                for (name, amount) in limit.get(field).members() {
                    all.set(name, amount.clone());
                }
            }
        }
        all
    };
    let (limits, requests) = (of_containers("default"), of_containers("defaultRequest"));
    let mut done = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let Some(containers) = pod.entry("spec").get_mut(list) else { continue };
        for container in containers.items_mut() {
            let name = container.get("name").str_or_empty().to_owned();
            let resources = container.entry("resources");
            // Told in this order, whichever was filled in first.
            let set_limits = merge(resources, "limits", &limits);
            let set_requests = merge(resources, "requests", &requests);
            for (set, kind) in [(set_requests, "request"), (set_limits, "limit")] {
                if !set.is_empty() {
                    done.push(format!("{} {kind} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !done.is_empty() {
        let text = format!("LimitRanger plugin set: {}", done.join("; "));
        *pod.at_mut(&["metadata", "annotations", ANNOTATION]) = Value::from(text);
    }
}

/// Adds what is missing; returns its names, sorted.
fn merge(resources: &mut Value, field: &str, defaults: &Value) -> Vec<String> {
    let present = resources.get(field);
    let missing: Vec<(String, Value)> = defaults
        .members()
        .filter(|(name, _)| present.get(name).is_null())
        .map(|(name, amount)| (name.to_string(), amount.clone()))
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let list = resources.entry(field);
    let mut names: Vec<String> = Vec::new();
    for (name, amount) in missing {
        list.set(&name, amount);
        names.push(name);
    }
    if let Some(map) = list.as_object_mut() {
        map.sort();
    }
    names.sort();
    names
}

#[cfg(test)]
mod tests;
