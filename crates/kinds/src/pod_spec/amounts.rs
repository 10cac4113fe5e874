//! What a pod asks for in all, and what it is limited to.

use std::collections::BTreeMap;

use super::resources::amount;
use machinery::Value;
use machinery::quantity::Quantity;

/// Amounts by the name of what they are of.
pub type Amounts = BTreeMap<String, Quantity>;

/// Resources that a pod as a whole may name.
pub(super) fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || super::resources::is_huge_page(name)
}

/// The amounts of a document's list.
pub fn list(document: &Value) -> Amounts {
    document.members().map(|(name, value)| (name.to_string(), amount(value))).collect()
}

/// What a pod asks for at its greediest moment: while it is prepared, or once it runs.
pub fn requests(spec: &Value) -> Amounts {
    whole(spec, "requests")
}

/// What a pod is limited to.
pub fn limits(spec: &Value) -> Amounts {
    whole(spec, "limits")
}

fn whole(spec: &Value, which: &str) -> Amounts {
    let mut amounts = of_containers(spec, which);
    // What the pod as a whole says counts instead of its containers' sum.
    let own = list(spec.at(&["resources", which]));
    amounts.extend(own.into_iter().filter(|(name, _)| is_of_pods(name)));
    amounts
}

/// What a pod's containers need together at their greediest moment.
pub(super) fn of_containers(spec: &Value, which: &str) -> Amounts {
    let of = |container: &Value| list(container.at(&["resources", which]));
    let mut running = Amounts::new();
    for container in spec.get("containers").items() {
        add(&mut running, &of(container));
    }
    let (mut sidecars, mut preparing) = (Amounts::new(), Amounts::new());
    for container in spec.get("initContainers").items() {
        let mut needed = of(container);
        if container.get("restartPolicy").as_str() == Some("Always") {
            add(&mut running, &needed);
            add(&mut sidecars, &needed);
            needed.clone_from(&sidecars);
        } else {
            add(&mut needed, &sidecars);
        }
        raise(&mut preparing, &needed);
    }
    raise(&mut running, &preparing);
    running
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let before = sum.get(name).copied();
        sum.insert(name.clone(), before.map_or(*amount, |before| before.plus(*amount)));
    }
}

fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let before = most.get(name).copied();
        most.insert(name.clone(), before.map_or(*amount, |before| before.max(*amount)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_asks_for_what_its_greediest_moment_needs() {
        let spec = machinery::json::parse(
            br#"{"initContainers":[{"resources":{"requests":{"cpu":"3"}}},
            {"restartPolicy":"Always","resources":{"requests":{"cpu":"500m","memory":"1Mi"}}}],
            "containers":[{"resources":{"requests":{"cpu":"1"}}},{"resources":{"requests":{"cpu":"1"}}}]}"#,
        )
        .unwrap();
        let texts = |amounts: Amounts| -> Vec<String> {
            amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect()
        };
        assert_eq!(texts(requests(&spec)), ["cpu=3", "memory=1Mi"]);
        assert!(limits(&spec).is_empty());
        let mut whole = spec;
        *whole.at_mut(&["resources", "requests", "cpu"]) = Value::from("10");
        assert_eq!(texts(requests(&whole)), ["cpu=10", "memory=1Mi"]);
    }
}
