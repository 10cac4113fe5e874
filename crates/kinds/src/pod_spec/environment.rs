//! The rules of environment variables and of what refers to fields and resources of the pod.

use machinery::field::Error;
use machinery::quantity::Quantity;
use machinery::{Value, names};

use crate::place::Place;

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// The fields that files of a volume may show.
pub(super) const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const SIZES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub(super) fn check(variables: Place<'_>) {
    for variable in variables.items() {
        let name = variable.get("name");
        if name.text().is_empty() {
            name.required("");
        } else {
            name.faults(names::env_var_name(name.text()));
        }
        let source = variable.get("valueFrom");
        if source.is_set() {
            check_source(source, variable.get("value").text());
        }
    }
}

fn check_source(source: Place<'_>, value: &str) {
    let mut sources = 0;
    let mut present = |member: &'static str| {
        let found = source.value().get(member);
        sources += usize::from(!found.is_null());
        !found.is_null()
    };
    if present("fieldRef") {
        check_field(source.get("fieldRef"), ENV_FIELDS);
    }
    if present("resourceFieldRef") {
        check_resource(source.get("resourceFieldRef"), Needs::Nothing);
    }
    if present("configMapKeyRef") {
        check_key(source.get("configMapKeyRef"));
    }
    if present("secretKeyRef") {
        check_key(source.get("secretKeyRef"));
    }
    if present("fileKeyRef") {
        check_file_key(source.get("fileKeyRef"));
    }
    if sources == 0 {
        source.invalid_as(
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        );
    }
    if !value.is_empty() {
        if sources != 0 {
            source.invalid_as("", "may not be specified when `value` is not empty");
        }
    } else if sources > 1 {
        source.invalid_as("", "may not have more than one field specified at a time");
    }
}

fn check_key(selector: Place<'_>) {
    check_name(selector.get("name"));
    let key = selector.get("key");
    if key.text().is_empty() {
        key.required("");
    } else {
        key.faults(names::config_map_key(key.text()));
    }
}

/// What is wrong with the name of a ConfigMap or Secret. Objects of old have none.
fn check_name(name: Place<'_>) {
    name.faults(names::dns1123_subdomain(name.text()));
}

fn check_file_key(selector: Place<'_>) {
    let volume = selector.get("volumeName");
    if volume.text().is_empty() {
        volume.required("");
    } else {
        volume.faults(names::dns1123_label(volume.text()));
    }
    let path = selector.get("path");
    if path.text().is_empty() {
        path.required("");
    } else {
        super::volumes::check_local_path(path);
    }
    let key = selector.get("key");
    if key.text().is_empty() {
        key.required("");
    } else {
        key.faults(names::env_var_name(key.text()));
    }
}

/// Files that variables come from must lie in empty directories of the pod.
pub(super) fn check_files(spec: Place<'_>) {
    let volumes = spec.value().get("volumes").items();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get(list).items() {
            for variable in container.get("env").items() {
                let source = variable.get("valueFrom");
                let key = source.get("fileKeyRef");
                if !key.is_set() {
                    continue;
                }
                let name = key.get("volumeName");
                match volumes.iter().find(|volume| volume.get("name").str_or_empty() == name.text()) {
                    None => name.report(Error::not_found(&name.path(), name.text())),
                    Some(volume) if volume.get("emptyDir").is_null() => {
                        name.invalid("referenced volume must be of type emptyDir");
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

pub(super) fn check_from(sources: Place<'_>) {
    for source in sources.items() {
        let prefix = source.get("prefix");
        if !prefix.text().is_empty() {
            prefix.faults(names::env_var_name(prefix.text()));
        }
        let mut count = 0;
        for member in ["configMapRef", "secretRef"] {
            let reference = source.get(member);
            if reference.is_set() {
                count += 1;
                let name = reference.get("name");
                if name.text().is_empty() {
                    name.required("");
                } else {
                    check_name(name);
                }
            }
        }
        match count {
            0 => sources.invalid_as("", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => sources.invalid_as("", "may not have more than one field specified at a time"),
        }
    }
}

/// Splits `metadata.labels['key']` into the path and the key.
fn split_subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']").and_then(|path| path.split_once("['")).filter(|(path, _)| !path.is_empty())
}

pub(super) fn check_field(selector: Place<'_>, allowed: &[&str]) {
    let (version, path) = (selector.get("apiVersion"), selector.get("fieldPath"));
    if version.text().is_empty() {
        return version.required("");
    }
    if path.text().is_empty() {
        return path.required("");
    }
    let converting = |problem: String| path.invalid(format!("error converting fieldPath: {problem}"));
    if version.text() != "v1" {
        return converting(format!("unsupported pod version: {}", version.text()));
    }
    if let Some((map, key)) = split_subscript(path.text()) {
        let faults = match map {
            "metadata.annotations" => names::qualified_name(&key.to_lowercase()),
            "metadata.labels" => names::qualified_name(key),
            _ => return converting(format!("field label does not support subscript: {}", path.text())),
        };
        for fault in faults {
            selector.invalid_as(key, fault);
        }
        return;
    }
    match path.text() {
        "metadata.annotations"
        | "metadata.labels"
        | "metadata.name"
        | "metadata.namespace"
        | "metadata.uid"
        | "spec.nodeName"
        | "spec.restartPolicy"
        | "spec.serviceAccountName"
        | "spec.schedulerName"
        | "status.phase"
        | "status.hostIP"
        | "status.hostIPs"
        | "status.podIP"
        | "status.podIPs" => {
            path.one_of(allowed);
        }
        "spec.host" if allowed.contains(&"spec.nodeName") => {}
        "spec.host" => path.unsupported_as("spec.nodeName", allowed),
        other => converting(format!("field label not supported: {other}")),
    }
}

/// Whether a reference to a resource must say whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    ContainerName,
}

pub(super) fn check_resource(selector: Place<'_>, needs: Needs) {
    let (container, resource) = (selector.get("containerName"), selector.get("resource"));
    let huge = |name: &str| name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if needs == Needs::ContainerName && container.text().is_empty() {
        container.required("");
    } else if resource.text().is_empty() {
        resource.required("");
    } else if !RESOURCES.contains(&resource.text()) && !huge(resource.text()) {
        resource.unsupported(RESOURCES);
    }
    check_divisor(selector.get("divisor"), resource.text());
}

fn check_divisor(divisor: Place<'_>, resource: &str) {
    let amount = match divisor.value() {
        Value::String(text) => Quantity::parse(text).unwrap_or(Quantity::ZERO),
        other => Quantity::from_int(other.as_int().unwrap_or(0), machinery::quantity::Format::DecimalSi),
    };
    if amount.is_zero() {
        return;
    }
    let (allowed, what) = match resource.split_once('.').map(|(_, name)| name) {
        Some("cpu") => (&["1m", "1"][..], "cpu resource"),
        Some("memory") => (SIZES, "memory resource"),
        Some("ephemeral-storage") => (SIZES, "local ephemeral storage resource"),
        Some(name) if name.starts_with("hugepages-") => (SIZES, "hugepages resource"),
        _ => return,
    };
    if !allowed.contains(&amount.to_string().as_str()) {
        let listed = if allowed.len() == 2 { "1m and 1".to_owned() } else { allowed.join(", ") };
        divisor.invalid_as(resource, format!("only divisor's values {listed} are supported with the {what}"));
    }
}
