//! What an update of a pod's status must look like.

use std::collections::BTreeSet;

use machinery::{Value, names};

use crate::internal;
use crate::place::{Place, Raw};

/// Conditions whose types are not looked at.
const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];
const NOT_NEGATIVE: &str = "must be a non-negative integer";
/// What a rule says that starts all containers of its pod again.
const RESTART_ALL: &str = "RestartAllContainers";
/// How much can be told of the health of a device.
const HEALTH_MESSAGE_MAX: usize = 1024;

pub(super) fn check(object: Place<'_>, old: &Value) {
    let status = object.get("status");
    let old_status = old.get("status");
    for condition in status.get("conditions").items() {
        let generation = condition.get("observedGeneration");
        if generation.int() < 0 {
            generation.invalid(NOT_NEGATIVE);
        }
        let kind = condition.value().get("type").str_or_empty();
        if !SYSTEM_CONDITIONS.contains(&kind) {
            for fault in names::qualified_name(kind) {
                condition.at("Type").invalid_as(kind, fault);
            }
        }
    }
    let nominated = status.get("nominatedNodeName");
    if nominated.text() != old_status.get("nominatedNodeName").str_or_empty() && !nominated.text().is_empty()
    {
        nominated.faults(names::dns1123_subdomain(nominated.text()));
        if !old.at(&["spec", "nodeName"]).is_empty() {
            nominated.forbidden("may not be set on pods that are already bound to a node");
        }
    }
    let generation = status.get("observedGeneration");
    if generation.int() < 0 {
        generation.invalid(NOT_NEGATIVE);
    }
    let class = status.get("qosClass");
    if class.text() != old_status.get("qosClass").str_or_empty() {
        class.invalid_as(class.text(), "field is immutable");
    }
    let spec = old.get("spec");
    if !restarts_together(spec) {
        for (list, members) in
            [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")]
        {
            check_transitions(status.get(list), old_status.get(list), spec, members);
        }
    }
    let spec = object.value().get("spec");
    check_claims(status.get("resourceClaimStatuses"), spec);
    check_extended(status.get("extendedResourceClaimStatus"), spec);
    check_addresses(status.get("podIPs"), old_status.get("podIPs"));
    let hosts = status.get("hostIPs");
    if let Some(first) = hosts.items().next() {
        let (first, host) = (first.get("ip"), status.get("hostIP"));
        if first.text() != host.text() {
            first.invalid_as(first.text(), "must be equal to `hostIP`");
        }
    }
    check_addresses(hosts, old_status.get("hostIPs"));
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        let statuses = status.get(list);
        statuses.items().for_each(|status| check_user(status.get("user"), spec.at(&["os", "name"])));
    }
    for (list, containers) in
        [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")]
    {
        let statuses = status.get(list);
        statuses.items().for_each(|status| check_allocated(status, spec.get(containers)));
    }
    for status in status.get("ephemeralContainerStatuses").items() {
        let allocated = status.get("allocatedResourcesStatus");
        if !allocated.is_empty() {
            allocated.forbidden("must not be specified in container status");
        }
    }
}

/// What is said of claims must be of claims that the pod has.
fn check_claims(statuses: Place<'_>, spec: &Value) {
    let mut seen = BTreeSet::new();
    for status in statuses.items() {
        let name = status.get("name");
        if !has_named(spec.get("resourceClaims"), name.text()) {
            name.invalid_as(name.text(), "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.key()) {
            name.duplicate_as(name.text());
        }
        let claim = status.get("resourceClaimName");
        if claim.is_set() {
            claim.faults(names::dns1123_subdomain(claim.text()));
        }
    }
}

fn has_named(list: &Value, name: &str) -> bool {
    list.items().iter().any(|item| item.get("name").str_or_empty() == name)
}

/// What is said of the claim that stands for resources of vendors.
fn check_extended(status: Place<'_>, spec: &Value) {
    if !status.is_set() {
        return;
    }
    let mappings = status.get("requestMappings");
    if mappings.is_empty() {
        mappings.required("at least one request mapping is required");
    }
    let mut seen = BTreeSet::new();
    for mapping in mappings.items() {
        let [container, resource, request] = ["containerName", "resourceName", "requestName"]
            .map(|member| mapping.value().get(member).str_or_empty());
        let lists = [spec.get("containers"), spec.get("initContainers")];
        let mut containers = lists.into_iter().flat_map(Value::items);
        match containers.find(|known| known.get("name").str_or_empty() == container) {
            None => mapping.get("containerName").invalid_as(
                container,
                "must match the name of an entry in spec.initContainers.name or spec.containers.name",
            ),
            Some(known) if known.at(&["resources", "requests", resource]).is_null() => {
                mapping.get("resourceName").invalid_as(
                    resource,
                    "must match the extended resource name of an entry in spec.initContainers.resources.requests or \
                     spec.containers.resources.requests",
                );
            }
            Some(_) => {}
        }
        for fault in names::dns1123_label(request) {
            status.get("requestName").invalid_as(request, fault);
        }
        if !seen.insert((container, resource, request)) {
            for member in ["containerName", "resourceName", "requestName"] {
                let member = mapping.get(member);
                member.duplicate_as(member.text());
            }
        }
    }
    let claim = status.get("resourceClaimName");
    if claim.text().is_empty() {
        claim.required("");
    } else {
        claim.faults(names::dns1123_subdomain(claim.text()));
    }
}

/// As whom a container runs.
fn check_user(user: Place<'_>, os: &Value) {
    let linux = user.get("linux");
    if !linux.is_set() {
        return;
    }
    if os.str_or_empty() == "windows" {
        return linux.forbidden("cannot be set for a windows pod");
    }
    let check = |id: Place<'_>| {
        if !(0..=i64::from(i32::MAX)).contains(&id.int()) {
            id.invalid(names::between(0, i64::from(i32::MAX)));
        }
    };
    check(linux.get("uid"));
    check(linux.get("gid"));
    linux.get("supplementalGroups").items().for_each(check);
}

/// What is said of devices must be of what the container asks for.
fn check_allocated(status: Place<'_>, containers: &Value) {
    let name = status.value().get("name");
    let container = containers.items().iter().find(|container| container.get("name") == name);
    for allocated in status.get("allocatedResourcesStatus").items() {
        let resource = allocated.get("name");
        let asked = |container: &Value| {
            let resources = container.get("resources");
            let claim = |claim: &Value| match claim.get("request").str_or_empty() {
                "" => format!("claim:{}", claim.get("name").str_or_empty()),
                request => format!("claim:{}/{request}", claim.get("name").str_or_empty()),
            };
            if resource.text().starts_with("claim:") {
                resources.get("claims").items().iter().any(|known| claim(known) == resource.text())
            } else {
                !resources.at(&["requests", resource.text()]).is_null()
            }
        };
        if container.is_some_and(|container| !asked(container)) {
            resource.invalid_as(
                resource.text(),
                if resource.text().starts_with("claim:") {
                    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or \
                     'claim:<claimName>' if request is empty"
                } else {
                    "must match one of the container's resource requests"
                },
            );
        }
        check_health(allocated.get("resources"));
    }
}

fn check_health(devices: Place<'_>) {
    let mut seen = BTreeSet::new();
    for device in devices.items() {
        device.get("health").one_of(&["Healthy", "Unhealthy", "Unknown"]);
        let message = device.get("message");
        if message.is_set() && message.text().is_empty() {
            message.required("must be non-empty if specified");
        } else if message.text().len() > HEALTH_MESSAGE_MAX {
            message.too_long(HEALTH_MESSAGE_MAX);
        }
        let id = device.get("resourceID");
        if !seen.insert(id.key()) {
            id.duplicate_as(id.text());
        }
    }
}

/// Whether some container's end may start all of them again: then each of them may come back.
fn restarts_together(spec: &Value) -> bool {
    let containers = ["initContainers", "containers"].iter().flat_map(|list| spec.get(list).items());
    containers
        .flat_map(|container| container.get("restartPolicyRules").items())
        .any(|rule| rule.get("action").str_or_empty() == RESTART_ALL)
}

/// A container that ended for good does not come back.
fn check_transitions(statuses: Place<'_>, old: &Value, spec: &Value, members: &str) {
    for (position, old) in old.items().iter().enumerate() {
        let ended = old.at(&["state", "terminated"]);
        if ended.is_null() {
            continue;
        }
        let name = old.get("name");
        let again = statuses
            .value()
            .items()
            .iter()
            .any(|new| new.get("name") == name && new.at(&["state", "terminated"]).is_null());
        let member = spec.get(members).items().iter().find(|member| member.get("name") == name);
        let code = ended.get("exitCode").as_int().unwrap_or(0);
        if again && !member.is_some_and(|member| may_restart(member, spec, code)) {
            let indexed = statuses.at_index(position);
            indexed.at("state").forbidden("may not be transitioned to non-terminated state");
        }
    }
}

/// Whether a container may be started again after this exit code: its own rules go before its own policy, and that
/// before the pod's.
fn may_restart(member: &Value, spec: &Value, code: i64) -> bool {
    let own = member.get("restartPolicy");
    if !own.is_null() && first_rule(member, code).is_some() {
        return true;
    }
    let policy = if own.is_null() { spec.get("restartPolicy") } else { own };
    match policy.str_or_empty() {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// The first of a container's rules that this exit code matches.
fn first_rule(member: &Value, code: i64) -> Option<&Value> {
    member.get("restartPolicyRules").items().iter().find(|rule| {
        let codes = rule.get("exitCodes");
        let listed = codes.get("values").items().iter().any(|value| value.as_int() == Some(code));
        match codes.get("operator").str_or_empty() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    })
}

/// Addresses are right, but for those that were there before, and one of each family at most.
fn check_addresses(addresses: Place<'_>, old: &Value) {
    let known = |ip: &str| old.items().iter().any(|old| old.get("ip").str_or_empty() == ip);
    for (position, address) in addresses.value().items().iter().enumerate() {
        let ip = address.get("ip").str_or_empty();
        if !known(ip) {
            for fault in names::legacy_ip(ip) {
                addresses.at_index(position).invalid_as(ip, fault);
            }
        }
    }
    if addresses.len() > 1 {
        let six = |address: &Value| address.get("ip").str_or_empty().contains(':');
        let sixes = addresses.value().items().iter().filter(|address| six(address)).count();
        if addresses.len() > 2 || sixes != 1 {
            let shown = Raw(internal::show_list("PodIP", addresses.value()));
            addresses.invalid_as(shown, "may specify no more than one IP for each IP family");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::document;

    #[test]
    fn a_container_may_come_back_as_its_rules_its_policy_or_its_pod_says() {
        let rules = |operator: &str| {
            format!(
                r#""restartPolicyRules":[{{"action":"Restart","exitCodes":{{"operator":"{operator}","values":[42]}}}}]"#
            )
        };
        let never = r#""restartPolicy":"Never""#;
        for (pod, member, code, expected) in [
            ("Always", String::new(), 0, true),
            ("OnFailure", String::new(), 0, false),
            ("OnFailure", String::new(), 1, true),
            ("Never", String::new(), 1, false),
            ("Always", never.to_owned(), 1, false),
            ("Never", r#""restartPolicy":"OnFailure""#.to_owned(), 1, true),
            ("Never", r#""restartPolicy":"Always""#.to_owned(), 0, true),
            ("Never", format!("{never},{}", rules("In")), 42, true),
            ("Never", format!("{never},{}", rules("In")), 41, false),
            ("Never", format!("{never},{}", rules("NotIn")), 41, true),
            ("Never", rules("In"), 42, false),
        ] {
            let spec = document(&format!(r#"{{"restartPolicy":"{pod}"}}"#));
            let member = document(&format!("{{{member}}}"));
            assert_eq!(may_restart(&member, &spec, code), expected, "{pod} {member:?} {code}");
        }
    }

    #[test]
    fn one_rule_lets_all_containers_come_back() {
        for (action, expected) in [("Restart", false), ("RestartAllContainers", true)] {
            let container = format!(r#"{{"restartPolicyRules":[{{"action":"{action}"}}]}}"#);
            let spec = document(&format!(r#"{{"initContainers":[{container}],"containers":[]}}"#));
            assert_eq!(restarts_together(&spec), expected, "{action}");
        }
        assert!(!restarts_together(&document("{}")));
    }
}
