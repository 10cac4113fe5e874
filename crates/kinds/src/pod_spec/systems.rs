//! The rules that depend on the operating system a pod is for.

use machinery::names;

use crate::place::Place;

const CREDENTIAL_KIB_MAX: usize = 64;
/// How long the name of a Windows domain must not be.
const DOMAIN_MAX: usize = 256;
/// How long the name of a Windows user may be.
const USER_MAX: usize = 104;

const NOT_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_LINUX: &str = "windows options cannot be set for a linux pod";

/// What is wrong with a pod for the system it names.
pub(super) fn check(spec: Place<'_>) {
    let os = spec.get("os");
    if !os.is_set() {
        return;
    }
    let name = os.get("name");
    match name.text() {
        "" => name.required(""),
        "linux" => check_linux(spec),
        "windows" => check_windows(spec),
        other => os.unsupported_as(other, &["linux", "windows"]),
    }
}

fn each_context<'a>(spec: &'a Place<'a>, mut check: impl FnMut(Place<'_>)) {
    check(spec.get("securityContext"));
    for member in ["containers", "initContainers", "ephemeralContainers"] {
        let containers = spec.get(member);
        for container in containers.items() {
            check(container.get("securityContext"));
        }
    }
}

fn check_linux(spec: Place<'_>) {
    each_context(&spec, |context| {
        if context.get("windowsOptions").is_set() {
            context.get("windowsOptions").forbidden(NOT_LINUX);
        }
    });
}

fn check_windows(spec: Place<'_>) {
    let context = spec.get("securityContext");
    let refuse = |place: Place<'_>, is_set: bool| {
        if is_set {
            place.forbidden(NOT_WINDOWS);
        }
    };
    refuse(spec.get("hostUsers"), spec.get("hostUsers").is_set());
    for member in ["appArmorProfile", "seLinuxOptions", "seLinuxChangePolicy", "seccompProfile", "fsGroup"] {
        refuse(context.get(member), context.get(member).is_set());
    }
    for member in ["fsGroupChangePolicy", "sysctls"] {
        refuse(context.get(member), !context.get(member).is_empty());
    }
    refuse(spec.get("shareProcessNamespace"), spec.get("shareProcessNamespace").is_set());
    for member in ["hostPID", "hostIPC"] {
        refuse(spec.get(member), spec.get(member).is_true());
    }
    for member in ["runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy"] {
        refuse(context.get(member), context.get(member).is_set());
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec.get(list).items() {
            let context = container.get("securityContext");
            for member in [
                "appArmorProfile",
                "seLinuxOptions",
                "seccompProfile",
                "capabilities",
                "readOnlyRootFilesystem",
                "privileged",
                "allowPrivilegeEscalation",
                "procMount",
                "runAsUser",
                "runAsGroup",
            ] {
                if context.get(member).is_set() {
                    context.get(member).forbidden(NOT_WINDOWS);
                }
            }
        }
    }
}

/// What is wrong with how a container runs on Windows.
pub(super) fn check_windows_options(options: Place<'_>) {
    let name = options.get("gmsaCredentialSpecName");
    if name.is_set() {
        name.faults(names::dns1123_subdomain(name.text()));
    }
    let specification = options.get("gmsaCredentialSpec");
    if specification.is_set() && specification.text().is_empty() {
        specification.invalid("gmsaCredentialSpec cannot be an empty string");
    } else if specification.text().len() > CREDENTIAL_KIB_MAX * 1024 {
        specification.invalid(format!("gmsaCredentialSpec size must be under {CREDENTIAL_KIB_MAX} KiB"));
    }
    let user = options.get("runAsUserName");
    if user.is_set() {
        check_windows_user(user);
    }
}

fn check_windows_user(name: Place<'_>) {
    if name.text().is_empty() {
        return name.invalid("runAsUserName cannot be an empty string");
    }
    if name.text().bytes().any(|byte| byte.is_ascii_control()) {
        return name.invalid("runAsUserName cannot contain control characters");
    }
    let parts: Vec<&str> = name.text().split('\\').collect();
    let (domain, user) = match parts.as_slice() {
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return name.invalid("runAsUserName cannot contain more than one backslash"),
    };
    if domain.is_some_and(|domain| domain.len() >= DOMAIN_MAX) {
        name.invalid(format!("runAsUserName's Domain length must be under {DOMAIN_MAX} characters"));
    }
    if domain.is_some_and(|domain| !is_net_bios(domain) && !names::dns1123_subdomain(domain).is_empty()) {
        name.invalid("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        name.invalid("runAsUserName's User cannot be empty");
    } else if user.len() > USER_MAX {
        name.invalid(format!("runAsUserName's User length must not be longer than {USER_MAX} characters"));
    }
    if !user.is_empty() && user.bytes().all(|byte| matches!(byte, b'.' | b' ')) {
        name.invalid("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        let forbidden = r#""/\:;|=,+*?<>@[]"#;
        name.invalid(format!("runAsUserName's User cannot contain the following characters: {forbidden}"));
    }
}

/// Whether a name is one of a domain of old: fifteen letters at most, without some.
fn is_net_bios(domain: &str) -> bool {
    let allowed = |letter: char| !r#"\/:*?"<>|"#.contains(letter);
    (1..=15).contains(&domain.chars().count()) && domain.chars().all(allowed) && !domain.starts_with('.')
}

/// A pod that runs on a Windows host itself must do so with all its containers and on the host's network.
pub(super) fn check_windows_host_process(spec: Place<'_>) {
    let pod = spec.value().at(&["securityContext", "windowsOptions", "hostProcess"]);
    let mut any = pod.is_true();
    let mut all = true;
    for list in ["containers", "initContainers"] {
        for container in spec.get(list).items() {
            let own = container.value().at(&["securityContext", "windowsOptions", "hostProcess"]);
            if let (Some(pod), Some(own)) = (pod.as_bool(), own.as_bool())
                && pod != own
            {
                let context = container.get("securityContext");
                let options = context.get("windowsOptions");
                options.get("hostProcess").invalid(format!(
                    "pod hostProcess value must be identical if both are specified, was {pod}"
                ));
            }
            let effective = own.as_bool().or(pod.as_bool()).unwrap_or(false);
            any |= effective;
            all &= effective;
        }
    }
    if !any {
        return;
    }
    if !all {
        spec.invalid_as(
            "",
            "If pod contains any hostProcess containers then all containers must be HostProcess containers",
        );
    }
    if !spec.get("hostNetwork").is_true() {
        spec.get("hostNetwork")
            .invalid_as(false, "hostNetwork must be true if pod contains any hostProcess containers");
    }
}
