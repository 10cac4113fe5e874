//! A pod in words.

use machinery::Value;

use super::text::{Text, scalar};

/// Where it runs and since when: between its name and its labels.
pub fn placement(text: &mut Text, pod: &Value) {
    let (spec, status) = (pod.get("spec"), pod.get("status"));
    text.field("Priority", &scalar(spec.get("priority")));
    text.field("Service Account", spec.get("serviceAccountName").str_or_empty());
    let node = match (spec.get("nodeName").as_str(), status.get("hostIP").as_str()) {
        (Some(node), Some(address)) => format!("{node}/{address}"),
        (Some(node), None) => node.to_owned(),
        _ => "<none>".to_owned(),
    };
    text.field("Node", &node);
    text.field("Start Time", status.get("startTime").as_str().unwrap_or("<unset>"));
}

/// All the rest.
pub fn describe(text: &mut Text, pod: &Value) {
    let (spec, status) = (pod.get("spec"), pod.get("status"));
    let phase = if pod.at(&["metadata", "deletionTimestamp"]).is_null() {
        status.get("phase").str_or_empty()
    } else {
        "Terminating"
    };
    text.field("Status", phase);
    for (name, member) in [("Reason", "reason"), ("Message", "message"), ("IP", "podIP")] {
        if let Some(value) = status.get(member).as_str() {
            text.field(name, value);
        }
    }
    if let Some(owner) = pod
        .at(&["metadata", "ownerReferences"])
        .items()
        .iter()
        .find(|owner| owner.get("controller").is_true())
    {
        let shown = format!("{}/{}", owner.get("kind").str_or_empty(), owner.get("name").str_or_empty());
        text.field("Controlled By", &shown);
    }
    for (heading, list, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
    ] {
        containers(text, heading, spec.get(list), status.get(statuses));
    }
    text.line(0, "Conditions:");
    for condition in status.get("conditions").items() {
        text.at(1, condition.get("type").str_or_empty(), condition.get("status").str_or_empty());
    }
    volumes(text, spec.get("volumes"));
    text.field("QoS Class", status.get("qosClass").str_or_empty());
    text.pairs("Node-Selectors", spec.get("nodeSelector"), "=");
    tolerations(text, spec.get("tolerations"));
}

fn containers(text: &mut Text, heading: &str, containers: &Value, statuses: &Value) {
    if containers.items().is_empty() {
        return;
    }
    text.line(0, &format!("{heading}:"));
    for container in containers.items() {
        let name = container.get("name");
        let status =
            statuses.items().iter().find(|status| status.get("name") == name).cloned().unwrap_or_default();
        text.line(1, &format!("{}:", name.str_or_empty()));
        text.at(2, "Container ID", status.get("containerID").str_or_empty());
        text.at(2, "Image", container.get("image").str_or_empty());
        text.at(2, "Image ID", status.get("imageID").str_or_empty());
        let ports: Vec<String> = container
            .get("ports")
            .items()
            .iter()
            .map(|port| {
                format!("{}/{}", scalar(port.get("containerPort")), port.get("protocol").str_or_empty())
            })
            .collect();
        text.at(2, "Port", &if ports.is_empty() { "<none>".to_owned() } else { ports.join(", ") });
        words(text, "Command", container.get("command"));
        words(text, "Args", container.get("args"));
        state(text, "State", status.get("state"));
        if !status.get("lastState").is_empty() {
            state(text, "Last State", status.get("lastState"));
        }
        text.at(2, "Ready", if status.get("ready").is_true() { "True" } else { "False" });
        text.at(2, "Restart Count", &scalar(status.get("restartCount")));
        for (name, member) in [("Limits", "limits"), ("Requests", "requests")] {
            amounts(text, name, container.at(&["resources", member]));
        }
        environment(text, container);
        mounts(text, container.get("volumeMounts"));
    }
}

