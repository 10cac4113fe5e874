//! A node in words.

use machinery::Value;

use super::text::{Text, scalar};

/// Its state, what it has and what it is.
pub fn describe(text: &mut Text, node: &Value) {
    let (spec, status) = (node.get("spec"), node.get("status"));
    let taints: Vec<String> = spec
        .get("taints")
        .items()
        .iter()
        .map(|taint| {
            let word = |name: &str| taint.get(name).str_or_empty();
            let value = if word("value").is_empty() { String::new() } else { format!("={}", word("value")) };
            format!("{}{value}:{}", word("key"), word("effect"))
        })
        .collect();
    text.field("Taints", &if taints.is_empty() { "<none>".to_owned() } else { taints.join(", ") });
    text.field("Unschedulable", &spec.get("unschedulable").is_true().to_string());
    text.line(0, "Conditions:");
    for condition in status.get("conditions").items() {
        let word = |name: &str| condition.get(name).str_or_empty();
        text.at(1, word("type"), &format!("{} ({}: {})", word("status"), word("reason"), word("message")));
    }
    text.line(0, "Addresses:");
    for address in status.get("addresses").items() {
        text.at(1, address.get("type").str_or_empty(), address.get("address").str_or_empty());
    }
    for (heading, member) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        text.line(0, &format!("{heading}:"));
        for (name, amount) in status.get(member).members() {
            text.at(1, name, &scalar(amount));
        }
    }
    text.tree("systemInfo", status.get("nodeInfo"));
    for (heading, member) in [("PodCIDR", "podCIDR"), ("ProviderID", "providerID")] {
        if let Some(value) = spec.get(member).as_str() {
            text.field(heading, value);
        }
    }
}
