//! What `baseline` forbids: the known ways from a pod to its node.

use machinery::Value;
use machinery::field::go_quote;

use super::evaluate::{Check, Pod, Violation, containers, number_of, quoted, setters, sorted};

const fn check(id: &'static str, since: u32, run: fn(Pod<'_>, u32) -> Option<Violation>) -> Check {
    Check { id, since, overrides: None, run }
}

/// In the order in which they are told of.
pub const CHECKS: [Check; 12] = [
    check("appArmorProfile", 0, app_armor),
    check("capabilities_baseline", 0, capabilities),
    check("hostNamespaces", 0, host_namespaces),
    check("hostPathVolumes", 0, host_paths),
    check("hostPorts", 0, host_ports),
    check("hostProbesAndHostLifecycle", 34, probed_hosts),
    check("privileged", 0, privileged),
    check("procMount", 0, proc_mount),
    check("seLinuxOptions", 0, selinux),
    check("seccompProfile_baseline", 0, seccomp),
    check("sysctls", 0, sysctls),
    check("windowsHostProcess", 0, windows_host_process),
];

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// Since when seccomp profiles are a field and no annotation.
const SECCOMP_FIELD: u32 = 19;
/// Since when pods with users of their own may do more.
pub const OWN_USERS: u32 = 35;

fn app_armor(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let bad = |context: &Value| {
        let kind = context.at(&["appArmorProfile", "type"]);
        !context.get("appArmorProfile").is_null()
            && !matches!(kind.str_or_empty(), "RuntimeDefault" | "Localhost")
    };
    let in_pod = bad(pod.context());
    let named = pod.containers_where(|one| bad(one.get("securityContext")));
    let contexts = pod.containers().map(|one| one.get("securityContext"));
    let contexts = contexts.chain([pod.context()]).filter(|context| bad(context));
    let values = contexts.map(|context| context.at(&["appArmorProfile", "type"]).str_or_empty());
    let mut values: Vec<String> = sorted(values).into_iter().map(str::to_owned).collect();
    let fine = |text: &str| text.is_empty() || text == "runtime/default" || text.starts_with("localhost/");
    let annotations = pod.metadata.get("annotations").members();
    let annotations =
        annotations.filter(|(key, value)| key.starts_with(APP_ARMOR) && !fine(value.str_or_empty()));
    let mut annotations: Vec<String> =
        annotations.map(|(key, value)| format!("{key}={}", go_quote(value.str_or_empty()))).collect();
    annotations.sort();
    let mut who: Vec<String> = setters(in_pod, &named).into_iter().collect();
    if !annotations.is_empty() {
        who.push(number_of(annotations.len(), "annotation", "annotations").to_owned());
    }
    if who.is_empty() {
        return None;
    }
    values.extend(annotations);
    let listed: Vec<&str> = values.iter().map(String::as_str).collect();
    let reason = number_of(listed.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles");
    let detail = format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(&listed));
    Some(Violation::new(reason, detail))
}

/// What containers have anyway.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The capabilities a container adds to those it has anyway.
pub fn added(container: &Value) -> impl Iterator<Item = &str> {
    let added = container.at(&["securityContext", "capabilities", "add"]).items();
    added.iter().map(Value::str_or_empty)
}

fn capabilities(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let more = |one| added(one).filter(|name| !DEFAULT_CAPABILITIES.contains(name));
    let who: Vec<&str> = pod
        .containers()
        .filter(|one| more(one).next().is_some())
        .map(|one| one.get("name").str_or_empty())
        .collect();
    if who.is_empty() {
        return None;
    }
    let what = sorted(pod.containers().flat_map(more));
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        containers(&who),
        quoted(&what)
    );
    Some(Violation::new("non-default capabilities", detail))
}

fn host_namespaces(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod.spec.get(field).is_true())
        .map(|field| format!("{field}=true"))
        .collect();
    (!shared.is_empty()).then(|| Violation::new("host namespaces", shared.join(", ")))
}

fn host_paths(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let volumes = pod.spec.get("volumes").items().iter();
    let volumes = volumes.filter(|volume| !volume.get("hostPath").is_null());
    let names: Vec<&str> = volumes.map(|volume| volume.get("name").str_or_empty()).collect();
    let what = number_of(names.len(), "volume", "volumes");
    (!names.is_empty()).then(|| Violation::new("hostPath volumes", format!("{what} {}", quoted(&names))))
}

fn host_ports(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let ports = |one: &Value| -> Vec<String> {
        let ports = one.get("ports").items().iter().filter_map(|port| port.get("hostPort").as_int());
        ports.filter(|port| *port != 0).map(|port| port.to_string()).collect()
    };
    let who = pod.containers_where(|one| !ports(one).is_empty());
    if who.is_empty() {
        return None;
    }
    let all: Vec<String> = pod.containers().flat_map(ports).collect();
    let all = sorted(all.iter().map(String::as_str));
    let detail = format!(
        "{} {} {} {}",
        containers(&who),
        number_of(who.len(), "uses", "use"),
        number_of(all.len(), "hostPort", "hostPorts"),
        all.join(", ")
    );
    Some(Violation::new("hostPort", detail))
}

/// The hosts that probes and handlers of a container name.
fn hosts(container: &Value) -> impl Iterator<Item = &str> {
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| container.get(probe));
    let handlers = ["postStart", "preStop"].map(|handler| container.at(&["lifecycle", handler]));
    let actions = probes.into_iter().chain(handlers);
    let hosts =
        actions.flat_map(|action| [action.at(&["httpGet", "host"]), action.at(&["tcpSocket", "host"])]);
    hosts.map(Value::str_or_empty).filter(|host| !host.is_empty())
}

