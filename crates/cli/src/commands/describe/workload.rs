//! Workloads and Services in words.

use machinery::Value;

use super::text::{Text, scalar};

/// A Deployment, ReplicaSet, StatefulSet or DaemonSet.
pub fn describe(text: &mut Text, object: &Value) {
    let (spec, status) = (object.get("spec"), object.get("status"));
    text.field("Selector", &labels(spec.at(&["selector", "matchLabels"])));
    let count = |name: &str| status.get(name).as_int().unwrap_or(0);
    let wanted = spec.get("replicas").as_int().unwrap_or(count("desiredNumberScheduled"));
    text.field(
        "Replicas",
        &format!(
            "{wanted} desired | {} updated | {} total | {} available | {} unavailable",
            count("updatedReplicas"),
            count("replicas"),
            count("availableReplicas"),
            count("unavailableReplicas")
        ),
    );
    if let Some(strategy) = spec.at(&["strategy", "type"]).as_str() {
        text.field("StrategyType", strategy);
    }
    text.line(0, "Pod Template:");
    text.at(1, "Labels", &labels(spec.at(&["template", "metadata", "labels"])));
    text.line(1, "Containers:");
    for container in spec.at(&["template", "spec", "containers"]).items() {
        text.line(2, &format!("{}:", container.get("name").str_or_empty()));
        text.at(3, "Image", container.get("image").str_or_empty());
        for port in container.get("ports").items() {
            let shown =
                format!("{}/{}", scalar(port.get("containerPort")), port.get("protocol").str_or_empty());
            text.at(3, "Port", &shown);
        }
    }
    text.line(0, "Conditions:");
    for condition in status.get("conditions").items() {
        let word = |name: &str| condition.get(name).str_or_empty();
        text.at(1, word("type"), &format!("{} ({})", word("status"), word("reason")));
    }
}

/// A Service.
pub fn service(text: &mut Text, object: &Value) {
    let spec = object.get("spec");
    text.field("Selector", &labels(spec.get("selector")));
    let fields = [
        ("Type", "type"),
        ("IP Family Policy", "ipFamilyPolicy"),
        ("IP", "clusterIP"),
        ("External Name", "externalName"),
        ("Session Affinity", "sessionAffinity"),
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
    ];
    for (heading, member) in fields {
        if let Some(value) = spec.get(member).as_str() {
            text.field(heading, value);
        }
    }
    for port in spec.get("ports").items() {
        let name = port.get("name").as_str().unwrap_or("<unset>");
        let protocol = port.get("protocol").str_or_empty();
        text.field("Port", &format!("{name} {}/{protocol}", scalar(port.get("port"))));
        text.field("TargetPort", &format!("{}/{protocol}", scalar(port.get("targetPort"))));
        if !port.get("nodePort").is_empty() {
            text.field("NodePort", &format!("{name} {}/{protocol}", scalar(port.get("nodePort"))));
        }
    }
}

fn labels(labels: &Value) -> String {
    let pairs: Vec<String> =
        labels.members().map(|(name, value)| format!("{name}={}", value.str_or_empty())).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}
