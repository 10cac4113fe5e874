//! `Priority`: a pod's priority is that of its class.

use machinery::json::Parts;
use machinery::status::GroupName;
use machinery::{Status, Value};

use super::{Operation, Plugin, Review, Step, Surroundings};

const CLASSES: &str = "scheduling.k8s.io/priorityclasses";
/// The classes that every cluster has.
const SYSTEM: [&str; 2] = ["system-node-critical", "system-cluster-critical"];
const PREEMPT: &str = "PreemptLowerPriority";

#[derive(Debug)]
pub(super) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        let concerned =
            review.served.is("", "pods") || review.served.is("scheduling.k8s.io", "priorityclasses");
        let written = matches!(review.operation, Operation::Create | Operation::Update);
        let removed = review.operation == Operation::Delete && review.served.plural == "priorityclasses";
        concerned && review.subresource.is_empty() && (written || removed)
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        if !review.served.is("", "pods") {
            let refused = review.operation == Operation::Delete && SYSTEM.contains(&review.name);
            return refused.then(|| -> Step<'a> {
                let resource = GroupName { group: "scheduling.k8s.io", name: "priorityclasses" };
                let why = "this is a system priority class and cannot be deleted";
                Box::pin(std::future::ready(Err(Status::forbidden(resource, review.name, why))))
            });
        }
        if review.operation == Operation::Update {
            keep(&mut review.object, review.old);
            return None;
        }
        let outcome = resolve(review, around);
        outcome.err().map(|status| -> Step<'a> { Box::pin(std::future::ready(Err(status))) })
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        if review.served.is("", "pods") || !review.object.get("globalDefault").is_true() {
            return None;
        }
        let own = review.object.at(&["metadata", "name"]).str_or_empty().to_owned();
        let other = global_default(around).filter(|(name, _)| *name != own)?;
        let why =
            format!("PriorityClass {} is already marked as default. Only one default can exist", other.0);
        let resource = GroupName { group: "scheduling.k8s.io", name: "priorityclasses" };
        let refused = Status::forbidden(resource, review.name, &why);
        Some(Box::pin(std::future::ready(Err(refused))))
    }
}

/// An update that leaves the priority out does not mean to change it.
fn keep(object: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        let before = old.at(&["spec", field]);
        if object.at(&["spec", field]).is_null() && !before.is_null() {
            *object.at_mut(&["spec", field]) = before.clone();
        }
    }
}

fn resolve(review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
    let name = review.name;
    let forbidden = |why: String| Status::forbidden(GroupName { group: "", name: "pods" }, name, &why);
    let spec = review.object.entry("spec");
    let wanted = spec.get("priorityClassName").str_or_empty().to_owned();
    let (value, policy) = if wanted.is_empty() {
        match global_default(around) {
            Some((class, document)) => {
                spec.set("priorityClassName", class);
                of_class(&document)
            }
            None => (0, PREEMPT.to_owned()),
        }
    } else {
        let class = around.caches.collection(CLASSES).and_then(|classes| classes.get(&wanted));
        let class =
            class.ok_or_else(|| forbidden(format!("no PriorityClass with name {wanted} was found")))?;
        of_class(&class.object().to_value()?)
    };
    if let Some(own) = spec.get("priority").as_int().filter(|own| *own != value) {
        return Err(forbidden(format!(
            "the integer value of priority ({own}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        )));
    }
    if let Some(own) = spec.get("preemptionPolicy").as_str().filter(|own| *own != policy) {
        return Err(forbidden(format!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        )));
    }
    spec.set("priority", value);
    spec.set("preemptionPolicy", policy);
    Ok(())
}

fn of_class(class: &Value) -> (i64, String) {
    let policy = class.get("preemptionPolicy").as_str().unwrap_or(PREEMPT);
    (class.get("value").as_int().unwrap_or(0), policy.to_owned())
}

/// The class of pods that name none: of several, the one with the smallest value. Every new pod asks for it.
fn global_default(around: Surroundings<'_>) -> Option<(String, Value)> {
    const WANTED: Parts =
        Parts::Of(&[("globalDefault", Parts::All), ("value", Parts::All), ("preemptionPolicy", Parts::All)]);
    let classes = around.caches.collection(CLASSES)?.snapshot();
    let documents = classes.starting_at("").filter_map(|entry| {
        let document = entry.object().parts(&WANTED).ok()?;
        document.get("globalDefault").is_true().then(|| (entry.key().to_owned(), document))
    });
    documents.min_by_key(|(_, document)| document.get("value").as_int())
}
