//! `DefaultTolerationSeconds`: pods stay five minutes on a node that is not ready or cannot be reached.

use machinery::Value;

use super::{Operation, Plugin, Review, Step, Surroundings};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

#[derive(Debug)]
pub(super) struct DefaultTolerations;

impl Plugin for DefaultTolerations {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "pods")
            && review.subresource.is_empty()
            && matches!(review.operation, Operation::Create | Operation::Update)
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, _: Surroundings<'a>) -> Option<Step<'a>> {
        add(review.object.entry("spec"));
        None
    }
}

fn add(spec: &mut Value) {
    let missing =
        TAINTS.map(|taint| !spec.get("tolerations").items().iter().any(|held| tolerates(held, taint)));
    for (taint, missing) in TAINTS.into_iter().zip(missing) {
        if missing {
            spec.entry("tolerations").make_array().push(Value::from([
                ("key", Value::from(taint)),
                ("operator", Value::from("Exists")),
                ("effect", Value::from("NoExecute")),
                ("tolerationSeconds", Value::from(SECONDS)),
            ]));
        }
    }
}

/// Whether a toleration says something about a taint that evicts. An empty key or effect stands for all of them.
fn tolerates(toleration: &Value, taint: &str) -> bool {
    let (key, effect) = (toleration.get("key").str_or_empty(), toleration.get("effect").str_or_empty());
    (key.is_empty() || key == taint) && (effect.is_empty() || effect == "NoExecute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_says_itself_counts() {
        for (own, keys) in [
            ("[]", vec![TAINTS[0], TAINTS[1]]),
            (r#"[{"operator":"Exists"}]"#, vec![""]),
            (r#"[{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"}]"#, vec![TAINTS[0], TAINTS[1]]),
            (
                r#"[{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}]"#,
                vec![TAINTS[0], TAINTS[0], TAINTS[1]],
            ),
            (r#"[{"key":"node.kubernetes.io/unreachable"}]"#, vec![TAINTS[1], TAINTS[0]]),
        ] {
            let mut spec = Value::from([("tolerations", machinery::json::parse(own.as_bytes()).unwrap())]);
            add(&mut spec);
            let found: Vec<&str> =
                spec.get("tolerations").items().iter().map(|held| held.get("key").str_or_empty()).collect();
            assert_eq!(found, keys, "{own}");
        }
    }
}
