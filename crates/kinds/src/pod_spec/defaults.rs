//! What a pod's specification says where its writer said nothing.

use machinery::Value;

use super::image::is_latest;

/// What stands in a member that is missing.
pub fn or(object: &mut Value, member: &str, value: impl Into<Value>) {
    let slot = object.entry(member);
    if slot.is_null() {
        *slot = value.into();
    }
}

/// The same where an empty text counts as missing.
pub fn or_text(object: &mut Value, member: &str, text: &str) {
    let slot = object.entry(member);
    if slot.str_or_empty().is_empty() {
        *slot = Value::from(text);
    }
}

/// The same where zero counts as missing.
pub fn or_number(object: &mut Value, member: &str, number: i64) {
    let slot = object.entry(member);
    if slot.as_int().unwrap_or(0) == 0 {
        *slot = Value::from(number);
    }
}

/// Fills a template in.
pub fn template(template: &mut Value) {
    spec(template.entry("spec"));
}

/// Fills a pod's specification in.
pub fn spec(spec: &mut Value) {
    for volume in members(spec, "volumes") {
        self::volume(volume);
    }
    let host_network = spec.get("hostNetwork").is_true();
    for list in ["initContainers", "containers"] {
        for container in members(spec, list) {
            self::container(container);
            if host_network {
                for port in members(container, "ports") {
                    let inner = port.get("containerPort").as_int().unwrap_or(0);
                    or_number(port, "hostPort", inner);
                }
            }
        }
    }
    for container in members(spec, "ephemeralContainers") {
        self::container(container);
    }
    or_text(spec, "restartPolicy", "Always");
    or(spec, "terminationGracePeriodSeconds", 30i64);
    or_text(spec, "dnsPolicy", "ClusterFirst");
    accounts(spec);
    or(spec, "securityContext", Value::object());
    or_text(spec, "schedulerName", "default-scheduler");
    if let Some(overhead) = spec.get_mut("overhead") {
        amounts(overhead);
    }
    if let Some(resources) = spec.get_mut("resources") {
        self::resources(resources);
    }
}

/// The old and the new name of the service account say the same.
fn accounts(spec: &mut Value) {
    let name = match spec.get("serviceAccountName").str_or_empty() {
        "" => spec.get("serviceAccount").str_or_empty().to_owned(),
        name => name.to_owned(),
    };
    for member in ["serviceAccountName", "serviceAccount"] {
        if name.is_empty() {
            spec.remove(member);
        } else {
            spec.set(member, name.as_str());
        }
    }
}

/// Fills in what only pods have filled in, and templates do not.
pub fn pod(pod: &mut Value) {
    let spec = pod.entry("spec");
    self::spec(spec);
    or(spec, "enableServiceLinks", true);
    for list in ["containers", "initContainers"] {
        for container in members(spec, list) {
            requests_from_limits(container.entry("resources"));
        }
    }
    super::pod_level::fill(spec);
}

/// Who sets a limit and no request asks for the limit.
fn requests_from_limits(resources: &mut Value) {
    let limits: Vec<(String, Value)> =
        resources.get("limits").members().map(|(name, limit)| (name.to_string(), limit.clone())).collect();
    if limits.is_empty() {
        return;
    }
    let requests = resources.entry("requests");
    for (name, limit) in limits {
        or(requests, &name, limit);
    }
    if let Some(map) = requests.as_object_mut() {
        map.sort_by_key(str::to_owned);
    }
}

/// The items of a list that may be missing, to be changed.
pub fn members<'a>(object: &'a mut Value, list: &str) -> &'a mut [Value] {
    object.get_mut(list).map(Value::items_mut).unwrap_or_default()
}

fn container(container: &mut Value) {
    for port in members(container, "ports") {
        or_text(port, "protocol", "TCP");
    }
    for variable in members(container, "env") {
        if let Some(source) = variable.get_mut("valueFrom") {
            if let Some(field) = source.get_mut("fieldRef") {
                or_text(field, "apiVersion", "v1");
            }
            if let Some(resource) = source.get_mut("resourceFieldRef") {
                or(resource, "divisor", "0");
            }
            if let Some(file) = source.get_mut("fileKeyRef") {
                or(file, "optional", false);
            }
        }
    }
    resources(container.entry("resources"));
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = container.get_mut(kind) {
            probe(found);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(lifecycle) = container.get_mut("lifecycle")
            && let Some(found) = lifecycle.get_mut(hook)
        {
            http_get(found);
        }
    }
    or_text(container, "terminationMessagePath", "/dev/termination-log");
    or_text(container, "terminationMessagePolicy", "File");
    let policy = if is_latest(container.get("image").str_or_empty()) { "Always" } else { "IfNotPresent" };
    or_text(container, "imagePullPolicy", policy);
}

