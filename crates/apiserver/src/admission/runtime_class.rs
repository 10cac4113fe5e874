//! `RuntimeClass`: what a class costs and where it may run becomes part of the pod.

use machinery::status::GroupName;
use machinery::{Status, Value};

use super::{Operation, Plugin, Review, Step, Surroundings};

#[derive(Debug)]
pub(super) struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "pods") && review.operation == Operation::Create && review.subresource.is_empty()
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        let refused = apply(review, around).err()?;
        Some(Box::pin(std::future::ready(Err(refused))))
    }
}

fn apply(review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
    let name = review.name;
    let forbidden = |why: &str| Status::forbidden(GroupName { group: "", name: "pods" }, name, why);
    let spec = review.object.entry("spec");
    let Some(wanted) = spec.get("runtimeClassName").as_str().map(str::to_owned) else {
        if spec.get("overhead").is_empty() {
            return Ok(());
        }
        return Err(forbidden(
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ));
    };
    let class =
        around.caches.collection("node.k8s.io/runtimeclasses").and_then(|classes| classes.get(&wanted));
    let Some(class) = class else {
        let wanted = machinery::field::go_quote(&wanted);
        return Err(forbidden(&format!("pod rejected: RuntimeClass {wanted} not found")));
    };
    merge(spec, &class.object().to_value()?).map_err(|why| forbidden(&why))
}

/// Brings a class into the spec of a pod.
fn merge(spec: &mut Value, class: &Value) -> Result<(), String> {
    let overhead = class.at(&["overhead", "podFixed"]);
    let own = spec.get("overhead");
    if !own.is_empty() && !same_amounts(own, overhead) {
        return Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned());
    }
    if !overhead.is_empty() {
        spec.set("overhead", overhead.clone());
    }
    for (key, value) in class.at(&["scheduling", "nodeSelector"]).members() {
        let (own, value) = (spec.at(&["nodeSelector", key]), value.str_or_empty());
        if !own.is_null() && own.str_or_empty() != value {
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {}",
                own.str_or_empty()
            ));
        }
        *spec.at_mut(&["nodeSelector", key]) = Value::from(value);
    }
    for toleration in class.at(&["scheduling", "tolerations"]).items() {
        if !spec.get("tolerations").items().contains(toleration) {
            spec.entry("tolerations").make_array().push(toleration.clone());
        }
    }
    Ok(())
}

/// Whether two lists of resources are the same, however the amounts are written.
fn same_amounts(own: &Value, other: &Value) -> bool {
    let amount = |value: &Value| machinery::quantity::Quantity::parse(value.str_or_empty()).ok();
    own.members().count() == other.members().count()
        && own.members().all(|(name, value)| {
            let (own, other) = (amount(value), amount(other.get(name)));
            own.zip(other).is_some_and(|(own, other)| own.minus(other).is_zero())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Value {
        machinery::json::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_class_is_merged_or_refused() {
        let class = parse(
            r#"{"overhead":{"podFixed":{"cpu":"10m"}},
            "scheduling":{"nodeSelector":{"a":"b"},"tolerations":[{"key":"k","operator":"Exists"}]}}"#,
        );
        for (spec, expected) in [
            ("{}", Ok(())),
            (r#"{"overhead":{"cpu":"0.01"},"nodeSelector":{"a":"b"}}"#, Ok(())),
            (
                r#"{"overhead":{"cpu":"20m"}}"#,
                Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
            ),
            (
                r#"{"nodeSelector":{"a":"c"}}"#,
                Err("conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c"),
            ),
        ] {
            let mut merged = parse(spec);
            assert_eq!(merge(&mut merged, &class), expected.map_err(str::to_owned), "{spec}");
            if expected.is_ok() {
                assert_eq!(merged.at(&["overhead", "cpu"]).str_or_empty(), "10m");
                assert_eq!(merged.at(&["nodeSelector", "a"]).str_or_empty(), "b");
                assert_eq!(merged.get("tolerations").items().len(), 1);
            }
        }
    }
}
