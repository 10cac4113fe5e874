//! The rules of containers: regular, init and ephemeral ones.

use std::collections::BTreeSet;

use machinery::{Value, names};

use super::{Surroundings, environment, mounts, network, probes, resources, security};
use crate::place::Place;

/// Fields that an ephemeral container may not have.
const NOT_EPHEMERAL: [&str; 8] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];
const ONLY_SIDECARS: &str = "may not be set for init containers without restartPolicy=Always";
const NO_RULES_ALONE: &str = "must specify restartPolicy when restart rules are used";
const NO_EPHEMERAL: &str = "cannot be set for an Ephemeral Container";
const PADDED: &str = "must not have leading or trailing whitespace";

pub(super) fn check_regular(containers: Place<'_>, around: &Surroundings<'_>) {
    if containers.is_empty() {
        containers.required("");
        return;
    }
    let mut seen = BTreeSet::new();
    for container in containers.items() {
        check_common(container, around);
        check_own_restart_policy(container);
        let name = container.get("name");
        if !seen.insert(name.key()) {
            name.duplicate_as(name.text());
        }
        probes::check_lifecycle(container.get("lifecycle"), around);
        probes::check_all(container, around);
    }
    network::check_host_ports(containers.items());
}

pub(super) fn check_init(containers: Place<'_>, regular: Place<'_>, around: &Surroundings<'_>) {
    let mut seen: BTreeSet<&str> = names_of(regular.value());
    for container in containers.items() {
        check_common(container, around);
        let (policy, rules) = (container.get("restartPolicy"), container.get("restartPolicyRules"));
        if policy.is_set() {
            check_own_restart_policy(container);
        } else if !rules.is_empty() {
            policy.required(NO_RULES_ALONE);
        }
        let name = container.value().get("name").str_or_empty();
        if seen.contains(name) {
            container.get("name").duplicate_as(name);
        } else if !name.is_empty() {
            seen.insert(name);
        }
        network::check_host_ports(std::iter::once(container));
        if container.get("restartPolicy").text() == "Always" {
            probes::check_lifecycle(container.get("lifecycle"), around);
            probes::check_all(container, around);
            continue;
        }
        for member in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.get(member).is_set() {
                container.get(member).forbidden(ONLY_SIDECARS);
            }
        }
        for resize in container.get("resizePolicy").items() {
            let restart = resize.get("restartPolicy");
            if restart.text() == "RestartContainer" {
                restart.invalid("must not be set to 'RestartContainer' for non-sidecar initContainers");
            }
        }
    }
}

pub(super) fn check_ephemeral(containers: Place<'_>, spec: Place<'_>, around: &Surroundings<'_>) {
    if containers.is_empty() {
        return;
    }
    let mut others = names_of(spec.value().get("containers"));
    others.extend(names_of(spec.value().get("initContainers")));
    let mut seen = others.clone();
    for container in containers.items() {
        check_common(container, around);
        check_image_padding(container);
        let name = container.value().get("name").str_or_empty();
        if !seen.insert(name) {
            container.get("name").duplicate_as(name);
        }
        let target = container.get("targetContainerName");
        if !target.text().is_empty() && !others.contains(target.text()) {
            target.not_found();
        }
        for member in NOT_EPHEMERAL {
            if !container.get(member).is_empty() {
                container.get(member).forbidden(NO_EPHEMERAL);
            }
        }
        for mount in container.get("volumeMounts").items() {
            for member in ["subPath", "subPathExpr"] {
                if !mount.get(member).text().is_empty() {
                    mount.get(member).forbidden(NO_EPHEMERAL);
                }
            }
        }
    }
}

fn names_of(containers: &Value) -> BTreeSet<&str> {
    containers.items().iter().map(|container| container.get("name").str_or_empty()).collect()
}

fn check_common(container: Place<'_>, around: &Surroundings<'_>) {
    let name = container.get("name");
    if name.text().is_empty() {
        name.required("");
    } else {
        name.faults(names::dns1123_label(name.text()));
    }
    let image = container.get("image");
    if image.text().is_empty() {
        image.required("");
    }
    container.get("terminationMessagePolicy").required_one_of(&["File", "FallbackToLogsOnError"]);
    network::check_container_ports(container.get("ports"));
    environment::check(container.get("env"));
    environment::check_from(container.get("envFrom"));
    mounts::check(container, around);
    mounts::check_devices(container, around);
    check_pull_policy(container.get("imagePullPolicy"));
    resources::check(container.get("resources"), &around.claims);
    check_resize_policy(container.get("resizePolicy"), around.restart_policy);
    security::check_container(container.get("securityContext"), around.host_users);
}

fn check_own_restart_policy(container: Place<'_>) {
    let policy = container.get("restartPolicy");
    let rules = container.get("restartPolicyRules");
    if policy.is_set() {
        policy.one_of(&["Always", "Never", "OnFailure"]);
    } else if !rules.is_empty() {
        policy.required(NO_RULES_ALONE);
    }
    if rules.len() > 20 {
        rules.too_many(rules.len(), 20);
    }
    for rule in rules.items() {
        rule.get("action").one_of(&["Restart", "RestartAllContainers"]);
        let codes = rule.get("exitCodes");
        if !codes.is_set() {
            codes.required("must be specified");
            continue;
        }
        codes.get("operator").required_one_of(&["In", "NotIn"]);
        let values = codes.get("values");
        match values.len() {
            0 => values.required("must specify at least one value"),
            many if many > 255 => values.too_many(many, 255),
            _ => {}
        }
        for value in values.items().filter(|value| !(0..=255).contains(&value.int())) {
            value.invalid(names::between(0, 255));
        }
    }
}

/// What is wrong with the policy of pulling an image.
pub fn check_pull_policy(policy: Place<'_>) {
    policy.required_one_of(&["Always", "IfNotPresent", "Never"]);
}

fn check_resize_policy(policies: Place<'_>, restart_policy: &str) {
    let mut seen = BTreeSet::new();
    for policy in policies.items() {
        let resource = policy.value().get("resourceName").str_or_empty();
        if !seen.insert(resource) {
            policy.duplicate_as(resource);
        }
        match resource {
            "cpu" | "memory" => {}
            "" => policies.required(""),
            other => policies.unsupported_as(other, &["cpu", "memory"]),
        }
        let restart = policy.get("restartPolicy").text();
        match restart {
            "NotRequired" | "RestartContainer" => {}
            "" => policies.required(""),
            other => policies.unsupported_as(other, &["NotRequired", "RestartContainer"]),
        }
        if restart_policy == "Never" && restart != "NotRequired" {
            policies.invalid_as(restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

fn check_image_padding(container: Place<'_>) {
    let image = container.get("image");
    if image.text().trim() != image.text() {
        image.invalid(PADDED);
    }
}

/// What is wrong with the images of containers that will run as written.
pub fn check_images_of_pod(containers: Place<'_>) {
    containers.items().for_each(|container| check_image_padding(container));
}

/// What is wrong with changed images. Answers whether containers came or went, which ends the comparison.
pub fn check_changed_images(containers: Place<'_>, old: &Value) -> bool {
    if containers.len() != old.items().len() {
        containers.forbidden("pod updates may not add or remove containers");
        return true;
    }
    for container in containers.items() {
        if container.get("image").text().is_empty() {
            container.get("image").required("");
        }
        check_image_padding(container);
    }
    false
}