fn resources(resources: &mut Value) {
    if resources.is_null() {
        *resources = Value::object();
    }
    for list in ["limits", "requests"] {
        if let Some(list) = resources.get_mut(list) {
            amounts(list);
        }
    }
}

/// Amounts are kept to a thousandth and in their canonical form.
pub fn amounts(list: &mut Value) {
    let Some(map) = list.as_object_mut() else { return };
    for (_, value) in map.iter_mut() {
        let canonical = super::resources::amount(value).round_up(-3).to_string();
        if value.as_str() != Some(canonical.as_str()) {
            *value = Value::from(canonical);
        }
    }
}

fn http_get(handler: &mut Value) {
    if let Some(action) = handler.get_mut("httpGet") {
        or_text(action, "path", "/");
        or_text(action, "scheme", "HTTP");
    }
}

fn probe(probe: &mut Value) {
    http_get(probe);
    if let Some(action) = probe.get_mut("grpc") {
        or(action, "service", "");
    }
    or_number(probe, "timeoutSeconds", 1);
    or_number(probe, "periodSeconds", 10);
    or_number(probe, "successThreshold", 1);
    or_number(probe, "failureThreshold", 3);
}

const DEFAULT_MODE: i64 = 0o644;

fn downward_items(source: &mut Value) {
    for file in members(source, "items") {
        if let Some(field) = file.get_mut("fieldRef") {
            or_text(field, "apiVersion", "v1");
        }
        if let Some(resource) = file.get_mut("resourceFieldRef") {
            or(resource, "divisor", "0");
        }
    }
}

fn volume(volume: &mut Value) {
    let has_source = volume.members().any(|(name, value)| name != "name" && !value.is_null());
    if !has_source {
        volume.set("emptyDir", Value::object());
    }
    for (kind, source) in volume.as_object_mut().into_iter().flat_map(machinery::Map::iter_mut) {
        if source.is_null() {
            continue;
        }
        match kind.as_str() {
            "secret" | "configMap" => or(source, "defaultMode", DEFAULT_MODE),
            "downwardAPI" => {
                downward_items(source);
                or(source, "defaultMode", DEFAULT_MODE);
            }
            "projected" => projected(source),
            "ephemeral" => {
                if let Some(template) = source.get_mut("volumeClaimTemplate") {
                    crate::core::default_claim_spec(template.entry("spec"));
                }
            }
            "image" => {
                let latest = is_latest(source.get("reference").str_or_empty());
                or_text(source, "pullPolicy", if latest { "Always" } else { "IfNotPresent" });
            }
            other => self::source(other, source),
        }
    }
}

fn projected(source: &mut Value) {
    or(source, "defaultMode", DEFAULT_MODE);
    for projection in members(source, "sources") {
        if let Some(token) = projection.get_mut("serviceAccountToken") {
            or(token, "expirationSeconds", 3600i64);
        }
        if let Some(items) = projection.get_mut("downwardAPI") {
            downward_items(items);
        }
        if let Some(certificate) = projection.get_mut("podCertificate") {
            or(certificate, "maxExpirationSeconds", 86_400i64);
        }
    }
}

/// Fills in where a volume comes from, for the sources that pods and persistent volumes share.
pub fn source(kind: &str, source: &mut Value) {
    match kind {
        "hostPath" => or(source, "type", ""),
        "iscsi" => or_text(source, "iscsiInterface", "default"),
        "rbd" => {
            or_text(source, "pool", "rbd");
            or_text(source, "user", "admin");
            or_text(source, "keyring", "/etc/ceph/keyring");
        }
        "azureDisk" => {
            or(source, "cachingMode", "ReadWrite");
            or(source, "fsType", "ext4");
            or(source, "readOnly", false);
            or(source, "kind", "Shared");
        }
        "scaleIO" => {
            or_text(source, "storageMode", "ThinProvisioned");
            or_text(source, "fsType", "xfs");
        }
        _ => {}
    }
}
