//! The rules of security contexts.

use std::collections::BTreeSet;

use machinery::names;

use super::volumes::check_descending_path;
use super::{Within, systems};
use crate::place::{Place, Raw};

const PROFILE_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
/// The longest name of a profile on the node.
const PROFILE_MAX: usize = 4095;
const SYSCTL_FORMAT: &str = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

fn check_id(place: Place<'_>) {
    if place.number().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
        place.invalid(names::between(0, i64::from(i32::MAX)));
    }
}

pub(super) fn check_container(context: Place<'_>, host_users: bool) {
    if !context.is_set() {
        return;
    }
    check_id(context.get("runAsUser"));
    check_id(context.get("runAsGroup"));
    let proc_mount = context.get("procMount");
    if proc_mount.is_set() {
        proc_mount.one_of(&["Default", "Unmasked"]);
        if host_users && proc_mount.text() == "Unmasked" {
            proc_mount.invalid("`hostUsers` must be false to use `Unmasked`");
        }
    }
    check_seccomp(context.get("seccompProfile"));
    if context.get("allowPrivilegeEscalation").value().as_bool() == Some(false) {
        let shown = || Raw(crate::internal::show("SecurityContext", context.value()));
        if context.get("privileged").is_true() {
            context.invalid_as(
                shown(),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        let added = context.value().at(&["capabilities", "add"]).items();
        if added.iter().any(|capability| capability.str_or_empty() == "CAP_SYS_ADMIN") {
            context.invalid_as(
                shown(),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
    check_app_armor(context.get("appArmorProfile"));
    systems::check_windows_options(context.get("windowsOptions"));
}

fn check_seccomp(profile: Place<'_>) {
    if !profile.is_set() {
        return;
    }
    let kind = profile.get("type");
    if kind.text().is_empty() {
        kind.required("type is required when seccompProfile is set");
    } else {
        kind.one_of(PROFILE_TYPES);
    }
    let local = profile.get("localhostProfile");
    match (kind.text(), local.is_set()) {
        ("Localhost", false) => local.required("must be set when seccomp type is Localhost"),
        ("Localhost", true) => check_descending_path(local),
        (_, true) => {
            let shown = crate::internal::show("SeccompProfile", profile.value());
            local.invalid_as(Raw(shown), "can only be set when seccomp type is Localhost");
        }
        (_, false) => {}
    }
}

fn check_app_armor(profile: Place<'_>) {
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.get("type"), profile.get("localhostProfile"));
    match kind.text() {
        "Localhost" => {
            let name = local.text();
            if name.trim() != name {
                local.invalid("must not be padded with whitespace");
            } else if name.is_empty() {
                local.required("must be set when AppArmor type is Localhost");
            }
            if name.len() > PROFILE_MAX {
                local.too_long(PROFILE_MAX);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if local.is_set() {
                local.invalid("can only be set when AppArmor type is Localhost");
            }
        }
        "" => kind.required("type is required when appArmorProfile is set"),
        _ => kind.unsupported(PROFILE_TYPES),
    }
}

pub(super) fn check_pod(context: Place<'_>, spec: Place<'_>) {
    let shared = spec.value().get("shareProcessNamespace").is_true();
    if shared && spec.get("hostPID").is_true() {
        let place = context.with(spec.value().get("shareProcessNamespace"));
        place.at("shareProcessNamespace").invalid("ShareProcessNamespace and HostPID cannot both be enabled");
    }
    if !context.is_set() {
        return;
    }
    for member in ["fsGroup", "runAsUser", "runAsGroup"] {
        check_id(context.get(member));
    }
    context.get("supplementalGroups").items().for_each(check_id);
    check_sysctls(context.get("sysctls"), spec);
    check_choice(context.get("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    check_seccomp(context.get("seccompProfile"));
    check_app_armor(context.get("appArmorProfile"));
    check_choice(context.get("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    // Mounting with the label of the pod is not there yet.
    check_choice(context.get("seLinuxChangePolicy"), &["Recursive"]);
    systems::check_windows_options(context.get("windowsOptions"));
}

fn check_choice(choice: Place<'_>, allowed: &[&str]) {
    if choice.is_set() {
        choice.one_of(allowed);
    }
}

fn is_sysctl(name: &str) -> bool {
    let part = |part: &str| {
        let inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let edge =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        edge(part.as_bytes().first()) && edge(part.as_bytes().last()) && part.bytes().all(inner)
    };
    name.len() <= 253 && name.split(['.', '/']).all(part)
}

fn check_sysctls(sysctls: Place<'_>, spec: Place<'_>) {
    let mut seen = BTreeSet::new();
    for sysctl in sysctls.items() {
        let name = sysctl.get("name");
        if name.text().is_empty() {
            name.required("");
        } else if !is_sysctl(name.text()) {
            name.invalid(format!("must have at most 253 characters and match regex ^{SYSCTL_FORMAT}$"));
        } else if !seen.insert(name.key()) {
            name.duplicate();
        }
        let dotted = name.text().replace('/', ".");
        let outside = |why: &str| name.invalid(format!("may not be specified when '{why}' is true"));
        if spec.get("hostNetwork").is_true() && dotted.starts_with("net.") {
            outside("hostNetwork");
        }
        let shared =
            ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix));
        if spec.get("hostIPC").is_true() && (shared || dotted == "kernel.sem") {
            outside("hostIPC");
        }
    }
}

/// A pod on its host's network has the ports of the host.
pub(super) fn check_host_network(spec: Place<'_>, within: Within) {
    if !spec.get("hostNetwork").is_true() {
        return;
    }
    for container in spec.get("containers").items() {
        for port in container.get("ports").items() {
            let (outer, inner) = (port.get("hostPort").int(), port.get("containerPort").int());
            if (within == Within::Pod || outer != 0) && outer != inner {
                port.get("hostPort")
                    .invalid_as(outer, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

/// A pod with users of its own shares nothing else with its host.
pub(super) fn check_host_users(spec: Place<'_>) {
    if spec.get("hostUsers").value().as_bool() != Some(false) {
        return;
    }
    for (member, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.get(member).is_true() {
            spec.at(shown).forbidden("when `hostUsers` is false");
        }
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get(list).items().filter(|container| !container.get("volumeDevices").is_empty())
        {
            container.get("volumeDevices").forbidden("when `hostUsers` is false");
        }
    }
}