fn words(text: &mut Text, name: &str, words: &Value) {
    if words.items().is_empty() {
        return;
    }
    text.line(2, &format!("{name}:"));
    for word in words.items() {
        text.line(3, word.str_or_empty());
    }
}

fn state(text: &mut Text, name: &str, state: &Value) {
    let Some((kind, about)) = state.members().next() else {
        text.at(2, name, "Waiting");
        return;
    };
    let mut letters = kind.chars();
    let shown: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    text.at(2, name, &shown);
    let fields = [
        ("Reason", "reason"),
        ("Message", "message"),
        ("Exit Code", "exitCode"),
        ("Started", "startedAt"),
        ("Finished", "finishedAt"),
    ];
    for (heading, member) in fields {
        let value = about.get(member);
        if !value.is_null() {
            text.at(3, heading, &scalar(value));
        }
    }
}

fn amounts(text: &mut Text, name: &str, amounts: &Value) {
    if amounts.is_empty() {
        return;
    }
    text.line(2, &format!("{name}:"));
    for (resource, amount) in amounts.members() {
        text.at(3, resource, &scalar(amount));
    }
}

fn environment(text: &mut Text, container: &Value) {
    let variables = container.get("env").items();
    if variables.is_empty() {
        text.at(2, "Environment", "<none>");
        return;
    }
    text.line(2, "Environment:");
    for variable in variables {
        let name = variable.get("name").str_or_empty();
        let from = variable.get("valueFrom");
        let shown = match from.members().next() {
            None => variable.get("value").str_or_empty().to_owned(),
            Some((kind, source)) if kind == "fieldRef" => {
                format!(
                    "({}:{})",
                    source.get("apiVersion").str_or_empty(),
                    source.get("fieldPath").str_or_empty()
                )
            }
            Some((kind, source)) => {
                let what = if kind == "secretKeyRef" { "secret" } else { "config map" };
                format!(
                    "<set to the key '{}' in {what} '{}'>",
                    source.get("key").str_or_empty(),
                    source.get("name").str_or_empty()
                )
            }
        };
        text.at(3, name, &shown);
    }
}

fn mounts(text: &mut Text, mounts: &Value) {
    if mounts.items().is_empty() {
        text.at(2, "Mounts", "<none>");
        return;
    }
    text.line(2, "Mounts:");
    for mount in mounts.items() {
        let mode = if mount.get("readOnly").is_true() { "ro" } else { "rw" };
        let path = mount.get("mountPath").str_or_empty();
        text.line(3, &format!("{path} from {} ({mode})", mount.get("name").str_or_empty()));
    }
}

fn volumes(text: &mut Text, volumes: &Value) {
    if volumes.items().is_empty() {
        text.field("Volumes", "<none>");
        return;
    }
    text.line(0, "Volumes:");
    for volume in volumes.items() {
        text.line(1, &format!("{}:", volume.get("name").str_or_empty()));
        for (kind, _) in volume.members().filter(|(name, _)| *name != "name") {
            text.at(2, "Type", kind);
        }
    }
}

fn tolerations(text: &mut Text, tolerations: &Value) {
    let mut heading = "Tolerations";
    for toleration in tolerations.items() {
        let word = |name: &str| toleration.get(name).str_or_empty();
        let mut shown = word("key").to_owned();
        if !word("value").is_empty() {
            shown.push_str(&format!("={}", word("value")));
        }
        if !word("effect").is_empty() {
            shown.push_str(&format!(":{}", word("effect")));
        }
        if word("operator") == "Exists" {
            shown.push_str(" op=Exists");
        }
        if let Some(seconds) = toleration.get("tolerationSeconds").as_int() {
            shown.push_str(&format!(" for {seconds}s"));
        }
        if heading.is_empty() {
            text.line(1, &shown)
        } else {
            text.field(heading, &shown)
        }
        heading = "";
    }
    if !heading.is_empty() {
        text.field(heading, "<none>");
    }
}