fn probed_hosts(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let who = sorted(pod.containers_where(|one| hosts(one).next().is_some()));
    if who.is_empty() {
        return None;
    }
    let all = sorted(pod.containers().flat_map(hosts));
    let detail = format!(
        "{} {} {} {}",
        containers(&who),
        number_of(who.len(), "uses", "use"),
        number_of(all.len(), "probe or lifecycle host", "probe or lifecycle hosts"),
        quoted(&all)
    );
    Some(Violation::new("probe or lifecycle host", detail))
}

fn privileged(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let who = pod.containers_where(|one| one.at(&["securityContext", "privileged"]).is_true());
    (!who.is_empty()).then(|| {
        let detail = format!("{} must not set securityContext.privileged=true", containers(&who));
        Violation::new("privileged", detail)
    })
}

fn proc_mount(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= OWN_USERS && pod.has_own_users() {
        return None;
    }
    masked_proc(pod)
}

/// `/proc` is masked as usual.
pub fn masked_proc(pod: Pod<'_>) -> Option<Violation> {
    let mount = |one: &'_ Value| -> Option<String> {
        one.at(&["securityContext", "procMount"])
            .as_str()
            .filter(|kind| *kind != "Default")
            .map(str::to_owned)
    };
    let who = pod.containers_where(|one| mount(one).is_some());
    if who.is_empty() {
        return None;
    }
    let kinds: Vec<String> = pod.containers().filter_map(mount).collect();
    let kinds = sorted(kinds.iter().map(String::as_str));
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&who), quoted(&kinds));
    Some(Violation::new("procMount", detail))
}

fn selinux(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    let fine = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (minor >= 31 && kind == "container_engine_t")
    };
    let text =
        |context: &Value, field: &str| context.at(&["seLinuxOptions", field]).str_or_empty().to_owned();
    let bad = |context: &Value| {
        !fine(&text(context, "type"))
            || !text(context, "user").is_empty()
            || !text(context, "role").is_empty()
    };
    let who = pod.containers_where(|one| bad(one.get("securityContext")));
    let who = setters(bad(pod.context()), &who)?;
    let contexts = || pod.containers().map(|one| one.get("securityContext")).chain([pod.context()]);
    let kinds: Vec<String> =
        contexts().map(|context| text(context, "type")).filter(|kind| !fine(kind)).collect();
    let kinds = sorted(kinds.iter().map(String::as_str));
    let mut what = Vec::new();
    if !kinds.is_empty() {
        what.push(format!("{} {}", number_of(kinds.len(), "type", "types"), quoted(&kinds)));
    }
    for field in ["user", "role"] {
        if contexts().any(|context| !text(context, field).is_empty()) {
            what.push(format!("{field} may not be set"));
        }
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    Some(Violation::new("seLinuxOptions", detail))
}

/// The kind of seccomp profile that a security context sets.
pub fn seccomp_kind(context: &Value) -> Option<&str> {
    let profile = context.get("seccompProfile");
    (!profile.is_null()).then(|| profile.get("type").str_or_empty())
}

/// Whether a kind of seccomp profile is one that confines.
pub fn confines(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

fn seccomp(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor < SECCOMP_FIELD { seccomp_annotations(pod) } else { unconfined(pod) }
}

/// Nobody switches seccomp off.
pub fn unconfined(pod: Pod<'_>) -> Option<Violation> {
    fn bad(context: &Value) -> Option<&str> {
        seccomp_kind(context).filter(|kind| !confines(kind))
    }
    let who = pod.containers_where(|one| bad(one.get("securityContext")).is_some());
    let who = setters(bad(pod.context()).is_some(), &who)?;
    let contexts = pod.containers().map(|one| one.get("securityContext")).chain([pod.context()]);
    let kinds = sorted(contexts.filter_map(bad));
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(&kinds));
    Some(Violation::new("seccompProfile", detail))
}

fn seccomp_annotations(pod: Pod<'_>) -> Option<Violation> {
    let fine =
        |text: &str| matches!(text, "runtime/default" | "docker/default") || text.starts_with("localhost/");
    let of_containers =
        pod.containers().map(|one| format!("{SECCOMP_CONTAINER}{}", one.get("name").str_or_empty()));
    let mut found: Vec<String> = of_containers
        .chain([SECCOMP_POD.to_owned()])
        .filter_map(|key| {
            let text = pod.metadata.at(&["annotations", &key]).as_str()?;
            (!fine(text)).then(|| format!("{key}={}", go_quote(text)))
        })
        .collect();
    found.sort();
    found.dedup();
    let what = number_of(found.len(), "annotation", "annotations");
    (!found.is_empty())
        .then(|| Violation::new("seccompProfile", format!("forbidden {what} {}", found.join(", "))))
}

/// Settings of the kernel that each pod has for itself, and since when they are known to be harmless.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    let set = pod.context().get("sysctls").items().iter().map(|one| one.get("name").str_or_empty());
    let bad: Vec<&str> =
        set.filter(|name| !SYSCTLS.iter().any(|(fine, since)| fine == name && *since <= minor)).collect();
    (!bad.is_empty()).then(|| Violation::new("forbidden sysctls", bad.join(", ")))
}

fn windows_host_process(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let on_host = |context: &Value| context.at(&["windowsOptions", "hostProcess"]).is_true();
    let who = pod.containers_where(|one| on_host(one.get("securityContext")));
    let who = setters(on_host(pod.context()), &who)?;
    let detail = format!("{who} must not set securityContext.windowsOptions.hostProcess=true");
    Some(Violation::new("hostProcess", detail))
}
